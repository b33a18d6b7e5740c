//! Members that join and leave a running testnet, on the way that a real institution goes: its home is made from an
//! invitation, its application goes to a member's node over HTTP, every member's administrator votes, its node starts as
//! a process of its own and fetches genesis and chain from the others.
//!
//! [`Testnet::add`] and [`Testnet::remove`] are made of steps that can be done one by one:
//!
//! ```text
//!   prepare_member   a plan entry, keys, and a home that knows the invitation only
//!   apply            the application, at the first member's node
//!   vote             every member's ballot, until it is decided
//!   launch           the node's process
//!   joined           waits until it has its place and its chain agrees
//!   add_accounts     an owner, a researcher, an auditor
//! ```

use std::path::Path;
use std::time::Duration;

use galen_client::{Client, ClientError, Wait};
use galen_node::operate::join::JoinFile;
use galen_types::api::{ApplicationSubmission, NodeStatus, Participation};
use galen_types::application::{Application, Invitation, InvitationParseError, Offer};
use galen_types::member::{NewAccount, NewNode, NodeRole, Role};
use galen_types::proposal::{Ballot, Proposal, ProposalState, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, Call, Hash, MemberName, NodeName, ProposalId, Signer, Slug, Timestamp};
use serde::Serialize;
use tokio::time::Instant;

use crate::error::TestnetError;
use crate::network::Testnet;
use crate::plan::{Plan, PlannedNode, slug};
use crate::process::{NodeProcess, tail};

/// How long a newcomer may take from its start to its place.
const JOIN_PATIENCE: Duration = Duration::from_secs(180);
/// How long a node may take to hear of a proposal that another took.
const KNOWN_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// What was done, and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MembershipStep {
    /// A stable name.
    pub step: &'static str,
    /// What was done, for people.
    pub done: String,
    /// How long it took.
    pub seconds: f64,
}

/// Tells steps with the time since the one before.
struct Steps<'told> {
    last: Instant,
    tell: &'told mut dyn FnMut(MembershipStep),
}

impl Steps<'_> {
    fn done(&mut self, step: &'static str, done: String) {
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        (self.tell)(MembershipStep { step, done, seconds });
    }
}

impl Testnet {
    /// Adds a member with one node: applies, votes, starts the node, and waits until it has its place. Done again after
    /// an interruption it goes on where it was.
    ///
    /// # Errors
    /// [`TestnetError`] naming the step that failed.
    pub async fn add(
        &mut self,
        member: &str,
        role: NodeRole,
        program: &Path,
        on_step: &mut dyn FnMut(MembershipStep),
    ) -> Result<NodeName, TestnetError> {
        let mut steps = Steps { last: Instant::now(), tell: on_step };
        let node = self.prepare_member(member, role)?;
        let home = self.folder.home(&node).root().display().to_string();
        steps.done("prepare", format!("keys and a home for {node} in {home}"));
        let proposal = self.apply(&node).await?;
        steps.done("apply", format!("the application of {member} is proposal {proposal}"));
        let ballots = self.vote(&proposal, Ballot::Approve).await?;
        self.admitted(&node.member)?;
        steps.done("vote", format!("{ballots} administrators approved; {member} is a member"));
        self.launch(&node, program)?;
        steps.done("launch", format!("`galen node run --home {home}`"));
        let status = self.joined(&node).await?;
        let height = status.chain.height;
        steps.done("join", format!("{node} is {} at height {height}, and its chain agrees", place(&status)));
        let accounts = self.add_accounts(&node).await?;
        steps.done("accounts", format!("{accounts} accounts added by admin@{member}"));
        Ok(node)
    }

