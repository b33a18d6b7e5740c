//! What peers know of a node, asked before it orders: a disk that is older than its promises would break them. A peer
//! answers from its ledger and its leader's record of the logs of others, also while it waits for answers itself, so that
//! a whole cluster can start at once.
//!
//! Who is asked, how often and over what is the embedder's; what is answered, and what answers mean, is here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use galen_consensus::{LogEnd, RaftId, VoteFloor};
use galen_ledger::{Ledger, LedgerError};
use galen_types::certificate::{VoterSet, VoterSignature};
use galen_types::{Hash, HeaderSignature, NodeName, PublicKey};
use wincode::{SchemaRead, SchemaWrite};

use crate::executor::LedgerState;

/// Most bytes of a question or an answer: two names and a signature at most.
pub const KNOWLEDGE_BYTES_MAX: usize = 1 << 10;

/// Heights that are looked through at each end of the range in question.
const HEIGHTS_MAX: u64 = 512;

/// What a node asks about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Question {
    /// Its number in ordering.
    pub raft_id: u64,
    /// Its ledger's tip when it began to ask.
    pub height: u64,
}

/// What a peer knows of it.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Answer {
    /// A signature of the asker at a height above the asker's.
    pub signed: Option<Signed>,
    /// The last index of the ordering log that the asker acknowledged to the peer under that number, where the peer leads.
    pub matched: u64,
    /// Whether the peer leads.
    pub leads: bool,
    /// The leader that the peer hears, itself where it leads.
    pub leader: Option<NodeName>,
    /// The peer's certified height.
    pub certified_height: u64,
    /// The asker's number in ordering as the peer's chain has it, also one that was taken from it.
    pub number: u64,
    /// Where the peer's ordering log ends, by term and index, also one that it has just given up; none of a peer that has
    /// none.
    pub log_end: Option<(u64, u64)>,
    /// The peer's term; 0 of a peer that does not order.
    pub term: u64,
}

/// A header's signature, and what it was given as.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Signed {
    /// The hash of the voter set of its height.
    pub voter_set: Hash,
    /// The signature.
    pub signature: HeaderSignature,
}

/// How far a node had come when it began to ask what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unchecked {
    /// Its number in ordering.
    pub raft_id: u64,
    /// The ledger's tip.
    pub height: u64,
    /// The ordering log's last index.
    pub last_index: u64,
}

impl Unchecked {
    /// Of a node that was found sound and asks again how far others are: nothing that it promised since is held against it.
    pub fn sound(raft_id: u64) -> Self {
        Self { raft_id, height: u64::MAX, last_index: u64::MAX }
    }

    /// What it asks.
    pub fn question(&self) -> Question {
        Question { raft_id: self.raft_id, height: self.height }
    }
}

/// What a peer's orderer says of itself and of the asker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderingAccount {
    /// As leader: up to where the asker's number acknowledged the log.
    pub matched: u64,
    /// Whether it leads.
    pub leads: bool,
    /// The leader that it hears, itself where it leads.
    pub leader: Option<NodeName>,
    /// Where its log ends; none of a node that does not order.
    pub log_end: Option<LogEnd>,
    /// Its term; 0 of a node that does not order.
    pub term: u64,
}

impl OrderingAccount {
    /// Of a running orderer, about a number.
    pub fn of(orderer: &crate::Orderer, raft_id: RaftId) -> Self {
        let status = orderer.status();
        Self {
            matched: orderer.knowledge(raft_id).unwrap_or(0),
            leads: status.role == galen_consensus::Role::Leader,
            leader: orderer.heard_leader().cloned(),
            log_end: Some(orderer.log_end()),
            term: status.term,
        }
    }
}

/// Each voter's signature at the highest height at which one was seen since the start: the ledger keeps no more signatures
/// than a certificate needs.
#[derive(Debug, Default)]
pub struct SeenSignatures(Mutex<HashMap<NodeName, Signed>>);

