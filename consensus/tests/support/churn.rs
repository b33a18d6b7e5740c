//! A group that changes: what is wanted of it changes under the seed, and whoever leads drives the group towards it, as a
//! chain that names its own voters would.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use galen_consensus::{
    Membership, MembershipChange, MembershipChangeError, RaftId, Role, TransferError, TransferOutcome,
};

use super::cluster::{Cluster, Outcome};
use super::oracle::logs_match;
use super::world::{Mutant, Seen, World};

/// What the group should be, and what was asked on the way.
pub(crate) struct Churn {
    pub(crate) voters: BTreeSet<RaftId>,
    pub(crate) learners: BTreeSet<RaftId>,
    /// Voter sets that were proposed: none of them may lose its majority for good.
    proposed: Vec<BTreeSet<RaftId>>,
    /// Leaders that tried in vain to hand over before their own removal: (leader, tries).
    handovers: BTreeMap<RaftId, u64>,
}

impl Churn {
    pub(crate) fn new(membership: &Membership) -> Self {
        Self {
            voters: membership.voters.clone(),
            learners: membership.learners.clone(),
            proposed: Vec::new(),
            handovers: BTreeMap::new(),
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = RaftId> + '_ {
        self.voters.union(&self.learners).copied()
    }

    pub(crate) fn wants(&self, id: RaftId) -> bool {
        self.voters.contains(&id) || self.learners.contains(&id)
    }

    fn is_reached_by(&self, membership: &Membership) -> bool {
        !membership.is_joint() && membership.voters == self.voters && membership.learners == self.learners
    }
}

impl Cluster {
    pub(crate) fn wanted(&mut self) -> &mut Churn {
        self.churn.as_mut().unwrap()
    }

    /// Lets a new node in as a learner.
    pub(crate) fn want_new(&mut self, blocks: usize) -> RaftId {
        let id = self.join_node(blocks);
        self.wanted().learners.insert(id);
        self.tell_all(1000);
        self.seen.joined += 1;
        id
    }

    /// Tells nodes which ids were given out; some hear of it later. Whoever is no longer wanted stays admitted: it may have
    /// to lead the change that removes it.
    pub(crate) fn tell_all(&mut self, per_mille: u64) {
        for position in 0..self.nodes.len() {
            if self.random.chance(per_mille) {
                self.tell(position);
            }
        }
    }

    pub(crate) fn tell(&mut self, position: usize) {
        let all = self.nodes.len() as u64;
        if let Some(core) = &mut self.nodes[position].core {
            (1..=all).for_each(|id| core.admit(RaftId(id)));
        }
    }

    /// One step of change: sometimes of what is wanted, always of the group towards it.
    pub(crate) fn churn(&mut self) -> Outcome {
        if self.churn.is_none() {
            return Ok(());
        }
        if self.random.chance(self.world.churn) {
            self.want_something();
            self.tell_all(700);
        }
        self.tell_all(50);
        self.joint_faults();
        for position in 0..self.nodes.len() {
            self.drive(position)?;
        }
        Ok(())
    }

    fn pick(&mut self, set: &BTreeSet<RaftId>) -> Option<RaftId> {
        let position = self.random.below(set.len() as u64) as usize;
        set.iter().nth(position).copied()
    }

