//! Before a node orders, it asks its peers what they know of it ([`galen_chain::knowledge`]); and it answers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use galen_chain::knowledge::{
    Answer, Asker, Assessment, KNOWLEDGE_BYTES_MAX, LeaderSilence, OrderingAccount, Question, SeenSignatures,
    Unchecked, assess,
};
use galen_consensus::VoteFloor;
use galen_ledger::{Ledger, LedgerError};
use galen_p2p::{NetworkHandle, Refusal, Responder};
use galen_types::{Encoding, Hash, NodeName, PublicKey};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fatal::Shutdown;
use super::kinds;
use super::limits;
use super::ordering::OrderingReport;
use super::registered::Registered;

/// What is asked and answered here, for fuzzing: examples by kind, and the value that bytes are, written again.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use galen_types::{DecodeError, Encoding, Hash, HeaderSignature, NodeName, SecretKey};

    use galen_chain::knowledge::{Answer, KNOWLEDGE_BYTES_MAX, Question, Signed};

    pub(crate) fn examples(name: NodeName) -> [Vec<u8>; 2] {
        let key = SecretKey::from_seed(&[1; 32]);
        let signature = HeaderSignature::sign(&Hash::ZERO, &Hash::ZERO, 1, Hash::ZERO, name.clone(), &key);
        let answer = Answer {
            signed: Some(Signed { voter_set: Hash::ZERO, signature }),
            matched: 2,
            leads: true,
            leader: Some(name),
            certified_height: 3,
            number: 4,
            log_end: Some((5, 6)),
            term: 7,
        };
        [Question { raft_id: 1, height: 2 }.encode(), answer.encode()]
    }

    pub(crate) fn question(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Question::decode(bytes, KNOWLEDGE_BYTES_MAX).map(|value| value.encode())
    }

    pub(crate) fn answer(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Answer::decode(bytes, KNOWLEDGE_BYTES_MAX).map(|value| value.encode())
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
        let Ok(question) = Question::decode(&bytes, KNOWLEDGE_BYTES_MAX) else {
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
        let account = OrderingAccount {
            matched: report.matched.get(&question.raft_id).copied().unwrap_or(0),
            leads: report.is_leader,
            leader: report.leader,
            log_end: report.log_end,
            term: report.term,
        };
        Answer::about(asker, question, &self.ledger, &self.seen, account)
    }
}

/// How far a peer's chain is certified.
pub(super) async fn height_of(network: &NetworkHandle, peer: &NodeName) -> Option<u64> {
    let question = Question { raft_id: 0, height: u64::MAX }.encode();
    let answer = network.request(peer, kinds::KNOWLEDGE, question.into(), limits::KNOWLEDGE_DEADLINE).await.ok()?;
    Some(Answer::decode(&answer, KNOWLEDGE_BYTES_MAX).ok()?.certified_height)
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody knows more of this node than it does. It votes for nobody below this.
    Sound(VoteFloor),
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
    /// This node's own ordering.
    pub(super) report: watch::Receiver<OrderingReport>,
    /// Says what the check waits for.
    pub(super) waiting: watch::Sender<String>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

impl Check {
    /// Asks until [`assess`] says that enough have answered.
    pub(super) async fn run(&self) -> Verdict {
        let question = self.unchecked.question().encode();
        let mut answers: BTreeMap<NodeName, Answer> = BTreeMap::new();
        let began = Instant::now();
        let mut silent_since: BTreeMap<LeaderSilence, Instant> = BTreeMap::new();
        let mut told = Instant::now();
        loop {
            let registered = Arc::clone(&self.registered.borrow());
            self.ask(&registered, &question, &mut answers).await;
            let others = registered.nodes.keys().filter(|node| **node != self.node).count();
            let heard_all = answers.len() >= others || began.elapsed() >= limits::KNOWLEDGE_SOLE_PATIENCE;
            let voters = &registered.voters;
            let mut configurations = self.report.borrow().configurations.clone();
            for names in &mut configurations {
                names.retain(|name| registered.nodes.contains_key(name));
            }
            configurations.retain(|names| !names.is_empty());
            let asker = Asker {
                node: &self.node,
                unchecked: &self.unchecked,
                voters,
                configurations: &configurations,
                keys: &self.keys,
                genesis: &self.genesis,
                trusts_disk: self.trusts_disk,
                heard_all,
            };
            match assess(&asker, &answers) {
                Assessment::Stale(why) => return Verdict::Stale(why),
                Assessment::Sound(floor) => return Verdict::Sound(floor),
                Assessment::LeaderSilent { why, certain, floor } => {
                    let since = silent_since.entry(why).or_insert_with(Instant::now);
                    // One that may be lying cannot keep this node waiting for ever.
                    if !certain && since.elapsed() >= limits::KNOWLEDGE_LEADER_PATIENCE {
                        return Verdict::Sound(floor);
                    }
                    self.tell(
                        &mut told,
                        "the leader that others know has not said yet what it knows of this node".to_owned(),
                    );
                }
                Assessment::TooFew { have, needed } => {
                    silent_since.clear();
                    let logless: Vec<_> = answers
                        .iter()
                        .filter(|(node, answer)| registered.votes(node) && answer.log_end.is_none())
                        .map(|(node, _)| node.to_string())
                        .collect();
                    let logless = match logless.as_slice() {
                        [] => String::new(),
                        nodes => {
                            format!("; without their ordering logs, and so without an answer: {}", nodes.join(", "))
                        }
                    };
                    self.tell(
                        &mut told,
                        format!(
                            "{have} of {needed} other voters have said what they know of this node ({} nodes \
                             connected{logless}): start them. If they do not come back, and if this node's disk was \
                             neither restored nor copied, start it with --trust-disk; if a majority of the {} voters is \
                             lost for good, recover",
                            self.network.connected_count(),
                            voters.voters.len()
                        ),
                    );
                }
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
            if let Some(answer) = answer.ok().and_then(|bytes| Answer::decode(&bytes, KNOWLEDGE_BYTES_MAX).ok()) {
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
