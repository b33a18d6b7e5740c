//! A consortium of up to seven hospitals and an observer, its transactions, and a seeded generator; for the simulation and for
//! tests of single replicas. Names and keys are fixed: nothing here is secret.

use std::sync::Arc;

use galen_chain::recovery::HeldRecoveries;
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

/// When it was founded.
pub const FOUNDED: Timestamp = Timestamp(1_790_000_000_000);
/// Its members, in the order in which they are founders.
pub const MEMBERS: [&str; 7] = ["harlem", "hennepin", "kentucky", "mississippi", "indiana", "michigan", "case-western"];

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound.max(1) as u64) as usize
    }

    /// True in `per_mille` of 1000 cases.
    pub fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }
}

/// Reads a name of any kind.
pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// The secret key that is made from this text.
pub fn key(of: &str) -> SecretKey {
    SecretKey::from_seed(&Hash::of(Context::Commitment, of.as_bytes()).0)
}

/// An account whose key is made from `account@member`.
pub fn new_account(account: &str, member: &str, roles: &[Role]) -> NewAccount {
    NewAccount {
        account: name(account),
        key: key(&format!("{account}@{member}")).public_key(),
        encryption_key: EncryptionKey([7; 32]),
        roles: roles.to_vec(),
    }
}

/// The founding voter of the member at this place.
pub fn voter_name(place: usize) -> NodeName {
    name(&format!("node-1.{}", MEMBERS[place]))
}

/// The first `voters` members, each with an administrator and a voter; harlem has the observer too.
pub fn genesis_with(voters: usize, parameters: Parameters) -> Arc<Genesis> {
    genesis_of(voters, 0, parameters)
}

/// As [`genesis_with`]; the first `spares` members have a node more that may become a voter.
pub fn genesis_of(voters: usize, spares: usize, parameters: Parameters) -> Arc<Genesis> {
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
    for spare in 0..spares {
        members[spare].nodes.push(node("spare", MEMBERS[spare], NodeRole::Observer));
    }
    let genesis =
        Genesis { chain: name("opt"), founded: FOUNDED, rules_version: 1, state_bucket_bits: 8, parameters, members };
    genesis.check().unwrap();
    Arc::new(genesis)
}

/// As [`genesis_with`], under the default parameters.
pub fn genesis(voters: usize) -> Arc<Genesis> {
    genesis_with(voters, Parameters::default())
}

/// A transaction's bytes as the only one of a batch.
pub fn batch_of(index: u64, transaction: &DecodedTransaction) -> OrderedBatch {
    batch(index, FOUNDED.plus_ms(index), &[transaction])
}

/// Makes transactions, each another.
pub struct Clients {
    genesis: Hash,
    salt: u64,
}

impl Clients {
    /// Clients of the chain that this genesis founds.
    pub fn new(genesis: &Genesis) -> Self {
        Self { genesis: genesis.hash(), salt: 0 }
    }

    /// Signs a call for `signer`; each with another salt.
    pub fn sign_with(
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
    pub fn add_account(&mut self, member: &str, account: &str, valid_until: Timestamp) -> DecodedTransaction {
        let signer = format!("admin@{member}");
        let call = Call::AddAccount(new_account(account, member, &[Role::Researcher]));
        self.sign_with(&key(&signer), &signer, valid_until, call)
    }

    /// One that does something of its own.
    pub fn next(&mut self, member: &str, valid_until: Timestamp) -> DecodedTransaction {
        let account = format!("account-{}", self.salt);
        self.add_account(member, &account, valid_until)
    }
}

/// A folder for ledgers, in memory where the system has such a place: what is tested here is not the disk.
pub fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Opens or makes a ledger with small buffers.
pub fn open_ledger(folder: &std::path::Path, genesis: &Genesis) -> Arc<Ledger> {
    Arc::new(Ledger::open(folder, &ledger_options(genesis)).unwrap())
}

/// A ledger with small buffers.
pub(crate) fn ledger_options(genesis: &Genesis) -> LedgerOptions {
    let mut options = LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits);
    options.block_cache_bytes = 1 << 20;
    options.write_buffer_bytes = 4 << 20;
    options
}

/// An executor for `node`, which signs headers where it `votes`.
pub fn executor(ledger: Arc<Ledger>, genesis: &Arc<Genesis>, node: &str, votes: bool) -> Executor {
    let config = ExecutorConfig {
        genesis: Arc::clone(genesis),
        node: name(node),
        voter_keys: votes.then(|| key(node)).into_iter().collect(),
        orders: votes,
        recoveries: HeldRecoveries::default(),
        verified: Arc::new(VerifiedCache::default()),
    };
    Executor::new(ledger, config).unwrap()
}

/// An ordered batch of these transactions, of term 1.
pub fn batch(index: u64, proposed: Timestamp, transactions: &[&DecodedTransaction]) -> OrderedBatch {
    let transactions = transactions.iter().map(|transaction| transaction.bytes.clone()).collect();
    let bytes = Batch { proposed, proposer: voter_name(0), transactions }.encode();
    OrderedBatch { index, term: 1, bytes: bytes.into() }
}

/// The transactions' ids.
pub fn ids(transactions: &[&DecodedTransaction]) -> Vec<TransactionId> {
    transactions.iter().map(|transaction| transaction.id).collect()
}
