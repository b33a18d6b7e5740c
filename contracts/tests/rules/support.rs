//! A consortium in memory: four hospitals, an aggregator, and a state in a map.

use std::collections::BTreeMap;

use galen_contracts::{
    BlockContext, Recorded, StateError, StateRead, Verdict, begin_block, execute, genesis_writes, query,
};
use galen_types::access::{AccessTerms, Effect, GrantLimits, Rule};
use galen_types::application::{Application, Offer, SignedApplication};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::job::JobSpecification;
use galen_types::member::{EncryptionKey, NewAccount, NewNode, Node, NodeAddress, NodeRole, Role, Standing};
use galen_types::proposal::{Ballot, ProposalState, ProposedChange};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, Statistic};
use galen_types::{
    Call, DecodedTransaction, Encoding, Event, Genesis, Hash, Outcome, Parameters, ProposalId, PublicKey, SecretKey,
    Signature, Signer, Slug, Timestamp, TransactionBody, TransactionId,
};

/// A state in a map.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct MemoryState(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryState {
    pub(crate) fn apply(&mut self, writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl StateRead for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        start_after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        Ok(self
            .0
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| start_after.is_none_or(|start| key.as_slice() > start))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

pub(crate) const FOUNDED: Timestamp = Timestamp(1_790_000_000_000);
pub(crate) const MEMBERS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];

/// A chain whose every call is a block of its own, one second after the last.
#[derive(Clone)]
pub(crate) struct Consortium {
    pub(crate) state: MemoryState,
    pub(crate) block: BlockContext,
    /// What came into force at the starts of blocks.
    pub(crate) begun: Vec<Event>,
    salt: u64,
}

/// Reads a name of any kind.
pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

pub(crate) fn public_key(seed: &str) -> PublicKey {
    secret_key(seed).public_key()
}

pub(crate) fn secret_key(seed: &str) -> SecretKey {
    SecretKey::from_seed(&Hash::of(Context::Commitment, seed.as_bytes()).0)
}

pub(crate) fn encryption_key(seed: &str) -> EncryptionKey {
    EncryptionKey(Hash::of(Context::Commitment, format!("encryption {seed}").as_bytes()).0)
}

pub(crate) fn new_account(account: &str, member: &str, roles: &[Role]) -> NewAccount {
    let seed = format!("{account}@{member}");
    NewAccount {
        account: name(account),
        key: public_key(&seed),
        encryption_key: encryption_key(&seed),
        roles: roles.to_vec(),
    }
}

/// Every member has `admin`, `owner` and `researcher`, and a voter `node-1`; harlem has the aggregator too.
pub(crate) fn genesis(parameters: Parameters) -> Genesis {
    let node = |node: &str, member: &str, role| FoundingNode {
        node: name(node),
        key: public_key(&format!("{node}.{member}")),
        role,
        address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7101").unwrap(),
    };
    let founder = |member: &str| Founder {
        name: name(member),
        accounts: vec![
            new_account("admin", member, &[Role::Admin]),
            new_account("owner", member, &[Role::Owner]),
            new_account("researcher", member, &[Role::Researcher]),
            new_account("auditor", member, &[Role::Auditor]),
        ],
        nodes: vec![node("node-1", member, NodeRole::Voter)],
    };
    let mut members: Vec<_> = MEMBERS.into_iter().map(founder).collect();
    members[0].nodes.push(node("aggregator", "harlem", NodeRole::Aggregator));
    let genesis =
        Genesis { chain: name("opt"), founded: FOUNDED, rules_version: 1, state_bucket_bits: 8, parameters, members };
    genesis.check().unwrap();
    genesis
}

impl Consortium {
    pub(crate) fn new() -> Self {
        Self::with(Parameters::default())
    }

    pub(crate) fn with(parameters: Parameters) -> Self {
        let genesis = genesis(parameters);
        let mut state = MemoryState::default();
        state.0.extend(genesis_writes(&genesis));
        let block = BlockContext {
            genesis: genesis.hash(),
            height: 0,
            time: FOUNDED,
            rules_version: 1,
            epoch: 0,
            recovery: false,
        };
        Self { state, block, begun: Vec::new(), salt: 0 }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.block.time
    }