impl SeenSignatures {
    /// A signature was seen; where it is above what was known of the voter, `signed_as` verifies it and says as one of
    /// which voters it was given.
    pub fn seen(&self, signature: &HeaderSignature, signed_as: impl FnOnce() -> Option<Hash>) {
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

impl Answer {
    /// What is known of `asker` here.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn about(
        asker: &NodeName,
        question: &Question,
        ledger: &Ledger,
        seen: &SeenSignatures,
        ordering: OrderingAccount,
    ) -> Result<Self, LedgerError> {
        let mut signed = seen.of(asker).filter(|signed| signed.signature.height > question.height);
        if signed.is_none() {
            signed = stored(ledger, asker, question.height)?;
        }
        let state = LedgerState(ledger.view()?);
        // A state that cannot be read contradicts nobody here; it stops this node elsewhere.
        let record = galen_contracts::query::get_node(&state, asker).ok().flatten();
        // A node that leaves orders under the number that was taken from it, until it is not needed any more.
        let retired = galen_contracts::query::list_retired(&state).unwrap_or_default();
        let retired = retired.iter().find(|entry| entry.node == *asker).map(|entry| entry.raft_id);
        let number = retired.or_else(|| record.map(|record| record.raft_id));
        Ok(Self {
            signed,
            matched: ordering.matched,
            leads: ordering.leads,
            leader: ordering.leader,
            certified_height: ledger.certified_height().min(state.0.height()),
            number: number.unwrap_or(question.raft_id),
            log_end: ordering.log_end.map(|end| (end.term, end.index)),
            term: ordering.term,
        })
    }
}

/// A node's signature at a height above `above` that the ledger holds: looked for right above it, where a node that
/// was set back signed on, and at the tip.
fn stored(ledger: &Ledger, node: &NodeName, above: u64) -> Result<Option<Signed>, LedgerError> {
    let view = ledger.view()?;
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

/// What answers come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// The node promised what its disk does not hold: it must not order under its number any more.
    Stale(String),
    /// Too few voters have answered.
    TooFew {
        /// So many have.
        have: usize,
        /// So many must.
        needed: usize,
    },
    /// Enough have answered, but what the leader knows is not certain yet.
    LeaderSilent {
        /// What is missing.
        why: LeaderSilence,
        /// More voters say that there is a leader than may lie: it must be waited for, however long.
        certain: bool,
        /// As far as these know.
        floor: VoteFloor,
    },
    /// Nobody knows more of this node than it does. It votes for nobody below the floor.
    Sound(VoteFloor),
}

/// Why a leader's word is waited for. One node that lies can cause either, so each has its own patience: time spent with one
/// is not taken from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaderSilence {
    /// Some know a leader that has not answered.
    Unheard,
    /// One that says that it leads has this node's word for more than its disk holds, and too few voters say that it leads.
    Unconfirmed,
}

/// A node that asks, and what its answers are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'own> {
    /// The node.
    pub node: &'own NodeName,
    /// How far it had come.
    pub unchecked: &'own Unchecked,
    /// Who votes, as the chain has it.
    pub voters: &'own VoterSet,
    /// Who votes in ordering by this node's own log, which follows the chain a moment later, as far as they can be asked:
    /// [`Orderer::configurations`](crate::Orderer::configurations) without those that the chain has removed. Passed over
    /// where the operator stands for the disk.
    pub configurations: &'own [BTreeSet<NodeName>],
    /// The node's keys, former ones too.
    pub keys: &'own [PublicKey],
    /// The chain.
    pub genesis: &'own Hash,
    /// Its operator stands for its disk: those that make a majority with it are enough.
    pub trusts_disk: bool,
    /// It has listened long enough to all who follow: what a sole voter does, which has nobody else to ask.
    pub heard_all: bool,
}

