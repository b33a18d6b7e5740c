//! Members and nodes that come and go while everything else goes wrong too.

use galen_chain::LedgerState;
use galen_contracts::query;
use galen_types::member::{Node as Record, NodeRole, Standing};
use galen_types::proposal::{Ballot, ProposalState, ProposedChange};
use galen_types::{Call, MemberName, ProposalId, TransactionId};

use crate::cluster::Cluster;
use crate::consortium::{MEMBERS, key, name};

/// What was done so far.
#[derive(Default)]
pub(crate) struct Churn {
    /// Proposals that are voted on, and since when.
    proposals: Vec<(ProposalId, u64)>,
    rotations: u64,
    pub(crate) done: std::collections::BTreeMap<&'static str, u64>,
    /// Calls that take voters away and may still be recorded: the transaction, whether it is a proposal, and since when.
    shrinking: Option<(ProposalId, bool, u64)>,
}

/// Milliseconds for which a call of an administrator or a node may be recorded.
const CALL_VALID_MS: u64 = 4_000;
/// Steps for which a proposal is voted on.
const VOTED_STEPS: u64 = 60;
/// Steps after which a call that takes voters away can take effect no more, whatever was late.
const SHRINKING_STEPS: u64 = 220;

impl Cluster {
    /// The running node that has most of the chain.
    pub(crate) fn informed(&self) -> Option<usize> {
        let running = self.participants().filter(|node| node.is_running());
        running.max_by_key(|node| node.executor().tip().height).map(|node| node.place)
    }

    fn state_of<T>(&self, place: usize, read: impl FnOnce(&LedgerState<'_>) -> T) -> T {
        read(&LedgerState(self.nodes[place].executor().ledger().view().unwrap()))
    }

    fn is_active(&self, place: usize, member: &str) -> bool {
        let member: MemberName = name(member);
        let found = self.state_of(place, |state| query::get_member(state, &member)).unwrap();
        found.is_some_and(|member| member.standing == Standing::Active)
    }

    /// A member whose signatures count, as far as the best informed node knows.
    pub(crate) fn active_member(&self) -> &'static str {
        let Some(informed) = self.informed() else { return MEMBERS[0] };
        MEMBERS[..self.world.voters].iter().find(|member| self.is_active(informed, member)).unwrap_or(&MEMBERS[0])
    }

    /// Signs a call and gives it to a node.
    pub(crate) fn call(
        &mut self,
        secret: &galen_types::SecretKey,
        signer: &str,
        place: usize,
        call: Call,
    ) -> ProposalId {
        let valid_until = self.now().plus_ms(CALL_VALID_MS);
        let transaction = self.clients.sign_with(secret, signer, valid_until, call);
        self.submitted.insert(transaction.id, transaction.bytes.clone());
        self.give(place, transaction.id);
        ProposalId(transaction.id.0)
    }

    fn administrator(&mut self, member: &str, call: Call) -> ProposalId {
        let signer = format!("admin@{member}");
        let place = self.random.below(self.nodes.len());
        self.call(&key(&signer), &signer, place, call)
    }

    fn propose(&mut self, change: ProposedChange) -> ProposalId {
        let member = self.active_member();
        let id = self.administrator(member, Call::Propose(change));
        self.churn.proposals.push((id, self.step));
        id
    }

    /// What nodes ask for by themselves, votes, and now and then a change.
    pub(crate) fn churn(&mut self) {
        for place in 0..self.nodes.len() {
            if (self.step + place as u64).is_multiple_of(15)
                && self.acts(place)
                && let Some(call) = self.nodes[place].wish()
            {
                self.nodes[place].note_asked(&call);
                let record = self.nodes[place].record();
                let secret = self.nodes[place].secret(&record);
                let signer = self.nodes[place].name.to_string();
                self.story.push(format!("step {}: {signer} asks {call:?}", self.step));
                self.call(&secret, &signer, place, call);
            }
        }
        if self.step.is_multiple_of(10) {
            let step = self.step;
            self.churn.proposals.retain(|(_, since)| step < since + VOTED_STEPS);
            for (proposal, _) in self.churn.proposals.clone() {
                let member = self.active_member();
                self.administrator(member, Call::Vote { proposal, ballot: Ballot::Approve, reason: None });
            }
        }
        if self.random.chance(self.world.churn) {
            self.change_something();
        }
    }

