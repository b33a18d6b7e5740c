//! A short certified chain with a change of voters, and everything that a peer would say about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use galen_chain::history::{HistoryAnswer, HistoryRequest};
use galen_chain::recovery::HeldRecoveries;
use galen_chain::signatures::VerifiedCache;
use galen_chain::snapshot::{SnapshotAnswer, SnapshotRequest};
use galen_chain::sync::{SyncAnswer, SyncRequest};
use galen_chain::{Executor, ExecutorConfig, OrderedBatch};
use galen_contracts::keys;
use galen_ledger::snapshot::{self, SnapshotSource};
use galen_ledger::{Ledger, LedgerOptions};
use galen_types::certificate::Voter;
use galen_types::member::Role;
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::{
    Batch, BlockHeader, Call, Encoding as _, Genesis, Hash, HeaderSignature, Parameters, SignedTransaction, Signer,
    TransactionBody, VoterSet,
};

use crate::shared::consortium::{FOUNDED, MEMBERS, genesis, name, new_account, secret_key};

/// Blocks of the chain; the voters change with [`HANDOVER`].
pub(crate) const HEIGHT: u64 = 12;
/// The last height that all four voters certify.
pub(crate) const HANDOVER: u64 = 6;
/// At which heights who signs another header: before the change of voters, at it, and after it.
const LIES: [(u64, &str); 3] =
    [(3, "node-1.mississippi"), (HANDOVER, "node-1.kentucky"), (HANDOVER + 2, "node-1.kentucky")];
/// The height of the snapshot.
pub(crate) const SNAPSHOT: u64 = 9;

/// The chain as its peers tell it.
pub(crate) struct Chain {
    /// The founding document.
    pub(crate) genesis: Genesis,
    /// Headers from height 1.
    pub(crate) headers: Vec<BlockHeader>,
    /// The voters of each epoch.
    pub(crate) voters: Vec<VoterSet>,
    /// Every header signature of every voter.
    pub(crate) signatures: Vec<HeaderSignature>,
    /// Header signatures of voters that lied.
    pub(crate) lies: Vec<HeaderSignature>,
    /// The batch of each block, as ordered.
    pub(crate) batches: Vec<Vec<u8>>,
    /// Answers about blocks, signatures and handovers.
    pub(crate) sync: Vec<SyncAnswer>,
    /// The snapshot's offer and its parts.
    pub(crate) snapshot: Vec<SnapshotAnswer>,
    /// Answers about the past.
    pub(crate) history: Vec<HistoryAnswer>,
    /// Files of offline proofs: of every transaction, of a key with a value, of one without, and of every lie.
    pub(crate) proofs: Vec<Vec<u8>>,
    /// The state after the last block.
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// A recovery's transaction, completely signed.
    pub(crate) recovery: Vec<u8>,
}

/// A folder in memory where the system has such a place: what is tested here is not the disk.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder can be made")
}

/// An executor of harlem's voter on a ledger in a folder.
pub(crate) fn executor(folder: &Path, genesis: &Genesis) -> Executor {
    let mut options = LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits);
    options.block_cache_bytes = 1 << 20;
    options.write_buffer_bytes = 4 << 20;
    let ledger = Arc::new(Ledger::open(folder, &options).expect("a new ledger opens"));
    let config = ExecutorConfig {
        genesis: Arc::new(genesis.clone()),
        node: name("node-1.harlem"),
        voter_keys: vec![secret_key("node-1.harlem")],
        orders: true,
        recoveries: HeldRecoveries::default(),
        verified: Arc::new(VerifiedCache::default()),
    };
    Executor::new(ledger, config).expect("an executor starts")
}

/// A signed transaction of the chain.
pub(crate) fn transaction(genesis: &Genesis, signer: &str, salt: u8, call: Call) -> Vec<u8> {
    let valid_until = FOUNDED.plus_ms(300_000);
    let body =
        TransactionBody { chain: genesis.hash(), signer: name::<Signer>(signer), salt: [salt; 16], valid_until, call };
    body.sign(&secret_key(signer)).encode()
}