    /// Plans a node of a member, writes its keys and a home that knows the invitation only. Done again it changes
    /// nothing.
    ///
    /// # Errors
    /// [`TestnetError`] when the name is taken or something cannot be written.
    pub fn prepare_member(&mut self, member: &str, role: NodeRole) -> Result<NodeName, TestnetError> {
        let member: MemberName = slug(member)?;
        if role == NodeRole::Aggregator {
            return Err(TestnetError::Plan("a newcomer's node is a voter or an observer".to_owned()));
        }
        if self.plan.present_members().any(|present| present == &member) {
            return Err(TestnetError::Plan(format!("{member} is a member of this testnet already")));
        }
        if self.plan.left.contains(&member) {
            return Err(TestnetError::Plan(format!("{member} was a member of this testnet and left for good")));
        }
        let name = NodeName { node: slug("node-1")?, member };
        if !self.plan.nodes.iter().any(|node| node.name == name) {
            self.plan.plan_node(name.clone(), role)?;
            self.folder.write_plan(&self.plan)?;
        }
        let invitation = self.invitation()?;
        self.folder.write_newcomer(&self.plan, self.node(&name.to_string())?, &invitation)?;
        Ok(name)
    }

    /// Hands a prepared member's application to the first running member's node. Done again it gives the application
    /// that was made.
    ///
    /// # Errors
    /// [`TestnetError`] when the node refuses it.
    pub async fn apply(&self, node: &NodeName) -> Result<ProposalId, TestnetError> {
        let join = match self.folder.join_of(node)? {
            Some(join) => join,
            None => JoinFile::new(&self.invitation()?, node.clone()),
        };
        if let Some(application) = join.application {
            return Ok(application);
        }
        let sponsor = self.sponsor()?;
        let submission = match join.submission.clone() {
            Some(submission) => submission,
            None => Box::new(self.submission(node, sponsor).await?),
        };
        // Noted before it is sent: who is interrupted sends the same again, and gets the same answer.
        let join = JoinFile { submission: Some(submission.clone()), ..join };
        self.folder.write_join_of(node, &join)?;
        let received = self.client(sponsor)?.send_application(&submission).await?;
        self.folder.write_join_of(node, &join.received(received.proposal))?;
        Ok(received.proposal)
    }

