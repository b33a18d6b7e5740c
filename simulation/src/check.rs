//! What must hold at the end, and what to say when it does not.

use std::collections::BTreeMap;

use galen_chain::verify::{VerifyReport, verify_folder};
use galen_types::{Batch, Encoding, Genesis, TransactionId};

use crate::cluster::Cluster;
use crate::node::Node;
use crate::world::World;

impl Cluster {
    pub(crate) fn describe(&self) -> String {
        let line = |node: &Node| {
            let tip = node.executor().tip().height;
            let certified = node.executor().ledger().certified_height();
            let status = node.orderer().map(|orderer| orderer.status());
            format!("{}: tip {tip}, certified {certified}, waiting {}, {status:?}", node.name, node.waiting())
        };
        let lines = self.nodes.iter().filter(|node| node.is_running()).map(line).collect::<Vec<_>>().join("\n");
        format!("{lines}\n{}\n{}", self.describe_stop(), self.story.join("\n"))
    }

    /// Where certification stops on the node that has most of the chain: who is to sign, and who did.
    fn describe_stop(&self) -> String {
        let running = self.nodes.iter().filter(|node| node.is_running());
        let Some(node) = running.max_by_key(|node| node.executor().tip().height) else { return String::new() };
        let ledger = node.executor().ledger();
        let view = ledger.view().unwrap();
        let mut lines = Vec::new();
        for height in ledger.certified_height() + 1..=view.height() {
            let header = view.header(height).unwrap().unwrap();
            let ends = galen_ledger::hands_over(&header);
            if !ends && height < view.height() {
                continue;
            }
            let set = view.voter_set(header.epoch).unwrap().unwrap();
            let voters: Vec<_> = set.voters.iter().map(|voter| format!("{} {}", voter.node, voter.key)).collect();
            let signed: Vec<_> =
                view.signatures(height).unwrap().into_iter().map(|signed| signed.voter.to_string()).collect();
            let epoch = header.epoch;
            lines.push(format!(
                "height {height} of epoch {epoch}, the last: {ends}, voters {voters:?}, signed {signed:?}"
            ));
        }
        lines.join("\n")
    }

