//! What peers know of a node, asked before it orders: a disk that is older than its promises would break them. A peer
//! answers from its ledger and its leader's record of the logs of others, also while it waits for answers itself, so that
//! a whole cluster can start at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use galen_chain::LedgerState;
use galen_consensus::LogEnd;
use galen_ledger::{Ledger, LedgerError};
use galen_p2p::{NetworkHandle, Refusal, Responder};
use galen_types::certificate::VoterSignature;
use galen_types::{Encoding, Hash, HeaderSignature, NodeName, PublicKey};
use tokio::sync::watch;
use tokio::time::Instant;
use wincode::{SchemaRead, SchemaWrite};

use super::fatal::Shutdown;
use super::kinds;
use super::limits;
use super::ordering::OrderingReport;
use super::part::Unchecked;
use super::registered::Registered;

/// Most bytes of a question or an answer: two names and a signature at most.
const BYTES_MAX: usize = 1 << 10;

/// Heights that are looked through at each end of the range in question.
const HEIGHTS_MAX: u64 = 512;

/// What a node asks about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
struct Question {
    /// Its number in ordering.
    raft_id: u64,
    /// Its ledger's tip when it began to ask.
    height: u64,
}

/// What a peer knows of it.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
struct Answer {
    /// A signature of the asker at a height above the asker's.
    signed: Option<Signed>,
    /// The last index of the ordering log that the asker acknowledged to the peer under that number, where the peer leads.
    matched: u64,
    /// Whether the peer leads.
    leads: bool,
    /// Whether the peer knows a leader.
    knows_leader: bool,
    /// The peer's certified height.
    certified_height: u64,
    /// The asker's number in ordering as the peer's chain has it, also one that was taken from it.
    number: u64,
    /// Where the peer's ordering log ends, by term and index, also one that it has just given up; none of a peer that has
    /// none.
    log_end: Option<(u64, u64)>,
}

/// A header's signature, and what it was given as.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(super) struct Signed {
    /// The hash of the voter set of its height.
    voter_set: Hash,
    /// The signature.
    signature: HeaderSignature,
}

/// What is asked and answered here, for fuzzing: examples by kind, and the value that bytes are, written again.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use galen_types::{DecodeError, Encoding, Hash, HeaderSignature, NodeName, SecretKey};

    use super::{Answer, BYTES_MAX, Question, Signed};

    pub(crate) fn examples(name: NodeName) -> [Vec<u8>; 2] {
        let signature =
            HeaderSignature::sign(&Hash::ZERO, &Hash::ZERO, 1, Hash::ZERO, name, &SecretKey::from_seed(&[1; 32]));
        let answer = Answer {
            signed: Some(Signed { voter_set: Hash::ZERO, signature }),
            matched: 2,
            leads: true,
            knows_leader: true,
            certified_height: 3,
            number: 4,
            log_end: Some((5, 6)),
        };
        [Question { raft_id: 1, height: 2 }.encode(), answer.encode()]
    }

    pub(crate) fn question(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Question::decode(bytes, BYTES_MAX).map(|value| value.encode())
    }

    pub(crate) fn answer(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Answer::decode(bytes, BYTES_MAX).map(|value| value.encode())
    }
}

/// Each voter's signature at the highest height at which one was seen since the start: the ledger keeps no more signatures
/// than a certificate needs.
#[derive(Debug, Default)]
pub(super) struct SeenSignatures(Mutex<HashMap<NodeName, Signed>>);

impl SeenSignatures {
    /// A signature was seen; where it is above what was known of the voter, `signed_as` verifies it and says as one of
    /// which voters it was given.
    pub(super) fn seen(&self, signature: &HeaderSignature, signed_as: impl FnOnce() -> Option<Hash>) {
        let known = self.of(&signature.voter).map_or(0, |signed| signed.signature.height);
        if signature.height > known
            && let Some(voter_set) = signed_as()
        {
            let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            newest.insert(signature.voter.clone(), Signed { voter_set, signature: signature.clone() });
        }
    }

    fn of(&self, voter: &NodeName) -> Option<Signed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(voter).cloned()
    }
}

/// What answers are made of.
pub(super) struct Knowledge {
    /// The chain's store.
    pub(super) ledger: Arc<Ledger>,
    /// Signatures seen since the start.
    pub(super) seen: Arc<SeenSignatures>,
    /// The ordering thread's account of itself.
    pub(super) ordering: watch::Receiver<OrderingReport>,
}

