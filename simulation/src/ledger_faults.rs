//! What is done to ledgers: disks of nodes that do not order are lost, snapshots come altered or from sources that crash,
//! their installation is killed half-way, writes fail, and rows rot.

use galen_chain::snapshot::{SnapshotAnswer, SnapshotRequest};
use galen_ledger::WriteFault;
use galen_ledger::install::Built;
use galen_types::Encoding as _;

use crate::cluster::Cluster;
use crate::consortium::Random;
use crate::node::{Frame, Installed, Node, To};

impl Cluster {
    /// Loses the disk of a node, has a write of a ledger fail, or rows of one rot.
    pub(crate) fn wear_ledgers(&mut self) {
        let place = self.ledger_random.below(self.nodes.len());
        if self.ledger_random.chance(self.world.ledger.set_up_anew) {
            self.set_up_anew(place);
        }
        if self.ledger_random.chance(self.world.ledger.write_error) && self.nodes[place].is_running() {
            let after = self.ledger_random.below(6) as u32;
            let is_written = self.ledger_random.chance(500);
            self.nodes[place].fail_write(WriteFault { after, is_written });
        }
        if self.ledger_random.chance(self.world.ledger.rot) {
            self.rot(place);
        }
    }

    /// After a failed write of its ledger a node has stopped by name, and writes nothing more.
    pub(crate) fn check_stop(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Some(name) = node.stopped_by.take() else { return };
        assert!(["ledger-write", "ledger-stopped"].contains(&name), "{} stops by {name}", node.name);
        let refused = node.executor().ledger().check_writable().err().map(|error| error.code());
        assert_eq!(refused, Some("ledger-stopped"), "{}: its ledger goes on after a failed write", node.name);
        self.oracle.checked("after a failed write a ledger is written to no more");
        self.count("ledger write fails (EIO)");
    }

    /// Rows of a ledger rot while its node is stopped: one at a time, where the others can do without it.
    fn rot(&mut self, place: usize) {
        let Some(informed) = self.informed() else { return };
        if !self.nodes[place].is_running()
            || self.nodes.iter().any(Node::is_repairing)
            || !self.may_shrink(informed)
            || self.nodes[informed].executor().voters().voters.len() < 3
            || !self.is_held_elsewhere(place)
            || self.nodes[place].executor().tip().height == 0
        {
            return;
        }
        self.nodes[place].stop();
        let scrub_at = self.step + 1 + self.ledger_random.below(30) as u64;
        if let Some(column) = self.nodes[place].rot(&mut self.ledger_random, scrub_at) {
            self.story.push(format!("step {}: `{column}` of {} rots", self.step, self.nodes[place].name));
            self.count("rows of a ledger rot");
        }
        self.start(place);
    }

    /// Loses the disk of a node that neither orders nor certifies.
    fn set_up_anew(&mut self, place: usize) {
        let node = &self.nodes[place];
        if !node.is_running() || node.raft_id.is_some() || node.last_number.is_some() || !self.is_held_elsewhere(place)
        {
            return;
        }
        if self.nodes.iter().any(|other| other.is_running() && other.executor().voters().key_of(&node.name).is_some()) {
            return;
        }
        self.story.push(format!("step {}: {} is set up anew", self.step, node.name));
        self.nodes[place].stop();
        self.nodes[place].wipe();
        self.oracle.forget(place);
        self.start(place);
        self.count("node set up anew");
    }

    /// Whether another node holds the whole chain: what nobody holds any more nobody can be given.
    pub(crate) fn is_held_elsewhere(&self, place: usize) -> bool {
        self.nodes.iter().filter(|node| node.place != place && node.is_running()).any(|node| {
            let view = node.executor().ledger().view().unwrap();
            view.bodies_from().unwrap() == 1
        })
    }

    /// Puts a ledger that was built in its place while its node is stopped, and may kill it on the way.
    pub(crate) fn install(&mut self, place: usize, built: &Built) {
        let is_killed = self.ledger_random.chance(self.world.ledger.install_killed);
        let killed_before = is_killed.then(|| self.ledger_random.below(4) as u64);
        let (step, height) = (self.step, built.height());
        let outcome = self.nodes[place].install(built, killed_before);
        let name = &self.nodes[place].name;
        self.story
            .push(format!("step {step}: {name}, ledger of height {height} by snapshot: {outcome:?} {killed_before:?}"));
        self.count(match outcome {
            Installed::Done => "ledger fetched by snapshot",
            Installed::Killed => "killed while a ledger was put in place",
            Installed::NotAhead => "snapshot came too late",
        });
    }

    /// Counts what nodes refused of snapshots.
    pub(crate) fn count_refusals(&mut self) {
        let seen = self.seen();
        for (what, count) in [
            ("a piece that is not the manifest's is refused", seen.pieces_refused),
            ("a piece that rotted is found and fetched again", seen.pieces_rotted),
            ("a snapshot that no quorum certified is refused", seen.offers_refused),
            ("a snapshot of other rows is refuted by the certified root", seen.snapshots_refuted),
            ("what came before a snapshot is filled in", seen.past_filled),
            ("rows that rotted are found", seen.rot_found),
            ("a ledger that rotted is fetched anew", seen.repaired),
        ] {
            if count > 0 {
                *self.oracle.checks.entry(what).or_default() += count;
            }
        }
    }

    /// Loses, alters or lets rot what is said about snapshots; whether the frame needs no sending any more.
    pub(crate) fn disturb(&mut self, place: usize, to: To, frame: &Frame) -> bool {
        let To::Place(to) = to else { return false };
        let world = self.world.ledger;
        let (altered, name) = match frame {
            Frame::Snapshot(request, bytes, starts) => {
                let is_piece = matches!(request, SnapshotRequest::Part { .. });
                if is_piece && self.ledger_random.chance(world.source_crash) && self.nodes[place].is_running() {
                    self.count("source of a snapshot crashes");
                    self.crash(place);
                    let back = self.step + 1 + self.ledger_random.below(60) as u64;
                    self.restart_at.insert(place, back);
                    return true;
                }
                let pick = self.ledger_random.below(1 << 20);
                if is_piece && self.ledger_random.chance(world.piece_rots) && self.nodes[to].rot_piece(pick) {
                    self.count("snapshot piece rots where it came");
                }
                if !self.ledger_random.chance(world.altered) {
                    return false;
                }
                let Some(altered) = alter_snapshot(bytes, &mut self.ledger_random) else { return false };
                let name = if is_piece { "snapshot piece altered" } else { "snapshot offer altered" };
                (Frame::Snapshot(request.clone(), altered, *starts), name)
            }
            Frame::Past(bytes, starts) if self.ledger_random.chance(world.altered) => {
                let mut altered = bytes.clone();
                flip(&mut altered, &mut self.ledger_random);
                (Frame::Past(altered, *starts), "past altered")
            }
            _ => return false,
        };
        self.count(name);
        self.send_hostile(place, to, altered);
        true
    }
}

/// Flips a bit of a piece, or of the state root in an offer's header.
fn alter_snapshot(bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut answer = SnapshotAnswer::from_peer(bytes).unwrap();
    match &mut answer {
        SnapshotAnswer::Nothing => return None,
        SnapshotAnswer::Offer(offer) => flip(&mut offer.manifest.header.state_root.0, random),
        SnapshotAnswer::Part(piece) => flip(piece, random),
    }
    Some(answer.encode())
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    if let Some(byte) = (!bytes.is_empty()).then(|| &mut bytes[random.below(bytes.len())]) {
        *byte ^= 1 << random.below(8);
    }
}