    /// Nodes that are part of the chain: neither lost nor on a branch that the others gave up.
    pub(crate) fn participants(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.parted && !self.lost.contains(&node.place))
    }

    fn settled(&self) -> bool {
        // One whose disk failed last is about to start again.
        if self.participants().any(|node| !node.is_running()) {
            return false;
        }
        let Some(tip) = self.participants().next().map(|node| node.executor().tip()) else { return false };
        let observer = &self.nodes[self.observer()];
        self.participants().all(|node| {
            let executor = node.executor();
            // What a member sent that was suspended meanwhile, or under a key that was replaced, waits until a block's time
            // is past it.
            let idle = node.waiting() == 0 || self.signers_change || !self.lost.is_empty();
            executor.tip() == tip && executor.ledger().certified_height() == tip.height && idle && node.is_whole()
        }) && self.group_settled()
            && self.relayed.iter().all(|id| observer.receipts.contains_key(id) || self.is_over(id))
    }

    fn is_over(&self, id: &TransactionId) -> bool {
        let decoded = galen_types::DecodedTransaction::decode(self.submitted[id].clone(), 1 << 20).unwrap();
        decoded.body.valid_until < self.now()
    }

    /// Lets time pass until no log holds a batch of a time to come, as the clocks of a majority may have been until now. Only
    /// those acknowledge it before its time whose clocks are ahead too, and a node that restarted votes for no log that is
    /// shorter than one it was told of: so one such log may leave the others without a quorum.
    fn wait_for_times(&mut self) {
        let latest = |node: &Node| {
            let entries = node.durable_log().map(|log| log.entries).unwrap_or_default();
            let batches = entries.into_iter().filter_map(|entry| Batch::decode(&entry.data, entry.data.len()).ok());
            // Applied or not: a majority with such clocks may have committed it, and the others do not take it yet.
            batches.map(|batch| batch.proposed.0).max().unwrap_or(0).max(node.executor().tip().time.0)
        };
        let orders = self.participants().filter(|node| node.raft_id.is_some());
        let Some(held) = orders.map(latest).max() else { return };
        let acknowledged_from = held.saturating_sub(galen_chain::limits::PROPOSED_AHEAD_MS_MAX);
        let missing_ms = acknowledged_from.saturating_sub(self.now().0);
        if missing_ms > 0 {
            self.passed_ms += missing_ms;
            self.count("clocks too far ahead, time let pass");
        }
    }

    /// Ends all faults and demands what must hold then.
    #[track_caller]
    pub(crate) fn heal_and_check(&mut self) {
        let calm = World {
            load: 0,
            compact_entries: self.world.compact_entries,
            spares: self.world.spares,
            liar: self.world.liar,
            ledger: self.world.ledger.healed(),
            ..World::calm(self.world.voters)
        };
        self.world = World { power_loss: self.world.power_loss, ..calm };
        self.network.heal();
        for place in 0..self.nodes.len() {
            self.nodes[place].skew_ms = 0;
            self.nodes[place].paused_until = 0;
            self.nodes[place].executes_from = 0;
            self.nodes[place].relieve();
            self.nodes[place].relieve_ledger();
            if !self.nodes[place].is_running() && !self.lost.contains(&place) {
                self.start(place);
            }
        }
        self.wait_for_times();
        // A transaction after the faults is recorded: the cluster lives.
        self.until(1_500, |cluster| cluster.leader().is_some());
        self.until(3_000, Self::group_settled);
        self.record_one_more();
        self.demand_reads();
        self.until(1_500, Self::settled);
        self.check();
    }

    /// A transaction is recorded on every node. Its client tries again: a leader that is behind with execution may not know
    /// the signer yet, and a member may be about to be suspended.
    #[track_caller]
    fn record_one_more(&mut self) {
        let mut tried = Vec::new();
        for _ in 0..30 {
            // Short of the horizon, which begins at the block's time: that is a majority's clock, a moment behind this one.
            let valid_until = self.now().plus_ms(400_000);
            let member = self.active_member();
            let transaction = self.clients.next(member, valid_until);
            self.submitted.insert(transaction.id, transaction.bytes.clone());
            tried.push(transaction.id);
            if let Some(leader) = self.leader() {
                self.give(leader, transaction.id);
            }
            for _ in 0..50 {
                // Who fetched a snapshot of a later block did not execute it.
                let base = |node: &Node| {
                    node.is_running().then(|| node.executor().ledger().view().unwrap().base_height().unwrap())
                };
                let has = |id| {
                    let told = self.participants().find_map(|node| node.receipts.get(id));
                    told.is_some_and(|(height, _)| {
                        self.participants().all(|node| node.receipts.contains_key(id) || base(node) >= Some(*height))
                    })
                };
                if tried.iter().any(has) {
                    return;
                }
                self.step();
            }
        }
        panic!("no transaction is recorded everywhere: {}", self.describe());
    }

    /// Heals, checks, and verifies every folder; the number of the last epoch.
    pub(crate) fn finish(&mut self) -> u64 {
        self.heal_and_check();
        let first = self.participants().next().unwrap().executor();
        let (epoch, tip) = (first.voters().epoch, first.tip().hash);
        self.oracle.trace_end(&tip);
        self.count_refusals();
        for report in self.verify_folders(false) {
            assert!(report.is_sound(), "{:#?}", report.findings);
        }
        epoch
    }

    /// What must hold between all nodes.
    #[track_caller]
    pub(crate) fn check(&self) {
        // Ledgers that began with a snapshot may lack the chain before it.
        let bodies_from = |node: &Node| node.executor().ledger().view().unwrap().bodies_from().unwrap();
        let whole = self.participants().find(|node| bodies_from(node) == 1);
        let Some(first) = whole.map(Node::executor) else { panic!("nobody holds the whole chain") };
        let tip = first.tip().height;
        let view = first.ledger().view().unwrap();
        let mut places = BTreeMap::new();
        for height in 1..=tip {
            for (place, bytes) in view.block(height).unwrap().unwrap().transactions.into_iter().enumerate() {
                let id = galen_types::DecodedTransaction::decode(bytes.clone(), 1 << 20).unwrap().id;
                assert_eq!(self.submitted.get(&id), Some(&bytes), "nobody made {id} as it stands at height {height}");
                assert_eq!(places.insert(id, (height, place)), None, "{id} stands twice");
            }
        }
        for node in self.participants() {
            let ledger = node.executor().ledger();
            let other = ledger.view().unwrap();
            assert_eq!(ledger.state_root().unwrap(), first.ledger().state_root().unwrap());
            for height in other.history_from().unwrap()..=tip {
                assert_eq!(other.header_hash(height).unwrap(), view.header_hash(height).unwrap(), "{}", node.name);
            }
            for (id, place) in &node.receipts {
                assert_eq!(places.get(id), Some(place), "{} told a client of {id}", node.name);
            }
            let held_from = other.bodies_from().unwrap();
            for (id, (height, place)) in places.iter().filter(|(_, (height, _))| *height >= held_from) {
                let location = other.location(id).unwrap().unwrap();
                assert_eq!((location.height, location.index as usize), (*height, *place));
            }
        }
    }

    /// Stops every node and verifies its folder; `execute` also executes every block again.
    pub(crate) fn verify_folders(&mut self, execute: bool) -> Vec<VerifyReport> {
        self.nodes.iter_mut().for_each(Node::stop);
        let verify = |node: &Node| verify(&node.folder, &self.genesis, execute);
        self.participants().map(verify).collect()
    }
}

pub(crate) fn verify(folder: &std::path::Path, genesis: &Genesis, execute: bool) -> VerifyReport {
    let scratch = crate::consortium::folder();
    let scratch = scratch.path().join("scratch");
    verify_folder(folder, genesis, execute.then_some(scratch.as_path()), &mut |_| {}).unwrap()
}
