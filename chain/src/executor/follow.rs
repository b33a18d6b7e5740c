//! Certified blocks of peers: executed again here, and compared. This is how observers follow, and how a voter catches
//! up whose log no longer connects to the leader's.

use std::sync::Arc;

use galen_types::DecodedTransaction;
use galen_types::Encoding;
use galen_types::block::{BLOCK_BYTES_MAX, Block};

use super::execute::Proposal;
use super::{ApplyRecoveryError, Executed, Executor, ExecutorError};
use crate::recovery::{HeldRecoveries, HeldRecovery};
use crate::sync::{CertifiedRun, RunStart, SyncAnswer, SyncError};

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
        let Some(recovered) = self.follow_recovery(&answer)? else { return self.follow_run(answer) };
        let closing = match &answer {
            SyncAnswer::Blocks { certificate, .. } => certificate.clone(),
            SyncAnswer::Signatures { .. } | SyncAnswer::Handovers { .. } => None,
        };
        let mut applied = vec![recovered];
        match self.follow_run(answer) {
            Ok(mut rest) => applied.append(&mut rest),
            // What is applied is to be told, whatever came after it.
            Err(FollowError::Answer(error)) => {
                tracing::warn!(code = error.code(), %error, "what a peer sent after a recovery block is not believed");
            }
            Err(error) => return Err(error),
        }
        if let Some(certificate) = closing.filter(|_| applied.len() == 1) {
            // The recovery block stood alone, and what closes the answer is of its epoch.
            self.add_certificate(certificate)?;
        }
        Ok(applied)
    }

    /// Applies the blocks of an answer that continue the epoch of the tip.
    fn follow_run(&mut self, answer: SyncAnswer) -> Result<Vec<Executed>, FollowError> {
        let mut applied = Vec::new();
        let voters = Arc::clone(self.epochs.current());
        let start = RunStart {
            genesis: &self.genesis_hash,
            height: self.tip.height,
            parent: self.tip.hash,
            voters: &voters,
            recoveries: &self.config.recoveries,
        };
        let Some(CertifiedRun { blocks, certificate }) = answer.certified_run(start)? else {
            return Ok(applied);
        };
        for block in blocks {
            applied.push(self.apply_certified(block)?);
        }
        // What a quorum signed before needs no signature more; what a recovery keeps was signed by those that could.
        self.signed_height = self.signed_height.max(self.tip.height);
        if let Some(certificate) = certificate {
            if certificate.height <= self.tip.height {
                self.store_certificate(certificate)?;
            } else {
                self.keep_certificate_ahead(certificate, &voters);
            }
        }
        Ok(applied)
    }

    /// Applies the recovery block that an answer begins with, if it does and this node holds the recovery: its block is
    /// made here, and only compared with the peer's. Where the document alone is held, or the peer's transaction is another
    /// of the same document, completed with other signatures, the transaction is the peer's; then the recovery's voters must
    /// have certified the block, because several may be made of the same document.
    fn follow_recovery(&mut self, answer: &SyncAnswer) -> Result<Option<Executed>, FollowError> {
        let SyncAnswer::Blocks { blocks, .. } = answer else { return Ok(None) };
        let next = self.tip.height + 1;
        let mut found = None;
        for bytes in blocks {
            let block = Block::decode(bytes, BLOCK_BYTES_MAX).map_err(SyncError::from)?;
            if block.header.height >= next {
                found = Some(block);
                break;
            }
        }
        let Some(Block { header, transactions }) = found.filter(|block| block.header.height == next) else {
            return Ok(None);
        };
        if header.parent != self.tip.hash || header.voter_set == self.epochs.current_hash() {
            return Ok(None);
        }
        if header.epoch != self.epochs.current().epoch + 1 {
            let expected = self.epochs.current().epoch;
            return Err(SyncError::WrongEpoch { height: next, expected, given: header.epoch }.into());
        }
        let of_header = |held: &&HeldRecovery| held.recovery.voter_set(header.epoch).hash() == header.voter_set;
        let held = self.config.recoveries.from(self.tip.height, &self.tip.hash).find(of_header);
        let held = held.ok_or(SyncError::Recovery(next))?;
        let invalid = |cause: String| SyncError::RecoveryInvalid { height: next, cause };
        let transaction = match (&held.transaction, transactions.as_slice()) {
            (Some(own), [theirs]) if own.bytes == *theirs => own.clone(),
            (_, [theirs]) => {
                let voters = held.recovery.voter_set(header.epoch);
                let none = HeldRecoveries::default();
                let (height, parent) = (self.tip.height, self.tip.hash);
                let start =
                    RunStart { genesis: &self.genesis_hash, height, parent, voters: &voters, recoveries: &none };
                answer.clone().certified_run(start)?;
                let read = HeldRecovery::from_bytes(theirs, &self.genesis_hash);
                let read = read.map_err(|error| invalid(error.to_string()))?;
                let theirs = read.transaction.filter(|_| read.hash == held.hash);
                theirs.ok_or_else(|| invalid(String::from("its block holds another recovery")))?
            }
            _ => return Err(invalid(String::from("its block does not hold one transaction")).into()),
        };
        let built = match self.build_recovery(held, transaction) {
            Ok(built) => built,
            Err(ApplyRecoveryError::Recovery(error)) => return Err(invalid(error.to_string()).into()),
            Err(ApplyRecoveryError::Fatal(error)) => return Err(error.into()),
        };
        if built.hash != header.hash() {
            return Err(invalid(String::from("the recovery makes another block")).into());
        }
        let executed = self.commit(built)?;
        Ok(Some(Executed { applied_index: header.raft_index, block: Some(executed), void: Vec::new() }))
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
            recovery: false,
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