/// Judges what peers answered a node that is to order. Any majority with this node in it has one of `voters - majority + 1`
/// others in it; whatever the node promised and forgot, one of them holds. A leader that is known must be among them: it
/// counts what this node acknowledged.
pub fn assess(asker: &Asker<'_>, answers: &BTreeMap<NodeName, Answer>) -> Assessment {
    let Asker { node, unchecked, voters, configurations, keys, genesis, trusts_disk, heard_all } = *asker;
    let faults = voters.faults_tolerated();
    let verifies = |signed: &Signed| keys.iter().any(|key| signed.signature.verifies(genesis, &signed.voter_set, key));
    let of_chain: BTreeSet<NodeName> = voters.voters.iter().map(|voter| voter.node.clone()).collect();
    // So many as may lie are counted among voters. Whoever follows brings signatures, which prove themselves, but its word
    // counts for nothing else: one hospital may run many such nodes.
    let votes = |name: &NodeName| of_chain.contains(name) || configurations.iter().any(|names| names.contains(name));
    let why = judge(answers, unchecked, faults, votes, verifies);
    #[cfg(feature = "planted")]
    let why = why.filter(|_| !galen_planted::is_on(galen_planted::Bug::StaleVerdictIgnored));
    if let Some(why) = why {
        return Assessment::Stale(why);
    }
    let mut floor = VoteFloor::default();
    // What was committed stands in a majority of each: of those whom the chain names, and of those by whom ordering still
    // goes while a change of voters is on its way.
    let of_log = configurations.iter().filter(|_| !trusts_disk);
    for group in std::iter::once(&of_chain).chain(of_log) {
        let needed = others_needed(group.len(), group.contains(node), trusts_disk);
        let of_group = answers.iter().filter(|(name, _)| group.contains(*name)).map(|(_, answer)| answer);
        let (mut ends, mut terms): (Vec<LogEnd>, Vec<u64>) = of_group
            .filter_map(|answer| answer.log_end.map(|(term, index)| (LogEnd { term, index }, answer.term)))
            .unzip();
        if ends.len() < needed || (needed == 0 && !heard_all) {
            return Assessment::TooFew { have: ends.len(), needed };
        }
        floor.log_end = floor.log_end.max(furthest(&mut ends, needed, faults));
        floor.term = floor.term.max(furthest(&mut terms, needed, faults));
    }
    let knows_leader = |(name, answer): &(&NodeName, &Answer)| answer.leader.is_some() && votes(name);
    let leader_known = answers.iter().filter(knows_leader).count();
    if leader_known > 0 && !answers.values().any(|answer| answer.leads) {
        return Assessment::LeaderSilent { why: LeaderSilence::Unheard, certain: leader_known > faults, floor };
    }
    // The leader's word, unless it lies: the others hear it too before long, or it does not lead for long.
    if answers.values().any(|answer| has_more(answer, unchecked)) {
        return Assessment::LeaderSilent { why: LeaderSilence::Unconfirmed, certain: false, floor };
    }
    Assessment::Sound(floor)
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

/// What a candidate must have come to at least, by its log's end or its term: as far as the furthest of those that had to be
/// asked. Where more answered, the highest words of as many as may lie are left out: one that claims a log without end would
/// keep this node, and so all that are started again, from ever voting. Those that remain are still enough, so what a
/// majority committed with this node's word lies in the log of one of them.
fn furthest<T: Ord + Copy + Default>(words: &mut [T], needed: usize, faults: usize) -> T {
    words.sort_unstable_by(|left, right| right.cmp(left));
    let left_out = faults.min(words.len().saturating_sub(needed.max(1)));
    words.get(left_out).copied().unwrap_or_default()
}

/// Whether a peer says that it leads and has this node's word for more than its disk holds.
fn has_more(answer: &Answer, unchecked: &Unchecked) -> bool {
    answer.leads && answer.matched > unchecked.last_index
}

/// Why this node's disk is older than its promises, if answers show it: by a signature of its own that it has not, or by
/// the word of more voters than may lie.
fn judge(
    answers: &BTreeMap<NodeName, Answer>,
    unchecked: &Unchecked,
    faults: usize,
    votes: impl Fn(&NodeName) -> bool,
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
        .filter(|(peer, answer)| {
            answer.certified_height > unchecked.height && answer.number != unchecked.raft_id && votes(peer)
        })
        .collect();
    if let Some((peer, answer)) = renumbered.first().filter(|_| renumbered.len() > faults) {
        return Some(format!(
            "at height {} of {peer} this node has the number {} in ordering, its disk is from before",
            answer.certified_height, answer.number
        ));
    }
    // Only the leader counts acknowledgements. That it is the one who leads, other voters must say too.
    let hear = |leader: &NodeName| {
        answers.iter().filter(|(peer, answer)| answer.leader.as_ref() == Some(leader) && votes(peer)).count()
    };
    let counts = |(peer, answer): &(&NodeName, &Answer)| has_more(answer, unchecked) && hear(peer) > faults;
    answers.iter().find(counts).map(|(peer, answer)| {
        format!(
            "{peer} has this node's word for entry {} of the ordering log, which ended at {}",
            answer.matched, unchecked.last_index
        )
    })
}

#[cfg(test)]
mod tests {
    use galen_types::SecretKey;
    use galen_types::certificate::Voter;

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
            leader: None,
            certified_height: 10,
            number: 2,
            log_end: Some((1, 20)),
            term: 1,
        }
    }

    fn voter_set(names: &[&str]) -> VoterSet {
        let voters = names.iter().map(|name| Voter {
            node: node(name),
            key: SecretKey::from_seed(&Hash::of(galen_types::hash::Context::Commitment, name.as_bytes()).0)
                .public_key(),
        });
        VoterSet { epoch: 0, lineage: Hash::ZERO, voters: voters.collect() }
    }

    fn judged(answers: &[(&str, Answer)], faults: usize) -> Option<String> {
        let key = SecretKey::from_seed(&[1; 32]).public_key();
        let answers = answers.iter().map(|(name, answer)| (node(name), answer.clone())).collect();
        judge(
            &answers,
            &OWN,
            faults,
            |name| !name.to_string().starts_with("observer"),
            |signed| signed.signature.verifies(&GENESIS, &signed.voter_set, &key),
        )
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
        let of = |ends: &[LogEnd], needed, faults| furthest(&mut ends.to_vec(), needed, faults);
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
        let with_observer = [two[0].clone(), ("observer-1.kentucky", two[1].1.clone())];
        assert_eq!(judged(&with_observer, 1), None, "a voter and an observer of one member are no more than it alone");
    }

    #[test]
    fn a_node_that_was_sound_is_not_held_to_what_it_promised_since() {
        let key = SecretKey::from_seed(&[1; 32]).public_key();
        let led = Answer { leads: true, leader: Some(node("node-1.kentucky")), matched: 9_000, ..quiet() };
        let later = Answer { signed: signed(5_000, 1), certified_height: 5_000, number: 5, ..led };
        let answers = [("node-1.kentucky", later.clone()), ("node-1.hennepin", later)];
        let answers = answers.map(|(name, answer)| (node(name), answer)).into();
        let judged = |own: &Unchecked| {
            judge(&answers, own, 1, |_| true, |signed| signed.signature.verifies(&GENESIS, &signed.voter_set, &key))
        };
        assert!(judged(&OWN).is_some());
        assert_eq!(judged(&Unchecked::sound(2)), None);
    }

    #[test]
    fn the_leaders_count_is_believed_where_others_know_that_it_leads() {
        let hears = |name: &str| Some(node(name));
        let leader = Answer { leads: true, leader: hears("node-1.kentucky"), matched: 21, ..quiet() };
        let follower = Answer { leader: hears("node-1.kentucky"), ..quiet() };
        let led = [("node-1.kentucky", leader.clone()), ("node-1.hennepin", follower.clone())];
        assert!(judged(&led, 1).unwrap().contains("entry 21"));
        // In a cluster that starts nobody leads yet, whatever one says.
        assert_eq!(judged(&[("node-1.kentucky", leader.clone()), ("node-1.hennepin", quiet())], 1), None);
        assert_eq!(judged(&[("node-1.kentucky", Answer { matched: 20, ..leader.clone() })], 0), None);
        // Nor may one say so beside the leader that there is.
        let liar = Answer { leads: true, leader: hears("node-1.mississippi"), matched: 1_000, ..quiet() };
        let true_leader = Answer { leads: true, leader: hears("node-1.kentucky"), ..quiet() };
        let beside = [("node-1.kentucky", true_leader), ("node-1.hennepin", follower), ("node-1.mississippi", liar)];
        assert_eq!(judged(&beside, 1), None);
        // An observer's word is not one more.
        let beside = [("node-1.kentucky", leader), ("observer-1.kentucky", beside[1].1.clone())];
        assert_eq!(judged(&beside, 1), None);
    }

    #[test]
    fn a_leaders_count_that_nobody_confirms_yet_is_waited_for() {
        let set = voter_set(&["node-1.harlem", "node-1.hennepin", "node-1.kentucky", "node-1.mississippi"]);
        let asker = Asker {
            node: &node("node-1.harlem"),
            unchecked: &OWN,
            voters: &set,
            configurations: &[],
            keys: &[],
            genesis: &GENESIS,
            trusts_disk: false,
            heard_all: true,
        };
        let says = |matched| Answer { leads: true, leader: Some(node("node-1.kentucky")), matched, ..quiet() };
        let of = |leader: Answer, other: Answer| {
            let answers = [("node-1.kentucky", leader), ("node-1.hennepin", other)];
            assess(&asker, &answers.map(|(name, answer)| (node(name), answer)).into())
        };
        let floor = VoteFloor { log_end: LogEnd { term: 1, index: 20 }, term: 1 };
        assert_eq!(of(says(20), quiet()), Assessment::Sound(floor));
        let unconfirmed = Assessment::LeaderSilent { why: LeaderSilence::Unconfirmed, certain: false, floor };
        assert_eq!(of(says(21), quiet()), unconfirmed);
        let hears = Answer { leader: Some(node("node-1.kentucky")), ..quiet() };
        assert!(matches!(of(says(21), hears.clone()), Assessment::Stale(_)));
        let unheard = |certain| Assessment::LeaderSilent { why: LeaderSilence::Unheard, certain, floor };
        assert_eq!(of(hears.clone(), quiet()), unheard(false));
        assert_eq!(of(hears.clone(), hears.clone()), unheard(true));
        // Those that follow may say what they like.
        let mut answers = [("node-1.kentucky", quiet()), ("node-1.hennepin", quiet())].to_vec();
        answers.extend([("observer-1.kentucky", hears.clone()), ("observer-2.kentucky", hears)]);
        let answers = answers.into_iter().map(|(name, answer)| (node(name), answer)).collect();
        assert_eq!(assess(&asker, &answers), Assessment::Sound(floor));
    }

    #[test]
    fn while_voters_change_a_majority_of_either_half_is_asked() {
        let set = voter_set(&["node-1.harlem", "node-1.hennepin", "node-1.kentucky", "node-1.mississippi"]);
        let names = ["node-1.harlem", "node-1.hennepin", "node-1.kentucky", "node-1.mississippi", "node-1.indiana"];
        let before: BTreeSet<NodeName> = names.map(node).into();
        let longer = Answer { log_end: Some((1, 21)), ..quiet() };
        let of = |configurations: &[BTreeSet<NodeName>], answers: &[(&str, Answer)]| {
            let asker = Asker {
                node: &node("node-1.harlem"),
                unchecked: &OWN,
                voters: &set,
                configurations,
                keys: &[],
                genesis: &GENESIS,
                trusts_disk: false,
                heard_all: true,
            };
            assess(&asker, &answers.iter().map(|(name, answer)| (node(name), answer.clone())).collect())
        };
        let two = [("node-1.hennepin", quiet()), ("node-1.kentucky", quiet())];
        let floor = |index| VoteFloor { log_end: LogEnd { term: 1, index }, term: 1 };
        assert_eq!(of(&[], &two), Assessment::Sound(floor(20)), "two of four may be left out by no majority");
        let both = std::slice::from_ref(&before);
        assert_eq!(of(both, &two), Assessment::TooFew { have: 2, needed: 3 }, "ordering still goes by five");
        let three = [two.to_vec(), vec![("node-1.indiana", longer)]].concat();
        assert_eq!(of(both, &three), Assessment::Sound(floor(21)), "the one that goes knows more");
    }
}
