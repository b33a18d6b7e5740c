//! Certified blocks of peers: executed again here, and compared. This is how observers follow, and how a voter catches
//! up whose log no longer connects to the leader's.

use galen_types::DecodedTransaction;
use galen_types::block::Block;

use super::execute::Proposal;
use super::{Executed, Executor, ExecutorError};
use crate::sync::{CertifiedRun, SyncAnswer, SyncError};

/// Why a peer's blocks are not applied. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The answer is not believed; ask another peer.
    #[error(transparent)]
    Answer(#[from] SyncError),
    /// The replica must stop.
    #[error(transparent)]
    Fatal(#[from] ExecutorError),
}

impl Executor {
    /// Applies a peer's answer: certified blocks that follow the tip. Empty when it has none.
    ///
    /// # Errors
    /// [`FollowError::Answer`] when the answer is not believed, [`FollowError::Fatal`] when this replica must stop.
    pub fn follow(&mut self, answer: SyncAnswer) -> Result<Vec<Executed>, FollowError> {
        if let SyncAnswer::Blocks { certificate: Some(certificate), .. } = &answer
            && certificate.height <= self.tip.height
        {
            // The tip has grown since the question.
            self.add_certificate(certificate.clone())?;
            return Ok(Vec::new());
        }
        let parent = (self.tip.height, self.tip.hash);
        let Some(run) = answer.certified_run(&self.genesis_hash, &self.voters, parent)? else { return Ok(Vec::new()) };
        let CertifiedRun { blocks, certificate } = run;
        let mut applied = Vec::with_capacity(blocks.len());
        for block in blocks {
            applied.push(self.apply_certified(block)?);
        }
        self.keep_certificate(certificate)?;
        Ok(applied)
    }

    /// Executes a certified block again; any difference means that this node's state or software is wrong.
    fn apply_certified(&mut self, block: Block) -> Result<Executed, ExecutorError> {
        let header = &block.header;
        let certified = header.hash();
        let limit = self.parameters.transaction_bytes_max as usize;
        let transactions: Result<Vec<_>, _> =
            block.transactions.iter().map(|bytes| DecodedTransaction::decode(bytes.clone(), limit)).collect();
        let contradicted = |own| ExecutorError::Contradicted { height: header.height, own, certified };
        let Ok(transactions) = transactions else { return Err(contradicted(galen_types::Hash::ZERO)) };
        let proposal = Proposal {
            time: header.time,
            proposer: header.proposer.clone(),
            raft_term: header.raft_term,
            raft_index: header.raft_index,
            transactions,
        };
        let (built, _) = self.build(proposal)?;
        let Some(built) = built else { return Err(contradicted(galen_types::Hash::ZERO)) };
        if built.hash != certified {
            return Err(contradicted(built.hash));
        }
        let index = header.raft_index;
        let executed = self.commit(built)?;
        Ok(Executed { applied_index: index, block: Some(executed), void: Vec::new() })
    }
}
