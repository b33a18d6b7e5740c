//! Checks Galen's offline proofs: that a transaction, a receipt with its events, or a key of the state was there, or was
//! not, at a height of a chain, certified by its voters; or that a voter signed another header than those. It needs a file and the hash of the chain's founding document, and
//! no network, clock or store. The format is described byte by byte in `docs/proofs.md`.
//!
//! It stands alone: BLAKE3, Ed25519 by the rule of ZIP-215, and what is in this folder. Who reads it in this order has read
//! all that decides:
//!
//! 1. [`verify`] below: the steps;
//! 2. `reader.rs`: bytes from anybody, read with bounds;
//! 3. `genesis.rs`, `header.rs`, `epochs.rs`: from the founding document to the voters who signed;
//! 4. `merkle.rs`: from the header to what is proven.
//!
//! `value.rs`, `shapes.rs`, `keys.rs` and `verdict.rs` put it into words.

mod epochs;
mod genesis;
mod hash;
mod header;
mod keys;
mod merkle;
mod reader;
mod refusal;
mod shapes;
mod time;
mod value;
mod verdict;

pub use hash::{Hash, hash_from_hex, to_hex};
pub use keys::key_in_words;
pub use refusal::Refusal;
pub use time::time_text;
pub use value::Value;
pub use verdict::{Fact, ProvenBlock, ProvenCertificate, Verdict};

use epochs::{Epochs, Handover};
use genesis::Genesis;
use header::{Header, NodeName, Signature, VoterSet};
use merkle::{KeyProof, history_root, list_root, read_path};
use reader::Reader;
use value::read_value;

/// Most bytes of a proof.
pub const PROOF_BYTES_MAX: usize = 32 << 20;

/// Most keys that one proof tells of.
const KEYS_MAX: usize = 32;

/// How every proof begins; the format's version follows.
const MAGIC: [u8; 12] = *b"galen-proof\0";

/// The versions that are read here: of transactions and the state; of evidence.
const VERSIONS: std::ops::RangeInclusive<u16> = 1..=2;

/// What the reader knows from elsewhere; nothing in a file can stand for it.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The hash of the chain's founding document.
    pub genesis: Hash,
    /// Recoveries after a lost quorum that the reader was told of by the members: the last one vouches for those before.
    pub recoveries: Vec<Hash>,
}

/// Checks a proof and says what it shows.
///
/// # Errors
/// [`Refusal`] with the first thing that is wrong. Nothing that the file says is to be believed then.
pub fn verify(file: &[u8], trust: &Trust) -> Result<Verdict, Refusal> {
    // 1. The file came whole. (Anybody can make this hash: it guards against accidents only.)
    let (version, mut reader) = open(file)?;

    // 2. The founding document is the trusted one; it names the first voters.
    let genesis_bytes = reader.bytes()?;
    let given = hash::GENESIS.hash(&[genesis_bytes]);
    if given != trust.genesis {
        return Err(Refusal::OtherGenesis(given, trust.genesis));
    }
    let genesis = Genesis::read(genesis_bytes)?;
    let mut epochs = Epochs::new(genesis.hash, VoterSet::of_founders(genesis.voters));

    // 3. Each epoch's voters follow from those before.
    let path = reader.list(Handover::read)?;
    let (handovers, accepted) = (path.len(), epochs::accepted(&trust.recoveries, &path));
    for handover in path {
        epochs.pass(handover, &accepted)?;
    }

    // 4. A quorum of the last ones signed a header of this chain and of their epoch.
    let certified = Header::read(&mut reader)?;
    let signatures = reader.list(Signature::read)?;
    let voters = &epochs.voters;
    if certified.genesis != genesis.hash || certified.chain != genesis.chain {
        return Err(Refusal::Header("it is of another chain"));
    }
    if certified.epoch != voters.epoch || certified.voter_set != voters.hash {
        return Err(Refusal::Header("it is of another epoch than the voters"));
    }
    voters.certified(&certified, &signatures)?;

    // 5. The header that matters is this one, or stands in its history.
    let earlier = reader.maybe(|reader| Ok((Header::read(reader)?, hashes(reader)?, hashes(reader)?)))?;
    let header = match earlier {
        None => certified,
        Some((header, siblings, peaks)) => {
            in_history(&header, &certified, &siblings, &peaks, &epochs)?;
            header
        }
    };

    // 6. What is claimed stands under that header.
    let facts = match version {
        1 => facts(&mut reader, &header, &genesis.hash)?,
        _ => vec![evidence(&mut reader, &header, &epochs.voters)?],
    };
    reader.end()?;

    Ok(Verdict {
        chain: genesis.chain.to_owned(),
        genesis: genesis.hash,
        block: ProvenBlock {
            height: header.height,
            hash: header.hash,
            time_ms: header.time_ms,
            epoch: header.epoch,
            proposer: header.proposer.to_string(),
        },
        certificate: ProvenCertificate {
            height: certified.height,
            epoch: certified.epoch,
            signers: signatures.iter().map(|part| part.voter.to_string()).collect(),
            voters: voters.voters.len(),
            quorum: voters.quorum(),
            faults_tolerated: voters.faults_tolerated(),
        },
        handovers,
        recoveries: epochs.recoveries.iter().map(|(_, hash)| *hash).collect(),
        facts,
    })
}