    /// A newcomer's application, with an invitation of the member whose node takes it.
    async fn submission(&self, node: &NodeName, sponsor: &PlannedNode) -> Result<ApplicationSubmission, TestnetError> {
        let invitation = self.administrator_at(sponsor)?.invitation().await?.invitation;
        let invitation: Invitation = invitation.parse().map_err(|error: InvitationParseError| {
            TestnetError::Membership { step: "apply", problem: error.to_string() }
        })?;
        let planned = self.node(&node.to_string())?;
        let member = node.member.clone();
        let administrator = AccountName { account: slug("admin")?, member: member.clone() };
        let account_keys = self.plan.keys_of(&Signer::Account(administrator.clone()));
        let node_keys = self.plan.keys_of(&Signer::Node(node.clone()));
        let contacts = format!("operators of the testnet, about {member}");
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|error| TestnetError::Random(error.to_string()))?;
        let application = Application {
            genesis: self.genesis_hash(),
            member,
            administrator: NewAccount {
                account: administrator.account,
                key: account_keys.public_key(),
                encryption_key: account_keys.encryption_key(),
                roles: vec![Role::Admin],
            },
            node: NewNode {
                node: node.node.clone(),
                key: node_keys.public_key(),
                role: planned.role,
                address: planned.address()?,
            },
            offers: vec![Offer::Datasets, Offer::Compute],
            contacts: Hash::commitment(&salt, contacts.as_bytes()),
            made: Timestamp::now(),
        };
        let application = application.sign(&account_keys.signing, &node_keys.signing);
        Ok(ApplicationSubmission { application, contacts, salt, invitation: invitation.token })
    }

    /// Casts every member's ballot on a proposal until it is decided; how many were cast.
    ///
    /// # Errors
    /// [`TestnetError`] when a ballot is refused, or the members decide otherwise.
    pub async fn vote(&self, proposal: &ProposalId, ballot: Ballot) -> Result<usize, TestnetError> {
        let mut cast = 0;
        let mut state = ProposalState::Open;
        let members: Vec<Slug> = self.plan.present_members().cloned().collect();
        for member in members {
            let administrator = self.administrator(&member)?;
            let found = known_to(&administrator, proposal).await?;
            state = found.state;
            if state != ProposalState::Open {
                break;
            }
            if found.ballots.iter().any(|ballot| ballot.member == member) {
                continue;
            }
            let vote = Call::Vote { proposal: *proposal, ballot, reason: None };
            match administrator.apply(vote, Wait::Committed).await {
                Ok(_) => cast += 1,
                // Its member was suspended meanwhile, or it is the member concerned: the others decide.
                Err(ClientError::Denied { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            // Asked where the ballot was applied: other nodes may be behind.
            state = administrator.proposal(proposal).await?.state;
            if state != ProposalState::Open {
                break;
            }
        }
        let wanted = match ballot {
            Ballot::Approve => matches!(state, ProposalState::Passed | ProposalState::Scheduled),
            Ballot::Reject => state == ProposalState::Failed,
        };
        if wanted {
            Ok(cast)
        } else {
            Err(TestnetError::Membership { step: "vote", problem: format!("proposal {proposal} is {state}") })
        }
    }

    /// Counts a member that was admitted as one of the testnet.
    ///
    /// # Errors
    /// [`TestnetError`] when the plan cannot be written.
    pub fn admitted(&mut self, member: &MemberName) -> Result<(), TestnetError> {
        if !self.plan.joined.contains(member) {
            self.plan.joined.push(member.clone());
            self.folder.write_plan(&self.plan)?;
        }
        Ok(())
    }

    /// Starts a node's process where it does not run; waits for nothing.
    ///
    /// # Errors
    /// [`TestnetError`] when it cannot be started.
    pub fn launch(&self, node: &NodeName, program: &Path) -> Result<NodeProcess, TestnetError> {
        match NodeProcess::find(&self.folder, node) {
            Some(process) => Ok(process),
            None => match self.node(&node.to_string()) {
                Ok(planned) => self.spawn(planned, program),
                // Whoever applied by the commands has its home in the folder and no place in the plan. Nobody joins an
                // isolated testnet.
                Err(_) if self.isolation().is_none() => NodeProcess::start(&self.folder, node, program),
                Err(error) => Err(error),
            },
        }
    }

    /// Waits until a node has the place that it was planned for, can be used, and has the chain that the others have.
    ///
    /// # Errors
    /// [`TestnetError`] when its process ends, or it takes too long.
    pub async fn joined(&self, node: &NodeName) -> Result<NodeStatus, TestnetError> {
        let planned = self.node(&node.to_string())?;
        let (own, log) = (self.client(planned)?, self.folder.log(node));
        let deadline = Instant::now() + JOIN_PATIENCE;
        loop {
            let state = match self.place_of(planned, &own).await {
                Ok(status) => return Ok(status),
                Err(state) => state,
            };
            if NodeProcess::find(&self.folder, node).is_none() {
                return Err(TestnetError::Ended { node: node.clone(), tail: tail(&log, 12), log });
            }
            if Instant::now() >= deadline {
                let (node, seconds) = (node.clone(), JOIN_PATIENCE.as_secs());
                return Err(TestnetError::NotReady { node, seconds, state, log });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How a node's chain is once it has its place; until then what is missing.
    async fn place_of(&self, planned: &PlannedNode, own: &Client) -> Result<NodeStatus, String> {
        let told = |error: ClientError| error.to_string();
        let status = own.node_status().await.map_err(told)?;
        let (chain, participation) = (&status.chain, status.ordering.participation);
        let wanted = match planned.role {
            NodeRole::Voter => Participation::Voting,
            NodeRole::Observer | NodeRole::Aggregator => Participation::Following,
        };
        if participation != wanted {
            return Err(format!("it is {participation} at height {}", chain.height));
        }
        own.ready().await.map_err(told)?;
        let others = self.sponsor_beside(&planned.name).map_err(|error| error.to_string())?;
        let theirs = self.client(others).map_err(|error| error.to_string())?.chain().await.map_err(told)?;
        let is_voter = theirs.voters.contains(&planned.name);
        if is_voter != (planned.role == NodeRole::Voter) {
            return Err(format!("{} does not see it in its place yet, at height {}", theirs.node, theirs.height));
        }
        // The same header at the same height: both tips when nothing happens, else a block that both have.
        let height = chain.height.min(theirs.height);
        let of = async |node: &PlannedNode| {
            let administrator = self.administrator_at(node).map_err(|error| error.to_string())?;
            administrator.block(height).await.map(|block| block.hash).map_err(told)
        };
        if height > 0 && of(planned).await? != of(others).await? {
            return Err(format!("its header at height {height} differs from that of {}", others.name));
        }
        Ok(status)
    }

    /// Gives a new member the accounts that every member of a testnet has; how many were added. Done again it adds those
    /// that are missing.
    ///
    /// # Errors
    /// [`TestnetError`] when one is refused.
    pub async fn add_accounts(&self, node: &NodeName) -> Result<usize, TestnetError> {
        let administrator = self.administrator(&node.member)?;
        let mut added = 0;
        for (account, role) in Plan::accounts_of(&node.member)? {
            if role == Role::Admin {
                continue;
            }
            let keys = self.plan.keys_of(&Signer::Account(account.clone()));
            let new = NewAccount {
                account: account.account,
                key: keys.public_key(),
                encryption_key: keys.encryption_key(),
                roles: vec![role],
            };
            match administrator.apply(Call::AddAccount(new), Wait::Committed).await {
                Ok(_) => added += 1,
                Err(error) if error.code() == "account-exists" => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(added)
    }

    /// Removes a member by the others' vote and stops its nodes once the chain has cut them off. Their homes stay.
    ///
    /// # Errors
    /// [`TestnetError`] naming the step that failed.
    pub async fn remove(
        &mut self,
        member: &str,
        on_step: &mut dyn FnMut(MembershipStep),
    ) -> Result<Vec<NodeName>, TestnetError> {
        let mut steps = Steps { last: Instant::now(), tell: on_step };
        let member: MemberName = slug(member)?;
        let proposal = self.propose_removal(&member).await?;
        steps.done("propose", format!("the removal of {member} is proposal {proposal}"));
        let ballots = self.vote(&proposal, Ballot::Approve).await?;
        steps.done("vote", format!("{ballots} administrators approved; {member} is no member any more"));
        let nodes = self.cut_off(&member).await?;
        let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        steps.done("cut-off", format!("the others certify without {}", names.join(", ")));
        self.forget(&member)?;
        steps.done("stop", "its nodes are stopped; their homes stay".to_owned());
        Ok(nodes)
    }

    /// Proposes the removal of a member, by another member's administrator.
    ///
    /// # Errors
    /// [`TestnetError`] when it is no member, the last one, or the proposal is refused.
    pub async fn propose_removal(&self, member: &MemberName) -> Result<ProposalId, TestnetError> {
        if !self.plan.present_members().any(|present| present == member) {
            return Err(TestnetError::Plan(format!("{member} is no member of this testnet")));
        }
        let proposer = self.plan.present_members().find(|present| *present != member);
        let proposer = proposer.ok_or_else(|| TestnetError::Plan("the last member cannot be removed".to_owned()))?;
        let change = ProposedChange::RemoveMember { member: member.clone(), reason: ReasonCode::Administrative };
        let status = self.administrator(proposer)?.apply(Call::Propose(change), Wait::Committed).await?;
        Ok(ProposalId(status.id.0))
    }

    /// Waits until no node of a member stands in the voter set of the others, and they certify without it.
    ///
    /// # Errors
    /// [`TestnetError::Membership`] when it takes too long.
    pub async fn cut_off(&self, member: &MemberName) -> Result<Vec<NodeName>, TestnetError> {
        let nodes: Vec<NodeName> =
            self.plan.present().filter(|node| &node.name.member == member).map(|node| node.name.clone()).collect();
        let asked = self.plan.present().find(|node| &node.name.member != member);
        let asked = asked.ok_or_else(|| TestnetError::Plan("no other member has a node".to_owned()))?;
        let client = self.client(asked)?;
        let deadline = Instant::now() + JOIN_PATIENCE;
        loop {
            let chain = client.chain().await?;
            let votes = chain.voters.iter().any(|voter| &voter.member == member);
            if !votes && chain.certified_height == chain.height {
                return Ok(nodes);
            }
            if Instant::now() >= deadline {
                let problem = format!(
                    "height {}, certified up to {}, voters {:?}",
                    chain.height, chain.certified_height, chain.voters
                );
                return Err(TestnetError::Membership { step: "cut-off", problem });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops a member's nodes and counts it as one that left.
    ///
    /// # Errors
    /// [`TestnetError`] when the plan cannot be written.
    pub fn forget(&mut self, member: &MemberName) -> Result<(), TestnetError> {
        for node in self.plan.nodes.iter_mut().filter(|node| &node.name.member == member) {
            if let Some(process) = NodeProcess::find(&self.folder, &node.name) {
                process.stop();
            }
            node.left = true;
        }
        if !self.plan.left.contains(member) {
            self.plan.left.push(member.clone());
        }
        self.folder.write_plan(&self.plan)
    }

    /// Counts a single node as one that left, and stops it; its member stays.
    ///
    /// # Errors
    /// [`TestnetError`] when there is no such node, or the plan cannot be written.
    pub fn retire(&mut self, node: &NodeName) -> Result<(), TestnetError> {
        self.stop(&node.to_string())?;
        for planned in self.plan.nodes.iter_mut().filter(|planned| &planned.name == node) {
            planned.left = true;
        }
        self.folder.write_plan(&self.plan)
    }

    /// What is handed to a newcomer: the address of the first running voter, and the genesis hash.
    ///
    /// # Errors
    /// [`TestnetError`] when no node runs.
    pub fn invitation(&self) -> Result<Invitation, TestnetError> {
        let url = crate::network::entry_of(self.sponsor()?).url;
        Ok(Invitation { url, genesis: self.genesis_hash(), lineage: Hash::ZERO, token: None })
    }

    /// The first node that runs and belongs to a member.
    fn sponsor(&self) -> Result<&PlannedNode, TestnetError> {
        self.running(|_| true)
    }

    /// The first node of another name that runs and belongs to a member.
    fn sponsor_beside(&self, node: &NodeName) -> Result<&PlannedNode, TestnetError> {
        self.running(|other| &other.name != node)
    }

    fn running(&self, fits: impl Fn(&PlannedNode) -> bool) -> Result<&PlannedNode, TestnetError> {
        let runs = |node: &&PlannedNode| fits(node) && NodeProcess::find(&self.folder, &node.name).is_some();
        let found = self.plan.present().find(runs);
        found.ok_or_else(|| TestnetError::Plan("no node runs; start them with `galen testnet up`".to_owned()))
    }

    /// A client of a member's administrator: at the member's own node where it runs, else at another's.
    ///
    /// # Errors
    /// [`TestnetError`] when no node runs.
    pub fn administrator(&self, member: &MemberName) -> Result<Client, TestnetError> {
        let own = self.running(|node| &node.name.member == member);
        self.client_at(
            own.or_else(|_| self.sponsor())?,
            &AccountName { account: slug("admin")?, member: member.clone() },
        )
    }

    /// A client of the administrator of a node's own member at that node.
    fn administrator_at(&self, node: &PlannedNode) -> Result<Client, TestnetError> {
        self.client_at(node, &AccountName { account: slug("admin")?, member: node.name.member.clone() })
    }
}

/// A proposal as a node has it, once it does: it may be behind the one that took it.
async fn known_to(client: &Client, proposal: &ProposalId) -> Result<Proposal, ClientError> {
    let deadline = Instant::now() + KNOWN_PATIENCE;
    loop {
        match client.proposal(proposal).await {
            Err(error) if error.code() == "not-found" && Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            answer => return answer,
        }
    }
}

fn place(status: &NodeStatus) -> String {
    match status.ordering.participation {
        Participation::Voting => {
            format!("one of {} voters (number {} in ordering)", status.chain.voters.len(), status.ordering.raft_id)
        }
        other => other.to_string(),
    }
}
