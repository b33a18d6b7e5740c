//! A voter that lies: a peer made by hand, with a real voter's key, place in ordering and log, which speaks the nodes' own
//! protocol and says in it what it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use galen_chain::clocks::{with_clock, without_clock};
use galen_chain::sync::{SyncAnswer, SyncRequest};
use galen_consensus::vfs::RealVfs;
use galen_consensus::{CoreConfig, Identity, Log, LogOptions, Membership, Payload, RaftCore, RaftId};
use galen_ledger::Ledger;
use galen_node::home::NodeHome;
use galen_node::runtime::kinds;
use galen_p2p::{
    Access, Network, NetworkConfig, NetworkEvent, NetworkEvents, NetworkHandle, PeerRegistry, Refusal, RegisteredPeer,
    Topic,
};
use galen_types::certificate::{VoterSet, VoterSignature};
use galen_types::member::NodeRole;
use galen_types::{
    Certificate, Encoding as _, Genesis, Hash, HeaderSignature, NodeName, PublicKey, SecretKey, Timestamp,
};

/// What it signs instead of a header.
pub(crate) const LIE: Hash = Hash([0x5a; 32]);

/// What it says of its clock, in every frame.
const CLOCK: Timestamp = Timestamp(u64::MAX);

/// Where the fields of a frame lie (`consensus/src/wire.rs`).
const TERM_AT: usize = 3 + 2 * 8;
const INDEX_AT: usize = 3 + 4 * 8;
const COMMIT_AT: usize = 3 + 5 * 8;

/// What it does when it hears of a header.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lies {
    /// Signs another header.
    pub(crate) another: bool,
    /// Signs the right one too, at even heights.
    pub(crate) both: bool,
    /// Makes certificates up.
    pub(crate) certificates: bool,
    /// Claims a log without end, when asked.
    pub(crate) endless: bool,
}

pub(crate) struct Liar {
    pub(crate) node: NodeName,
    pub(crate) network: NetworkHandle,
    genesis: Genesis,
    voters: VoterSet,
    key: SecretKey,
    core: Mutex<RaftCore>,
    lies: Mutex<Lies>,
    /// What others signed, by height.
    heard: Mutex<BTreeMap<u64, Vec<HeaderSignature>>>,
}

impl Liar {
    /// Takes the place of a stopped voter, with its key.
    pub(crate) async fn start(home: &NodeHome, node: &str, key: SecretKey, lies: Lies) -> Arc<Self> {
        let genesis = Genesis::from_toml(&std::fs::read_to_string(home.genesis()).unwrap()).unwrap();
        let own = genesis.nodes().into_iter().find(|found| found.name.to_string() == node).unwrap();
        let registered = |node: &galen_types::member::Node| {
            let PublicKey::Ed25519(public_key) = node.key;
            let addresses = vec![node.address.as_str().parse().unwrap()];
            (node.name.clone(), RegisteredPeer { public_key, addresses, role: node.role, access: Access::Full })
        };
        let anywhere = || vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let config = NetworkConfig {
            node_key: key.seed(),
            listen: vec![own.address.as_str().parse().unwrap()],
            bulk_listen: anywhere(),
            genesis: genesis.hash(),
            chain: genesis.chain.to_string(),
            node: own.name.clone(),
            role: NodeRole::Voter,
            lineage: Hash::ZERO,
            software_version: "0.0.0-liar".to_owned(),
            registry: PeerRegistry::new(genesis.nodes().iter().map(registered)).unwrap(),
        };
        let (network, events) = Network::start(config).await.unwrap();
        let liar = Arc::new(Self {
            node: own.name.clone(),
            network,
            voters: genesis.voter_set(),
            key,
            core: Mutex::new(Self::core(home, &genesis, own.raft_id)),
            lies: Mutex::new(lies),
            heard: Mutex::default(),
            genesis,
        });
        tokio::spawn(Arc::clone(&liar).hear(events));
        tokio::spawn(Arc::clone(&liar).tick());
        liar
    }

    /// The voter's own log, as it stood when it was stopped.
    fn core(home: &NodeHome, genesis: &Genesis, raft_id: u64) -> RaftCore {
        let identity = Identity { cluster: genesis.hash().0, node: RaftId(raft_id) };
        let (_, recovered) = Log::open(RealVfs, &home.log(raft_id), identity, LogOptions::default()).unwrap();
        let applied = Ledger::open_read_only(&home.ledger()).unwrap().applied().unwrap().index;
        let founders = genesis.nodes().into_iter().filter(|node| node.role == NodeRole::Voter);
        let membership = Membership::new(founders.map(|node| RaftId(node.raft_id)), []);
        RaftCore::new(CoreConfig::new(RaftId(raft_id), membership, 7), recovered, applied).unwrap()
    }

