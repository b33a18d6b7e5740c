//! Catching up by snapshot, as the real node's `runtime::leap` does: the offer of a peer, believed because the handovers of
//! voter sets lead from the genesis to those who certified it; its pieces, from any peer that has them; then a ledger built
//! beside the one in use, and put in its place when the node starts anew.

use galen_chain::history::{FillError, HistoryAnswer, HistoryPolicy};
use galen_chain::snapshot::{SnapshotAnswer, SnapshotOffer, SnapshotRequest, genesis_state_root};
use galen_chain::sync::Handover;
use galen_ledger::install::{Built, Incoming, InstallStep, settle};
use galen_ledger::{HistoryError, SnapshotError};

use super::disk::copy_folder;
use super::*;
use crate::consortium::ledger_options;

/// Steps for which an offer is looked for before the node goes on by blocks, for twice as long.
const OFFER_PATIENCE_STEPS: u64 = 80;
/// Steps without a new piece after which another snapshot is looked for.
const PIECE_PATIENCE_STEPS: u64 = 60;
/// Steps after which a question is asked again.
const AGAIN_STEPS: u64 = 5;
/// Steps after which peers are asked again how far they are.
const HEIGHTS_ASKED_STEPS: u64 = 200;
/// Pieces asked for at once.
const PIECES_IN_FLIGHT: usize = 16;

/// A snapshot that is being fetched.
pub(super) enum Leap {
    /// Somebody is asked for an offer.
    Offer { since: u64, asked: Option<u64> },
    /// How the voters of the offer came to be is asked for, since the offer was looked for.
    Way { peer: usize, offer: Box<SnapshotOffer>, handovers: Vec<Handover>, asked: u64, since: u64 },
    /// Pieces are coming.
    Pieces { incoming: Box<Incoming>, asked: BTreeMap<u32, u64>, unfit: BTreeSet<usize>, since: u64 },
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was not waited for.
    Ignored,
    /// It brought the node forward.
    Accepted,
    /// It is not believed.
    Refused,
}

/// How putting a built ledger in its place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    /// It is there.
    Done,
    /// The process was killed on the way.
    Killed,
    /// The ledger in use has come as far meanwhile.
    NotAhead,
}

/// Ends an installation as a kill would.
struct Killed;

impl Node {
    fn incoming_folder(&self) -> PathBuf {
        self.snapshots_folder().join("incoming")
    }

    fn history_policy(&self) -> HistoryPolicy {
        let fetch = self.snapshots.is_some_and(|rules| rules.fills_past);
        HistoryPolicy { fetch, keep_bodies_blocks: 0 }
    }

    /// Whether nothing of its chain is still to come but blocks.
    pub(crate) fn is_whole(&self) -> bool {
        let Some(running) = &self.running else { return false };
        running.leap.is_none()
            && running.rejoin.is_none()
            && self.history_policy().wanted(running.executor.ledger()).unwrap().is_none()
    }

