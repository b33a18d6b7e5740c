//! A consortium of four hospitals and an observer, its transactions, and a seeded generator.

use std::sync::Arc;

use galen_chain::signatures::VerifiedCache;
use galen_chain::{Executor, ExecutorConfig, OrderedBatch};
use galen_ledger::{Ledger, LedgerOptions};
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::member::{EncryptionKey, NewAccount, NodeAddress, NodeRole, Role};
use galen_types::{
    Batch, Call, DecodedTransaction, Encoding, Genesis, Hash, NodeName, Parameters, SecretKey, Signer, Timestamp,
    TransactionBody, TransactionId,
};

pub(crate) const FOUNDED: Timestamp = Timestamp(1_790_000_000_000);
pub(crate) const MEMBERS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// True in `per_mille` of 1000 cases.
    pub(crate) fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }
}

/// Reads a name of any kind.
pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn key(of: &str) -> SecretKey {
    SecretKey::from_seed(&Hash::of(Context::Commitment, of.as_bytes()).0)
}

pub(crate) fn new_account(account: &str, member: &str, roles: &[Role]) -> NewAccount {
    NewAccount {
        account: name(account),
        key: key(&format!("{account}@{member}")).public_key(),
        encryption_key: EncryptionKey([7; 32]),
        roles: roles.to_vec(),
    }
}

pub(crate) fn voter_name(place: usize) -> NodeName {
    name(&format!("node-1.{}", MEMBERS[place]))
}

/// The first `voters` members, each with an administrator and a voter; harlem has the observer too.
pub(crate) fn genesis_with(voters: usize, parameters: Parameters) -> Arc<Genesis> {
    let node = |node: &str, member: &str, role| FoundingNode {
        node: name(node),
        key: key(&format!("{node}.{member}")).public_key(),
        role,
        address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7101").unwrap(),
    };
    let founder = |member: &&str| Founder {
        name: name(member),
        accounts: vec![new_account("admin", member, &[Role::Admin])],
        nodes: vec![node("node-1", member, NodeRole::Voter)],
    };
    let mut members: Vec<_> = MEMBERS[..voters].iter().map(founder).collect();
    members[0].nodes.push(node("watcher", "harlem", NodeRole::Observer));
    let genesis =
        Genesis { chain: name("opt"), founded: FOUNDED, rules_version: 1, state_bucket_bits: 8, parameters, members };
    genesis.check().unwrap();
    Arc::new(genesis)
}

pub(crate) fn genesis(voters: usize) -> Arc<Genesis> {
    genesis_with(voters, Parameters::default())
}

/// Makes transactions, each another.
pub(crate) struct Clients {
    genesis: Hash,
    salt: u64,
}

impl Clients {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        Self { genesis: genesis.hash(), salt: 0 }
    }

    pub(crate) fn sign_with(
        &mut self,
        secret: &SecretKey,
        signer: &str,
        valid_until: Timestamp,
        call: Call,
    ) -> DecodedTransaction {
        self.salt += 1;
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.salt.to_le_bytes());
        let body = TransactionBody { chain: self.genesis, signer: name::<Signer>(signer), salt, valid_until, call };
        let bytes = body.sign(secret).encode();
        DecodedTransaction::decode(bytes, 1 << 20).unwrap()
    }

    /// An administrator adds an account; refused by a rule when it exists.
    pub(crate) fn add_account(&mut self, member: &str, account: &str, valid_until: Timestamp) -> DecodedTransaction {
        let signer = format!("admin@{member}");
        let call = Call::AddAccount(new_account(account, member, &[Role::Researcher]));
        self.sign_with(&key(&signer), &signer, valid_until, call)
    }

    /// One that does something of its own.
    pub(crate) fn next(&mut self, member: &str, valid_until: Timestamp) -> DecodedTransaction {
        let account = format!("account-{}", self.salt);
        self.add_account(member, &account, valid_until)
    }
}

/// A folder for ledgers, in memory where the system has such a place: what is tested here is not the disk.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn open_ledger(folder: &std::path::Path, genesis: &Genesis) -> Arc<Ledger> {
    let mut options = LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits);
    options.block_cache_bytes = 1 << 20;
    options.write_buffer_bytes = 4 << 20;
    Arc::new(Ledger::open(folder, &options).unwrap())
}

pub(crate) fn executor(ledger: Arc<Ledger>, genesis: &Arc<Genesis>, node: &str, votes: bool) -> Executor {
    let config = ExecutorConfig {
        genesis: Arc::clone(genesis),
        node: name(node),
        voter_key: votes.then(|| key(node)),
        verified: Arc::new(VerifiedCache::default()),
    };
    Executor::new(ledger, config).unwrap()
}

pub(crate) fn batch(index: u64, proposed: Timestamp, transactions: &[&DecodedTransaction]) -> OrderedBatch {
    let transactions = transactions.iter().map(|transaction| transaction.bytes.clone()).collect();
    let bytes = Batch { proposed, proposer: voter_name(0), transactions }.encode();
    OrderedBatch { index, term: 1, bytes: bytes.into() }
}

pub(crate) fn ids(transactions: &[&DecodedTransaction]) -> Vec<TransactionId> {
    transactions.iter().map(|transaction| transaction.id).collect()
}