    pub(crate) fn tell(&self, lies: Lies) {
        *self.lies.lock().unwrap() = lies;
    }

    fn named(&self, id: RaftId) -> NodeName {
        self.genesis.nodes().into_iter().find(|node| node.raft_id == id.0).unwrap().name
    }

    fn number(&self, node: &NodeName) -> Option<RaftId> {
        let found = self.genesis.nodes().into_iter().find(|found| found.name == *node && found.raft_id > 0);
        found.map(|node| RaftId(node.raft_id))
    }

    /// A signature of its own, as a voter of a set.
    pub(crate) fn signed(&self, height: u64, header: Hash, set: &Hash) -> HeaderSignature {
        HeaderSignature::sign(&self.genesis.hash(), set, height, header, self.node.clone(), &self.key)
    }

    /// Lets time pass for its core, which votes as any; where it leads it falls silent, so that the others elect another.
    async fn tick(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if !self.leads() {
                self.core.lock().unwrap().tick().unwrap();
                self.drive();
            }
        }
    }

    async fn hear(self: Arc<Self>, mut events: NetworkEvents) {
        while let Some(event) = events.recv().await {
            match event {
                NetworkEvent::Raft { from, bytes } => {
                    if let Some(from) = self.number(&from)
                        && let Some((bytes, _)) = without_clock(bytes)
                    {
                        let _refused = self.core.lock().unwrap().message(from, bytes);
                        self.drive();
                    }
                }
                NetworkEvent::Gossip { topic: Topic::Signatures, bytes, validation, .. } => {
                    validation.accept();
                    if let Ok(signature) = HeaderSignature::decode(&bytes, 512) {
                        self.heard_of(signature);
                    }
                }
                NetworkEvent::Request { kind: kinds::SYNC, bytes, reply, .. } => {
                    match SyncRequest::decode(&bytes, 64) {
                        Ok(SyncRequest::Signatures { from }) => {
                            let lie = |height| self.signed(height, LIE, &self.voters.hash());
                            let signatures = (from..from + 8).map(lie).collect();
                            let answer = SyncAnswer::Signatures { signatures, certificates: Vec::new() };
                            reply.answer(answer.encode().into());
                        }
                        _ => reply.refuse(Refusal::new("unreadable", "ask another")),
                    }
                }
                NetworkEvent::Request { kind: kinds::KNOWLEDGE, bytes, reply, .. } => {
                    reply.answer(self.knowledge(&bytes).into());
                }
                _ => {}
            }
        }
    }

    /// What it claims to know of a node that starts: nothing but where its own log ends.
    fn knowledge(&self, question: &[u8]) -> Vec<u8> {
        let endless = self.lies.lock().unwrap().endless;
        let end = self.core.lock().unwrap().log_end();
        let (term, index) = if endless { (u64::MAX, u64::MAX) } else { (end.term, end.index) };
        // No signature; acknowledged nothing, leads not, knows no leader; certified nothing; the asker's number.
        let mut answer = vec![0; 1 + 8 + 1 + 1 + 8];
        answer.extend_from_slice(question.get(..8).unwrap_or(&[0; 8]));
        answer.push(1);
        answer.extend_from_slice(&term.to_le_bytes());
        answer.extend_from_slice(&index.to_le_bytes());
        answer
    }

    fn heard_of(&self, signature: HeaderSignature) {
        if signature.voter == self.node {
            return;
        }
        let (height, header) = (signature.height, signature.header);
        let known = {
            let mut heard = self.heard.lock().unwrap();
            let known = heard.entry(height).or_default();
            known.push(signature);
            known.clone()
        };
        let lies = *self.lies.lock().unwrap();
        let set = self.voters.hash();
        let say = |signature: HeaderSignature| {
            let _dropped = self.network.publish(Topic::Signatures, signature.encode().into());
        };
        if lies.another {
            say(self.signed(height, LIE, &set));
        }
        if lies.both && height.is_multiple_of(2) {
            say(self.signed(height, header, &set));
        }
        if lies.certificates {
            for certificate in self.forged(height, header, &known) {
                let _dropped = self.network.publish(Topic::Announcements, certificate.encode().into());
            }
        }
    }

    /// Certificates that no quorum made: of too few, of one twice, of voters of another set, of another header's
    /// signatures, of other voters' names.
    fn forged(&self, height: u64, header: Hash, known: &[HeaderSignature]) -> Vec<Certificate> {
        let part =
            |signed: &HeaderSignature| VoterSignature { voter: signed.voter.clone(), signature: signed.signature };
        let own = |header, set: &Hash| part(&self.signed(height, header, set));
        let in_order = |mut signatures: Vec<VoterSignature>| {
            signatures.sort_by(|left, right| left.voter.cmp(&right.voter));
            signatures
        };
        let set = self.voters.hash();
        let genuine = known.iter().filter(|signed| signed.header == header).map(&part);
        let mut of_genuine: Vec<_> = genuine.collect();
        of_genuine.sort_by(|left, right| left.voter.cmp(&right.voter));
        of_genuine.dedup_by(|left, right| left.voter == right.voter);
        let with = |own: VoterSignature| {
            let mut all = of_genuine.clone();
            all.push(own);
            in_order(all)
        };
        let other_set = VoterSet::new(7, Hash([1; 32]), self.voters.voters.clone()).hash();
        let under_names = |own: VoterSignature| {
            let as_of = |voter: &galen_types::certificate::Voter| VoterSignature {
                voter: voter.node.clone(),
                signature: own.signature,
            };
            self.voters.voters.iter().map(as_of).collect::<Vec<_>>()
        };
        let lie = own(LIE, &set);
        vec![
            Certificate { height, header: LIE, signatures: vec![lie.clone()] },
            Certificate { height, header: LIE, signatures: vec![lie.clone(), lie.clone(), lie.clone()] },
            Certificate { height, header: LIE, signatures: with(lie.clone()) },
            Certificate { height, header: LIE, signatures: under_names(lie) },
            Certificate { height, header, signatures: with(own(header, &other_set)) },
            Certificate { height: height + 1, header, signatures: with(own(header, &set)) },
            Certificate { height: height + 1_000_000, header: LIE, signatures: under_names(own(LIE, &set)) },
        ]
    }

    /// Does what its core wants done, with a disk that forgets at once.
    pub(crate) fn drive(&self) {
        loop {
            let effects = self.core.lock().unwrap().effects().unwrap();
            let mut core = self.core.lock().unwrap();
            for message in &effects.send {
                let _dropped =
                    self.network.send_raft(&self.named(message.to), with_clock(message.bytes.clone(), CLOCK));
            }
            let Some(last) = effects.persist.last() else { return };
            core.persisted(last.token).unwrap();
            let is_data = |payload: &Payload| matches!(payload, Payload::Data(_) | Payload::Membership { .. });
            if let Some(last) = effects.committed.iter().rfind(|entry| is_data(&entry.payload)) {
                core.applied(last.index).unwrap();
            }
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.core.lock().unwrap().status().role == galen_consensus::Role::Leader
    }

    /// Proposes bytes as the next entry; `false` where it does not lead.
    pub(crate) fn propose(&self, data: Vec<u8>) -> bool {
        let proposed = self.core.lock().unwrap().propose(Bytes::from(data)).is_ok();
        self.drive();
        proposed
    }

    /// Frames that its core would send if it campaigned, for the receivers to judge.
    fn campaign_frames(&self) -> Vec<(RaftId, Bytes)> {
        let mut core = self.core.lock().unwrap();
        core.campaign().unwrap();
        let effects = core.effects().unwrap();
        if let Some(last) = effects.persist.last() {
            core.persisted(last.token).unwrap();
        }
        let later = core.effects().unwrap().send;
        effects.send.into_iter().chain(later).map(|message| (message.to, message.bytes)).collect()
    }

    /// Sends every voter frames of every kind with a term so far ahead, and with numbers at the edges.
    pub(crate) async fn rave(&self, lead: u64) {
        let term = self.core.lock().unwrap().status().term;
        let frames = self.campaign_frames();
        for kind in 0..19_u8 {
            // So that queues do not overflow.
            tokio::time::sleep(Duration::from_millis(5)).await;
            for (to, frame) in &frames {
                for far in [0, 1, lead, u64::MAX >> 3, u64::MAX - term] {
                    let mut bytes = frame.to_vec();
                    bytes[1] = kind;
                    put(&mut bytes, TERM_AT, term + far);
                    for (index, commit) in [(0, 0), (1, u64::MAX >> 3), (u64::MAX, 1), (3, 3)] {
                        put(&mut bytes, INDEX_AT, index);
                        put(&mut bytes, COMMIT_AT, commit);
                        let _dropped =
                            self.network.send_raft(&self.named(*to), with_clock(bytes.clone().into(), CLOCK));
                    }
                }
            }
        }
    }
}

fn put(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// The name of the voter whose place it takes.
pub(crate) fn liar_name() -> NodeName {
    "node-1.mississippi".parse().unwrap()
}
