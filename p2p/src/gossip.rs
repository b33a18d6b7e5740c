//! Gossip: committed blocks, header signatures and announcements, best effort. What matters is pulled by height when
//! gossip misses it; nothing that must arrive is sent this way.
//!
//! Gossipsub with signed messages (strict), validated by the embedder before they are passed on, ids made from
//! contents, topics scoped by the genesis, own messages sent to every peer. No peer scoring: in a small consortium it
//! ends with honest members shutting each other out.

use std::fmt;

use galen_types::Hash;
use libp2p::PeerId;
use libp2p::gossipsub::{
    self, ConfigBuilder, IdentTopic, Message, MessageAcceptance, MessageAuthenticity, MessageId, TopicHash,
    ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use tokio::sync::mpsc;

use crate::limits::{
    GOSSIP_BLOCK_BYTES_MAX, GOSSIP_DUPLICATE_MEMORY, GOSSIP_ENVELOPE_BYTES, GOSSIP_FORWARD_QUEUE_TIME,
    GOSSIP_HEARTBEAT, GOSSIP_MESH, GOSSIP_PRUNE_PAUSE, GOSSIP_PUBLISH_QUEUE_TIME, GOSSIP_QUEUE_PER_PEER,
    GOSSIP_SMALL_BYTES_MAX,
};
use crate::protocol::Protocols;

/// What gossip is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Committed blocks. Every voter may publish the same one; it is delivered once.
    Blocks,
    /// Signatures of headers.
    Signatures,
    /// Small news: heights, jobs.
    Announcements,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 3] = [Self::Blocks, Self::Signatures, Self::Announcements];

    /// The topic's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Signatures => "signatures",
            Self::Announcements => "announcements",
        }
    }

    /// The largest message, bytes.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Blocks => GOSSIP_BLOCK_BYTES_MAX,
            Self::Signatures | Self::Announcements => GOSSIP_SMALL_BYTES_MAX,
        }
    }
}

/// What the embedder thinks of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Reject,
    Ignore,
}

/// A verdict on its way to the network task.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) message: MessageId,
    pub(crate) from: PeerId,
    pub(crate) acceptance: MessageAcceptance,
}

/// Says whether a message is passed on. Dropped without a word, it says ignore.
pub struct GossipValidation {
    message: MessageId,
    from: PeerId,
    verdict: Verdict,
    verdicts: mpsc::Sender<Judged>,
}

impl fmt::Debug for GossipValidation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GossipValidation").field("message", &self.message).finish_non_exhaustive()
    }
}

impl GossipValidation {
    pub(crate) fn new(message: MessageId, from: PeerId, verdicts: mpsc::Sender<Judged>) -> Self {
        Self { message, from, verdict: Verdict::Ignore, verdicts }
    }

    /// Right: pass it on.
    pub fn accept(mut self) {
        self.verdict = Verdict::Accept;
    }

    /// Wrong, and the peer that passed it on should have known: do not pass it on.
    pub fn reject(mut self) {
        self.verdict = Verdict::Reject;
    }

    /// Neither right nor wrong here (old, already known): do not pass it on.
    pub fn ignore(self) {}
}

impl Drop for GossipValidation {
    fn drop(&mut self) {
        let acceptance = match self.verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        // A verdict that finds no place is lost: the message is then not passed on, and leaves gossip's memory by age.
        let _ = self.verdicts.try_send(Judged { message: self.message.clone(), from: self.from, acceptance });
    }
}

/// Gossipsub that takes subscriptions to this chain's topics only.
pub(crate) type Behaviour = gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

/// The topics of one chain and their hashes.
#[derive(Clone)]
pub(crate) struct Topics([(Topic, IdentTopic, TopicHash); 3]);

impl Topics {
    pub(crate) fn new(protocols: &Protocols) -> Self {
        Self(Topic::ALL.map(|topic| {
            let ident = IdentTopic::new(format!("{}/{}/1", protocols.scope, topic.name()));
            let hash = ident.hash();
            (topic, ident, hash)
        }))
    }

    pub(crate) fn hash(&self, topic: Topic) -> Option<TopicHash> {
        self.0.iter().find(|(candidate, ..)| *candidate == topic).map(|(_, _, hash)| hash.clone())
    }

    pub(crate) fn topic(&self, hash: &TopicHash) -> Option<Topic> {
        self.0.iter().find(|(_, _, candidate)| candidate == hash).map(|(topic, ..)| *topic)
    }
}