    /// Fetches a snapshot where the node is far behind, with a question to `peer`; whether it does.
    pub(super) fn leap(&mut self, step: u64, peer: usize) -> bool {
        let (Some(rules), Some(running)) = (self.snapshots, &self.running) else { return false };
        let tip = running.executor.tip().height;
        let goal = running.goal.map_or(0, |(_, height, _)| height);
        let is_due = running.known_height.max(goal) > tip + rules.lag_blocks && step >= running.leaps_from;
        if running.leap.is_none() && !is_due {
            return self.ask_heights(step);
        }
        let resumed = if running.leap.is_none() { self.resumed(tip + rules.lag_blocks / 2, step) } else { None };
        let running = self.running.as_mut().unwrap();
        let leap = running.leap.get_or_insert(resumed.unwrap_or(Leap::Offer { since: step, asked: None }));
        let blamed = self.blamed.contains(&peer);
        let again = |asked: u64| step >= asked + AGAIN_STEPS;
        let mut questions = Vec::new();
        match leap {
            Leap::Offer { since, .. } | Leap::Way { since, .. } if step > *since + OFFER_PATIENCE_STEPS => {
                return self.give_leap_up(step);
            }
            Leap::Offer { asked, .. } => {
                if !blamed && asked.is_none_or(|asked| step >= asked + 2) {
                    *asked = Some(step);
                    questions.push((peer, Frame::AskSnapshot(SnapshotRequest::Offer, self.starts)));
                }
            }
            Leap::Way { peer, handovers, asked, .. } => {
                if again(*asked) {
                    *asked = step;
                    let from_epoch = handovers.last().map_or(0, |last| last.next.epoch);
                    questions.push((*peer, Frame::Ask(SyncRequest::Handovers { from_epoch }, self.starts)));
                }
            }
            Leap::Pieces { since, unfit, .. }
                if step > *since + PIECE_PATIENCE_STEPS || unfit.len() + 1 >= self.names.len() =>
            {
                // A newer one is looked for once.
                if std::mem::replace(&mut running.leaps_again, true) {
                    return self.give_leap_up(step);
                }
                *leap = Leap::Offer { since: step, asked: None };
            }
            Leap::Pieces { incoming, asked, unfit, .. } => {
                let height = incoming.manifest().header.height;
                let missing = incoming.missing(0, PIECES_IN_FLIGHT).into_iter();
                if !blamed && !unfit.contains(&peer) {
                    for index in
                        missing.filter(|index| asked.get(index).is_none_or(|asked| again(*asked))).collect::<Vec<_>>()
                    {
                        asked.insert(index, step);
                        let request = SnapshotRequest::Part { height, index };
                        questions.push((peer, Frame::AskSnapshot(request, self.starts)));
                    }
                }
            }
        }
        self.out.extend(questions.into_iter().map(|(peer, frame)| (To::Place(peer), frame)));
        true
    }

    /// Goes on by blocks for a while.
    fn give_leap_up(&mut self, step: u64) -> bool {
        let running = self.running.as_mut().unwrap();
        (running.leap, running.leaps_again) = (None, false);
        running.leaps_from = step + 2 * OFFER_PATIENCE_STEPS;
        false
    }

    /// Asks peers how far they are, before it asks for blocks; whether their word is waited for.
    fn ask_heights(&mut self, step: u64) -> bool {
        // Who orders hears of every block.
        let asks = |running: &&mut Running| running.ordering.is_none() || !running.speaks;
        let Some(running) = self.running.as_mut().filter(asks) else { return false };
        if running.asked_heights.is_none_or(|asked| step >= asked + HEIGHTS_ASKED_STEPS) {
            running.asked_heights = Some(step);
            self.out.push((To::Everyone, Frame::AskHeight(self.starts)));
        }
        running.asked_heights.is_some_and(|asked| step < asked + 2)
    }

    /// What a former run fetched, if it is still worth it.
    fn resumed(&self, above: u64, step: u64) -> Option<Leap> {
        let incoming = Incoming::resume(&self.incoming_folder()).unwrap()?;
        let is_wrong = self.refused.contains(&incoming.manifest().hash());
        if is_wrong || incoming.manifest().header.height <= above {
            incoming.discard().unwrap();
            return None;
        }
        let incoming = Box::new(incoming);
        Some(Leap::Pieces { incoming, asked: BTreeMap::new(), unfit: BTreeSet::new(), since: step })
    }

