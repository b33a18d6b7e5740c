//! Header signatures in, certificates out.
//!
//! A voter signs every header that it computed itself, and stores (height, hash) durably before the signature leaves:
//! after a crash it computes the same header again from the ordering log, and never signs another at that height.

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
    /// Others are ahead: pull blocks up to this height.
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
    /// Takes up signatures of heights not certified yet after a restart.
    pub(super) fn reload_signatures(&mut self) -> Result<(), ExecutorError> {
        let view = self.ledger.view()?;
        self.signed_height = self.ledger.certified_height();
        for height in self.ledger.certified_height() + 1..=self.tip.height {
            if view.own_signature(height)?.is_some() {
                self.signed_height = height;
            }
            for signature in view.signatures(height)? {
                self.signatures.entry(height).or_default().insert(signature.voter.clone(), signature);
            }
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

    /// Makes blocks durable on a node that does not vote (a voter's signatures do that for it).
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
        let height = signature.height;
        if height <= self.ledger.certified_height() {
            return Ok(Ok(Certification::Nothing));
        }
        let Some(key) = self.voters.key_of(&signature.voter) else { return Ok(Err(SignatureError::NotAVoter)) };
        if self.signatures.get(&height).and_then(|known| known.get(&signature.voter)) == Some(&signature) {
            return Ok(Ok(Certification::Nothing));
        }
        if !signature.verifies(&self.genesis_hash, key) {
            return Ok(Err(SignatureError::Bad));
        }
        if height > self.tip.height {
            self.keep_ahead(signature);
            return Ok(Ok(self.ahead(height)));
        }
        if !self.store_signature(&signature)? {
            return Ok(Err(SignatureError::Deviant));
        }
        self.signatures.entry(height).or_default().insert(signature.voter.clone(), signature);
        Ok(Ok(self.certify_at(height)?.map_or(Certification::Nothing, Certification::Certified)))
    }

    /// Looks again at signatures that came before their block, once blocks up to the tip are applied; the newest
    /// certificate that this makes.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn certify_applied(&mut self) -> Result<Option<Certificate>, ExecutorError> {
        let mut newest = None;
        let heights: Vec<u64> = self.signatures.range(..=self.tip.height).map(|(height, _)| *height).collect();
        for height in heights {
            let Some(known) = self.signatures.remove(&height) else { continue };
            for signature in known.into_values() {
                if self.store_signature(&signature)? {
                    self.signatures.entry(height).or_default().insert(signature.voter.clone(), signature);
                }
            }
            newest = self.certify_at(height)?.or(newest);
        }
        Ok(newest)
    }

    /// Takes a certificate from a peer.
    ///
    /// # Errors
    /// [`ExecutorError::Contradicted`] when a quorum certified another header than this node computed: it must stop.
    pub fn add_certificate(&mut self, certificate: Certificate) -> Result<Certification, ExecutorError> {
        let height = certificate.height;
        if height <= self.ledger.certified_height() || certificate.verify(&self.genesis_hash, &self.voters).is_err() {
            return Ok(Certification::Nothing);
        }
        if height > self.tip.height {
            self.certified_ahead = self.certified_ahead.max(height);
            return Ok(self.ahead(height));
        }
        self.store_certificate(certificate.clone())?;
        Ok(Certification::Certified(certificate))
    }

    /// Stores a certificate that was verified, over a block that is applied.
    pub(super) fn store_certificate(&mut self, certificate: Certificate) -> Result<(), ExecutorError> {
        let height = certificate.height;
        if let Some(own) = self.ledger.view()?.header_hash(height)?
            && own != certificate.header
        {
            return Err(ExecutorError::Contradicted { height, own, certified: certificate.header });
        }
        self.ledger.put_certificate(&certificate)?;
        self.signatures = self.signatures.split_off(&(height + 1));
        Ok(())
    }

    /// Stores a verified signature over an applied height; `false` when it is over another header.
    fn store_signature(&self, signature: &HeaderSignature) -> Result<bool, ExecutorError> {
        let agrees = self.ledger.put_signature(signature)?;
        if !agrees {
            let height = signature.height;
            tracing::error!(voter = %signature.voter, height, "a voter signed another header: evidence is kept");
        }
        Ok(agrees)
    }

    fn certify_at(&mut self, height: u64) -> Result<Option<Certificate>, ExecutorError> {
        let Some(known) = self.signatures.get(&height).filter(|known| known.len() >= self.voters.quorum()) else {
            return Ok(None);
        };
        let Some(header) = self.ledger.view()?.header_hash(height)? else { return Ok(None) };
        let signatures = known
            .values()
            .map(|signature| VoterSignature { voter: signature.voter.clone(), signature: signature.signature })
            .collect();
        let certificate = Certificate { height, header, signatures };
        self.store_certificate(certificate.clone())?;
        Ok(Some(certificate))
    }

    /// Keeps a verified signature over a block not applied yet, within bounds.
    fn keep_ahead(&mut self, signature: HeaderSignature) {
        let ahead = self.signatures.range(self.tip.height + 1..);
        let kept = ahead.filter(|(_, known)| known.contains_key(&signature.voter)).count();
        if kept < limits::SIGNATURES_AHEAD_PER_VOTER_MAX {
            self.signatures.entry(signature.height).or_default().insert(signature.voter.clone(), signature);
        }
    }

    fn ahead(&self, height: u64) -> Certification {
        if height > self.tip.height + 1 { Certification::Behind(height) } else { Certification::Nothing }
    }

    /// Blocks that are now durable, applied and certified: below them the ordering log may be cut.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn cut_points(&mut self) -> Result<Vec<CutPoint>, ExecutorError> {
        let safe = self.ledger.certified_height().min(self.ledger.durable_height());
        let rest = self.cut_points.split_off(&(safe + 1));
        Ok(std::mem::replace(&mut self.cut_points, rest).into_values().collect())
    }
}