    /// Lets block time pass.
    pub(crate) fn wait_ms(&mut self, milliseconds: u64) {
        self.block.time = self.block.time.plus_ms(milliseconds);
    }

    /// Begins the next block.
    pub(crate) fn next_block(&mut self) {
        self.block.height += 1;
        self.wait_ms(1_000);
        self.block.epoch = query::get_voter_set(&self.state).unwrap().epoch;
        let begun = begin_block(&self.state, &self.block).unwrap();
        self.state.apply(begun.writes);
        self.begun.extend(begun.events);
    }

    /// The next transaction of a signer; the next block is its block.
    pub(crate) fn transaction(&mut self, signer: &str, call: Call) -> DecodedTransaction {
        self.next_block();
        self.salt += 1;
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.salt.to_le_bytes());
        let body = TransactionBody {
            chain: self.block.genesis,
            signer: name::<Signer>(signer),
            salt,
            valid_until: self.block.time.plus_ms(60_000),
            call,
        };
        decoded(body)
    }

    /// Executes in the next block and applies what is written.
    pub(crate) fn call(&mut self, signer: &str, call: Call) -> (TransactionId, Verdict) {
        let transaction = self.transaction(signer, call);
        (transaction.id, self.run(&transaction))
    }

    pub(crate) fn run(&mut self, transaction: &DecodedTransaction) -> Verdict {
        let verdict = execute(&self.state, &self.block, transaction).unwrap();
        if let Verdict::Recorded(recorded) = &verdict {
            self.state.apply(recorded.writes.clone());
        }
        verdict
    }

    /// A call that must be recorded.
    pub(crate) fn recorded(&mut self, signer: &str, call: Call) -> (Hash, Recorded) {
        let (id, verdict) = self.call(signer, call);
        match verdict {
            Verdict::Recorded(recorded) => (id.0, recorded),
            Verdict::Void(reason) => panic!("void: {reason}"),
        }
    }

    /// A call that must be done; gives the transaction's id.
    #[track_caller]
    pub(crate) fn done(&mut self, signer: &str, call: Call) -> Hash {
        let (id, recorded) = self.recorded(signer, call);
        assert_eq!(recorded.outcome, Outcome::Applied);
        assert!(!recorded.events.is_empty(), "every call leaves an event");
        id
    }

    /// A call that must be refused by a rule; gives the explanation.
    #[track_caller]
    pub(crate) fn refused(&mut self, code: &str, signer: &str, call: Call) -> String {
        let transaction = self.transaction(signer, call);
        self.refused_transaction(code, &transaction)
    }

    #[track_caller]
    pub(crate) fn refused_transaction(&mut self, code: &str, transaction: &DecodedTransaction) -> String {
        let recorded = match self.run(transaction) {
            Verdict::Recorded(recorded) => recorded,
            Verdict::Void(reason) => panic!("`{code}` was expected, but the call is void: {reason}"),
        };
        assert!(!recorded.events.is_empty(), "a refused call leaves an event");
        assert_eq!(recorded.writes.len(), 2, "a refused call writes its live id and its signer's quota");
        match recorded.outcome {
            Outcome::Refused { rule, explanation } => {
                assert_eq!(rule.as_str(), code, "{explanation}");
                assert!(recorded.events.iter().all(|event| event.rule.is_some()));
                explanation
            }
            Outcome::Applied => panic!("`{code}` was expected, but the call was done"),
        }
    }

    // --- members, nodes and voters

    /// Proposes a change in hennepin's name (kentucky's, while that is suspended) and lets it pass by the ballots of the
    /// first that can vote.
    pub(crate) fn pass(&mut self, change: ProposedChange) -> ProposalId {
        let hennepin = query::get_member(&self.state, &name("hennepin")).unwrap().unwrap();
        let proposer = if hennepin.standing == Standing::Active { "admin@hennepin" } else { "admin@kentucky" };
        let proposal = ProposalId(self.done(proposer, Call::Propose(change)));
        self.decide(proposal, Ballot::Approve);
        proposal
    }

    /// A change of parameters that goes by those in force.
    pub(crate) fn set_parameters(&self, parameters: Parameters, effective_height: u64) -> ProposedChange {
        let based_on = query::get_parameters(&self.state).unwrap().hash();
        ProposedChange::SetParameters { parameters, based_on, effective_height }
    }

    /// Lets active members vote until a proposal is decided.
    pub(crate) fn decide(&mut self, proposal: ProposalId, ballot: Ballot) {
        for member in query::list_members(&self.state, None, 100).unwrap() {
            let state = query::get_proposal(&self.state, proposal).unwrap().unwrap().state;
            if state == ProposalState::Open && member.standing == Standing::Active {
                self.done(&format!("admin@{}", member.name), Call::Vote { proposal, ballot, reason: None });
            }
        }
    }

    /// An application whose keys are made of the names.
    pub(crate) fn application(&self, member: &str, role: NodeRole) -> Application {
        Application {
            genesis: self.block.genesis,
            member: name(member),
            administrator: new_account("admin", member, &[Role::Admin, Role::Owner]),
            node: new_node("node-1", member, role),
            offers: vec![Offer::Datasets, Offer::Voting],
            contacts: Hash::ZERO,
            made: self.now(),
        }
    }

    /// Brings an application before the members; gives the proposal.
    pub(crate) fn apply(&mut self, member: &str, role: NodeRole) -> ProposalId {
        let application = sign(self.application(member, role));
        ProposalId(self.done("node-1.harlem", Call::Apply { application: Box::new(application) }))
    }

    /// Lets an institution apply with a voter, and admits it.
    pub(crate) fn admit(&mut self, member: &str) {
        let proposal = self.apply(member, NodeRole::Voter);
        self.decide(proposal, Ballot::Approve);
    }

    /// A node gets a fresh number in ordering, and joins the voters.
    pub(crate) fn join_voters(&mut self, node: &str) {
        let replaces = self.node(node).raft_id;
        self.done(node, Call::StartOrdering { replaces });
        let raft_id = self.node(node).raft_id;
        self.done(node, Call::JoinVoters { raft_id });
    }

    pub(crate) fn node(&self, node: &str) -> Node {
        query::get_node(&self.state, &name(node)).unwrap().unwrap()
    }

    /// The names of the voters that certify the next height.
    pub(crate) fn voters(&self) -> Vec<String> {
        let set = query::get_voter_set(&self.state).unwrap();
        set.voters.iter().map(|voter| voter.node.to_string()).collect()
    }

    pub(crate) fn epoch(&self) -> u64 {
        query::get_voter_set(&self.state).unwrap().epoch
    }

    pub(crate) fn proposal_state(&self, proposal: ProposalId) -> ProposalState {
        query::get_proposal(&self.state, proposal).unwrap().unwrap().state
    }

    // --- calls that many tests make

    pub(crate) fn publish(&mut self, dataset: &str) -> Hash {
        let (member, dataset) = dataset.split_once('/').unwrap();
        self.done(
            &format!("owner@{member}"),
            Call::PublishDataset { dataset: name(dataset), content: content(dataset), discoverable: true },
        )
    }

    /// Publishes `opt` at every member.
    pub(crate) fn publish_everywhere(&mut self) {
        for member in MEMBERS {
            self.publish(&format!("{member}/opt"));
        }
    }

    pub(crate) fn request(&mut self, researcher: &str, dataset: &str, terms: AccessTerms) -> Hash {
        self.done(researcher, Call::RequestAccess { dataset: name(dataset), terms, draft: false })
    }

    /// Requests, and the owner approves; gives the grant's id.
    pub(crate) fn grant(&mut self, researcher: &str, dataset: &str, terms: AccessTerms, limits: GrantLimits) -> Hash {
        let request = self.request(researcher, dataset, terms);
        let (member, _) = dataset.split_once('/').unwrap();
        self.done(&format!("owner@{member}"), approve(request, limits))
    }

    pub(crate) fn grant_compute_everywhere(&mut self, researcher: &str) -> Vec<Hash> {
        MEMBERS
            .into_iter()
            .map(|member| {
                self.grant(researcher, &format!("{member}/opt"), terms(Action::Compute), GrantLimits::default())
            })
            .collect()
    }

    pub(crate) fn set_contract(&mut self, dataset: &str, previous: u32, rules: Vec<Rule>) -> Hash {
        let (member, _) = dataset.split_once('/').unwrap();
        self.done(&format!("owner@{member}"), set_contract(dataset, previous, rules))
    }
}

