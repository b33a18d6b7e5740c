//! Every key of the state, in one place. A key is a one-byte table tag and parts: `name` is a slug and a zero byte
//! (which no slug holds), so names sort alphabetically and no key is a prefix of another's; numbers are big-endian, so
//! they sort by value; ids are 32 bytes. Times stand before ids so that lists come in the order of happening.
//!
//! | tag | table | parts | value |
//! |---|---|---|---|
//! | 01 | parameters | | `Parameters` |
//! | 02 | voter set | | `VoterSet` |
//! | 03 | active members | | `u32`, how many |
//! | 04 | next number in ordering | | `u64` |
//! | 05 | nodes that order | | `Vec<OrderingNode>`, by number: every node whose `raft_id` is not 0, and at most 64 that were retired |
//! | 06 | last recovery | | `Hash` of the recovery; absent where there was none |
//! | 07 | schedule | | `Vec<Scheduled>`: changes that passed and come into force later, in the order voted: at most 64 resets and one change of parameters |
//! | 08 | open applications | | `Vec<OpenApplication>`, in the order made; overdue ones stay until a call drops them |
//! | 10 | member | member | `Member` |
//! | 11 | account | member, account | `Account` |
//! | 12 | node | member, node | `Node` |
//! | 13 | signing key | suite tag, 32 bytes | `Signer` that has or had it; keys are never used again |
//! | 14 | active administrators | member | `u32`, how many accounts |
//! | 15 | member's leaving | member | `Timestamp`: block time at which it left or was removed |
//! | 16 | active nodes | member | `u32`, how many nodes that were not removed |
//! | 17 | nodes with the role voter | member | `u32`, how many of the active nodes |
//! | 18 | recovery | its hash | `Recovery`; all that the chain ever went on by |
//! | 19 | last change of a voting node by its member | member, node | `Timestamp`: block time of its last replaced number, or of its last new key in the voter set |
//! | 1a | reserved signing key | suite tag, 32 bytes | `ProposalId`: the application or reset that names it; counts while that is open or scheduled |
//! | 20 | dataset | member, dataset | `Dataset` |
//! | 21 | version | member, dataset, number u32 | `Version` |
//! | 22 | withdrawn run | member, dataset, number u32 | `u32`: the other end of a run of withdrawn versions; kept at both ends |
//! | 30 | contract in force | scope | `Contract` |
//! | 31 | replaced contract | scope, version u32 | `Contract` |
//! | 32 | uses of a rule | scope, version u32, rule index u32, member, account | `u32` |
//! | 40 | request | id | `Request` |
//! | 41 | requests of an applicant | member, account, filed u64, id | present |
//! | 42 | requests for a dataset | member, dataset, filed u64, id | present |
//! | 43 | requests to a member in a state | member, state u8, filed u64, id | present |
//! | 44 | open requests of an applicant | member, account | `u32`, how many |
//! | 48 | grant | id | `Grant` |
//! | 49 | grants of a grantee | member, account, asserted u64, id | present |
//! | 4a | grants on a dataset | member, dataset, asserted u64, id | present |
//! | 4b | grants in force | grantee member, account, dataset member, dataset | `Vec<GrantId>`, at most 64 |
//! | 50 | job | id | `Job` |
//! | 51 | jobs of a submitter | member, account, submitted u64, id | present |
//! | 52 | running jobs | submitted u64, id | present |
//! | 60 | proposal | id | `Proposal` |
//! | 61 | proposals by time | made u64, id | present |
//! | 62 | open proposals of a member | member | `Vec<ProposalId>`, at most 16 |
//! | 63 | application brought | hash of what was signed | `ProposalId`: the proposal; kept for ever, so that none is brought twice |
//! | 70 | live transaction id | valid until u64, id | present |
//! | 71 | refusals of a signer | signer tag, member, name | `(u64, u32)`: minute of block time, refusals in it |
//!
//! A scope is 01 and a dataset, or 02 and a member. "Present" is one byte, 1.

use std::fmt;
use std::marker::PhantomData;