/// Looks at the frame; gives the version and a reader of what is in it.
fn open(file: &[u8]) -> Result<(u16, Reader<'_>), Refusal> {
    if file.len() > PROOF_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let mut frame = Reader::new(file);
    if frame.array() != Ok(MAGIC) {
        return Err(Refusal::NotAProof);
    }
    let version = u16::from_le_bytes(frame.array()?);
    if !VERSIONS.contains(&version) {
        return Err(Refusal::Version(version));
    }
    let (content, hash) = file.split_last_chunk::<32>().ok_or(Refusal::Damaged)?;
    if hash::PROOF_FILE.hash(&[content]) != *hash {
        return Err(Refusal::Damaged);
    }
    Ok((version, Reader::new(content.get(MAGIC.len() + 2..).ok_or(Refusal::Damaged)?)))
}

fn hashes(reader: &mut Reader<'_>) -> Result<Vec<Hash>, Refusal> {
    reader.list(Reader::array)
}

/// Checks that a header stands in the history of the certified one. A certificate covers the heights of its own epoch, and
/// those that a recovery kept, which nobody could certify any more.
fn in_history(
    header: &Header<'_>,
    certified: &Header<'_>,
    siblings: &[Hash],
    peaks: &[Hash],
    epochs: &Epochs<'_>,
) -> Result<(), Refusal> {
    let kept = epochs.recoveries.iter().any(|(height, _)| header.height <= *height);
    if header.epoch != certified.epoch && !kept {
        return Err(Refusal::Header("it is of another epoch than the block that it shall cover"));
    }
    let length = certified.height.saturating_sub(1);
    if history_root(&header.hash, header.height, length, siblings, peaks)? == certified.history_root {
        Ok(())
    } else {
        Err(Refusal::NotUnderHeader("the block does not stand in the certified header's history"))
    }
}

fn facts(reader: &mut Reader<'_>, header: &Header<'_>, genesis: &Hash) -> Result<Vec<Fact>, Refusal> {
    match reader.byte()? {
        1 => Ok(vec![recorded(reader, header, genesis)?]),
        2 => {
            let facts = reader.list(|reader| {
                let proof = KeyProof::read(reader)?;
                proof.check(&header.state_root)?;
                Ok(said_of(&proof))
            })?;
            let sound = (1..=KEYS_MAX).contains(&facts.len());
            if sound { Ok(facts) } else { Err(Refusal::Malformed("it tells of no key, or of too many")) }
        }
        _ => Err(Refusal::Malformed("it proves something unknown")),
    }
}