impl Knowledge {
    /// Answers a peer that asks about itself.
    pub(super) async fn answer(self: Arc<Self>, from: NodeName, bytes: bytes::Bytes, reply: Responder) {
        let Ok(question) = Question::decode(&bytes, BYTES_MAX) else {
            return reply.refuse(Refusal::new("malformed", "the request asks for nothing that is known here"));
        };
        let known = tokio::task::spawn_blocking(move || self.of(&from, &question)).await;
        match known {
            Ok(Ok(answer)) => reply.answer(answer.encode().into()),
            _ => reply.refuse(Refusal::new("unreadable", "the ledger cannot be read here now")),
        }
    }

    fn of(&self, asker: &NodeName, question: &Question) -> Result<Answer, LedgerError> {
        let report = self.ordering.borrow().clone();
        let mut signed = self.seen.of(asker).filter(|signed| signed.signature.height > question.height);
        if signed.is_none() {
            signed = self.stored(asker, question.height)?;
        }
        let state = LedgerState(self.ledger.view()?);
        // A state that cannot be read contradicts nobody here; it stops this node elsewhere.
        let record = galen_contracts::query::get_node(&state, asker).ok().flatten();
        // A node that leaves orders under the number that was taken from it, until it is not needed any more.
        let retired = galen_contracts::query::list_retired(&state).unwrap_or_default();
        let retired = retired.iter().find(|entry| entry.node == *asker).map(|entry| entry.raft_id);
        let number = retired.or_else(|| record.map(|record| record.raft_id));
        Ok(Answer {
            signed,
            matched: report.matched.get(&question.raft_id).copied().unwrap_or(0),
            leads: report.is_leader,
            knows_leader: report.knows_leader,
            certified_height: self.ledger.certified_height().min(state.0.height()),
            number: number.unwrap_or(question.raft_id),
            log_end: report.log_end.map(|end| (end.term, end.index)),
        })
    }

    /// A node's signature at a height above `above` that the ledger holds: looked for right above it, where a node that
    /// was set back signed on, and at the tip.
    fn stored(&self, node: &NodeName, above: u64) -> Result<Option<Signed>, LedgerError> {
        let view = self.ledger.view()?;
        let tip = view.height();
        let low = above.saturating_add(1)..=tip.min(above.saturating_add(HEIGHTS_MAX));
        let high = tip.saturating_sub(HEIGHTS_MAX).max(above.saturating_add(HEIGHTS_MAX)).saturating_add(1)..=tip;
        for height in low.chain(high) {
            let mut found = view.signatures(height)?.into_iter().find(|signature| signature.voter == *node);
            if found.is_none()
                && let Some(certificate) = view.certificate(height)?
            {
                let part = certificate.signatures.into_iter().find(|part| part.voter == *node);
                found = part.map(|VoterSignature { voter, signature }| HeaderSignature {
                    height,
                    header: certificate.header,
                    voter,
                    signature,
                });
            }
            if let (Some(signature), Some(header)) = (found, view.header(height)?) {
                return Ok(Some(Signed { voter_set: header.voter_set, signature }));
            }
        }
        Ok(None)
    }
}

/// How far a peer's chain is certified.
pub(super) async fn height_of(network: &NetworkHandle, peer: &NodeName) -> Option<u64> {
    let question = Question { raft_id: 0, height: u64::MAX }.encode();
    let answer = network.request(peer, kinds::KNOWLEDGE, question.into(), limits::KNOWLEDGE_DEADLINE).await.ok()?;
    Some(Answer::decode(&answer, BYTES_MAX).ok()?.certified_height)
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody knows more of this node than it does. It votes for nobody whose log ends before this.
    Sound(LogEnd),
    /// It promised what its disk does not hold.
    Stale(String),
    /// The node stops.
    Stopping,
}