/// The batch of a height.
fn batch(genesis: &Genesis, height: u64) -> Vec<u8> {
    let member = MEMBERS[height as usize % 4];
    let account = new_account(&format!("account-{height}"), member, &[Role::Researcher]);
    let mut transactions =
        vec![transaction(genesis, &format!("admin@{member}"), height as u8, Call::AddAccount(account))];
    if height == HANDOVER {
        let call = Call::DemoteNode { node: name("node-1.mississippi") };
        transactions.push(transaction(genesis, "admin@mississippi", 200, call));
    }
    Batch { proposed: FOUNDED.plus_ms(height * 10), proposer: name("node-1.harlem"), transactions }.encode()
}

fn recovery(genesis: &Genesis, header: &BlockHeader) -> Vec<u8> {
    let recovery = Recovery {
        genesis: genesis.hash(),
        lineage: Hash::ZERO,
        height: header.height,
        header: header.hash(),
        made: header.time.plus_ms(1_000),
        abandoned: vec![name("kentucky"), name("mississippi")],
        voters: ["node-1.harlem", "node-1.hennepin"]
            .map(|node| Voter { node: name(node), key: secret_key(node).public_key() })
            .to_vec(),
    };
    let sign = |member: &str| {
        let account = format!("admin@{member}");
        RecoverySignature::sign(&recovery, name(&account), &secret_key(&account))
    };
    let signatures = vec![sign("harlem"), sign("hennepin")];
    let call = Call::Recover { recovery: Box::new(SignedRecovery { recovery: recovery.clone(), signatures }) };
    let body = TransactionBody {
        chain: genesis.hash(),
        signer: name::<Signer>("admin@harlem"),
        salt: [9; 16],
        valid_until: recovery.made,
        call,
    };
    body.sign(&secret_key("admin@harlem")).encode()
}