/// The gossip behaviour, subscribed to all topics.
pub(crate) fn behaviour(keypair: &Keypair, protocols: &Protocols, topics: &Topics) -> Result<Behaviour, String> {
    let (mesh_n, mesh_low, mesh_high) = GOSSIP_MESH;
    let blocks = topics.hash(Topic::Blocks);
    let mut builder = ConfigBuilder::default();
    builder
        .protocol_id_prefix(format!("{}/gossip", protocols.scope))
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(move |message: &Message| message_id(message, blocks.as_ref()))
        .flood_publish(true)
        .mesh_n(mesh_n)
        .mesh_n_low(mesh_low)
        .mesh_n_high(mesh_high)
        .mesh_outbound_min(0)
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .heartbeat_initial_delay(GOSSIP_HEARTBEAT)
        .prune_backoff(GOSSIP_PRUNE_PAUSE)
        .duplicate_cache_time(GOSSIP_DUPLICATE_MEMORY)
        .connection_handler_queue_len(GOSSIP_QUEUE_PER_PEER)
        .publish_queue_duration(GOSSIP_PUBLISH_QUEUE_TIME)
        .forward_queue_duration(GOSSIP_FORWARD_QUEUE_TIME)
        .max_transmit_size(GOSSIP_BLOCK_BYTES_MAX + GOSSIP_ENVELOPE_BYTES);
    for topic in Topic::ALL {
        if let Some(hash) = topics.hash(topic) {
            builder.max_transmit_size_for_topic(topic.bytes_max() + GOSSIP_ENVELOPE_BYTES, hash);
        }
    }
    let config = builder.build().map_err(|error| error.to_string())?;
    let filter = WhitelistSubscriptionFilter(Topic::ALL.iter().filter_map(|topic| topics.hash(*topic)).collect());
    let mut behaviour =
        Behaviour::new_with_subscription_filter(MessageAuthenticity::Signed(keypair.clone()), config, filter)
            .map_err(str::to_owned)?;
    for (_, ident, _) in &topics.0 {
        behaviour.subscribe(ident).map_err(|error| error.to_string())?;
    }
    Ok(behaviour)
}

/// Ids come from contents, so that a message is delivered once however often it is sent. On the topic of blocks the
/// author does not count, because every voter publishes the same block; elsewhere it does, so that nobody can put its
/// own name on another's message and have the original taken for a duplicate.
fn message_id(message: &Message, blocks: Option<&TopicHash>) -> MessageId {
    let mut hasher = blake3::Hasher::new_derive_key("galen 2026 gossip message id v1");
    let topic = message.topic.as_str().as_bytes();
    hasher.update(&u64::try_from(topic.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(topic);
    if blocks != Some(&message.topic)
        && let Some(author) = message.source
    {
        hasher.update(&author.to_bytes());
    }
    hasher.update(&message.data);
    MessageId::from(Hash(hasher.finalize().into()).0.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topics: &Topics, topic: Topic, author: PeerId, data: &[u8]) -> Message {
        Message {
            source: Some(author),
            data: data.to_vec(),
            sequence_number: Some(1),
            topic: topics.hash(topic).unwrap(),
        }
    }

    #[test]
    fn a_block_has_one_id_whoever_sends_it_and_other_messages_one_per_author() {
        let topics = Topics::new(&Protocols::new(&Hash([1; 32])));
        let blocks = topics.hash(Topic::Blocks);
        let (first, second) = (PeerId::random(), PeerId::random());
        let id = |topic, author, data: &[u8]| message_id(&message(&topics, topic, author, data), blocks.as_ref());
        assert_eq!(id(Topic::Blocks, first, b"x"), id(Topic::Blocks, second, b"x"));
        assert_ne!(id(Topic::Signatures, first, b"x"), id(Topic::Signatures, second, b"x"));
        assert_ne!(id(Topic::Blocks, first, b"x"), id(Topic::Blocks, first, b"y"));
        assert_ne!(id(Topic::Signatures, first, b"x"), id(Topic::Announcements, first, b"x"));
    }

    #[test]
    fn topics_of_two_chains_differ() {
        let here = Topics::new(&Protocols::new(&Hash([1; 32])));
        let there = Topics::new(&Protocols::new(&Hash([2; 32])));
        assert_eq!(here.topic(&here.hash(Topic::Blocks).unwrap()), Some(Topic::Blocks));
        assert_eq!(here.topic(&there.hash(Topic::Blocks).unwrap()), None);
    }

    #[test]
    fn the_configuration_is_valid() {
        let keypair = Keypair::generate_ed25519();
        let protocols = Protocols::new(&Hash([1; 32]));
        assert!(behaviour(&keypair, &protocols, &Topics::new(&protocols)).is_ok());
    }

    #[tokio::test]
    async fn a_dropped_validation_says_ignore() {
        let (sender, mut receiver) = mpsc::channel(4);
        let make = || GossipValidation::new(MessageId::from(vec![1]), PeerId::random(), sender.clone());
        make().accept();
        make().reject();
        make().ignore();
        drop(make());
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(format!("{:?}", receiver.recv().await.unwrap().acceptance));
        }
        assert_eq!(seen, ["Accept", "Reject", "Ignore", "Ignore"]);
    }
}
