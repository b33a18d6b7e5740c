//! Header signatures in, certificates out.
//!
//! A voter signs every header that it computed itself, and stores (height, hash) durably before the signature leaves:
//! after a crash it computes the same header again from the ordering log, and never signs another at that height.
//!
//! Signatures over heights that are applied live in the ledger; only those that came before their block wait in memory.

use std::collections::BTreeMap;

use galen_types::certificate::VoterSignature;
use galen_types::{Certificate, HeaderSignature};

use super::{Executor, ExecutorError};
use crate::limits;
use crate::orderer::CutPoint;

/// What a signature or certificate from a peer led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certification {
    /// Nothing new.
    Nothing,
    /// A quorum is complete: everything up to the certificate's height is certified.
    Certified(Certificate),
    /// A quorum is ahead: blocks up to this height can be pulled.
    Behind(u64),
}

/// Why a header signature from a peer is not taken. The code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not by a voter of the epoch.
    #[error("the signer is no voter")]
    NotAVoter,
    /// It does not verify.
    #[error("the header signature does not verify")]
    Bad,
    /// Over another header than the one computed here: kept as evidence.
    #[error("a voter signed another header at this height; kept as evidence")]
    Deviant,
}

impl SignatureError {
    /// A stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAVoter => "signature-not-a-voter",
            Self::Bad => "signature-bad",
            Self::Deviant => "signature-deviant",
        }
    }
}

impl Executor {
    /// Finds out, after a restart, which of the newest headers this node signed, and joins stored signatures to the
    /// certificate that a crash may have kept from being stored.
    pub(super) fn reload_signatures(&mut self) -> Result<(), ExecutorError> {
        let oldest = self.ledger.certified_height().max(self.tip.height.saturating_sub(limits::RELOADED_HEIGHTS_MAX));
        self.signed_height = oldest;
        for height in (oldest + 1..=self.tip.height).rev() {
            if self.signed_height == oldest && self.ledger.view()?.own_signature(height)?.is_some() {
                self.signed_height = height;
            }
            if height > self.ledger.certified_height() {
                self.certify_at(height)?;
            }
        }
        Ok(())
    }

    /// Takes up, after a restart, where the ordering log may be cut: it may hold entries from before.
    pub(super) fn reload_cut_points(&mut self) -> Result<(), ExecutorError> {
        if self.config.voter_key.is_none() {
            return Ok(());
        }
        let newest = limits::CUT_POINTS_RELOADED_MAX;
        let oldest = self.tip.height.saturating_sub(newest as u64) + 1;
        for header in self.ledger.view()?.headers(oldest, newest)? {
            let (index, height) = (header.raft_index, header.height);
            self.cut_points.push_back(CutPoint { index, height, header: header.hash() });
        }
        Ok(())
    }

    /// Signs every header computed since the last call, after storing that it does, durably. Empty on nodes that do not
    /// vote.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop, before any of the signatures is sent.
    pub fn sign(&mut self) -> Result<Vec<HeaderSignature>, ExecutorError> {
        let Some(key) = &self.config.voter_key else { return Ok(Vec::new()) };
        let first = self.signed_height.max(self.ledger.certified_height()) + 1;
        let mut signatures = Vec::new();
        for height in first..=self.tip.height {
            let Some(hash) = self.ledger.view()?.header_hash(height)? else { continue };
            let node = self.config.node.clone();
            let signature = HeaderSignature::sign(&self.genesis_hash, height, hash, node, key);
            signatures.push(self.ledger.record_own_signature(&signature)?);
        }
        self.signed_height = self.signed_height.max(self.tip.height);
        Ok(signatures)
    }