use galen_types::access::{Contract, Grant, Request, RequestState, Scope};
use galen_types::certificate::VoterSet;
use galen_types::dataset::{Dataset, Version};
use galen_types::job::Job;
use galen_types::member::{Account, Member, Node, OrderingNode};
use galen_types::proposal::{OpenApplication, Proposal, Scheduled};
use galen_types::recovery::Recovery;
use galen_types::{
    AccountName, DatasetName, Encoding, GrantId, Hash, JobId, MemberName, NodeName, Parameters, ProposalId, PublicKey,
    RequestId, Signer, Slug, Timestamp, TransactionId,
};

/// The value of entries that only say "it is there".
pub(crate) const PRESENT: u8 = 1;

/// A key of the state, and the type of the record under it.
pub struct Key<T> {
    bytes: Vec<u8>,
    record: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    fn new(table: u8) -> Self {
        // The longest common key: a tag, two names and a number.
        let mut bytes = Vec::with_capacity(64);
        bytes.push(table);
        Self { bytes, record: PhantomData }
    }

    fn byte(mut self, byte: u8) -> Self {
        self.bytes.push(byte);
        self
    }

    fn name(mut self, name: &Slug) -> Self {
        self.bytes.extend_from_slice(name.as_str().as_bytes());
        self.bytes.push(0);
        self
    }

    fn number(mut self, number: u32) -> Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn time(mut self, time: Timestamp) -> Self {
        self.bytes.extend_from_slice(&time.0.to_be_bytes());
        self
    }

