//! Snapshots between peers: one offers what it holds, the other checks the offer against the voters and pulls the parts.
//!
//! The order of a receiver: ask for the offer, and for handovers from the genesis on until they reach the epoch of the
//! offered header; [`SnapshotOffer::verified`]; then collect the parts in an
//! [`Incoming`](galen_ledger::install::Incoming), which checks each, from any peer that offers the same manifest.

use std::sync::Arc;

use galen_ledger::snapshot::{BaseProof, EpochEnd, EpochEndProof, Manifest, SnapshotSource};
use galen_ledger::{Ledger, LedgerError, SnapshotError};
use galen_types::{BlockHeader, Certificate, DecodeError, Encoding, Genesis, Hash, Slug, VoterSet};
use wincode::{SchemaRead, SchemaWrite};

use crate::executor::founding_writes;
use crate::limits::{SNAPSHOT_ANSWER_BYTES_MAX, SYNC_TRAIL_HEADERS_MAX};
use crate::recovery::HeldRecoveries;
use crate::sync::{Handover, HandoverProof, SyncError, verify_handovers};

/// A question to a peer.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum SnapshotRequest {
    /// What is the newest certified snapshot that you serve?
    #[wincode(tag = 1)]
    Offer,
    /// A part of a snapshot.
    #[wincode(tag = 2)]
    Part {
        /// The snapshot's height.
        height: u64,
        /// The part's place in the manifest.
        index: u32,
    },
}

/// A peer's answer.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum SnapshotAnswer {
    /// It serves no such snapshot, or no part of that number.
    #[wincode(tag = 1)]
    Nothing,
    /// Its newest certified snapshot.
    #[wincode(tag = 2)]
    Offer(Box<SnapshotOffer>),
    /// The part's bytes, to be checked against the manifest.
    #[wincode(tag = 3)]
    Part(Vec<u8>),
}

/// A snapshot, and why its header is to be believed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SnapshotOffer {
    /// What it holds.
    pub manifest: Manifest,
    /// The headers after the snapshot's, up to the one that the certificate names; mostly none.
    pub trail: Vec<BlockHeader>,
    /// Covers the last of them, or the snapshot's own header.
    pub certificate: Certificate,
}

/// Why an offer is not believed: ask another peer. The code is stable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OfferError {
    /// Bytes that are no answer.
    #[error("a peer's answer is malformed: {0}")]
    Decode(#[from] DecodeError),
    /// A manifest that contradicts itself.
    #[error("a peer's offer is refused: {0}")]
    Manifest(#[from] SnapshotError),
    /// Headers or certificate that do not hold.
    #[error(transparent)]
    Certificate(#[from] SyncError),
    /// A header of another chain, or by other voters than those of its epoch.
    #[error("a peer offers a snapshot whose header names another chain or other voters than epoch {epoch} has")]
    OtherVoters {
        /// The epoch of the voters that were expected.
        epoch: u64,
    },
}

impl OfferError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "snapshot-malformed",
            Self::Manifest(error) => error.code(),
            Self::Certificate(error) => error.code(),
            Self::OtherVoters { .. } => "snapshot-other-voters",
        }
    }
}

impl SnapshotAnswer {
    /// Decodes a peer's answer, bounded.
    ///
    /// # Errors
    /// [`OfferError::Decode`].
    pub fn from_peer(bytes: &[u8]) -> Result<Self, OfferError> {
        Ok(Self::decode(bytes, SNAPSHOT_ANSWER_BYTES_MAX)?)
    }

    /// The answer to a peer's request from the snapshots that are open. One that the ledger holds no certificate for yet is
    /// not offered.
    ///
    /// # Errors
    /// [`SnapshotError`] when ledger or snapshot cannot be read; the snapshot should then be closed and taken anew.
    pub fn to_request(
        request: &SnapshotRequest,
        sources: &[Arc<SnapshotSource>],
        ledger: &Ledger,
    ) -> Result<Self, SnapshotError> {
        match request {
            SnapshotRequest::Offer => {
                let mut newest: Vec<_> = sources.iter().collect();
                newest.sort_by_key(|source| std::cmp::Reverse(source.height()));
                for source in newest {
                    if let Some(offer) = SnapshotOffer::of(source, ledger)? {
                        return Ok(Self::Offer(Box::new(offer)));
                    }
                }
                Ok(Self::Nothing)
            }
            SnapshotRequest::Part { height, index } => {
                let Some(source) = sources.iter().find(|source| source.height() == *height) else {
                    return Ok(Self::Nothing);
                };
                Ok(source.part(*index)?.map_or(Self::Nothing, Self::Part))
            }
        }
    }
}