    /// Makes pulled blocks durable: nobody signs what is certified, so no signature does it.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn sync(&mut self) -> Result<(), ExecutorError> {
        self.ledger.sync()?;
        Ok(())
    }

    /// Takes a voter's header signature, the own ones included.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop. A signature that is refused is the inner result.
    pub fn add_signature(
        &mut self,
        signature: HeaderSignature,
    ) -> Result<Result<Certification, SignatureError>, ExecutorError> {
        let Some(key) = self.voters.key_of(&signature.voter).copied() else {
            return Ok(Err(SignatureError::NotAVoter));
        };
        let height = signature.height;
        if height > self.tip.height {
            let known = self.ahead.get(&height).and_then(|known| known.get(&signature.voter));
            if known != Some(&signature) {
                if !signature.verifies(&self.genesis_hash, &key) {
                    return Ok(Err(SignatureError::Bad));
                }
                self.keep_ahead(signature);
            }
            return Ok(Ok(self.quorum_ahead(height)));
        }
        let view = self.ledger.view()?;
        let agrees = view.header_hash(height)? == Some(signature.header);
        // What others send again, or after the certificate, is not worth a check.
        let stored = if agrees {
            height <= self.ledger.certified_height()
                || view.signatures(height)?.iter().any(|known| known.voter == signature.voter)
        } else {
            view.evidence(height, self.voters.voters.len())?
                .iter()
                .any(|known| (known.height, &known.voter) == (height, &signature.voter))
        };
        drop(view);
        if stored {
            return self.stored(height, agrees);
        }
        if !signature.verifies(&self.genesis_hash, &key) {
            return Ok(Err(SignatureError::Bad));
        }
        self.store(&signature)
    }

    /// Looks again at signatures and the certificate that came before their block, once blocks up to the tip are
    /// applied; the newest certificate that this makes.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn certify_applied(&mut self) -> Result<Option<Certificate>, ExecutorError> {
        let mut newest = None;
        let later = self.ahead.split_off(&(self.tip.height + 1));
        for signature in std::mem::replace(&mut self.ahead, later).into_values().flat_map(BTreeMap::into_values) {
            if let Ok(Certification::Certified(certificate)) = self.store(&signature)? {
                newest = Some(certificate);
            }
        }
        if let Some(certificate) = self.certificate_ahead.take_if(|ahead| ahead.height <= self.tip.height)
            && certificate.height > self.ledger.certified_height()
        {
            self.store_certificate(&certificate)?;
            newest = Some(certificate);
        }
        Ok(newest)
    }

    /// Takes a certificate from a peer.
    ///
    /// # Errors
    /// [`ExecutorError::Contradicted`] when a quorum certified another header than this node computed: it must stop.
    pub fn add_certificate(&mut self, certificate: Certificate) -> Result<Certification, ExecutorError> {
        let height = certificate.height;
        if height <= self.ledger.certified_height()
            && self.ledger.view()?.header_hash(height)? == Some(certificate.header)
        {
            return Ok(Certification::Nothing);
        }
        if certificate.verify(&self.genesis_hash, &self.voters).is_err() {
            return Ok(Certification::Nothing);
        }
        let ahead = height > self.tip.height;
        self.keep_certificate(certificate.clone())?;
        Ok(if ahead { Certification::Behind(height) } else { Certification::Certified(certificate) })
    }

    /// Stores a certificate that was verified, or keeps it until its block is applied.
    pub(super) fn keep_certificate(&mut self, certificate: Certificate) -> Result<(), ExecutorError> {
        if certificate.height <= self.tip.height {
            return self.store_certificate(&certificate);
        }
        if self.certificate_ahead.as_ref().is_none_or(|ahead| ahead.height < certificate.height) {
            self.certificate_ahead = Some(certificate);
        }
        Ok(())
    }

    /// Stores a certificate that was verified, over a block that is applied.
    fn store_certificate(&mut self, certificate: &Certificate) -> Result<(), ExecutorError> {
        let (height, certified) = (certificate.height, certificate.header);
        if let Some(own) = self.ledger.view()?.header_hash(height)?
            && own != certified
        {
            for VoterSignature { voter, signature } in certificate.signatures.iter().cloned() {
                self.ledger.put_signature(&HeaderSignature { height, header: certified, voter, signature })?;
            }
            self.ledger.sync()?;
            return Err(ExecutorError::Contradicted { height, own, certified });
        }
        self.ledger.put_certificate(certificate)?;
        Ok(())
    }

    /// Stores a verified signature over an applied height, with the chain or as evidence.
    fn store(&mut self, signature: &HeaderSignature) -> Result<Result<Certification, SignatureError>, ExecutorError> {
        let agrees = self.ledger.put_signature(signature)?;
        if !agrees {
            let (voter, height) = (&signature.voter, signature.height);
            tracing::error!(%voter, height, "a voter signed another header: evidence is kept");
        }
        self.stored(signature.height, agrees)
    }

    /// What a signature that is stored leads to.
    fn stored(&mut self, height: u64, agrees: bool) -> Result<Result<Certification, SignatureError>, ExecutorError> {
        if !agrees {
            return Ok(Err(SignatureError::Deviant));
        }
        if height <= self.ledger.certified_height() {
            return Ok(Ok(Certification::Nothing));
        }
        Ok(Ok(self.certify_at(height)?.map_or(Certification::Nothing, Certification::Certified)))
    }

    /// Joins the stored signatures over an applied height to a certificate, if they are a quorum's.
    fn certify_at(&mut self, height: u64) -> Result<Option<Certificate>, ExecutorError> {
        let view = self.ledger.view()?;
        let mut known = view.signatures(height)?;
        let Some(header) = view.header_hash(height)?.filter(|_| known.len() >= self.voters.quorum()) else {
            return Ok(None);
        };
        drop(view);
        known.sort_by(|left, right| left.voter.cmp(&right.voter));
        let part = |signed: HeaderSignature| VoterSignature { voter: signed.voter, signature: signed.signature };
        let certificate = Certificate { height, header, signatures: known.into_iter().map(part).collect() };
        self.store_certificate(&certificate)?;
        Ok(Some(certificate))
    }

    /// Keeps a verified signature over a block not applied yet, within bounds.
    fn keep_ahead(&mut self, signature: HeaderSignature) {
        let kept = self.ahead.values().filter(|known| known.contains_key(&signature.voter)).count();
        if kept < limits::SIGNATURES_AHEAD_PER_VOTER_MAX {
            self.ahead.entry(signature.height).or_default().insert(signature.voter.clone(), signature);
        }
    }

    /// Whether a quorum signed one header at a height above the tip: then it can be pulled.
    fn quorum_ahead(&self, height: u64) -> Certification {
        let Some(known) = self.ahead.get(&height) else { return Certification::Nothing };
        let same = |header| known.values().filter(|signature| signature.header == header).count();
        let quorum = known.values().any(|signature| same(signature.header) >= self.voters.quorum());
        if quorum { Certification::Behind(height) } else { Certification::Nothing }
    }

    /// Blocks that are now durable, applied and certified: below them the ordering log may be cut.
    pub fn cut_points(&mut self) -> Vec<CutPoint> {
        let safe = self.ledger.certified_height().min(self.ledger.durable_height());
        let count = self.cut_points.partition_point(|point| point.height <= safe);
        self.cut_points.drain(..count).collect()
    }
}