    /// Takes a peer's answer about snapshots.
    pub(super) fn take_snapshot(&mut self, from: usize, request: &SnapshotRequest, bytes: &[u8], step: u64) -> Taken {
        let rules = self.snapshots.unwrap();
        let Ok(answer) = SnapshotAnswer::from_peer(bytes) else { return Taken::Refused };
        let running = self.running.as_mut().unwrap();
        let tip = running.executor.tip().height;
        match (&mut running.leap, answer) {
            (Some(Leap::Offer { since, .. }), SnapshotAnswer::Offer(offer)) => {
                let since = *since;
                let is_old = offer.header().height <= tip + rules.lag_blocks / 2;
                if is_old || self.refused.contains(&offer.manifest.hash()) || self.blamed.contains(&from) {
                    return Taken::Ignored;
                }
                let handovers = own_handovers(running.executor.ledger(), offer.header().height);
                running.leap = Some(Leap::Way { peer: from, offer, handovers, asked: 0, since });
                // Whether it is believed shows when the way to it is known.
                Taken::Ignored
            }
            (Some(Leap::Pieces { incoming, unfit, since, .. }), answer) => {
                let SnapshotRequest::Part { height, index } = *request else { return Taken::Ignored };
                if height != incoming.manifest().header.height || incoming.missing(index, 1) != [index] {
                    return Taken::Ignored;
                }
                let SnapshotAnswer::Part(bytes) = answer else {
                    unfit.insert(from);
                    return Taken::Ignored;
                };
                if let Err(error) = incoming.accept(index, &bytes) {
                    assert!(error.blames_peer(), "{error}");
                    unfit.insert(from);
                    self.seen.pieces_refused += 1;
                    return Taken::Refused;
                }
                *since = step;
                self.build();
                Taken::Accepted
            }
            _ => Taken::Ignored,
        }
    }

    /// Takes a peer's handovers. The offer is believed, or another one is looked for.
    pub(super) fn told_handovers(&mut self, from: usize, told: Vec<Handover>, step: u64) {
        let recoveries: HeldRecoveries = self.held.iter().cloned().collect();
        let folder = self.incoming_folder();
        let running = self.running.as_mut().unwrap();
        let Some(Leap::Way { peer, offer, handovers, asked, since }) = &mut running.leap else { return };
        if *peer != from {
            return;
        }
        let up_to = offer.header().height;
        let from_epoch = handovers.last().map_or(0, |last| last.next.epoch);
        // A late answer to a question before.
        if told.first().is_some_and(|first| first.last.epoch != from_epoch) {
            return;
        }
        let reached = told.last().map(|last| (last.next.epoch, last.last.height));
        handovers.extend(told.into_iter().filter(|handover| handover.last.height <= up_to));
        if reached.is_some_and(|(epoch, height)| epoch > from_epoch && height <= up_to) {
            *asked = 0;
            return;
        }
        let since = *since;
        let verified = offer.as_ref().clone().verified(&self.genesis, handovers, &recoveries);
        let begun = verified.ok().and_then(|(manifest, proof)| Incoming::begin(&folder, manifest, proof).ok());
        running.leap = Some(match begun {
            Some(incoming) => {
                incoming.note_offered_by(&[self.names[from].clone()]).unwrap();
                let incoming = Box::new(incoming);
                Leap::Pieces { incoming, asked: BTreeMap::new(), unfit: BTreeSet::new(), since: step }
            }
            None => {
                self.seen.offers_refused += 1;
                Leap::Offer { since, asked: None }
            }
        });
    }

    /// Builds the ledger once all pieces are here; it takes its place at the next start.
    fn build(&mut self) {
        let running = self.running.as_mut().unwrap();
        let Some(Leap::Pieces { incoming, .. }) = &mut running.leap else { return };
        if incoming.missing_count() > 0 {
            return;
        }
        let (options, root) = (ledger_options(&self.genesis), genesis_state_root(&self.genesis).unwrap());
        match incoming.build(&self.folder, &options, root, &mut |_| {}) {
            Ok(built) => {
                self.built = Some(built);
                self.must_restart = true;
            }
            Err(error) if error.refutes_snapshot() => {
                self.seen.snapshots_refuted += 1;
                let offered_by = incoming.offered_by();
                self.refused.insert(incoming.manifest().hash());
                self.blamed.extend((0..self.names.len()).filter(|place| offered_by.contains(&self.names[*place])));
                let Some(Leap::Pieces { incoming, .. }) = running.leap.take() else { return };
                incoming.discard().unwrap();
            }
            // It rotted here, and is asked for again.
            Err(SnapshotError::Part { .. }) => self.seen.pieces_rotted += 1,
            Err(error) => panic!("{}: a ledger cannot be built from a snapshot: {error}", self.name),
        }
    }

    /// The ledger that was built, for whoever starts the node anew.
    pub(crate) fn take_built(&mut self) -> Option<Built> {
        self.built.take()
    }