    /// Whether a voter may be taken away or lose its disk without the rest being too few: nothing of the kind is under way,
    /// and no block waits for the signature of a voter that is to go. A node's operator is told the same by its HTTP API
    /// (`quorum-would-be-lost`); what follows when two of three voters go at once is the matter of recoveries.
    pub(crate) fn may_shrink(&self, informed: usize) -> bool {
        let Some(leader) = self.leader() else { return false };
        let orderer = self.nodes[leader].orderer().unwrap();
        let progress = orderer.membership_progress();
        let executor = self.nodes[informed].executor();
        let ledger = executor.ledger();
        let header = ledger.view().unwrap().header(ledger.certified_height()).unwrap();
        let handed_over = header.map_or(0, |header| galen_ledger::next_epoch(&header)) == executor.voters().epoch;
        let decided = self.churn.shrinking.is_none_or(|(id, proposal, since)| {
            let recorded = ledger.view().unwrap().location(&TransactionId(id.0)).unwrap().is_some();
            let closed = !proposal
                || self
                    .state_of(informed, |state| query::get_proposal(state, id))
                    .unwrap()
                    .is_some_and(|found| !matches!(found.state, ProposalState::Open | ProposalState::Scheduled));
            self.step > since + SHRINKING_STEPS || (recorded && closed)
        });
        let asks = |node: &crate::node::Node| node.is_running() && node.wish().is_some();
        let repairing = self.nodes.iter().any(crate::node::Node::is_repairing);
        let whole = self.is_undamaged() && !repairing && !self.nodes.iter().any(asks);
        // The leader may not have taken up yet what the last certified block says.
        let taken_up = orderer.status().membership.voters.len() == executor.voters().voters.len();
        handed_over && decided && whole && taken_up && !progress.pending && !progress.joint
    }

    fn change_something(&mut self) {
        let Some(informed) = self.informed() else { return };
        let voters = self.nodes[informed].executor().voters().voters.len();
        let record = |cluster: &Self, place: usize| {
            let name = cluster.nodes[place].name.clone();
            cluster.state_of(informed, |state| query::get_node(state, &name)).unwrap().unwrap()
        };
        let mut place = self.random.below(self.nodes.len());
        if place == self.observer() {
            place = 0;
        }
        let node: Record = record(self, place);
        let suspended: Vec<_> =
            MEMBERS[..self.world.voters].iter().filter(|member| !self.is_active(informed, member)).copied().collect();
        let may_shrink = self.may_shrink(informed);
        let reason = galen_types::vocabulary::ReasonCode::ALL[0];
        let done = match self.random.below(8) {
            0 | 1 if node.role == NodeRole::Observer => {
                self.propose(ProposedChange::SetNodeRole { node: node.name, role: NodeRole::Voter });
                "promote"
            }
            2 if node.role == NodeRole::Voter && voters > 3 && may_shrink => {
                let member = self.nodes[place].name.member.to_string();
                let id = self.administrator(&member, Call::DemoteNode { node: node.name });
                self.churn.shrinking = Some((id, false, self.step));
                "demote"
            }
            3 if suspended.is_empty() && voters > 3 && may_shrink => {
                let member = name(MEMBERS[self.random.below(self.world.voters)]);
                let id = self.propose(ProposedChange::SuspendMember { member, reason });
                self.churn.shrinking = Some((id, true, self.step));
                "suspend"
            }
            4 if !suspended.is_empty() => {
                self.propose(ProposedChange::RestoreMember { member: name(suspended[0]) });
                "restore"
            }
            5 => {
                self.churn.rotations += 1;
                let text = format!("{}-{}", node.name, self.churn.rotations);
                let member = self.nodes[place].name.member.to_string();
                self.nodes[place].keys.push(text.clone());
                self.administrator(&member, Call::RotateNodeKey { node: node.name, key: key(&text).public_key() });
                "rotate"
            }
            6 if may_shrink && voters > 2 && self.nodes[place].is_running() => match self.damage_disk(place) {
                Some(kind) => kind,
                None => return,
            },
            7 if self.network.is_whole() => {
                let Some(leader) = self.leader() else { return };
                self.isolate(leader, self.step + 40);
                "isolate"
            }
            _ => return,
        };
        *self.churn.done.entry(done).or_default() += 1;
        self.count(done);
        let (step, name) = (self.step, &self.nodes[place].name);
        let tips: Vec<_> =
            self.nodes.iter().map(|node| node.is_running().then(|| node.executor().tip().height)).collect();
        self.story.push(format!("step {step}: {done} {name}; {voters} voters, tips {tips:?}"));
    }

    /// The ordering group is the chain's, and nobody asks for anything.
    pub(crate) fn group_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let progress = self.nodes[leader].orderer().unwrap().membership_progress();
        !progress.pending
            && !progress.joint
            && self.participants().all(|node| !node.is_running() || node.wish().is_none())
    }
}
