//! Before it orders, a node asks its peers what they know of it, as the real one does: its disk may be older than its
//! promises.

use super::*;

/// Steps between two questions.
const ASK_STEPS: u64 = 3;
/// Steps for which a leader is waited for of whom no more than may lie have told.
const LEADER_PATIENCE_STEPS: u64 = 60;
/// Steps after which a sole voter has listened long enough.
const SOLE_PATIENCE_STEPS: u64 = 100;
/// Steps without a leader after which a node whose vote is held back asks again.
const AGAIN_STEPS: u64 = 100;

impl Node {
    /// Begins to ask, where it orders.
    pub(super) fn close_gate(&mut self, step: u64) {
        let Some(running) = &mut self.running else { return };
        let Some(ordering) = &running.ordering else {
            running.speaks = true;
            return;
        };
        let own = Unchecked {
            raft_id: self.raft_id.map_or(0, |id| id.0),
            // After a repair the ledger may not have come to what was signed here.
            height: running.executor.tip().height.max(running.executor.ledger().signed_mark_height()),
            last_index: ordering.orderer.status().last,
        };
        // A check that never ended forgets nothing that was learnt meanwhile.
        let unchecked = match self.home.unchecked.filter(|earlier| earlier.raft_id == own.raft_id) {
            Some(earlier) => Unchecked {
                height: earlier.height.min(own.height),
                last_index: earlier.last_index.min(own.last_index),
                ..own
            },
            None => own,
        };
        self.home.unchecked = Some(unchecked);
        running.asking = Some(Asking::new(unchecked, step));
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::GateOpenedUnasked) {
            running.asking = None;
            running.speaks = true;
        }
    }

    /// Whether it may speak as an orderer.
    pub(crate) fn speaks(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.speaks)
    }

    /// Since when it has asked before it may speak.
    pub(crate) fn asks_since(&self) -> Option<u64> {
        let running = self.running.as_ref().filter(|running| !running.speaks)?;
        running.asking.as_ref().map(|asking| asking.began)
    }

    /// Asks, and judges what was answered.
    pub(super) fn ask_about_itself(&mut self, step: u64) {
        let starts = self.starts;
        self.ask_again(step);
        let Some(running) = &mut self.running else { return };
        let Some(asking) = &mut running.asking else { return };
        if asking.asked.is_none_or(|asked| step >= asked + ASK_STEPS) {
            asking.asked = Some(step);
            let question = asking.unchecked.question();
            self.out.push((To::Everyone, Frame::Question(question, starts)));
        }
        let keys: Vec<_> = self.keys.iter().map(|text| key(text).public_key()).collect();
        let heard_all = step >= asking.began + SOLE_PATIENCE_STEPS;
        let voters = running.executor.voters();
        let genesis = running.executor.genesis_hash();
        let configurations =
            running.ordering.as_ref().map(|ordering| ordering.orderer.configurations()).unwrap_or_default();
        let asker = Asker {
            node: &self.name,
            unchecked: &asking.unchecked,
            voters,
            configurations: &configurations,
            keys: &keys,
            genesis,
            trusts_disk: self.trusts_disk,
            heard_all,
        };
        let floor = match assess(&asker, &asking.answers) {
            Assessment::Stale(why) => return self.give_up(why),
            Assessment::TooFew { .. } => {
                asking.silent_since.clear();
                return;
            }
            Assessment::LeaderSilent { why, certain, floor } => {
                let since = *asking.silent_since.entry(why).or_insert(step);
                if certain || step < since + LEADER_PATIENCE_STEPS {
                    return;
                }
                floor
            }
            Assessment::Sound(floor) => floor,
        };
        running.asking = None;
        running.speaks = true;
        if let Some(ordering) = &mut running.ordering {
            ordering.orderer.set_vote_floor(floor);
        }
        self.home.unchecked = None;
        self.seen.opened += 1;
    }

    /// A node whose vote is held back without a leader asks again: whoever has the longest log may be lost for good.
    fn ask_again(&mut self, step: u64) {
        let (Some(running), Some(id)) = (&mut self.running, self.raft_id) else { return };
        let Some(ordering) = running.ordering.as_ref().filter(|_| running.asking.is_none()) else { return };
        let status = ordering.orderer.status();
        if !ordering.orderer.is_below_vote_floor() || status.leader.is_some() {
            running.held_back_since = None;
            return;
        }
        if step >= *running.held_back_since.get_or_insert(step) + AGAIN_STEPS {
            running.held_back_since = None;
            running.asking = Some(Asking::new(Unchecked::sound(id.0), step));
        }
    }

    /// Peers know of promises that its disk does not hold: it never orders under this number again.
    fn give_up(&mut self, why: String) {
        self.home.asked = None;
        self.home.gave_up = self.orderer().map(galen_chain::Orderer::log_end);
        self.home.unchecked = None;
        self.last_number = None;
        self.must_restart = true;
        self.gave_up = Some(why);
        self.seen.given_up += 1;
    }

    /// What it knows of another.
    pub(super) fn knowledge_of(&self, other: &NodeName, question: &Question) -> Answer {
        let running = self.running.as_ref().unwrap();
        let ordering = running.ordering.as_ref().map(|ordering| &ordering.orderer);
        let given_up = || {
            let log_end = self.home.gave_up;
            OrderingAccount { log_end, term: log_end.map_or(0, |end| end.term), ..OrderingAccount::default() }
        };
        let account = ordering.map_or_else(given_up, |orderer| OrderingAccount::of(orderer, RaftId(question.raft_id)));
        Answer::about(other, question, running.executor.ledger(), &running.seen, account).unwrap()
    }

    /// Takes an answer.
    pub(super) fn told(&mut self, of: NodeName, answer: Answer) {
        if let Some(asking) = self.running.as_mut().and_then(|running| running.asking.as_mut()) {
            asking.answers.insert(of, answer);
        }
    }
}

impl Asking {
    fn new(unchecked: Unchecked, step: u64) -> Self {
        Self { unchecked, answers: BTreeMap::new(), began: step, asked: None, silent_since: BTreeMap::new() }
    }
}
