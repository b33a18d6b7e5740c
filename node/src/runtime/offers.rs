//! Which of the snapshots that peers offer is fetched. The header of an offer is certified, the parts are not: that they
//! are the header's state is known only once all of them are here. So what two peers offer alike comes before what one
//! does, and a manifest whose parts turned out wrong is remembered, with the peers that offered it, also after a restart.

use std::path::{Path, PathBuf};

use galen_types::{Hash, NodeName, Timestamp};

use crate::operate::files::write_atomically;

/// Manifests remembered; the oldest are forgotten first.
const REFUSED_MAX: usize = 64;

/// Peers remembered of a manifest.
const PEERS_MAX: usize = 16;

/// Bytes of the file that are read: all that it can hold, twice.
const FILE_BYTES_MAX: u64 = 512 << 10;

/// How long a snapshot that only peers offer which offered a wrong one is passed over, milliseconds. Blocks bring the node
/// forward meanwhile.
const BLAME_MS: u64 = 3_600_000;

/// Different offers looked at in one round.
const OFFERS_MAX: usize = 8;

/// One manifest whose parts were not the state that its header names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    manifest: Hash,
    seen: Timestamp,
    peers: Vec<NodeName>,
}

/// Manifests that turned out wrong, in a file: one a line, with the time and the peers.
pub(super) struct Refused {
    path: PathBuf,
    wrong: Vec<Wrong>,
}

impl Refused {
    /// What is remembered. Whatever cannot be read of it is forgotten: it saves a download, no more.
    pub(super) fn load(path: &Path) -> Self {
        let small = path.metadata().is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
        let text = if small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        let wrong = text.lines().filter_map(Wrong::parse).take(REFUSED_MAX).collect();
        Self { path: path.to_path_buf(), wrong }
    }

    /// Remembers a manifest, durably.
    pub(super) fn add(&mut self, manifest: Hash, peers: Vec<NodeName>, now: Timestamp) {
        self.wrong.retain(|wrong| wrong.manifest != manifest);
        self.wrong.push(Wrong { manifest, seen: now, peers: peers.into_iter().take(PEERS_MAX).collect() });
        let surplus = self.wrong.len().saturating_sub(REFUSED_MAX);
        self.wrong.drain(..surplus);
        let text: String = self.wrong.iter().map(Wrong::line).collect();
        if let Err(error) = write_atomically(&self.path, text.as_bytes()) {
            tracing::warn!(%error, "a wrong snapshot cannot be noted down; after a restart it may be fetched again");
        }
    }

    /// Whether a manifest turned out wrong.
    pub(super) fn holds(&self, manifest: &Hash) -> bool {
        self.wrong.iter().any(|wrong| &wrong.manifest == manifest)
    }

    fn blamed(&self, peer: &NodeName) -> Option<Timestamp> {
        self.wrong.iter().filter(|wrong| wrong.peers.contains(peer)).map(|wrong| wrong.seen).max()
    }

    /// Peers in the order in which they are asked: those that never offered a wrong snapshot first.
    pub(super) fn in_order(&self, mut peers: Vec<NodeName>) -> Vec<NodeName> {
        peers.sort_by_key(|peer| self.blamed(peer));
        peers
    }
}

impl Wrong {
    fn line(&self) -> String {
        let peers: Vec<_> = self.peers.iter().map(NodeName::to_string).collect();
        format!("{} {} {}\n", self.manifest, self.seen.0, peers.join(" "))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let manifest = words.next()?.parse().ok()?;
        let seen = Timestamp(words.next()?.parse().ok()?);
        let peers = words.take(PEERS_MAX).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { manifest, seen, peers })
    }
}

/// A snapshot that is offered, and by whom.
pub(super) struct Candidate<O> {
    pub(super) manifest: Hash,
    pub(super) offer: O,
    height: u64,
    /// In the order in which they are asked for more.
    pub(super) peers: Vec<NodeName>,
}

/// The offers of a round.
pub(super) struct Offers<O>(Vec<Candidate<O>>);