    fn signing(mut self, key: &PublicKey) -> Self {
        let PublicKey::Ed25519(bytes) = key;
        self.bytes.push(1);
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn id(mut self, id: &Hash) -> Self {
        self.bytes.extend_from_slice(id.as_bytes());
        self
    }

    fn account(self, account: &AccountName) -> Self {
        self.name(&account.member).name(&account.account)
    }

    fn dataset(self, dataset: &DatasetName) -> Self {
        self.name(&dataset.member).name(&dataset.dataset)
    }

    fn scope(self, scope: &Scope) -> Self {
        match scope {
            Scope::Dataset(dataset) => self.byte(1).dataset(dataset),
            Scope::Member(member) => self.byte(2).name(member),
        }
    }

    /// The bytes under which the store keeps the record.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<T> fmt::Display for Key<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The start shared by the keys of a table, or of a part of it.
pub(crate) type Prefix = Key<()>;

/// The chain's parameters.
pub fn parameters() -> Key<Parameters> {
    Key::new(0x01)
}

/// The voters in force.
pub fn voter_set() -> Key<VoterSet> {
    Key::new(0x02)
}

/// How many members are active.
pub fn members_active() -> Key<u32> {
    Key::new(0x03)
}

/// The number that the next node in ordering gets.
pub fn raft_ids_next() -> Key<u64> {
    Key::new(0x04)
}

/// Nodes that have a number in ordering, and those whose number was retired last, by number.
pub fn ordering() -> Key<Vec<OrderingNode>> {
    Key::new(0x05)
}

/// The hash of the last recovery.
pub fn last_recovery() -> Key<Hash> {
    Key::new(0x06)
}

/// A recovery that the chain went on by. It stays: nodes follow the voters through it.
pub fn recovery(hash: &Hash) -> Key<Recovery> {
    Key::new(0x18).id(hash)
}

/// Changes that passed and come into force later.
pub fn schedule() -> Key<Vec<Scheduled>> {
    Key::new(0x07)
}

/// Applications that wait for the members' ballots.
pub fn applications_open() -> Key<Vec<OpenApplication>> {
    Key::new(0x08)
}

/// Whether a write under this key can change who the members, nodes and voters are, or the parameters.
pub fn is_group_key(key: &[u8]) -> bool {
    matches!(key.first(), Some(0x01 | 0x02 | 0x05 | 0x06 | 0x10 | 0x12))
}

pub(crate) fn members() -> Prefix {
    Key::new(0x10)
}

/// A member.
pub fn member(name: &MemberName) -> Key<Member> {
    Key::new(0x10).name(name)
}

pub(crate) fn accounts(member: Option<&MemberName>) -> Prefix {
    in_member(0x11, member)
}

/// An account.
pub fn account(name: &AccountName) -> Key<Account> {
    Key::new(0x11).account(name)
}

pub(crate) fn nodes(member: Option<&MemberName>) -> Prefix {
    in_member(0x12, member)
}

/// A node.
pub fn node(name: &NodeName) -> Key<Node> {
    Key::new(0x12).name(&name.member).name(&name.node)
}

/// Whose a signing key is, or was.
pub fn signing_key(key: &PublicKey) -> Key<Signer> {
    Key::new(0x13).signing(key)
}

/// The proposal that would give a signing key to somebody.
pub fn reserved_key(key: &PublicKey) -> Key<ProposalId> {
    Key::new(0x1a).signing(key)
}

/// Block time at which a node's member last changed its number or its key as a voter.
pub fn voting_changed(node: &NodeName) -> Key<Timestamp> {
    Key::new(0x19).name(&node.member).name(&node.node)
}

/// How many active accounts of a member are administrators.
pub fn administrators_active(member: &MemberName) -> Key<u32> {
    Key::new(0x14).name(member)
}

/// Block time at which a member left or was removed.
pub fn member_left(member: &MemberName) -> Key<Timestamp> {
    Key::new(0x15).name(member)
}

/// How many nodes of a member were not removed.
pub fn nodes_active(member: &MemberName) -> Key<u32> {
    Key::new(0x16).name(member)
}

/// How many active nodes of a member have the role voter.
pub fn voter_nodes(member: &MemberName) -> Key<u32> {
    Key::new(0x17).name(member)
}

pub(crate) fn datasets(member: Option<&MemberName>) -> Prefix {
    in_member(0x20, member)
}

/// A dataset.
pub fn dataset(name: &DatasetName) -> Key<Dataset> {
    Key::new(0x20).dataset(name)
}

pub(crate) fn versions(dataset: &DatasetName) -> Prefix {
    Key::new(0x21).dataset(dataset)
}

/// A version of a dataset.
pub fn version(dataset: &DatasetName, number: u32) -> Key<Version> {
    Key::new(0x21).dataset(dataset).number(number)
}

/// The other end of a run of withdrawn versions.
pub fn withdrawn_run(dataset: &DatasetName, number: u32) -> Key<u32> {
    Key::new(0x22).dataset(dataset).number(number)
}

/// The contract in force.
pub fn contract(scope: &Scope) -> Key<Contract> {
    Key::new(0x30).scope(scope)
}

/// A contract that a later one replaced.
pub fn replaced_contract(scope: &Scope, version: u32) -> Key<Contract> {
    Key::new(0x31).scope(scope).number(version)
}

/// How often an account used a rule that limits uses.
pub fn rule_uses(scope: &Scope, version: u32, index: u32, account: &AccountName) -> Key<u32> {
    Key::new(0x32).scope(scope).number(version).number(index).account(account)
}

/// A request.
pub fn request(id: RequestId) -> Key<Request> {
    Key::new(0x40).id(&id.0)
}

pub(crate) fn requests_of(applicant: &AccountName) -> Prefix {
    Key::new(0x41).account(applicant)
}

pub(crate) fn request_of(request: &Request) -> Key<u8> {
    Key::new(0x41).account(&request.applicant).time(request.filed).id(&request.id.0)
}

pub(crate) fn requests_for(dataset: &DatasetName) -> Prefix {
    Key::new(0x42).dataset(dataset)
}

pub(crate) fn request_for(request: &Request) -> Key<u8> {
    Key::new(0x42).dataset(&request.dataset).time(request.filed).id(&request.id.0)
}

pub(crate) fn requests_to(member: &MemberName, state: RequestState) -> Prefix {
    Key::new(0x43).name(member).byte(state_tag(state))
}

pub(crate) fn request_to(request: &Request, state: RequestState) -> Key<u8> {
    Key::new(0x43).name(&request.dataset.member).byte(state_tag(state)).time(request.filed).id(&request.id.0)
}

fn state_tag(state: RequestState) -> u8 {
    // The canonical encoding of a vocabulary's word is its one-byte tag.
    state.encode().first().copied().unwrap_or_default()
}

/// How many requests of an applicant are open.
pub fn requests_open(applicant: &AccountName) -> Key<u32> {
    Key::new(0x44).account(applicant)
}

/// A grant.
pub fn grant(id: GrantId) -> Key<Grant> {
    Key::new(0x48).id(&id.0)
}

pub(crate) fn grants_of(grantee: &AccountName) -> Prefix {
    Key::new(0x49).account(grantee)
}

pub(crate) fn grant_of(grant: &Grant) -> Key<u8> {
    Key::new(0x49).account(&grant.grantee).time(grant.asserted).id(&grant.id.0)
}

pub(crate) fn grants_on(dataset: &DatasetName) -> Prefix {
    Key::new(0x4a).dataset(dataset)
}

pub(crate) fn grant_on(grant: &Grant) -> Key<u8> {
    Key::new(0x4a).dataset(&grant.dataset).time(grant.asserted).id(&grant.id.0)
}

/// The grants of an account on a dataset that may be in force; their expiry is judged when they are used.
pub fn grants_active(grantee: &AccountName, dataset: &DatasetName) -> Key<Vec<GrantId>> {
    Key::new(0x4b).account(grantee).dataset(dataset)
}

/// A job.
pub fn job(id: JobId) -> Key<Job> {
    Key::new(0x50).id(&id.0)
}

pub(crate) fn jobs_of(submitter: &AccountName) -> Prefix {
    Key::new(0x51).account(submitter)
}

pub(crate) fn job_of(job: &Job) -> Key<u8> {
    Key::new(0x51).account(&job.submitter).time(job.submitted).id(&job.id.0)
}

pub(crate) fn jobs_running() -> Prefix {
    Key::new(0x52)
}

pub(crate) fn job_running(job: &Job) -> Key<u8> {
    Key::new(0x52).time(job.submitted).id(&job.id.0)
}

/// A proposal.
pub fn proposal(id: ProposalId) -> Key<Proposal> {
    Key::new(0x60).id(&id.0)
}

pub(crate) fn proposals() -> Prefix {
    Key::new(0x61)
}

pub(crate) fn proposal_made(proposal: &Proposal) -> Key<u8> {
    Key::new(0x61).time(proposal.made).id(&proposal.id.0)
}

/// The proposals of a member that may still be open.
pub fn proposals_open(member: &MemberName) -> Key<Vec<ProposalId>> {
    Key::new(0x62).name(member)
}

/// The proposal that an application was brought as.
pub fn application_brought(application: &Hash) -> Key<ProposalId> {
    Key::new(0x63).id(application)
}

pub(crate) fn live_ids() -> Prefix {
    Key::new(0x70)
}

/// Ids valid until a time or later come after it.
pub(crate) fn live_ids_from(time: Timestamp) -> Prefix {
    Key::new(0x70).time(time)
}

/// That a transaction was recorded and could still be sent again.
pub fn live_id(valid_until: Timestamp, id: TransactionId) -> Key<u8> {
    Key::new(0x70).time(valid_until).id(&id.0)
}

/// The time up to which the transaction of a live id's key could be sent again.
pub(crate) fn live_id_valid_until(key: &[u8]) -> Option<Timestamp> {
    let time: [u8; 8] = key.get(1..9)?.try_into().ok()?;
    Some(Timestamp(u64::from_be_bytes(time)))
}

/// A minute of block time, and how many calls of a signer were refused in it.
pub fn refusals(signer: &Signer) -> Key<(u64, u32)> {
    let key = Key::new(0x71);
    match signer {
        Signer::Account(account) => key.byte(1).account(account),
        Signer::Node(node) => key.byte(2).name(&node.member).name(&node.node),
    }
}

fn in_member(table: u8, member: Option<&MemberName>) -> Prefix {
    match member {
        Some(member) => Key::new(table).name(member),
        None => Key::new(table),
    }
}

/// The id at the end of an index entry's key.
pub(crate) fn last_id(key: &[u8]) -> Option<Hash> {
    let start = key.len().checked_sub(32)?;
    Some(Hash(key.get(start..)?.try_into().ok()?))
}
