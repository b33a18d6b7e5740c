//! What a node asks the chain for, and what it takes up from it.

use super::*;

impl Node {
    /// Notes on its disk, before it asks, that this disk asks for a new number.
    pub(crate) fn note_asked(&mut self, call: &galen_types::Call) {
        if let galen_types::Call::StartOrdering { replaces } = call {
            self.home.asked = Some(*replaces);
        }
    }

    /// What it asks the chain for, so as to vote.
    pub(crate) fn wish(&self) -> Option<galen_types::Call> {
        let running = self.running.as_ref().filter(|running| running.rejoin.is_none())?;
        let record = self.record();
        let ledger = running.executor.ledger();
        if record.role != NodeRole::Voter || record.standing != Standing::Active {
            return None;
        }
        let state = LedgerState(ledger.view().unwrap());
        let member = galen_contracts::query::get_member(&state, &self.name.member).unwrap();
        if member.is_none_or(|member| member.standing != Standing::Active) {
            return None;
        }
        let votes = running.executor.voters().key_of(&self.name).is_some();
        if self.raft_id.is_some_and(|number| number.0 != record.raft_id) {
            return None;
        }
        if self.raft_id.is_none() {
            let tip = running.executor.tip().height;
            let current = running.known_height <= tip && ledger.certified_height() == tip;
            return current.then_some(galen_types::Call::StartOrdering { replaces: record.raft_id });
        }
        let caught_up = running.ordering.as_ref().is_some_and(|ordering| ordering.orderer.caught_up());
        (!votes && caught_up).then_some(galen_types::Call::JoinVoters { raft_id: record.raft_id })
    }

    /// Takes up what certified blocks say of the group.
    pub(super) fn follow_group(&mut self) {
        let running = self.running.as_mut().unwrap();
        let tip = running.executor.tip().height;
        let group = running.executor.take_group();
        // What the node itself is, it takes up from every block that it applies, certified or not: after a recovery the
        // others may need its word before there can be a certificate.
        if group.is_none() && (running.ordering.is_some() || running.part_of == tip) {
            return;
        }
        running.part_of = tip;
        self.seen.groups += u64::from(group.is_some());
        if let (Some(ordering), Some(group)) = (&mut running.ordering, group) {
            ordering.orderer.set_group(group);
        }
        // One that rejoins takes its part up when its ledger is whole.
        if self.rejoin().is_some() {
            return;
        }
        let record = self.record();
        let number = self.number(&record, self.executor().ledger());
        let keyed = self.secret(&record).public_key() == self.key;
        self.must_restart |= number != self.raft_id || !keyed;
    }
}