impl Chain {
    /// The one chain of this process.
    pub(crate) fn get() -> &'static Self {
        static CHAIN: OnceLock<Chain> = OnceLock::new();
        CHAIN.get_or_init(Self::build)
    }

    fn build() -> Self {
        let genesis = genesis(Parameters::default());
        let folder = folder();
        let mut executor = executor(&folder.path().join("ledger"), &genesis);
        let mut chain = Self {
            voters: vec![executor.voters().clone()],
            headers: Vec::new(),
            signatures: Vec::new(),
            lies: Vec::new(),
            batches: Vec::new(),
            sync: Vec::new(),
            snapshot: Vec::new(),
            history: Vec::new(),
            proofs: Vec::new(),
            state: BTreeMap::new(),
            recovery: Vec::new(),
            genesis,
        };
        let mut source = None;
        for height in 1..=HEIGHT {
            let bytes = batch(&chain.genesis, height);
            chain.batches.push(bytes.clone());
            let voters = executor.voters().clone();
            let executed = executor.execute(&OrderedBatch { index: height, term: 1, bytes: bytes.into() });
            let block = executed.expect("the executor goes on").block.expect("the batch makes a block");
            chain.headers.push(block.block.header.clone());
            for voter in &voters.voters {
                let key = secret_key(&voter.node.to_string());
                let signature = HeaderSignature::sign(
                    &chain.genesis.hash(),
                    &voters.hash(),
                    height,
                    block.hash,
                    voter.node.clone(),
                    &key,
                );
                executor.add_signature(signature.clone()).expect("the executor goes on").expect("it is taken");
                chain.signatures.push(signature);
            }
            if let Some((_, liar)) = LIES.iter().find(|(lied, _)| *lied == height) {
                let (set, key) = (voters.hash(), secret_key(liar));
                let lie =
                    HeaderSignature::sign(&chain.hash(), &set, height, Hash([height as u8; 32]), name(liar), &key);
                executor.add_signature(lie.clone()).expect("the executor goes on").expect_err("it deviates");
                chain.lies.push(lie);
            }
            if executor.voters().epoch > voters.epoch {
                chain.voters.push(executor.voters().clone());
            }
            if height == SNAPSHOT {
                let taken = snapshot::take(executor.ledger(), &folder.path().join("snapshots")).expect("it is taken");
                source = Some(Arc::new(SnapshotSource::open(&taken.path).expect("it opens")));
            }
        }
        assert_eq!(executor.ledger().certified_height(), HEIGHT, "the chain is certified");
        assert_eq!(chain.voters.len(), 2, "the voters change once");
        chain.tell(&executor, &[source.expect("the snapshot is taken")]);
        chain.prove(&executor);
        chain.recovery = recovery(&chain.genesis, chain.headers.last().expect("there are headers"));
        chain
    }

    /// What a peer with this ledger answers.
    fn tell(&mut self, executor: &Executor, sources: &[Arc<SnapshotSource>]) {
        let ledger = executor.ledger();
        let sync = [
            SyncRequest::Blocks { from: 1 },
            SyncRequest::Blocks { from: 4 },
            SyncRequest::Blocks { from: HANDOVER + 1 },
            SyncRequest::Blocks { from: HEIGHT + 1 },
            SyncRequest::Signatures { from: 3 },
            SyncRequest::Handovers { from_epoch: 0 },
        ];
        self.sync = sync.iter().map(|request| SyncAnswer::to_request(request, ledger).expect("it reads")).collect();
        let ask = |request| SnapshotAnswer::to_request(&request, sources, ledger).expect("it reads");
        self.snapshot.push(ask(SnapshotRequest::Offer));
        let mut index = 0;
        while let part @ SnapshotAnswer::Part(_) = ask(SnapshotRequest::Part { height: SNAPSHOT, index }) {
            self.snapshot.push(part);
            index += 1;
        }
        let history = [HistoryRequest::Headers { below: SNAPSHOT }, HistoryRequest::Bodies { below: SNAPSHOT }];
        self.history =
            history.iter().map(|request| HistoryAnswer::to_request(request, ledger).expect("it reads")).collect();
    }

    /// What an auditor is given.
    fn prove(&mut self, executor: &Executor) {
        let ledger = executor.ledger();
        let view = ledger.view().expect("it reads");
        self.state = view.state_scan(b"", None, 100_000).expect("it reads").into_iter().collect();
        let batches = self.batches.iter().step_by(5).map(|bytes| Batch::decode(bytes, bytes.len()).expect("it is one"));
        for transaction in batches.flat_map(|batch| batch.transactions) {
            let id = SignedTransaction::decode(&transaction, transaction.len()).expect("it is one").id();
            let proof = view.prove_transaction(&self.genesis, &id).expect("it is proven");
            self.proofs.push(proof.to_file());
        }
        let account = |account: &str| keys::account(&name(account)).as_bytes().to_vec();
        let questions =
            [vec![keys::voter_set().as_bytes().to_vec()], vec![account("admin@harlem"), account("nobody@harlem")]];
        for question in questions {
            let said = ledger.prove_keys(&question, None).expect("it is proven");
            let proof = view.certified_proof(&self.genesis, said.subject, &said.header).expect("it is certified");
            self.proofs.push(proof.to_file());
        }
        for lie in &self.lies {
            let proof = view.prove_evidence(&self.genesis, lie.height, &lie.voter).expect("it is evidence");
            self.proofs.push(proof.to_file());
        }
    }

    /// The genesis hash.
    pub(crate) fn hash(&self) -> Hash {
        self.genesis.hash()
    }

    /// The hash of a height's header; the genesis hash at 0.
    pub(crate) fn header_hash(&self, height: u64) -> Hash {
        height.checked_sub(1).and_then(|place| self.headers.get(place as usize)).map_or(self.hash(), BlockHeader::hash)
    }

    /// The voters of a height.
    pub(crate) fn voters_of(&self, height: u64) -> &VoterSet {
        &self.voters[usize::from(height > HANDOVER)]
    }
}
