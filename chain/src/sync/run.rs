//! A run of blocks, checked before any of it is applied.

use galen_types::block::BLOCK_BYTES_MAX;
use galen_types::{Block, BlockHeader, Certificate, Encoding, Hash, VoterSet};

use super::{SyncAnswer, SyncError};
use crate::recovery::HeldRecoveries;

/// What a run must follow.
#[derive(Debug, Clone, Copy)]
pub struct RunStart<'own> {
    /// The chain.
    pub genesis: &'own Hash,
    /// The height before the first block that is wanted.
    pub height: u64,
    /// The hash of the header at that height.
    pub parent: Hash,
    /// The voters of the next height.
    pub voters: &'own VoterSet,
    /// Recoveries that this node holds.
    pub recoveries: &'own HeldRecoveries,
}

/// A run of blocks that a certificate covers, or a recovery that keeps them, checked against the block before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedRun {
    /// In order of height, each naming the one before as its parent.
    pub blocks: Vec<Block>,
    /// Covers the last block; its own height may be above. `None` where a held recovery keeps the blocks.
    pub certificate: Option<Certificate>,
}

impl SyncAnswer {
    /// The blocks of an answer that follow `start`, once they are known to be linked to it and to be certified by its
    /// voters, or kept by a held recovery; `None` when there are none. Those up to the start are passed over: the chain
    /// may have grown since the question.
    ///
    /// # Errors
    /// [`SyncError`] naming what is wrong with the answer.
    pub fn certified_run(self, start: RunStart<'_>) -> Result<Option<CertifiedRun>, SyncError> {
        let Self::Blocks { blocks, trail, certificate } = self else { return Err(SyncError::Unexpected) };
        let (mut height, mut hash) = (start.height, start.parent);
        let mut follow = |header: &BlockHeader| {
            if header.height.checked_sub(1) != Some(height) || header.parent != hash || header.genesis != *start.genesis
            {
                return Err(SyncError::NotLinked(header.height));
            }
            (height, hash) = (header.height, header.hash());
            Ok(hash)
        };
        let mut run = Vec::with_capacity(blocks.len());
        let mut chain = Vec::with_capacity(blocks.len() + trail.len());
        for bytes in blocks {
            let block = Block::decode(&bytes, BLOCK_BYTES_MAX)?;
            if block.header.height <= start.height {
                continue;
            }
            let hash = follow(&block.header)?;
            if !block.transactions_match() {
                return Err(SyncError::Transactions(block.header.height));
            }
            chain.push((hash, Turn::of(&block.header)));
            run.push(block);
        }
        if run.is_empty() {
            return Ok(None);
        }
        // The next block is the recovery's, whatever others certified before they were abandoned.
        if start.recoveries.from(start.height, &start.parent).next().is_some() {
            return Err(SyncError::GivenUp { height: start.height.saturating_add(1), kept: start.height });
        }
        for header in &trail {
            chain.push((follow(header)?, Turn::of(header)));
        }
        if let Some(kept) =
            chain.iter().rev().find(|(hash, turn)| start.recoveries.from(turn.height, hash).next().is_some())
        {
            let kept = kept.1.height;
            run.retain(|block| block.header.height <= kept);
            return Ok(Some(CertifiedRun { blocks: run, certificate: None }));
        }
        check_epoch(start.voters, chain.iter().map(|(_, turn)| turn))?;
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::UncertifiedFollowed) && certificate.is_none() {
            return Ok(Some(CertifiedRun { blocks: run, certificate: None }));
        }
        let certificate = certificate
            .filter(|certificate| (certificate.height, certificate.header) == (height, hash))
            .ok_or(SyncError::NotCertified(height))?;
        certificate
            .verify(start.genesis, start.voters)
            .map_err(|error| SyncError::Certificate { height, cause: error.to_string() })?;
        Ok(Some(CertifiedRun { blocks: run, certificate: Some(certificate) }))
    }
}

/// What a header says of voters.
struct Turn {
    height: u64,
    epoch: u64,
    voters: Hash,
    hands_over: bool,
}

impl Turn {
    fn of(header: &BlockHeader) -> Self {
        Self {
            height: header.height,
            epoch: header.epoch,
            voters: header.voter_set,
            hands_over: galen_ledger::hands_over(header),
        }
    }
}

/// All headers name the same voters, and only the last may hand over to others.
fn check_epoch<'run>(voters: &VoterSet, run: impl Iterator<Item = &'run Turn>) -> Result<(), SyncError> {
    let set = voters.hash();
    let mut expected = voters.epoch;
    for turn in run {
        if turn.epoch != expected || turn.voters != set {
            return Err(SyncError::WrongEpoch { height: turn.height, expected, given: turn.epoch });
        }
        expected += u64::from(turn.hands_over);
    }
    Ok(())
}
