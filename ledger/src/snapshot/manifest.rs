//! What a snapshot is made of, as it travels. Cutting is deterministic: every node that holds a height serves the same
//! parts, so a transfer can go on at another peer.

use galen_types::certificate::VoterSet;
use galen_types::encoding::Encoding as _;
use galen_types::hash::Context;
use galen_types::merkle::MountainRange;
use galen_types::recovery::Recovery;
use galen_types::{BlockHeader, Certificate, Hash};
use wincode::{SchemaRead, SchemaWrite};

use super::SnapshotError;
use crate::constants::{SNAPSHOT_MANIFEST_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX, SNAPSHOT_PARTS_MAX};
use crate::handover::next_epoch;
use crate::view::Row;

/// What a snapshot holds: the state after one block, in parts. Only the state's rows travel; the receiver builds the
/// tree over them anew and compares its root with the header's.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Manifest {
    /// The block after which the state stands.
    pub header: BlockHeader,
    /// The mountain range over the headers before it: its root is the header's `history_root`.
    pub history: MountainRange,
    /// In the order of their rows' keys.
    pub parts: Vec<PartDigest>,
    /// Rows in all parts.
    pub rows: u64,
    /// Bytes of all parts.
    pub bytes: u64,
}

/// What a part is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct PartDigest {
    /// Of its bytes.
    pub hash: Hash,
    /// Its rows.
    pub rows: u32,
    /// Its bytes.
    pub bytes: u32,
}

/// A part: rows of the state in ascending order of key. Its encoding is what travels and what is hashed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Part {
    /// Keys and values.
    pub rows: Vec<Row>,
}

/// Where the chain's voters changed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EpochEnd {
    /// The epoch's last block; where a recovery ended it, the last that the recovery keeps.
    pub last: BlockHeader,
    /// Why the next voters are believed.
    pub proof: EpochEndProof,
    /// Who votes from the next height on.
    pub next: VoterSet,
}

/// Why the voters after an epoch are believed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum EpochEndProof {
    /// The epoch's own voters certified exactly its last block, which names the next ones.
    #[wincode(tag = 1)]
    Certificate(Certificate),
    /// A recovery, which this node believed.
    #[wincode(tag = 2)]
    Recovery {
        /// The recovery block's header.
        header: Box<BlockHeader>,
        /// What the remaining members signed.
        recovery: Box<Recovery>,
    },
}

/// Why a snapshot's header is believed: the way from the genesis voters to those who certified it. It is verified by the
/// caller before it is given to the ledger, and kept there, so that it can be verified again offline.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct BaseProof {
    /// The voters of epoch 0, from the genesis.
    pub genesis_voters: VoterSet,
    /// Every end of an epoch up to the snapshot's header (which may be one itself), in order.
    pub epoch_ends: Vec<EpochEnd>,
    /// Headers after the snapshot's, up to the one that the certificate names; mostly none.
    pub trail: Vec<BlockHeader>,
    /// By the voters of the header's epoch, over the last header of the trail, or over the snapshot's own.
    pub certificate: Certificate,
}

impl EpochEnd {
    /// Checks a recovery's voters against its document: they are those that it names, from the header on that it keeps.
    /// That the document is believed is the caller's to see to. The epoch that the kept header announces may never have
    /// begun.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_recovery(
        &self,
        before: &VoterSet,
        header: &BlockHeader,
        recovery: &Recovery,
    ) -> Result<(), &'static str> {
        let Self { last, next, .. } = self;
        if recovery.genesis != last.genesis || (recovery.height, recovery.header) != (last.height, last.hash()) {
            return Err("its recovery goes on from another header");
        }
        if recovery.lineage != before.lineage {
            return Err("its recovery goes on from another recovery");
        }
        if header.genesis != last.genesis
            || header.parent != last.hash()
            || last.height.checked_add(1) != Some(header.height)
        {
            return Err("its recovery block does not follow");
        }
        if next_epoch(last).checked_add(1) != Some(header.epoch) || header.epoch <= before.epoch {
            return Err("its recovery block is of another epoch");
        }
        if *next != recovery.voter_set(header.epoch) || next.hash() != header.voter_set {
            return Err("its voters are not those of the recovery");
        }
        Ok(())
    }
}

impl PartDigest {
    /// What a part's bytes are checked against.
    pub(crate) fn of(bytes: &[u8], rows: usize) -> Self {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { hash: Hash::of(Context::SnapshotPart, bytes), rows: short(rows), bytes: short(bytes.len()) }
    }
}