/// Asks peers until enough have answered.
pub(super) struct Check {
    /// To peers.
    pub(super) network: NetworkHandle,
    /// Who votes.
    pub(super) registered: watch::Receiver<Arc<Registered>>,
    /// The chain.
    pub(super) genesis: Hash,
    /// This node.
    pub(super) node: NodeName,
    /// Its keys, former ones too.
    pub(super) keys: Vec<PublicKey>,
    /// How far it had come.
    pub(super) unchecked: Unchecked,
    /// Its operator stands for it that its disk was not set back.
    pub(super) trusts_disk: bool,
    /// Says what the check waits for.
    pub(super) waiting: watch::Sender<String>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

impl Check {
    /// Asks until so many voters have answered that any majority with this node in it has one of them in it too: `voters -
    /// majority + 1` others. Whatever this node promised and forgot, one of them holds. Where its operator stands for
    /// the disk, those that make a majority with it are enough. A leader that is known must be among them: it counts
    /// what this node acknowledged. A sole voter has nobody who could, and listens for a while to all who follow.
    pub(super) async fn run(&self) -> Verdict {
        let question = Question { raft_id: self.unchecked.raft_id, height: self.unchecked.height }.encode();
        let mut answers: BTreeMap<NodeName, Answer> = BTreeMap::new();
        let began = Instant::now();
        let mut enough_since: Option<Instant> = None;
        let mut told = Instant::now();
        loop {
            let registered = Arc::clone(&self.registered.borrow());
            self.ask(&registered, &question, &mut answers).await;
            if let Some(why) = judge(&answers, &self.unchecked, registered.voters.faults_tolerated(), |signed| {
                self.keys.iter().any(|key| signed.signature.verifies(&self.genesis, &signed.voter_set, key))
            }) {
                return Verdict::Stale(why);
            }
            let voters = registered.voters.voters.len();
            let needed = others_needed(voters, registered.votes(&self.node), self.trusts_disk);
            let mut ends: Vec<LogEnd> = answers
                .iter()
                .filter(|(node, _)| registered.votes(node))
                .filter_map(|(_, answer)| answer.log_end.map(|(term, index)| LogEnd { term, index }))
                .collect();
            let others = registered.nodes.keys().filter(|node| **node != self.node).count();
            let heard_all = answers.len() >= others || began.elapsed() >= limits::KNOWLEDGE_SOLE_PATIENCE;
            if ends.len() >= needed && (needed > 0 || heard_all) {
                let since = *enough_since.get_or_insert_with(Instant::now);
                let leader_known = answers.values().filter(|answer| answer.knows_leader).count();
                let leader_spoke = answers.values().any(|answer| answer.leads);
                // One that may be lying cannot keep this node waiting for ever.
                let waits = leader_known > registered.voters.faults_tolerated();
                let patient = leader_known > 0 && (waits || since.elapsed() < limits::KNOWLEDGE_LEADER_PATIENCE);
                if leader_spoke || !patient {
                    return Verdict::Sound(floor(&mut ends, needed, registered.voters.faults_tolerated()));
                }
                self.tell(
                    &mut told,
                    "the leader that others know has not said yet what it knows of this node".to_owned(),
                );
            } else {
                let logless: Vec<_> = answers
                    .iter()
                    .filter(|(node, answer)| registered.votes(node) && answer.log_end.is_none())
                    .map(|(node, _)| node.to_string())
                    .collect();
                let logless = match logless.as_slice() {
                    [] => String::new(),
                    nodes => format!("; without their ordering logs, and so without an answer: {}", nodes.join(", ")),
                };
                self.tell(
                    &mut told,
                    format!(
                        "{} of {needed} other voters have said what they know of this node ({} nodes connected{logless}): \
                         start them. If they do not come back, and if this node's disk was neither restored nor copied, \
                         start it with --trust-disk; if a majority of the {voters} voters is lost for good, recover",
                        ends.len(),
                        self.network.connected_count()
                    ),
                );
            }
            tokio::select! {
                () = self.shutdown.stopping() => return Verdict::Stopping,
                () = tokio::time::sleep(limits::KNOWLEDGE_PAUSE) => {}
            }
        }
    }

    /// Asks every connected node, those that follow too: they hold signatures. Answers take the place of former ones.
    async fn ask(&self, registered: &Registered, question: &[u8], answers: &mut BTreeMap<NodeName, Answer>) {
        let others = registered.nodes.keys().filter(|node| **node != self.node && self.network.is_connected(node));
        let mut asked: FuturesUnordered<_> = others
            .map(|node| {
                let question = bytes::Bytes::copy_from_slice(question);
                let asking = self.network.request(node, kinds::KNOWLEDGE, question, limits::KNOWLEDGE_DEADLINE);
                async move { (node.clone(), asking.await) }
            })
            .collect();
        while let Some((node, answer)) = asked.next().await {
            if let Some(answer) = answer.ok().and_then(|bytes| Answer::decode(&bytes, BYTES_MAX).ok()) {
                answers.insert(node, answer);
            }
        }
    }