    fn want_something(&mut self) {
        let (voters, learners) = (self.wanted().voters.clone(), self.wanted().learners.clone());
        let room = voters.len() + learners.len() < 7 && self.nodes.len() < 16;
        let (voter, learner) = (self.pick(&voters), self.pick(&learners));
        match self.random.below(9) {
            0 | 1 if room => {
                for _ in 0..=self.random.below(2) {
                    let blocks = [0, 0, 1000, self.random.below(100) as usize][self.random.below(4) as usize];
                    self.want_new(blocks);
                }
            }
            2 | 3 => {
                let Some(id) = learner.filter(|id| !self.node(*id).dead) else { return };
                self.wanted().learners.remove(&id);
                self.wanted().voters.insert(id);
            }
            4 if voters.len() > 1 => {
                let Some(id) = voter else { return };
                if self.lives_without(id) {
                    self.wanted().voters.remove(&id);
                    self.wanted().learners.insert(id);
                }
            }
            5 if voters.len() > 1 => {
                let leader = self.leader().map(RaftId).filter(|id| voters.contains(id));
                let dead = voters.iter().copied().find(|id| self.node(*id).dead);
                let choice = [leader, dead, voter][self.random.below(3) as usize].or(learner);
                let Some(id) = choice.filter(|id| self.lives_without(*id)) else { return };
                self.wanted().voters.remove(&id);
                self.wanted().learners.remove(&id);
                self.seen.removed += 1;
            }
            6 if room && voters.len() > 1 => {
                let Some(id) = voter.filter(|id| self.lives_without(*id)) else { return };
                self.wanted().voters.remove(&id);
                self.seen.removed += 1;
                self.want_new(1000);
            }
            7 => {
                let Some(id) = voter else { return };
                if self.may_die(id) {
                    if self.node(id).core.is_some() {
                        self.crash(id.0);
                    }
                    self.nodes[id.0 as usize - 1].dead = true;
                    self.seen.killed += 1;
                }
            }
            _ => {
                let (Some(leader), Some(to)) = (self.leader(), voter) else { return };
                match self.core(leader).transfer_leader(to) {
                    Ok(()) => self.seen.transfers += 1,
                    Err(TransferError::NotVoter(_) | TransferError::Underway(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    pub(crate) fn node(&self, id: RaftId) -> &super::cluster::Node {
        &self.nodes[id.0 as usize - 1]
    }

    /// Whether the wanted voters keep a majority of living nodes without this one, and those of them that vote already
    /// too: whoever leads may remove before it can promote.
    fn lives_without(&self, gone: RaftId) -> bool {
        let wanted = &self.churn.as_ref().unwrap().voters;
        let now = self.history.memberships.values().next_back();
        let present = wanted.intersection(&now.unwrap().voters).copied().collect();
        [wanted, &present].into_iter().all(|voters| {
            let left: Vec<&RaftId> = voters.iter().filter(|id| **id != gone).collect();
            left.is_empty() || left.iter().filter(|id| !self.node(***id).dead).count() * 2 > left.len()
        })
    }

    /// Whether every voter set that counts or may come to count keeps its majority without this node.
    fn may_die(&self, id: RaftId) -> bool {
        let churn = self.churn.as_ref().unwrap();
        let mut sets: Vec<&BTreeSet<RaftId>> = vec![&churn.voters];
        sets.extend(&churn.proposed);
        let now = self.history.memberships.values().next_back();
        let present = churn.voters.intersection(&now.unwrap().voters).copied().collect();
        sets.push(&present);
        for membership in self.history.memberships.values().rev().take(4) {
            sets.extend([&membership.voters, &membership.voters_outgoing]);
        }
        let lives = |other: &&RaftId| **other != id && !self.node(**other).dead;
        sets.iter().filter(|set| !set.is_empty()).all(|set| set.iter().filter(lives).count() * 2 > set.len())
    }

    /// Crashes a leader in a joint configuration, or cuts it off.
    fn joint_faults(&mut self) {
        if self.world.crash == 0 && self.world.split == 0 {
            return;
        }
        let Some(leader) = self.leader().filter(|id| self.status(*id).membership.is_joint()) else { return };
        if !self.random.chance(100) {
            return;
        }
        self.seen.joint_faults += 1;
        if self.world.crash > 0 && self.random.chance(500) {
            self.crash(leader);
        } else if self.far.is_empty() {
            let side = self.random.next();
            self.far = self.nodes.iter().map(|node| node.id).filter(|id| side >> id.0 & 1 == 1).collect();
            self.far.insert(RaftId(leader));
            self.split_until = self.now + 10 + self.random.below(60);
        }
    }

    /// What a leader does towards the wanted group: one joint change at a time, new ids all at once.
    fn drive(&mut self, position: usize) -> Outcome {
        let Some(churn) = &self.churn else { return Ok(()) };
        let (voters, learners) = (churn.voters.clone(), churn.learners.clone());
        let node = &mut self.nodes[position];
        let id = node.id;
        let Some(core) = node.core.as_mut().filter(|_| node.role == Role::Leader) else { return Ok(()) };
        if core.change_unfinished() || core.transferring().is_some() || churn.is_reached_by(core.membership()) {
            return Ok(());
        }
        let now = core.membership().clone();
        let mut change = MembershipChange { context: Bytes::from_static(b"churn"), ..MembershipChange::default() };
        change.removed = now.members().into_iter().filter(|id| !churn.wants(*id)).collect();
        change.learners = churn.members().filter(|id| !now.contains(*id)).collect();
        change.learners.extend(learners.intersection(&now.voters));
        change.voters = voters.intersection(&now.learners).copied().collect();
        if !voters.contains(&id) && (now.voters.contains(&id)) {
            // Leadership goes first to whoever holds most; after some tries without that.
            let able = voters.intersection(&now.voters).filter_map(|id| Some((core.progress_of(*id)?, *id)));
            let best = able.filter(|(progress, _)| progress.heard_lately).max_by_key(|(progress, _)| progress.matched);
            let tries = self.churn.as_mut().unwrap().handovers.entry(id).or_default();
            if let Some((_, best)) = best.filter(|_| *tries < 2) {
                *tries += 1;
                self.seen.transfers += u64::from(core.transfer_leader(best).is_ok());
                return Ok(());
            }
            if best.is_none() {
                // It must not leave the group without a voter that can lead.
                change.removed.remove(&id);
                change.learners.remove(&id);
            }
        }
        if now.voters.iter().all(|id| change.removed.contains(id) || change.learners.contains(id)) {
            // Whoever is to follow must vote first.
            change.removed.retain(|id| !now.voters.contains(id));
            change.learners.retain(|id| !now.voters.contains(id));
        }
        loop {
            let mut after = now.voters.clone();
            after.extend(&change.voters);
            after.retain(|id| !change.removed.contains(id) && !change.learners.contains(id));
            match core.propose_conf_change(change.clone()) {
                Ok(_) => {
                    self.seen.changes += 1;
                    self.churn.as_mut().unwrap().proposed.push(after);
                    return Ok(());
                }
                Err(MembershipChangeError::NotCaughtUp { node, .. } | MembershipChangeError::Silent(node)) => {
                    change.voters.remove(&node);
                }
                Err(
                    MembershipChangeError::NoChange
                    | MembershipChangeError::NoQuorum { .. }
                    | MembershipChangeError::WouldLoseQuorum { .. }
                    | MembershipChangeError::Propose(_)
                    | MembershipChangeError::Unfinished,
                ) => return Ok(()),
                Err(error) => return Err(format!("node {id}: {error}: {change:?} of {now:?}")),
            }
        }
    }

    /// Ends all faults, and demands that the group becomes what is wanted and works, whoever knocks.
    pub(crate) fn settle_and_check(&mut self) -> Outcome {
        let calm = World { compact: self.world.compact, mutant: self.world.mutant, ..World::calm(self.world.voters) };
        self.world = calm;
        self.far.clear();
        self.split_until = 0;
        let dead: Vec<RaftId> = self.nodes.iter().filter(|node| node.dead).map(|node| node.id).collect();
        let churn = self.wanted();
        churn.voters.retain(|id| !dead.contains(id));
        churn.learners.retain(|id| !dead.contains(id));
        self.tell_all(1000);
        let mut left = 1000;
        while !self.is_settled() {
            self.step()?;
            left -= 1;
            if left == 0 {
                return Err(self.unsettled());
            }
        }
        let leader = self.leader().unwrap_or_default();
        let term = self.status(leader).term;
        let before = self.history.committed.len();
        self.core(leader).propose(Bytes::from_static(b"settled")).map_err(|error| error.to_string())?;
        self.run(60)?;
        if self.history.committed.len() <= before {
            return Err("the settled group commits nothing".into());
        }
        if self.leader() != Some(leader) || self.status(leader).term != term {
            return Err(format!("node {leader} lost the settled group: {}", self.unsettled()));
        }
        for node in &self.nodes {
            for (position, entry) in node.ledger.iter().enumerate() {
                if self.history.committed.get(&(position as u64 + 1)) != Some(entry) {
                    return Err(format!("node {} holds another entry {}", node.id, position + 1));
                }
            }
        }
        logs_match(&self.nodes.iter().map(|node| &node.mirror).collect::<Vec<_>>())
    }

    /// Whether every wanted node knows the wanted group and holds what the leader committed.
    pub(crate) fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let churn = self.churn.as_ref().unwrap();
        let committed = self.status(leader).commit;
        self.node(RaftId(leader)).core.as_ref().is_some_and(|core| core.transferring().is_none())
            && churn.is_reached_by(&self.status(leader).membership)
            && churn.members().all(|id| {
                let status = self.node(id).core.as_ref().map(|core| core.status());
                status.is_some_and(|status| {
                    churn.is_reached_by(&status.membership)
                        && status.commit + 3 >= committed
                        && status.snapshot <= status.commit
                })
            })
    }

    fn unsettled(&self) -> String {
        let churn = self.churn.as_ref().unwrap();
        let nodes = self.nodes.iter().map(|node| {
            let status = node.core.as_ref().map(|core| core.status());
            let status = status.map(|s| {
                format!(
                    "{:?} term {} {}..{} of {} {:?} {:?}",
                    s.role, s.term, s.snapshot, s.commit, s.last, s.membership, s.peers
                )
            });
            format!("\n  {} dead {} ledger {}: {}", node.id, node.dead, node.ledger.len(), status.unwrap_or_default())
        });
        format!("wanted {:?} {:?}{}", churn.voters, churn.learners, nodes.collect::<String>())
    }

    /// A run under a seed with a group that changes: faults, then healing.
    pub(crate) fn churned(seed: u64, mutant: Mutant, steps: u64) -> Result<(blake3::Hash, Seen), String> {
        let mut cluster = Self::new(World::churning(seed, mutant), seed);
        cluster.run(steps)?;
        cluster.settle_and_check()?;
        let ended = |(_, end): &&(RaftId, galen_consensus::TransferEnd)| end.outcome == TransferOutcome::TakenOver;
        cluster.seen.taken_over += cluster.transfers.iter().filter(ended).count() as u64;
        Ok((cluster.trace.finalize(), cluster.seen))
    }
}