/// Signs an application with the keys of its names.
pub(crate) fn sign(application: Application) -> SignedApplication {
    let (account, node) = (&application.administrator.account, &application.node.node);
    let administrator = secret_key(&format!("{account}@{}", application.member));
    let node = secret_key(&format!("{node}.{}", application.member));
    application.sign(&administrator, &node)
}

/// A node whose key is made of its name.
pub(crate) fn new_node(node: &str, member: &str, role: NodeRole) -> NewNode {
    NewNode {
        node: name(node),
        key: public_key(&format!("{node}.{member}")),
        role,
        address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7101").unwrap(),
    }
}

pub(crate) fn decoded(body: TransactionBody) -> DecodedTransaction {
    let bytes = body.encode();
    DecodedTransaction {
        id: TransactionId(Hash::of(Context::TransactionId, &bytes)),
        body,
        // Signatures are the caller's to check.
        signature: Signature::Ed25519([0; 64]),
        bytes,
    }
}

pub(crate) fn content(seed: &str) -> VersionContent {
    let hash = |part: &str| Hash::of(Context::Commitment, format!("{seed} {part}").as_bytes());
    let column = |text: &str, kind| Column { name: name(text), kind };
    VersionContent {
        commitment: hash("commitment"),
        ciphertext: hash("ciphertext"),
        ciphertext_sha256: hash("sha256"),
        ciphertext_bytes: 1_040,
        plaintext_bytes: 1_000,
        format: FileFormat::Csv,
        rows: 200,
        columns: vec![
            column("Group", ColumnKind::Text),
            column("Age", ColumnKind::Number),
            column("Birthweight", ColumnKind::Number),
        ],
        data_use: vec![DataUse { term: DataUseTerm::HealthMedicalBiomedical, parameter: None }],
        card: None,
    }
}