    /// Puts a built ledger in the place of the one that was in use, while the node is stopped; killed before the rename of
    /// this number, or before what was replaced is removed.
    pub(crate) fn install(&mut self, built: &Built, killed_before: Option<u64>) -> Installed {
        let mut progress = |progress: galen_ledger::install::InstallProgress| {
            let at = match progress.step {
                InstallStep::Place => progress.done,
                InstallStep::Remove => 3,
                _ => return,
            };
            if Some(at) == killed_before {
                std::panic::resume_unwind(Box::new(Killed));
            }
        };
        let placed = std::panic::AssertUnwindSafe(|| built.put_in_place(&mut progress));
        let installed = match std::panic::catch_unwind(placed) {
            Ok(Ok(())) => Installed::Done,
            Ok(Err(SnapshotError::NotAhead { .. })) => Installed::NotAhead,
            Ok(Err(error)) => panic!("{}: a built ledger cannot be put in place: {error}", self.name),
            Err(payload) if payload.is::<Killed>() => Installed::Killed,
            Err(payload) => std::panic::resume_unwind(payload),
        };
        // Each rename is synced, so a loss of power afterwards finds what is here now.
        settle(&self.folder).unwrap();
        if let Some(copy) = &self.durable_copy {
            copy_folder(&self.folder, copy);
        }
        installed
    }

    /// Removes what is left of snapshots that the ledger has come past.
    pub(super) fn tidy_snapshots(&self, height: u64) {
        if self.snapshots.is_some() {
            Incoming::tidy(&self.incoming_folder(), height).unwrap();
        }
    }

    /// A byte of a piece that was received flips on the disk; whether there was one.
    pub(crate) fn rot_piece(&self, pick: usize) -> bool {
        let piece = self.incoming_folder().join("part-0000000");
        let Ok(mut bytes) = std::fs::read(&piece) else { return false };
        let place = pick % bytes.len();
        bytes[place] ^= 0x20;
        std::fs::write(&piece, bytes).unwrap();
        true
    }

    /// Asks for the past, now that what is newer is here.
    pub(super) fn ask_past(&mut self, step: u64, peer: usize) {
        let policy = self.history_policy();
        let Some(running) = &mut self.running else { return };
        let ledger = running.executor.ledger();
        let current = running.known_height <= running.executor.tip().height && running.leap.is_none();
        if !policy.fetch || !current || step < running.asked_past + AGAIN_STEPS {
            return;
        }
        if let Some(request) = policy.wanted(ledger).unwrap() {
            running.asked_past = step;
            self.out.push((To::Place(peer), Frame::AskPast(request, self.starts)));
        }
    }

    /// Takes a peer's answer about the past.
    pub(super) fn take_past(&mut self, bytes: &[u8]) -> Taken {
        let filled = HistoryAnswer::from_peer(bytes).and_then(|answer| answer.fill(self.executor().ledger()));
        let filled = match filled {
            Err(FillError::History(HistoryError::Ledger(error))) => {
                self.survive::<()>(Err(error));
                return Taken::Ignored;
            }
            filled => filled,
        };
        match filled {
            Ok(filled) if filled.advanced => {
                self.seen.past_filled += 1;
                Taken::Accepted
            }
            // One that is behind gives what it has, which does not connect.
            Ok(_) | Err(FillError::History(HistoryError::Height { .. })) => Taken::Ignored,
            Err(error) => {
                assert!(error.blames_peer(), "{}: {error}", self.name);
                Taken::Refused
            }
        }
    }
}

/// The handovers that the own ledger knows.
fn own_handovers(ledger: &galen_ledger::Ledger, up_to: u64) -> Vec<Handover> {
    let mut all: Vec<Handover> = Vec::new();
    loop {
        let from_epoch = all.last().map_or(0, |last| last.next.epoch);
        let answer = SyncAnswer::to_request(&SyncRequest::Handovers { from_epoch }, ledger).unwrap();
        let SyncAnswer::Handovers { handovers } = answer else { return all };
        let before = all.len();
        let known = handovers.into_iter();
        all.extend(known.filter(|known| known.last.height <= up_to && known.next.epoch > from_epoch));
        if all.len() == before {
            return all;
        }
    }
}