impl<O> Offers<O> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a peer's offer.
    pub(super) fn add(&mut self, peer: NodeName, manifest: Hash, height: u64, offer: O) {
        if let Some(same) = self.0.iter_mut().find(|candidate| candidate.manifest == manifest) {
            same.peers.push(peer);
        } else if self.0.len() < OFFERS_MAX {
            self.0.push(Candidate { manifest, offer, height, peers: vec![peer] });
        }
    }

    /// The offers worth trying, the best first: what several peers offer alike, then what peers offer that were never
    /// wrong, then the newest.
    pub(super) fn ranked(self, refused: &Refused, now: Timestamp) -> Vec<Candidate<O>> {
        let lately = |seen: Timestamp| now.0.saturating_sub(seen.0) < BLAME_MS;
        let blameless = |candidate: &Candidate<O>| candidate.peers.iter().any(|peer| refused.blamed(peer).is_none());
        let mut candidates = self.0;
        candidates.retain(|candidate| {
            let blamed = |peer| refused.blamed(peer).is_some_and(lately);
            !refused.holds(&candidate.manifest) && !candidate.peers.iter().all(blamed)
        });
        for candidate in &mut candidates {
            candidate.peers = refused.in_order(std::mem::take(&mut candidate.peers));
        }
        candidates.sort_by_key(|candidate| {
            let alike = candidate.peers.len() >= 2;
            std::cmp::Reverse((alike, blameless(candidate), candidate.height))
        });
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn peer(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    fn ranked(offers: &[(&str, u8, u64)], refused: &Refused, now: Timestamp) -> Vec<(u8, usize)> {
        let mut all = Offers::new();
        for (name, manifest, height) in offers {
            all.add(peer(name), Hash([*manifest; 32]), *height, *manifest);
        }
        all.ranked(refused, now).iter().map(|candidate| (candidate.offer, candidate.peers.len())).collect()
    }

    #[test]
    fn what_two_offer_alike_comes_before_what_one_offers_newer() {
        let folder = tempfile::tempdir().unwrap();
        let none = Refused::load(&folder.path().join("refused"));
        let offers = [("node-1.harlem", 1, 900), ("node-1.hennepin", 2, 500), ("node-1.kentucky", 2, 500)];
        assert_eq!(ranked(&offers, &none, NOW), [(2, 2), (1, 1)]);
        let offers = [("node-1.harlem", 1, 500), ("node-1.hennepin", 2, 900)];
        assert_eq!(ranked(&offers, &none, NOW), [(2, 1), (1, 1)]);
    }

    /// One peer that offers wrong snapshots costs one download, whatever it offers next and however often the node starts.
    #[test]
    fn a_wrong_snapshot_and_its_peer_are_remembered_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refused");
        Refused::load(&path).add(Hash([1; 32]), vec![peer("node-1.harlem")], NOW);
        let known = Refused::load(&path);
        assert!(known.holds(&Hash([1; 32])) && !known.holds(&Hash([2; 32])));
        let order = known.in_order(vec![peer("node-1.harlem"), peer("node-1.hennepin")]);
        assert_eq!(order, [peer("node-1.hennepin"), peer("node-1.harlem")]);
        // The same again, from whomever; another by the same peer, newer; and one by somebody else.
        let offers = [("node-1.hennepin", 1, 900), ("node-1.harlem", 2, 950), ("node-1.kentucky", 3, 500)];
        assert_eq!(ranked(&offers, &known, NOW), [(3, 1)]);
        // Alone it is believed again after a while, and behind others.
        let later = Timestamp(NOW.0 + BLAME_MS);
        assert_eq!(ranked(&offers, &known, later), [(3, 1), (2, 1)]);
        // With another peer at its side it counts at once.
        let alike = [("node-1.harlem", 4, 900), ("node-1.kentucky", 4, 900)];
        assert_eq!(ranked(&alike, &known, NOW), [(4, 2)]);
    }

    #[test]
    fn a_damaged_note_is_forgotten_and_its_length_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refused");
        std::fs::write(&path, b"no hash\n\xff\n").unwrap();
        let mut refused = Refused::load(&path);
        assert!(refused.wrong.is_empty());
        for number in 0..=u8::try_from(REFUSED_MAX).unwrap() {
            refused.add(Hash([number; 32]), vec![peer("node-1.harlem"); 100], NOW);
        }
        let read = Refused::load(&path);
        assert_eq!((read.wrong.len(), read.wrong[0].peers.len()), (REFUSED_MAX, PEERS_MAX));
        assert!(!read.holds(&Hash([0; 32])), "the oldest is forgotten");
        assert!(path.metadata().unwrap().len() <= FILE_BYTES_MAX);
    }
}