    fn tell(&self, told: &mut Instant, waits: String) {
        if told.elapsed() >= limits::WAITING_LOGGED {
            *told = Instant::now();
            tracing::warn!(code = "order-check-waits", "before it orders, this node asks its peers: {waits}");
        }
        self.waiting.send_replace(waits);
    }
}

/// How many other voters must say where their logs end. Any majority with this node in it has `majority - 1` of the others
/// in it; of `voters - majority + 1` others at least one is among them. A node that orders and is not in the voter set
/// (any more) counts beside it: the ordering group may still name it.
fn others_needed(voters: usize, votes: bool, trusts_disk: bool) -> usize {
    let others = voters.saturating_sub(usize::from(votes));
    let group = others + 1;
    let majority = group / 2 + 1;
    if trusts_disk { majority - 1 } else { (group - majority + 1).min(others) }
}

/// Where the log of a candidate must end at least: as far as the furthest of those that had to be asked. Where more answered,
/// the highest words of as many as may lie are left out: one that claims a log without end would keep this node, and so all
/// that are started again, from ever voting. Those that remain are still enough, so what a majority committed with this
/// node's word lies in the log of one of them.
fn floor(ends: &mut [LogEnd], needed: usize, faults: usize) -> LogEnd {
    ends.sort_unstable_by(|left, right| right.cmp(left));
    let left_out = faults.min(ends.len().saturating_sub(needed.max(1)));
    ends.get(left_out).copied().unwrap_or_default()
}

/// Why this node's disk is older than its promises, if answers show it: by a signature of its own that it has not, or by
/// the word of more peers than may lie.
fn judge(
    answers: &BTreeMap<NodeName, Answer>,
    unchecked: &Unchecked,
    faults: usize,
    verifies: impl Fn(&Signed) -> bool,
) -> Option<String> {
    for (peer, answer) in answers {
        if let Some(signed) = &answer.signed
            && signed.signature.height > unchecked.height
            && verifies(signed)
        {
            return Some(format!(
                "{peer} holds this node's signature at height {}, its ledger ended at {}",
                signed.signature.height, unchecked.height
            ));
        }
    }
    let renumbered: Vec<_> = answers
        .iter()
        .filter(|(_, answer)| answer.certified_height > unchecked.height && answer.number != unchecked.raft_id)
        .collect();
    if let Some((peer, answer)) = renumbered.first().filter(|_| renumbered.len() > faults) {
        return Some(format!(
            "at height {} of {peer} this node has the number {} in ordering, its disk is from before",
            answer.certified_height, answer.number
        ));
    }
    // Only the leader counts acknowledgements. That it leads, others must know too.
    let (peer, answer) = answers.iter().find(|(_, answer)| answer.leads && answer.matched > unchecked.last_index)?;
    let led = answers.values().filter(|answer| answer.knows_leader || answer.leads).count();
    (led > faults).then(|| {
        format!(
            "{peer} has this node's word for entry {} of the ordering log, which ended at {}",
            answer.matched, unchecked.last_index
        )
    })
}

#[cfg(test)]
mod tests {
    use galen_types::SecretKey;

    use super::*;

    const OWN: Unchecked = Unchecked { raft_id: 2, height: 10, last_index: 20 };
    const GENESIS: Hash = Hash([7; 32]);

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn quiet() -> Answer {
        Answer {
            signed: None,
            matched: 0,
            leads: false,
            knows_leader: false,
            certified_height: 10,
            number: 2,
            log_end: Some((1, 20)),
        }
    }

    fn judged(answers: &[(&str, Answer)], faults: usize) -> Option<String> {
        let key = SecretKey::from_seed(&[1; 32]).public_key();
        let answers = answers.iter().map(|(name, answer)| (node(name), answer.clone())).collect();
        judge(&answers, &OWN, faults, |signed| signed.signature.verifies(&GENESIS, &signed.voter_set, &key))
    }

