//! What follows from what came in: execution, signatures, writes, questions.

use super::disk::copy_folder;
use super::*;

impl Node {
    /// What becomes of an executed batch: clients, the mempool.
    pub(super) fn tell(&mut self, executed: Executed) {
        let running = self.running.as_mut().unwrap();
        let mut settled: Vec<_> = executed.void.iter().map(|(id, _)| *id).collect();
        let duplicate = |void: &Void| matches!(void, Void::Rule(VoidReason::Duplicate));
        self.seen.duplicates += executed.void.iter().filter(|(_, void)| duplicate(void)).count() as u64;
        if let Some(block) = &executed.block {
            self.seen.blocks += 1;
            self.told_now.push((block.block.header.raft_index, block.block.header.raft_term));
            for (index, receipt) in block.receipts.iter().enumerate() {
                let place = (block.block.header.height, index);
                let before = self.receipts.insert(receipt.transaction, place);
                assert!(before.is_none_or(|before| before == place), "a client was told two places");
                settled.push(receipt.transaction);
            }
        }
        if executed.block.as_ref().is_some_and(|block| galen_ledger::hands_over(&block.block.header)) {
            let numbers = running.executor.group().unwrap().voters.keys().copied().collect();
            self.named_now.push((running.executor.tip().height, numbers));
        }
        if let Some(ordering) = &mut running.ordering {
            ordering.orderer.set_batch_limits(running.executor.parameters().into());
            settled.iter().for_each(|id| _ = self.taken.remove(id));
            let tip = running.executor.tip();
            ordering.orderer.applied(executed.applied_index, tip.height, tip.time, &settled).unwrap();
        }
    }

    /// Executes up to `batches` of what is ordered.
    pub(crate) fn execute(&mut self, batches: usize) {
        for _ in 0..batches {
            if self.has_ended() {
                return;
            }
            let Some(running) = &mut self.running else { return };
            let Some(batch) = running.ordered.pop_front() else { return };
            let applied = running.executor.ledger().applied().unwrap().index;
            let (name, index) = (&self.name, batch.index);
            assert!(
                index <= applied + 1,
                "{name} executes entry {index} after {applied}: it passes over committed ones"
            );
            let executed = running.executor.execute(&batch);
            let Some(executed) = self.survive(executed) else { return };
            self.tell(executed);
        }
    }

    /// Signs and publishes what was executed.
    pub(crate) fn sign(&mut self) {
        if self.has_ended() {
            return;
        }
        let Some(running) = &mut self.running else { return };
        // A header that waits for the check is signed after it.
        let signatures = if running.speaks { running.executor.sign() } else { Ok(Vec::new()) };
        let Some(signatures) = self.survive(signatures) else { return };
        for signature in signatures {
            self.signed_now.push(signature.clone());
            self.out.push((To::Everyone, Frame::Signature(signature.clone())));
            self.signature(signature);
        }
        let certified = self.running.as_mut().unwrap().executor.certify_applied();
        let Some(certified) = self.survive(certified) else { return };
        if let Some(certificate) = certified {
            self.certification(Certification::Certified(certificate));
        }
        self.cut_and_copy();
    }

    pub(super) fn cut_and_copy(&mut self) {
        self.follow_group();
        let running = self.running.as_mut().unwrap();
        let points = running.executor.cut_points();
        if let Some(ordering) = &mut running.ordering {
            for point in points {
                ordering.orderer.may_cut(point).unwrap();
            }
        }
        let ledger = running.executor.ledger();
        if let Some(copy) = &self.durable_copy
            && ledger.durable_height() == running.executor.tip().height
            && running.copied != ledger.durable_height()
        {
            running.copied = ledger.durable_height();
            copy_folder(&self.folder, copy);
        }
    }