pub(crate) fn terms(action: Action) -> AccessTerms {
    AccessTerms {
        action,
        purpose: Purpose::HealthcareResearch,
        columns: Vec::new(),
        statistics: Vec::new(),
        data_use: Vec::new(),
    }
}

pub(crate) fn rule(text: &str, effect: Effect) -> Rule {
    Rule {
        name: name(text),
        effect,
        members: Vec::new(),
        accounts: Vec::new(),
        roles: Vec::new(),
        actions: Vec::new(),
        purposes: Vec::new(),
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: None,
    }
}

pub(crate) fn approve(request: Hash, limits: GrantLimits) -> Call {
    Call::ApproveRequest { request: galen_types::RequestId(request), limits }
}

pub(crate) fn set_contract(dataset: &str, previous: u32, rules: Vec<Rule>) -> Call {
    Call::SetContract { scope: galen_types::access::Scope::Dataset(name(dataset)), previous, rules }
}

/// Mean and variance of age and birth weight by group over all hospitals.
pub(crate) fn specification() -> JobSpecification {
    JobSpecification {
        datasets: MEMBERS.into_iter().map(|member| name(&format!("{member}/opt"))).collect(),
        statistics: vec![Statistic::Count, Statistic::Mean, Statistic::Variance],
        columns: vec![name("Birthweight"), name("Age")],
        by: Some(name("Group")),
        filter_columns: Vec::new(),
        filter: None,
        purpose: Purpose::HealthcareResearch,
        data_use: Vec::new(),
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    name(text)
}