    fn signed(height: u64, seed: u8) -> Option<Signed> {
        let key = SecretKey::from_seed(&[seed; 32]);
        let set = Hash([3; 32]);
        let signature = HeaderSignature::sign(&GENESIS, &set, height, Hash([4; 32]), node("node-1.harlem"), &key);
        Some(Signed { voter_set: set, signature })
    }

    #[test]
    fn any_majority_with_this_node_has_one_of_those_that_were_asked_in_it() {
        for voters in 1..=9_usize {
            let (majority, asked) = (voters / 2 + 1, others_needed(voters, true, false));
            assert!(asked < voters, "it can be had with all others there");
            // Of the others a majority leaves out this many; that many and one more cannot all be left out.
            assert_eq!(asked, if voters == 1 { 0 } else { voters - majority + 1 }, "{voters} voters");
            assert_eq!(others_needed(voters, true, true), majority - 1);
        }
        assert_eq!([2, 3, 4, 5].map(|voters| others_needed(voters, true, false)), [1, 2, 2, 3]);
        assert_eq!(others_needed(3, false, false), 2, "one that leaves was the fourth");
    }

    #[test]
    fn a_log_without_end_that_one_claims_keeps_nobody_from_voting() {
        let end = |term, index| LogEnd { term, index };
        let liar = end(u64::MAX, u64::MAX);
        let of = |ends: &[LogEnd], needed, faults| floor(&mut ends.to_vec(), needed, faults);
        assert_eq!(of(&[end(3, 9), liar, end(3, 10)], 2, 1), end(3, 10), "four voters, all answered");
        assert_eq!(of(&[end(3, 9), end(3, 10)], 2, 1), end(3, 10), "no more than had to");
        assert_eq!(of(&[liar, end(3, 9)], 2, 1), liar, "until more answer");
        assert_eq!(of(&[end(2, 9), end(3, 1)], 2, 0), end(3, 1), "three voters: nobody lies");
        let seven = [end(3, 9), liar, liar, end(3, 8), end(3, 10), end(3, 7)];
        assert_eq!(of(&seven, 4, 2), end(3, 10));
        assert_eq!(of(&[], 0, 0), LogEnd::default());
        // Of any five voters' logs where three hold what was committed, also without the highest: one of those is left.
        for holders in [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]] {
            let mut ends = vec![end(1, 5); 4];
            holders.iter().for_each(|place| ends[*place] = end(1, 6));
            assert_eq!(of(&ends, others_needed(5, true, false), 1), end(1, 6), "{holders:?}");
        }
    }

    #[test]
    fn a_signature_of_its_own_convicts_and_a_forged_one_does_not() {
        let holds = |height, seed| Answer { signed: signed(height, seed), ..quiet() };
        assert!(judged(&[("node-1.kentucky", holds(11, 1))], 1).unwrap().contains("height 11"));
        assert_eq!(judged(&[("node-1.kentucky", holds(10, 1))], 1), None, "it has that one itself");
        assert_eq!(judged(&[("node-1.kentucky", holds(11, 9))], 0), None, "another key");
    }

    #[test]
    fn what_nobody_can_prove_needs_more_peers_than_may_lie() {
        let renumbered = Answer { certified_height: 11, number: 5, ..quiet() };
        let one = [("node-1.kentucky", renumbered.clone()), ("node-1.hennepin", quiet())];
        assert_eq!(judged(&one, 1), None);
        assert!(judged(&one, 0).is_some());
        let two = [("node-1.kentucky", renumbered.clone()), ("node-1.hennepin", renumbered)];
        assert!(judged(&two, 1).unwrap().contains("number 5"));
    }

    #[test]
    fn the_leaders_count_is_believed_where_others_know_that_it_leads() {
        let leader = Answer { leads: true, knows_leader: true, matched: 21, ..quiet() };
        let follower = Answer { knows_leader: true, ..quiet() };
        let led = [("node-1.kentucky", leader.clone()), ("node-1.hennepin", follower)];
        assert!(judged(&led, 1).unwrap().contains("entry 21"));
        // In a cluster that starts nobody leads yet, whatever one says.
        assert_eq!(judged(&[("node-1.kentucky", leader.clone()), ("node-1.hennepin", quiet())], 1), None);
        assert_eq!(judged(&[("node-1.kentucky", Answer { matched: 20, ..leader })], 0), None);
    }
}