    /// Everything that follows from what came in; `write_delay` steps until a write is on disk.
    pub(crate) fn carry_out(&mut self, step: u64, write_delay: u64) {
        if !self.speaks() {
            return;
        }
        loop {
            let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut()) else { return };
            let effects = ordering.orderer.effects().unwrap();
            let quiet = effects.persist.is_empty()
                && effects.send.is_empty()
                && effects.ordered.is_empty()
                && effects.forward.is_none()
                && effects.role.is_none();
            self.take_effects(effects, step + write_delay);
            let wrote = self.finish_writes(step);
            if self.failed || (!wrote && quiet) {
                return;
            }
        }
    }

    pub(super) fn take_effects(&mut self, effects: OrdererEffects, due: u64) {
        let Some(running) = &mut self.running else { return };
        let Some(ordering) = &mut running.ordering else { return };
        ordering.writes.extend(effects.persist.into_iter().map(|persist| (due, persist)));
        let sent = effects.send.into_iter();
        let own = self.raft_id.unwrap();
        self.out.extend(sent.map(|message| (To::Number(message.to), Frame::Raft(own, message.bytes))));
        self.ordered_now.extend(effects.ordered.iter().cloned());
        running.ordered.extend(effects.ordered);
        let shown = running.executor.tip().height;
        self.served_now.extend(effects.reads.into_iter().map(|ticket| (ticket, shown)));
        if let Some((leader, transactions)) = effects.forward {
            self.out.push((To::Number(leader), Frame::Transactions(transactions)));
        }
        if let Some(offer) = effects.snapshot_offer {
            let (height, header) = parse_snapshot_context(&offer.context).unwrap();
            running.goal = Some((offer.index, height, header));
        }
        self.seen.led += u64::from(effects.role.is_some_and(|role| role.role == Role::Leader));
        effects.expired.iter().for_each(|id| _ = self.taken.remove(id));
        self.seen.expired += effects.expired.len() as u64;
    }

    pub(super) fn finish_writes(&mut self, step: u64) -> bool {
        let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut()) else { return false };
        let mut batch = Vec::new();
        while ordering.writes.front().is_some_and(|(due, _)| *due <= step) {
            batch.extend(ordering.writes.pop_front().map(|(_, persist)| persist));
        }
        let Some(token) = batch.last().map(|persist| persist.token) else { return false };
        let outcome = ordering.log.append(&batch);
        self.last_write = self.disk.last_append();
        if let Err(error) = outcome {
            ordering.orderer.stop(&error.to_string());
            self.failed = true;
            return false;
        }
        ordering.orderer.persisted(token).unwrap();
        true
    }

    /// Asks `peer` for what is missing, and takes a snapshot offer whose block is here.
    pub(crate) fn catch_up(&mut self, step: u64, peer: usize) {
        if self.has_ended() {
            return;
        }
        self.ask_past(step, peer);
        let leaps = self.leap(step, peer);
        let Some(running) = &mut self.running else { return };
        let (ledger, tip) = (running.executor.ledger(), running.executor.tip().height);
        if let Some((index, height, header)) = running.goal {
            match cut_block(ledger, index, height, &header).unwrap() {
                CutBlock::Ahead => {}
                CutBlock::Another => panic!("{}: the offer's block at height {height} is not on the chain", self.name),
                CutBlock::Held => {
                    if let Some(ordering) = &mut running.ordering {
                        ordering.orderer.accept_snapshot(index).unwrap();
                    }
                    running.goal = None;
                    self.seen.snapshots += 1;
                }
            }
        }
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::SnapshotUnchecked)
            && let (Some((index, ..)), Some(ordering)) = (running.goal.take(), &mut running.ordering)
        {
            ordering.orderer.accept_snapshot(index).unwrap();
        }
        if step < running.asked + 4 {
            return;
        }
        let certified = ledger.certified_height();
        // As the node's: ordering feeds whoever has a leader there.
        let hears_leader = running.ordering.as_ref().map(|ordering| ordering.orderer.heard_leader().is_some());
        if hears_leader == Some(true) {
            running.led_at = step;
        }
        let is_fed = hears_leader.is_some() && running.speaks && step < running.led_at + UNLED_STEPS;
        let lag = if is_fed { LAG_VOTER } else { 0 };
        let behind = (!is_fed && step > running.asked + 30)
            || running.known_height > tip + lag
            || running.goal.is_some_and(|(_, height, _)| height > tip);
        let hangs = certified < tip && running.certified.0 == certified;
        if !hangs {
            running.certified = (certified, step);
        }
        let request = if behind && leaps {
            return;
        } else if behind {
            running.asked = step;
            SyncRequest::Blocks { from: tip + 1 }
        } else if hangs && step > running.certified.1 + 10 && step >= running.asked_signatures + 4 {
            running.asked_signatures = step;
            SyncRequest::Signatures { from: certified + 1 }
        } else {
            return;
        };
        self.out.push((To::Place(peer), Frame::Ask(request, self.starts)));
    }
}