impl SnapshotOffer {
    /// What a peer is offered of a snapshot; `None` until its height is certified, or when the chain here holds another
    /// header at it.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn of(source: &SnapshotSource, ledger: &Ledger) -> Result<Option<Self>, LedgerError> {
        let header = &source.manifest().header;
        let view = ledger.view()?;
        if view.header_hash(header.height)? != Some(header.hash()) {
            return Ok(None);
        }
        let Some(certificate) = view.certificate_covering(header.height)? else { return Ok(None) };
        let missing = usize::try_from(certificate.height - header.height).unwrap_or(usize::MAX);
        if missing > SYNC_TRAIL_HEADERS_MAX {
            return Ok(None);
        }
        let trail = if missing == 0 { Vec::new() } else { view.headers(header.height + 1, missing)? };
        // A certificate covers its own epoch only: the next one's says nothing about this header.
        if trail.len() != missing || trail.iter().any(|after| after.epoch != header.epoch) {
            return Ok(None);
        }
        Ok(Some(Self { manifest: source.manifest().clone(), trail, certificate }))
    }

    /// The header of the offered height.
    pub fn header(&self) -> &BlockHeader {
        &self.manifest.header
    }

    /// Checks an offer against the voters of its header's epoch, which handovers led to.
    ///
    /// # Errors
    /// [`OfferError`] naming what is wrong.
    pub fn verify(&self, genesis: &Hash, chain: &Slug, voters: &VoterSet) -> Result<(), OfferError> {
        self.manifest.check()?;
        let header = self.header();
        let hash = voters.hash();
        let of_epoch = |header: &BlockHeader| {
            (&header.genesis, &header.chain, header.epoch, header.voter_set) == (genesis, chain, voters.epoch, hash)
        };
        if self.trail.len() > SYNC_TRAIL_HEADERS_MAX {
            return Err(SyncError::NotCertified(header.height).into());
        }
        if !of_epoch(header) || !self.trail.iter().all(of_epoch) {
            return Err(OfferError::OtherVoters { epoch: voters.epoch });
        }
        let mut last = (header.height, header.hash());
        for after in &self.trail {
            if after.height.checked_sub(1) != Some(last.0) || after.parent != last.1 {
                return Err(SyncError::NotLinked(after.height).into());
            }
            last = (after.height, after.hash());
        }
        if (self.certificate.height, self.certificate.header) != last {
            return Err(SyncError::NotCertified(last.0).into());
        }
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::SnapshotUncertified) {
            return Ok(());
        }
        let failed = |error: galen_types::certificate::CertificateError| {
            let cause = error.to_string();
            OfferError::Certificate(SyncError::Certificate { height: last.0, cause })
        };
        self.certificate.verify(genesis, voters).map_err(failed)
    }

    /// Checks an offer by the handovers that lead from the genesis to its epoch (those beyond it are passed over), and gives
    /// what the ledger is installed from. `recoveries` are those that this node holds.
    ///
    /// # Errors
    /// [`OfferError`] naming what is wrong.
    pub fn verified(
        self,
        genesis: &Genesis,
        handovers: &[Handover],
        recoveries: &HeldRecoveries,
    ) -> Result<(Manifest, BaseProof), OfferError> {
        let header = self.header();
        let (hash, founders) = (genesis.hash(), genesis.voter_set());
        let before: Vec<Handover> =
            handovers.iter().filter(|handover| handover.last.height < header.height).cloned().collect();
        let voters = verify_handovers(&hash, &founders, &before, recoveries)?;
        self.verify(&hash, &genesis.chain, &voters)?;
        let height = header.height;
        recoveries.lead_to(height, &voters.lineage).map_err(|kept| SyncError::GivenUp { height, kept })?;
        let mut followed = before;
        if galen_ledger::hands_over(header) {
            // The offered block is the last of its epoch: the voters after it are needed too.
            let own = handovers.iter().find(|handover| handover.last == *header);
            followed.push(own.ok_or(OfferError::OtherVoters { epoch: galen_ledger::next_epoch(header) })?.clone());
            verify_handovers(&hash, &founders, &followed, recoveries)?;
        }
        let Self { manifest, trail, certificate } = self;
        let epoch_ends = followed.into_iter().map(EpochEnd::from).collect();
        Ok((manifest, BaseProof { genesis_voters: founders, epoch_ends, trail, certificate }))
    }
}

/// How a ledger stands to the block that an ordering leader names in place of the entries that it has cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutBlock {
    /// It has not come there, certified and durable: the follower's own log must stay.
    Ahead,
    /// It holds what came up to that block's entry.
    Held,
    /// It holds another block there.
    Another,
}

/// Compares a ledger with the block that an ordering leader names: its entry, its height, and its header. A ledger that
/// began with a later snapshot may not hold that header: then its own first block, which is certified, says up to which
/// entry it holds what was ordered. It must not wait for the header: where it keeps no history it would wait for ever, and
/// with it the group that needs its word.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn cut_block(ledger: &Ledger, index: u64, height: u64, header: &Hash) -> Result<CutBlock, LedgerError> {
    if ledger.certified_height().min(ledger.durable_height()) < height {
        return Ok(CutBlock::Ahead);
    }
    let view = ledger.view()?;
    let is_held = match view.header(height)? {
        Some(held) => held.hash() == *header && held.raft_index == index,
        None => {
            view.header(view.history_from()?)?.is_some_and(|first| height < first.height && index < first.raft_index)
        }
    };
    Ok(if is_held { CutBlock::Held } else { CutBlock::Another })
}

/// The root of the state before the first block, which a ledger that is installed from a snapshot notes down.
///
/// # Errors
/// [`LedgerError`] when the founding document's tree size is out of bounds.
pub fn genesis_state_root(genesis: &Genesis) -> Result<Hash, LedgerError> {
    galen_ledger::state_root_of(&founding_writes(genesis), genesis.state_bucket_bits)
}

impl From<EpochEnd> for Handover {
    fn from(end: EpochEnd) -> Self {
        let EpochEnd { last, proof, next } = end;
        let proof = match proof {
            EpochEndProof::Certificate(certificate) => HandoverProof::Certificate(certificate),
            EpochEndProof::Recovery { header, recovery } => HandoverProof::Recovery { header, recovery },
        };
        Self { last, proof, next }
    }
}

impl From<Handover> for EpochEnd {
    fn from(handover: Handover) -> Self {
        let Handover { last, proof, next } = handover;
        let proof = match proof {
            HandoverProof::Certificate(certificate) => EpochEndProof::Certificate(certificate),
            HandoverProof::Recovery { header, recovery } => EpochEndProof::Recovery { header, recovery },
        };
        Self { last, proof, next }
    }
}
