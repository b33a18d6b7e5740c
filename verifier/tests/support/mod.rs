//! A consortium of four, whose chain a test writes block by block.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "each test file uses a part; tests assert by panicking"
)]

use std::sync::Arc;

use galen_chain::recovery::{HeldRecoveries, HeldRecovery};
use galen_chain::signatures::VerifiedCache;
use galen_chain::{Executor, ExecutorConfig, OrderedBatch};
use galen_ledger::{Ledger, LedgerOptions, ProveError, View};
use galen_types::access::{AccessTerms, GrantLimits};
use galen_types::certificate::{Voter, VoterSet, VoterSignature};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::member::{EncryptionKey, NewAccount, NodeAddress, NodeRole, Role};
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, Statistic};
use galen_types::{
    Batch, Call, Certificate, Encoding, Genesis, Hash, HeaderSignature, NodeName, Parameters, Proof, SecretKey, Signer,
    Timestamp, TransactionBody, TransactionId,
};
use galen_verifier::{Refusal, Trust, Value, Verdict};
use tempfile::TempDir;

pub const FOUNDED: Timestamp = Timestamp(1_790_000_000_000);
pub const MEMBERS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];

/// A value in words as JSON.
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Truth(truth) => (*truth).into(),
        Value::Number(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Record(parts) => parts.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn key(of: &str) -> SecretKey {
    SecretKey::from_seed(&Hash::of(Context::Commitment, of.as_bytes()).0)
}

pub fn node_name(place: usize) -> NodeName {
    name(&format!("node-1.{}", MEMBERS[place]))
}

fn new_account(account: &str, member: &str, roles: &[Role]) -> NewAccount {
    NewAccount {
        account: name(account),
        key: key(&format!("{account}@{member}")).public_key(),
        encryption_key: EncryptionKey([7; 32]),
        roles: roles.to_vec(),
    }
}

pub fn genesis() -> Arc<Genesis> {
    let node = |node: &str, member: &str, role| FoundingNode {
        node: name(node),
        key: key(&format!("{node}.{member}")).public_key(),
        role,
        address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7101").unwrap(),
    };
    let founder = |member: &str| Founder {
        name: name(member),
        accounts: vec![
            new_account("admin", member, &[Role::Admin]),
            new_account("owner", member, &[Role::Owner]),
            new_account("researcher", member, &[Role::Researcher]),
        ],
        nodes: vec![node("node-1", member, NodeRole::Voter)],
    };
    let mut members: Vec<_> = MEMBERS.into_iter().map(founder).collect();
    members[0].nodes.push(node("watcher", "harlem", NodeRole::Observer));
    let parameters = Parameters::default();
    let genesis =
        Genesis { chain: name("opt"), founded: FOUNDED, rules_version: 1, state_bucket_bits: 8, parameters, members };
    genesis.check().unwrap();
    Arc::new(genesis)
}

/// A chain and everybody's keys.
pub struct Chain {
    pub genesis: Arc<Genesis>,
    pub replica: Executor,
    /// Every transaction, in order.
    pub transactions: Vec<TransactionId>,
    /// Every set of voters and their keys, by epoch.
    sets: Vec<(VoterSet, Vec<SecretKey>)>,
    keys: Vec<SecretKey>,
    index: u64,
    salt: u64,
    /// Block times; a voter's key may be replaced once in a while only.
    time: Timestamp,
    _folder: TempDir,
}

impl Chain {
    pub fn new() -> Self {
        let genesis = genesis();
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let mut options = LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits);
        options.block_cache_bytes = 1 << 20;
        options.write_buffer_bytes = 4 << 20;
        let config = ExecutorConfig {
            genesis: Arc::clone(&genesis),
            node: name("watcher.harlem"),
            voter_keys: Vec::new(),
            orders: false,
            recoveries: HeldRecoveries::default(),
            verified: Arc::new(VerifiedCache::default()),
        };
        let replica = Executor::new(Arc::new(Ledger::open(folder.path(), &options).unwrap()), config).unwrap();
        let keys: Vec<_> = (0..4).map(|place| key(&node_name(place).to_string())).collect();
        let sets = vec![(genesis.voter_set(), keys.clone())];
        let transactions = Vec::new();
        Self { genesis, replica, transactions, sets, keys, index: 0, salt: 0, time: FOUNDED, _folder: folder }
    }

    pub fn view(&self) -> View<'_> {
        self.replica.ledger().view().unwrap()
    }

    pub fn height(&self) -> u64 {
        self.replica.tip().height
    }

    pub fn epoch(&self) -> u64 {
        self.replica.voters().epoch
    }

    fn signed(&mut self, signer: &str, call: Call) -> (TransactionId, Vec<u8>) {
        self.salt += 1;
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.salt.to_le_bytes());
        let valid_until = self.time.plus_ms(60_000);
        let body =
            TransactionBody { chain: self.genesis.hash(), signer: name::<Signer>(signer), salt, valid_until, call };
        let signed = body.sign(&key(signer));
        (signed.id(), signed.encode())
    }

    /// A block of calls, all of which are recorded and done.
    pub fn block(&mut self, calls: Vec<(String, Call)>) -> Vec<TransactionId> {
        // An hour a block: nothing that the rules limit in time stands in the way.
        self.time = self.time.plus_ms(3_600_000);
        let (mut ids, mut transactions) = (Vec::new(), Vec::new());
        for (signer, call) in calls {
            let (id, bytes) = self.signed(&signer, call);
            ids.push(id);
            transactions.push(bytes);
        }
        let applied = self.replica.ledger().applied().unwrap();
        self.index = applied.index + 1;
        let bytes = Batch { proposed: self.time, proposer: node_name(0), transactions }.encode();
        self.replica
            .execute(&OrderedBatch { index: self.index, term: applied.term.max(1), bytes: bytes.into() })
            .unwrap();
        for id in &ids {
            let (_, receipt) = self.view().receipt(id).unwrap().expect("void");
            assert!(receipt.is_applied(), "{:?}", receipt.outcome);
        }
        self.transactions.extend(&ids);
        self.note_set();
        ids
    }

    fn note_set(&mut self) {
        let set = self.replica.voters().clone();
        if set.epoch > self.sets.last().unwrap().0.epoch {
            let secret = |name: &NodeName| {
                let place = (0..4).find(|place| node_name(*place) == *name).unwrap();
                self.keys[place].clone()
            };
            let secrets = set.voters.iter().map(|voter| secret(&voter.node)).collect();
            self.sets.push((set, secrets));
        }
    }

    pub fn add_account(&mut self, account: &str) -> TransactionId {
        let call = Call::AddAccount(new_account(account, "harlem", &[Role::Researcher]));
        self.block(vec![("admin@harlem".to_owned(), call)])[0]
    }

    /// A block of several accounts.
    pub fn add_accounts(&mut self, count: usize) -> Vec<TransactionId> {
        let calls = (0..count).map(|number| {
            let account = format!("account-{}-{number}", self.salt);
            let call = Call::AddAccount(new_account(&account, "harlem", &[Role::Researcher]));
            ("admin@harlem".to_owned(), call)
        });
        let calls = calls.collect();
        self.block(calls)
    }

    /// A voter's key changes: the last block of an epoch.
    pub fn rotate(&mut self, place: usize) -> u64 {
        let to = key(&format!("{} of {}", self.height(), node_name(place)));
        let call = Call::RotateNodeKey { node: node_name(place), key: to.public_key() };
        self.keys[place] = to;
        self.block(vec![(format!("admin@{}", MEMBERS[place]), call)]);
        self.height()
    }

    /// A dataset of mississippi, and a grant on it.
    pub fn grant(&mut self, dataset: &str, grantee: &str) -> TransactionId {
        let content = VersionContent {
            commitment: Hash([1; 32]),
            ciphertext: Hash::of(Context::Commitment, dataset.as_bytes()),
            ciphertext_sha256: Hash([3; 32]),
            ciphertext_bytes: 1_040,
            plaintext_bytes: 1_000,
            format: FileFormat::Csv,
            rows: 100,
            columns: vec![Column { name: name("Birthweight"), kind: ColumnKind::Number }],
            data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
            card: None,
        };
        let publish = Call::PublishDataset { dataset: name(dataset), content, discoverable: true };
        self.block(vec![("owner@mississippi".to_owned(), publish)]);
        let terms = AccessTerms {
            action: Action::Compute,
            purpose: Purpose::HealthcareResearch,
            columns: vec![name("Birthweight")],
            statistics: vec![Statistic::Mean],
            data_use: Vec::new(),
        };
        let dataset = name(&format!("mississippi/{dataset}"));
        let request = self.block(vec![(grantee.to_owned(), Call::RequestAccess { dataset, terms, draft: false })])[0];
        let request = galen_types::RequestId(request.0);
        let approve = Call::ApproveRequest { request, limits: GrantLimits::default() };
        self.block(vec![("owner@mississippi".to_owned(), approve)])[0]
    }

    /// The voters of an epoch.
    pub fn set(&self, epoch: u64) -> &VoterSet {
        &self.sets.iter().find(|(set, _)| set.epoch == epoch).unwrap().0
    }

    /// A header signed by some of an epoch's voters.
    pub fn signatures(&self, height: u64, header: Hash, epoch: u64, places: &[usize]) -> Vec<VoterSignature> {
        let (set, secrets) = self.sets.iter().find(|(set, _)| set.epoch == epoch).unwrap();
        let part = |place: &usize| {
            let voter = set.voters[*place].node.clone();
            let (genesis, set) = (self.genesis.hash(), set.hash());
            let signed = HeaderSignature::sign(&genesis, &set, height, header, voter, &secrets[*place]);
            VoterSignature { voter: signed.voter, signature: signed.signature }
        };
        places.iter().map(part).collect()
    }

    /// Has a quorum of the right voters certify a height.
    pub fn certify(&mut self, height: u64) {
        let held = self.view().header(height).unwrap().unwrap();
        let places: Vec<_> = (0..self.set(held.epoch).quorum()).collect();
        let header = held.hash();
        let signatures = self.signatures(height, header, held.epoch, &places);
        self.replica.add_certificate(Certificate { height, header, signatures }).unwrap();
        assert_eq!(self.replica.ledger().certified_height(), height);
    }

    /// The members of these places go on without the others.
    pub fn recover(&mut self, places: &[usize]) -> Hash {
        self.time = self.time.plus_ms(3_600_000);
        let tip = self.replica.tip();
        let voter = |place: &usize| Voter { node: node_name(*place), key: self.keys[*place].public_key() };
        let recovery = Recovery {
            genesis: self.genesis.hash(),
            lineage: self.replica.lineage().unwrap(),
            height: tip.height,
            header: tip.hash,
            made: self.time,
            abandoned: (0..4).filter(|place| !places.contains(place)).map(|place| name(MEMBERS[place])).collect(),
            voters: places.iter().map(voter).collect(),
        };
        let sign = |place: &usize| {
            let account = format!("admin@{}", MEMBERS[*place]);
            RecoverySignature::sign(&recovery, name(&account), &key(&account))
        };
        let signed = SignedRecovery { signatures: places.iter().map(sign).collect(), recovery };
        let signer = signed.signatures[0].account.to_string();
        let body = TransactionBody {
            chain: self.genesis.hash(),
            signer: name(&signer),
            salt: [0; 16],
            valid_until: signed.recovery.made,
            call: Call::Recover { recovery: Box::new(signed) },
        };
        let bytes = body.sign(&key(&signer)).encode();
        let held = HeldRecovery::from_bytes(&bytes, &self.genesis.hash()).unwrap();
        self.replica.apply_recovery(&bytes).unwrap();
        self.note_set();
        held.hash
    }

    pub fn prove(&self, id: &TransactionId) -> Result<Proof, ProveError> {
        self.view().prove_transaction(&self.genesis, id)
    }

    pub fn prove_keys(&self, keys: &[Vec<u8>]) -> Result<Proof, ProveError> {
        let proven = self.replica.ledger().prove_keys(keys, None)?;
        self.view().certified_proof(&self.genesis, proven.subject, &proven.header)
    }

    pub fn trust(&self, recoveries: &[Hash]) -> Trust {
        Trust { genesis: self.genesis.hash().0, recoveries: recoveries.iter().map(|hash| hash.0).collect() }
    }

    pub fn verify(&self, proof: &Proof, recoveries: &[Hash]) -> Result<Verdict, Refusal> {
        galen_verifier::verify(&proof.to_file(), &self.trust(recoveries))
    }
}