/// A voter's signature over another header than the one that its epoch's voters certified. Before a recovery there is no
/// such certificate, and nothing to deviate from.
fn evidence(reader: &mut Reader<'_>, header: &Header<'_>, voters: &VoterSet<'_>) -> Result<Fact, Refusal> {
    if reader.byte()? != 3 {
        return Err(Refusal::Malformed("it proves something unknown"));
    }
    if header.voter_set != voters.hash {
        return Err(Refusal::Header("it is of another epoch than the voters"));
    }
    let (voter, other) = (NodeName::read(reader)?, reader.array()?);
    let signature = Signature::read_of(reader, voter)?;
    let also = reader.maybe(|reader| Signature::read_of(reader, voter))?;
    if other == header.hash {
        return Err(Refusal::NoDeviation(voter.to_string()));
    }
    voters.signed(header, &other, &signature)?;
    also.iter().try_for_each(|also| voters.signed(header, &header.hash, also))?;
    Ok(Fact::Deviated { voter: voter.to_string(), header: other, both: also.is_some() })
}

/// A transaction and its receipt. The roots say nothing of a list's length, so its place is not told.
fn recorded(reader: &mut Reader<'_>, header: &Header<'_>, genesis: &Hash) -> Result<Fact, Refusal> {
    let (bytes, path) = (reader.bytes()?, read_path(reader)?);
    let (receipt_bytes, receipt_path) = (reader.bytes()?, read_path(reader)?);
    if list_root(bytes, &path) != header.transactions_root {
        return Err(Refusal::NotUnderHeader("the transaction does not stand in the block"));
    }
    if list_root(receipt_bytes, &receipt_path) != header.receipts_root {
        return Err(Refusal::NotUnderHeader("the receipt does not stand in the block"));
    }
    let mut signed = Reader::new(bytes);
    let body = signed.bytes()?;
    let transaction = hash::TRANSACTION_ID.hash(&[body]);
    if !receipt_bytes.starts_with(&transaction) {
        return Err(Refusal::NotUnderHeader("the receipt is of another transaction"));
    }
    if !body.starts_with(genesis) {
        return Err(Refusal::NotUnderHeader("the transaction is for another chain"));
    }
    Ok(Fact::Recorded {
        transaction,
        body: transaction_in_words(body),
        receipt: receipt_in_words(receipt_bytes),
        receipt_bytes: receipt_bytes.to_vec(),
        bytes: bytes.to_vec(),
    })
}

fn said_of(proof: &KeyProof<'_>) -> Fact {
    let (key, name, table) = (proof.key.to_vec(), key_in_words(proof.key), keys::table_of(proof.key));
    match proof.value {
        Some(bytes) => {
            let value = record_in_words(&key, bytes);
            Fact::Present { key, name, bytes: bytes.to_vec(), value }
        }
        None => Fact::Absent { key, name, meaning: table.map_or("nothing stands there", |table| table.none) },
    }
}

/// A transaction's body in words.
pub fn transaction_in_words(body: &[u8]) -> Option<Value> {
    in_words(body, &shapes::TRANSACTION_BODY)
}

/// A receipt in words.
pub fn receipt_in_words(bytes: &[u8]) -> Option<Value> {
    in_words(bytes, &shapes::RECEIPT)
}

/// The record under a key of the state in words.
pub fn record_in_words(key: &[u8], bytes: &[u8]) -> Option<Value> {
    in_words(bytes, keys::table_of(key)?.record)
}

/// Certified bytes in words; `None` when they are of a kind that this program does not know, which takes nothing from
/// their being certified.
fn in_words(bytes: &[u8], shape: &value::Shape) -> Option<Value> {
    let mut reader = Reader::new(bytes);
    let value = read_value(&mut reader, shape).ok()?;
    reader.end().ok()?;
    Some(value)
}
