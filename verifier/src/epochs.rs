//! From the founders' voters to those of the certified header, epoch by epoch.
//!
//! The last header of an epoch names the voters of the next, and its own voters signed exactly that header. Where a quorum
//! was lost, the remaining members signed a recovery instead: it names the header that is kept and the nodes that vote from
//! then on, with their keys. Nothing in a file can show that a quorum was truly lost, so a recovery is believed only by a
//! reader who was told its hash, or that of a later one, by the members.

use crate::hash::{self, Hash};
use crate::header::{Header, Signature, Voter, VoterSet};
use crate::reader::Reader;
use crate::refusal::Refusal;

/// The end of an epoch, as a file tells it.
pub(crate) struct Handover<'file> {
    last: Header<'file>,
    next: VoterSet<'file>,
    reason: Reason<'file>,
}

enum Reason<'file> {
    Certificate(Vec<Signature<'file>>),
    Recovery(Recovery<'file>),
}

/// What the remaining members signed.
struct Recovery<'file> {
    hash: Hash,
    genesis: Hash,
    /// The recovery before this one; zero where there was none.
    lineage: Hash,
    height: u64,
    header: Hash,
    voters: Vec<Voter<'file>>,
}

impl<'file> Handover<'file> {
    pub(crate) fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        let (last, next) = (Header::read(reader)?, VoterSet::read(reader)?);
        let reason = match reader.byte()? {
            1 => Reason::Certificate(reader.list(Signature::read)?),
            2 => Reason::Recovery(Recovery::read(reader)?),
            _ => return Err(Refusal::Malformed("a handover has no known reason")),
        };
        Ok(Self { last, next, reason })
    }
}

impl<'file> Recovery<'file> {
    fn read(reader: &mut Reader<'file>) -> Result<Self, Refusal> {
        let (mut recovery, bytes) = reader.with_bytes(|reader| {
            let (genesis, lineage, height, header) = (reader.array()?, reader.array()?, reader.u64()?, reader.array()?);
            let (_made_ms, _abandoned) = (reader.u64()?, reader.list(Reader::slug)?);
            Ok(Self { hash: [0; 32], genesis, lineage, height, header, voters: reader.list(Voter::read)? })
        })?;
        recovery.hash = hash::RECOVERY.hash(&[bytes]);
        Ok(recovery)
    }
}

/// Every recovery that a reader accepts with those given: each names the one before it, and so vouches for it.
pub(crate) fn accepted(given: &[Hash], handovers: &[Handover<'_>]) -> Vec<Hash> {
    let mut accepted = given.to_vec();
    for handover in handovers.iter().rev() {
        if let Reason::Recovery(recovery) = &handover.reason
            && accepted.contains(&recovery.hash)
        {
            accepted.push(recovery.lineage);
        }
    }
    accepted
}

/// How far the voters are followed.
pub(crate) struct Epochs<'file> {
    genesis: Hash,
    /// The voters of the next height.
    pub(crate) voters: VoterSet<'file>,
    /// The last header of the epoch before.
    last: Option<Header<'file>>,
    /// Recoveries that were passed: the highest height that each keeps, and its hash.
    pub(crate) recoveries: Vec<(u64, Hash)>,
}

impl<'file> Epochs<'file> {
    /// At the founding.
    pub(crate) fn new(genesis: Hash, voters: VoterSet<'file>) -> Self {
        Self { genesis, voters, last: None, recoveries: Vec::new() }
    }

    /// Goes on to the next epoch.
    pub(crate) fn pass(&mut self, handover: Handover<'file>, accepted: &[Hash]) -> Result<(), Refusal> {
        let Handover { last, next, reason } = handover;
        let epoch = self.voters.epoch;
        let refused = |cause| Err(Refusal::Handover(epoch, cause));
        if last.genesis != self.genesis {
            return refused("the header is of another chain");
        }
        match reason {
            Reason::Certificate(signatures) => {
                if self.last.is_some_and(|before| last.height <= before.height) {
                    return refused("the header's height does not follow");
                }
                if last.epoch != epoch || last.voter_set != self.voters.hash {
                    return refused("the header is not of this epoch");
                }
                let follows = Some(next.epoch) == epoch.checked_add(1) && next.lineage == self.voters.lineage;
                if next.hash != last.next_voter_set || !follows {
                    return refused("the header names other voters");
                }
                self.voters.certified(&last, &signatures)?;
            }
            Reason::Recovery(recovery) => {
                if !accepted.contains(&recovery.hash) {
                    return Err(Refusal::RecoveryNotAccepted(recovery.hash, recovery.height));
                }
                self.recovers(&last, &next, &recovery).or_else(refused)?;
                self.recoveries.push((last.height, recovery.hash));
            }
        }
        (self.voters, self.last) = (next, Some(last));
        Ok(())
    }

    /// Checks a recovery that the reader accepts.
    fn recovers(&self, last: &Header<'_>, next: &VoterSet<'_>, recovery: &Recovery<'_>) -> Result<(), &'static str> {
        let before = self.last.map_or(0, |before| before.height);
        // The header kept may be the very one that opened an epoch without blocks.
        let follows = last.height > before || self.last.is_some_and(|before| before.hash == last.hash);
        if !follows {
            return Err("the header's height does not follow");
        }
        if (recovery.genesis, recovery.height, recovery.header) != (self.genesis, last.height, last.hash) {
            return Err("the recovery keeps another header");
        }
        if recovery.lineage != self.voters.lineage {
            return Err("the recovery follows another recovery");
        }
        // The recovery makes the set, of the epoch after the one that the kept header announces.
        let announced = last.epoch.checked_add(u64::from(last.hands_over()));
        if announced.and_then(|epoch| epoch.checked_add(1)) != Some(next.epoch) || next.epoch <= self.voters.epoch {
            return Err("the recovery begins another epoch");
        }
        if next.lineage != recovery.hash || next.voters != recovery.voters || next.voters.is_empty() {
            return Err("the voters are not those of the recovery");
        }
        Ok(())
    }
}
