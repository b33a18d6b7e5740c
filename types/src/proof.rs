//! The file of an offline proof: that a transaction with its receipt stands in a certified block, that a key of the
//! state has a value, or none, after one, or that a voter signed another header than the one certified. `docs/proofs.md` describes it byte by byte; the crate `galen-verifier` reads and
//! checks it without this one, so what is written here never changes without a new version.
//!
//! ```text
//!   PROOF_MAGIC | version u16 | encoding of Proof | hash of all before
//! ```
//!
//! A reader needs the genesis hash from elsewhere, and nothing more: the proof carries the founding document, how each
//! epoch's voters handed over to the next, a header that the last of them certified, and paths from what is proven to that
//! header.

use wincode::{SchemaRead, SchemaWrite};

use crate::block::BlockHeader;
use crate::certificate::{VoterSet, VoterSignature};
use crate::encoding::Encoding;
use crate::hash::{Context, Hash};
use crate::merkle;
use crate::name::NodeName;
use crate::recovery::Recovery;
use crate::signature::Signature;

/// How a file begins.
pub const PROOF_MAGIC: [u8; 12] = *b"galen-proof\0";

/// The version of the format that is written of transactions and of the state.
pub const PROOF_VERSION: u16 = 1;

/// The version that is written of evidence: version 1 with one more subject.
pub const EVIDENCE_VERSION: u16 = 2;

/// Most bytes of a file: the largest genesis, some thousand handovers, and the largest block content.
pub const PROOF_BYTES_MAX: usize = 32 << 20;

/// Most keys that one file tells of.
pub const PROOF_KEYS_MAX: usize = 32;

/// A proof.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Proof {
    /// The canonical encoding of the founding document.
    pub genesis: Vec<u8>,
    /// How the founders' epoch led to the certified header's, in order.
    pub handovers: Vec<EpochHandover>,
    /// A header that its epoch's voters certified.
    pub certified: BlockHeader,
    /// Their signatures over its height and hash, in ascending order of node name, each once.
    pub signatures: Vec<VoterSignature>,
    /// The header under which the subject stands, where it is an earlier one.
    pub earlier: Option<EarlierHeader>,
    /// What is proven.
    pub subject: Subject,
}

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EpochHandover {
    /// The last header of the epoch; where a recovery ended it, the one that the recovery keeps.
    pub last: BlockHeader,
    /// The voters that follow.
    pub next: VoterSet,
    /// Why they are believed.
    pub reason: HandoverReason,
}

/// Why the voters of an epoch are believed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum HandoverReason {
    /// Those before signed the last header, which names them.
    #[wincode(tag = 1)]
    Certificate(Vec<VoterSignature>),
    /// What the remaining members signed, for readers who accept it. It makes the set: what the recovery block says of it
    /// need not be told.
    #[wincode(tag = 2)]
    Recovery(Recovery),
}

/// A header before the certified one, and its path to the certified header's `history_root`. Heights say how many hashes
/// there are, and on which side each joins.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EarlierHeader {
    /// The header.
    pub header: BlockHeader,
    /// Siblings within its mountain, upwards.
    pub siblings: Vec<Hash>,
    /// The other mountains' peaks, the largest first.
    pub peaks: Vec<Hash>,
}

/// What is proven.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum Subject {
    /// A transaction and its receipt, with its events, stand in the block.
    #[wincode(tag = 1)]
    Transaction(Box<TransactionProof>),
    /// What the state after the block says of keys.
    #[wincode(tag = 2)]
    State(Vec<KeyProof>),
    /// A voter of the block's epoch signed another header at its height. The certified header is of the same epoch: what a
    /// recovery kept is evidence against nobody.
    #[wincode(tag = 3)]
    Evidence(Box<EvidenceProof>),
}

/// That a voter signed another header than the voters certified.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EvidenceProof {
    /// The voter.
    pub voter: NodeName,
    /// The hash that it signed, at the block's height and as one of the voters of the block's epoch.
    pub header: Hash,
    /// Its signature over that.
    pub signature: Signature,
    /// Its signature over the block's own header, where it gave that too: then it signed two headers of one height,
    /// whatever the others did.
    pub also: Option<Signature>,
}

/// A transaction and its receipt in a block.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct TransactionProof {
    /// Full signed bytes.
    pub transaction: Vec<u8>,
    /// From them to the header's `transactions_root`.
    pub transaction_path: Vec<PathStep>,
    /// What became of it: the encoding of its [`Receipt`](crate::Receipt).
    pub receipt: Vec<u8>,
    /// From that to the header's `receipts_root`.
    pub receipt_path: Vec<PathStep>,
}

/// One join on the way from a leaf of a list tree to its root. A path proves that the content stands in the list; a list's
/// root says nothing of its length, so the place is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct PathStep {
    /// On which side of the path the sibling stands.
    pub side: Side,
    /// Its hash.
    pub sibling: Hash,
}

/// Left or right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum Side {
    /// The sibling is hashed first.
    #[wincode(tag = 1)]
    Left,
    /// The sibling is hashed last.
    #[wincode(tag = 2)]
    Right,
}

/// What the state says of a key.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct KeyProof {
    /// The key.
    pub key: Vec<u8>,
    /// Its value; `None`: it has none.
    pub value: Option<Vec<u8>>,
    /// The leaf of the state tree where the key stands or would stand: hashes of keys and values, ascending.
    pub entries: Vec<(Hash, Hash)>,
    /// Siblings from the leaf upwards.
    pub siblings: Vec<Hash>,
}

impl Proof {
    /// The file.
    pub fn to_file(&self) -> Vec<u8> {
        let version = if matches!(self.subject, Subject::Evidence(_)) { EVIDENCE_VERSION } else { PROOF_VERSION };
        let mut file = PROOF_MAGIC.to_vec();
        file.extend_from_slice(&version.to_le_bytes());
        file.extend_from_slice(&self.encode());
        let hash = Hash::of(Context::ProofFile, &file);
        file.extend_from_slice(hash.as_bytes());
        file
    }
}

/// The path from one of a list's contents to the list's root; `None` beyond the list's end.
pub fn list_path(contents: &[&[u8]], index: usize) -> Option<Vec<PathStep>> {
    let proof = merkle::ListProof::of(contents, index)?;
    let (mut place, mut length) = (index, contents.len());
    let mut siblings = proof.siblings.into_iter();
    let mut path = Vec::with_capacity(siblings.len());
    while length > 1 {
        if place ^ 1 < length {
            let side = if place % 2 == 0 { Side::Right } else { Side::Left };
            path.push(PathStep { side, sibling: siblings.next()? });
        }
        (place, length) = (place / 2, length.div_ceil(2));
    }
    Some(path)
}