impl Manifest {
    /// Decodes a manifest from outside, bounded, and checks that it agrees with itself and its header.
    ///
    /// # Errors
    /// [`SnapshotError::Manifest`].
    pub fn from_peer(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let manifest = Self::decode(bytes, SNAPSHOT_MANIFEST_BYTES_MAX)
            .map_err(|_| SnapshotError::Manifest("the bytes are no manifest"))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks that it agrees with itself and its header. Whether the header is certified is checked by the caller.
    ///
    /// # Errors
    /// [`SnapshotError::Manifest`].
    pub fn check(&self) -> Result<(), SnapshotError> {
        let unsound = |problem| Err(SnapshotError::Manifest(problem));
        if self.header.height.checked_sub(1) != Some(self.history.length()) {
            return unsound("the history does not end before the header");
        }
        if self.history.root() != self.header.history_root {
            return unsound("the history is not the one that the header names");
        }
        if self.parts.len() > SNAPSHOT_PARTS_MAX {
            return unsound("there are more parts than a snapshot may have");
        }
        if self.parts.iter().any(|part| part.rows == 0 || part.bytes as usize > SNAPSHOT_PART_BYTES_MAX) {
            return unsound("a part is empty or too large");
        }
        let (rows, bytes) = self
            .parts
            .iter()
            .fold((0_u64, 0_u64), |(rows, bytes), part| (rows + u64::from(part.rows), bytes + u64::from(part.bytes)));
        if (rows, bytes) != (self.rows, self.bytes) {
            return unsound("the parts do not add up");
        }
        Ok(())
    }

    /// Names exactly this manifest: header and parts.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::SnapshotManifest, &self.encode())
    }

    /// The part of these bytes, once they are known to be what the manifest names.
    ///
    /// # Errors
    /// [`SnapshotError::Part`].
    pub fn check_part(&self, index: u32, bytes: &[u8]) -> Result<Part, SnapshotError> {
        let wrong = |problem: &str| SnapshotError::Part { index, problem: problem.to_owned() };
        let digest = self.parts.get(index as usize).ok_or_else(|| wrong("there is no such part"))?;
        if bytes.len() != digest.bytes as usize {
            return Err(wrong(&format!("it has {} bytes, not {}", bytes.len(), digest.bytes)));
        }
        let hash = Hash::of(Context::SnapshotPart, bytes);
        #[cfg(feature = "planted")]
        let hash = match galen_planted::is_on(galen_planted::Bug::SnapshotPieceUnchecked) {
            true => digest.hash,
            false => hash,
        };
        if hash != digest.hash {
            return Err(wrong("its hash differs"));
        }
        let part = Part::decode(bytes, SNAPSHOT_PART_BYTES_MAX).map_err(|error| wrong(&error.to_string()))?;
        if part.rows.len() != digest.rows as usize {
            return Err(wrong("it has another number of rows"));
        }
        if !part.rows.is_sorted_by(|left, right| left.0 < right.0) {
            return Err(wrong("its rows are not in ascending order of key"));
        }
        Ok(part)
    }
}

impl BaseProof {
    /// About how many bytes it is encoded to, counted piece by piece: as one value it may be too long to be encoded.
    pub(crate) fn bytes(&self) -> usize {
        let ends: usize = self.epoch_ends.iter().map(|end| end.encode().len()).sum();
        let trail: usize = self.trail.iter().map(|header| header.encode().len()).sum();
        ends + trail + self.genesis_voters.encode().len() + self.certificate.encode().len() + 16
    }

    /// The voter sets of all epochs up to the header's, and of the next one where the header names it.
    pub(crate) fn voter_sets(&self) -> impl Iterator<Item = &VoterSet> {
        std::iter::once(&self.genesis_voters).chain(self.epoch_ends.iter().map(|end| &end.next))
    }

    /// Checks that the sets stand in order and end with those that the header names. The signatures were verified
    /// by the caller.
    pub(crate) fn check(&self, header: &BlockHeader) -> Result<(), SnapshotError> {
        let wrong = |problem| Err(SnapshotError::VoterSets(problem));
        // A recovery may pass over an epoch that was announced and never began.
        if self.genesis_voters.epoch != 0 || !self.voter_sets().is_sorted_by(|before, after| before.epoch < after.epoch)
        {
            return wrong("the epochs are not in order");
        }
        if self.voter_sets().all(|set| (set.epoch, set.hash()) != (header.epoch, header.voter_set)) {
            return wrong("the set of the header's epoch is missing");
        }
        if self.epoch_ends.iter().any(|end| end.last.height > header.height) {
            return wrong("an epoch ends after the header");
        }
        let last = self.voter_sets().last().unwrap_or(&self.genesis_voters);
        let names_next = header.next_voter_set != header.voter_set;
        let expected = header.epoch.saturating_add(u64::from(names_next));
        if last.epoch != expected || last.hash() != header.next_voter_set {
            return wrong("the set after the header is another one");
        }
        Ok(())
    }
}
