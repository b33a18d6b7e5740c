//! What leaves a node binds it: a vote, an acknowledgement, a header's signature. Each is looked at where it leaves, and must
//! stand on the node's disk then, whatever becomes of the process.

use galen_consensus::{LogEnd, RaftId};
use galen_types::HeaderSignature;

use crate::cluster::Cluster;
use crate::node::{Frame, To};

/// Of acknowledgements one in so many is looked for on the disk: each takes reading a log.
const ACKNOWLEDGED_EVERY: u64 = 4;

/// The parts of a frame between orderers that are looked at; see `galen_consensus::wire` for its layout.
struct Said {
    kind: u8,
    reject: bool,
    to: RaftId,
    term: u64,
    log_term: u64,
    index: u64,
}

const APPEND_RESPONSE: u8 = 4;
const REQUEST_VOTE: u8 = 5;
const VOTE_RESPONSE: u8 = 6;

fn read(bytes: &[u8]) -> Option<Said> {
    let number = |place: usize| {
        let at = 3 + 8 * place;
        bytes.get(at..at + 8).map(|part| u64::from_le_bytes(part.try_into().unwrap()))
    };
    Some(Said {
        kind: *bytes.get(1)?,
        reject: *bytes.get(2)? != 0,
        to: RaftId(number(0)?),
        term: number(2)?,
        log_term: number(3)?,
        index: number(4)?,
    })
}

impl Cluster {
    /// Checks what a node is about to say.
    pub(crate) fn check_promises(&mut self, place: usize, out: &[(To, Frame)]) {
        if self.nodes[place].parted || self.evil == Some(place) {
            return;
        }
        for (_, frame) in out {
            if let Frame::Raft(number, bytes) = frame
                && let Some(said) = read(bytes)
                && !said.reject
            {
                match said.kind {
                    VOTE_RESPONSE => self.check_vote(place, *number, said.term, said.to),
                    REQUEST_VOTE => {
                        let log_end = LogEnd { term: said.log_term, index: said.index };
                        self.oracle.asks_for_votes(*number, said.term, log_end);
                        self.check_vote(place, *number, said.term, *number);
                    }
                    APPEND_RESPONSE => {
                        self.oracle.acknowledges(*number, said.term, said.index);
                        self.check_acknowledgement(place, said.index);
                    }
                    _ => {}
                }
            }
        }
        let signed = std::mem::take(&mut self.nodes[place].signed_now);
        for signature in signed {
            self.check_signature(place, &signature);
        }
    }

    fn check_vote(&mut self, place: usize, number: RaftId, term: u64, candidate: RaftId) {
        self.oracle.voted_for(number, term, candidate);
        let name = &self.nodes[place].name;
        let Some(log) = self.nodes[place].durable_log() else { panic!("{name} votes, and its log would not open") };
        let stored = (log.hard_state.term, log.hard_state.vote);
        let stands = stored.0 > term || stored == (term, Some(candidate));
        assert!(stands, "{name} votes for {candidate} in term {term}, its disk says {stored:?}");
        self.oracle.checked("a vote is on the disk before it leaves");
    }

    fn check_acknowledgement(&mut self, place: usize, index: u64) {
        self.oracle.acknowledged += 1;
        if !self.oracle.acknowledged.is_multiple_of(ACKNOWLEDGED_EVERY) {
            return;
        }
        let name = &self.nodes[place].name;
        // What it said last under a number that it gave up in this step: that log is opened no more.
        if self.nodes[place].last_number.is_none() {
            return;
        }
        let Some(log) = self.nodes[place].durable_log() else {
            panic!("{name} acknowledges, and its log would not open")
        };
        let cut = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let last = log.entries.last().map_or(cut, |entry| entry.index);
        assert!(last >= index, "{name} acknowledges entry {index}, its disk ends at {last}");
        self.oracle.checked("an acknowledged entry is on the disk before the acknowledgement leaves");
    }

    fn check_signature(&mut self, place: usize, signature: &HeaderSignature) {
        let node = &self.nodes[place];
        if !node.is_running() {
            return;
        }
        let ledger = node.executor().ledger();
        let (height, name) = (signature.height, &node.name);
        let stored = ledger.view().unwrap().own_signature(height).unwrap().map(|stored| stored.header);
        assert_eq!(stored, Some(signature.header), "{name} signs a header at height {height} and does not store it");
        let durable = ledger.durable_height();
        assert!(durable >= height, "{name} signs height {height}, durable up to {durable}");
        self.oracle.signed(signature);
    }
}
