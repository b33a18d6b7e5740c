//! A majority of voters is lost for good; the rest go on from the longest ledger, and old nodes that come back stay apart.

use galen_chain::LedgerState;
use galen_chain::recovery::{HeldRecovery, RecoveryError};
use galen_contracts::query;
use galen_types::certificate::Voter;
use galen_types::member::{NodeRole, Standing};
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::{AccountName, Call, Encoding, Hash, NodeName, TransactionBody};

use crate::check::verify;
use crate::cluster::Cluster;
use crate::consortium::{key, name, open_ledger};

impl Cluster {
    /// Loses a majority, recovers with the others, and lets some of the lost come back. Whether there was something to do:
    /// a majority of the voters that ordering had, and a survivor that may vote.
    pub(crate) fn lose_and_recover(&mut self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let membership = self.nodes[leader].orderer().unwrap().status().membership;
        let mut voters: Vec<_> = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].raft_id.is_some_and(|id| membership.voters.contains(&id)))
            .collect();
        if voters.len() < 2 || membership.is_joint() {
            return false;
        }
        // So many that the rest are less than a majority.
        let survivors = 1 + self.random.below((voters.len() - 1) / 2);
        while voters.len() > survivors {
            let place = voters.swap_remove(self.random.below(voters.len()));
            if self.nodes[place].is_running() {
                self.crash(place);
            }
            self.restart_at.remove(&place);
            self.lost.insert(place);
        }
        self.count("majority lost");
        // The rest notice: they go on for a while without it.
        let unnoticed = self.random.below(40) as u64;
        self.run(unnoticed);
        for place in 0..self.nodes.len() {
            self.restart_at.remove(&place);
            self.nodes[place].stop();
        }
        let staying: Vec<_> = (0..self.nodes.len()).filter(|place| !self.lost.contains(place)).collect();
        let Some((kept, header, new)) = self.choose(&staying) else {
            for place in std::mem::take(&mut self.lost).into_iter().chain(staying) {
                self.start(place);
            }
            return false;
        };
        let document = self.sign_recovery(kept, header, &new);
        self.check_refusals(&staying, kept, header, &new);
        let held = HeldRecovery::from_bytes(&document, &self.genesis.hash()).unwrap();
        self.submitted.insert(galen_types::DecodedTransaction::decode(document.clone(), 1 << 20).unwrap().id, document);
        self.story.push(format!("step {}: recovery at {kept} by {new:?}", self.step));
        for place in &staying {
            self.nodes[*place].recover(&held).unwrap();
        }
        let index = self.raft_index_at(&staying, kept);
        let longest = staying.iter().find(|place| self.nodes[**place].stored_tip().0 > kept).copied().unwrap();
        self.reads.given_up_above(kept);
        self.oracle.branch(kept, index, &self.genesis, &open_ledger(&self.nodes[longest].folder, &self.genesis));
        for place in staying {
            self.start(place);
        }
        true
    }

    /// The longest ledger that verifies, and which nodes may vote by it.
    fn choose(&self, staying: &[usize]) -> Option<(u64, Hash, Vec<NodeName>)> {
        for place in staying {
            let report = verify(&self.nodes[*place].folder, &self.genesis, false);
            assert!(report.is_sound(), "{}: {:#?}", self.nodes[*place].name, report.findings);
        }
        let longest = *staying.iter().max_by_key(|place| self.nodes[**place].stored_tip().0)?;
        let (height, hash) = self.nodes[longest].stored_tip();
        let ledger = open_ledger(&self.nodes[longest].folder, &self.genesis);
        let state = LedgerState(ledger.view().unwrap());
        let fit = |place: &usize| {
            let node = query::get_node(&state, &self.nodes[*place].name).unwrap();
            let member = query::get_member(&state, &self.nodes[*place].name.member).unwrap();
            node.is_some_and(|node| node.role == NodeRole::Voter && node.standing == Standing::Active)
                && member.is_some_and(|member| member.standing == Standing::Active)
        };
        let mut voters: Vec<_> =
            staying.iter().filter(|place| fit(place)).map(|place| self.nodes[*place].name.clone()).collect();
        voters.sort();
        (height > 0 && !voters.is_empty()).then_some((height, hash, voters))
    }

    fn raft_index_at(&self, staying: &[usize], height: u64) -> u64 {
        let indexes = staying.iter().filter_map(|place| {
            let ledger = open_ledger(&self.nodes[*place].folder, &self.genesis);
            ledger.view().unwrap().header(height).unwrap().map(|header| header.raft_index)
        });
        indexes.max().unwrap()
    }

    fn signed_by(&self, kept: u64, header: Hash, voters: &[NodeName], accounts: &[String]) -> Vec<u8> {
        let made = self.now();
        let genesis = self.genesis.hash();
        let recovery = self.recovery(kept, header, voters);
        let sign = |account: &String| RecoverySignature::sign(&recovery, name::<AccountName>(account), &key(account));
        let signatures: Vec<_> = accounts.iter().map(sign).collect();
        let signer = accounts[0].clone();
        // Valid at the recovery block's time: the later of `made` and the parent's plus 1 ms.
        let valid_until = self.recovery_time(kept, made);
        let call = Call::Recover { recovery: Box::new(SignedRecovery { recovery, signatures }) };
        TransactionBody { chain: genesis, signer: name(&signer), salt: [0; 16], valid_until, call }
            .sign(&key(&signer))
            .encode()
    }

    /// A recovery by the ledger of a node that has the kept block as its tip.
    fn recovery(&self, kept: u64, header: Hash, voters: &[NodeName]) -> Recovery {
        let at_tip =
            |node: &&crate::node::Node| !self.lost.contains(&node.place) && node.stored_tip() == (kept, header);
        let longest = self.nodes.iter().find(at_tip).unwrap();
        let ledger = open_ledger(&longest.folder, &self.genesis);
        let state = LedgerState(ledger.view().unwrap());
        let members = query::list_members(&state, None, 1_000).unwrap().into_iter();
        let active = members.filter(|member| member.standing == Standing::Active).map(|member| member.name);
        let voter = |name: &NodeName| {
            let key = query::get_node(&state, name).unwrap().unwrap().key;
            Voter { node: name.clone(), key }
        };
        Recovery {
            genesis: self.genesis.hash(),
            lineage: query::get_lineage(&state).unwrap(),
            height: kept,
            header,
            made: self.now(),
            abandoned: active.filter(|member| voters.iter().all(|voter| voter.member != *member)).collect(),
            voters: voters.iter().map(voter).collect(),
        }
    }

    fn recovery_time(&self, kept: u64, made: galen_types::Timestamp) -> galen_types::Timestamp {
        let times = self.nodes.iter().filter(|node| !self.lost.contains(&node.place)).filter_map(|node| {
            let ledger = open_ledger(&node.folder, &self.genesis);
            ledger.view().unwrap().header(kept).unwrap().map(|header| header.time)
        });
        made.max(times.max().unwrap().plus_ms(1))
    }

    /// One administrator of every member that has a node among the voters.
    fn administrators(voters: &[NodeName]) -> Vec<String> {
        let mut accounts: Vec<_> = voters.iter().map(|voter| format!("admin@{}", voter.member)).collect();
        accounts.sort();
        accounts.dedup();
        accounts
    }

    fn sign_recovery(&self, kept: u64, header: Hash, voters: &[NodeName]) -> Vec<u8> {
        self.signed_by(kept, header, voters, &Self::administrators(voters))
    }

    /// A recovery that a member with a voter did not sign is refused by every node, and changes nothing.
    fn check_refusals(&mut self, staying: &[usize], kept: u64, header: Hash, voters: &[NodeName]) {
        let mut accounts = Self::administrators(voters);
        if accounts.len() < 2 {
            return;
        }
        accounts.pop();
        let unsigned = self.signed_by(kept, header, voters, &accounts);
        let held = HeldRecovery::from_bytes(&unsigned, &self.genesis.hash()).unwrap();
        for place in staying {
            let before = self.nodes[*place].stored_tip();
            let at_tip = before == (kept, header);
            if at_tip {
                let refused = self.nodes[*place].recover(&held);
                assert!(matches!(refused, Err(RecoveryError::Refused(_))), "not every member signed, and: {refused:?}");
                assert_eq!(self.nodes[*place].stored_tip(), before);
            }
        }
    }

    /// Nodes of the lost majority come back with their old disks and without the recovery: they go on among themselves if
    /// they can, and nobody else takes anything from them.
    pub(crate) fn bring_old_nodes_back(&mut self) {
        for place in self.lost.clone() {
            if self.random.chance(600) {
                self.lost.remove(&place);
                self.nodes[place].parted = true;
                self.start(place);
                self.count("old node back");
            }
        }
    }

    /// Whoever was lost comes back with an empty disk and the recovery.
    pub(crate) fn replace_lost_nodes(&mut self) {
        let held = self.participants().find_map(|node| node.held.last().cloned()).unwrap();
        for place in 0..self.nodes.len() {
            if self.lost.contains(&place) || self.nodes[place].parted {
                self.lost.remove(&place);
                let node = &mut self.nodes[place];
                node.parted = false;
                node.stop();
                node.wipe();
                node.receipts.clear();
                node.held.push(held.clone());
                self.oracle.forget(place);
                self.start(place);
                self.count("lost node replaced");
            }
        }
    }
}
