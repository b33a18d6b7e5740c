//! Header signatures in, certificates out.
//!
//! A voter signs every header that it computed itself, and stores (height, hash) durably before the signature leaves:
//! after a crash it computes the same header again from the ordering log, and never signs another at that height.
//!
//! Signatures over heights that are applied live in the ledger; only those that came before their block wait in memory.
//!
//! Every height is judged by its own voters (see `epochs`). Certification goes no further than the last block of an epoch
//! until that block has a certificate of its own; what comes for later heights waits.

use std::sync::Arc;

use galen_types::certificate::VoterSignature;
use galen_types::{Certificate, Hash, HeaderSignature, VoterSet};

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
    /// A certificate above the tip that the voters known here did not make. Later voters may have: whoever sent it may
    /// have blocks up to this height. Nothing else is to be believed of it.
    Claimed(u64),
}

/// A signature over a height above the tip, verified as one of voters that may not be its height's any more when the block
/// is there.
pub(super) struct Ahead {
    signature: HeaderSignature,
    voters: Hash,
}

/// A certificate of a height above the tip, verified by these voters.
pub(super) struct CertificateAhead {
    pub(super) certificate: Certificate,
    voters: Hash,
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
    /// Finds out, after a restart, how far this node signed, and joins stored signatures to the certificate that a crash
    /// may have kept from being stored. However many heights lie between the certified one and the tip: the last block of
    /// an epoch may be any of them, and certification waits there for this node's signature.
    pub(super) fn reload_signatures(&mut self) -> Result<(), ExecutorError> {
        self.signed_height = self.ledger.last_signed_height()?;
        self.certify_newest()?;
        Ok(())
    }

    /// Takes up, after a restart, where the ordering log may be cut: it may hold entries from before.
    pub(super) fn reload_cut_points(&mut self) -> Result<(), ExecutorError> {
        if !self.config.orders {
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

    /// Signs every header computed since the last call whose voters name this node with a key that it holds, after storing
    /// that it does, durably. Empty on nodes that do not vote.
    ///
    /// What counts is the height's own voters, not whether this node votes now: certification cannot pass the last block
    /// of an epoch without a quorum of that epoch, so a node that this very block removes, or gives another key, signs it,
    /// also after a restart. It is safe on any disk: a block gets here from the committed log, or certified, or by a
    /// recovery that this node holds, and so is the block that any earlier disk of this node signed at that height.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop, before any of the signatures is sent.
    pub fn sign(&mut self) -> Result<Vec<HeaderSignature>, ExecutorError> {
        if self.config.voter_keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = self.config.voter_keys.iter().map(|key| (key.public_key(), key.clone())).collect();
        let first = self.signed_height.max(self.ledger.certified_height()).saturating_add(1);
        let (mut signatures, mut new) = (Vec::new(), Vec::new());
        for height in first..=self.tip.height {
            let Some(voters) = self.epochs.at(&self.ledger, height)? else { continue };
            let named = voters.key_of(&self.config.node);
            let Some((_, key)) = keys.iter().find(|(public, _)| named == Some(public)) else { continue };
            let Some(hash) = self.ledger.view()?.header_hash(height)? else { continue };
            let node = self.config.node.clone();
            #[cfg(feature = "planted")]
            let hash = match galen_planted::is_on(galen_planted::Bug::OtherHeaderSigned) {
                true => self.tip.hash,
                false => hash,
            };
            let signature = HeaderSignature::sign(&self.genesis_hash, &voters.hash(), height, hash, node, key);
            #[cfg(feature = "planted")]
            if galen_planted::is_on(galen_planted::Bug::OwnSignatureUnstored)
                || (galen_planted::is_on(galen_planted::Bug::OtherHeaderSigned) && height < self.tip.height)
            {
                signatures.push(signature);
                continue;
            }
            new.push(signature);
        }
        signatures.extend(self.ledger.record_own_signatures(&new)?);
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
        let height = signature.height;
        if height > self.tip.height {
            return Ok(self.add_ahead(signature));
        }
        let Some(voters) = self.epochs.at(&self.ledger, height)? else { return Ok(Ok(Certification::Nothing)) };
        let Some(key) = voters.key_of(&signature.voter).copied() else {
            return Ok(Err(SignatureError::NotAVoter));
        };
        let view = self.ledger.view()?;
        let agrees = view.header_hash(height)? == Some(signature.header);
        // What others send again, or after the certificate, is not worth a check.
        let stored = if agrees {
            height <= self.ledger.certified_height()
                || view.signatures(height)?.iter().any(|known| known.voter == signature.voter)
        } else {
            view.evidence(height, voters.voters.len())?
                .iter()
                .any(|known| (known.height, &known.voter) == (height, &signature.voter))
        };
        drop(view);
        if stored {
            return self.stored(height, agrees);
        }
        if !signature.verifies(&self.genesis_hash, &voters.hash(), &key) {
            return Ok(Err(SignatureError::Bad));
        }
        self.store(&signature)
    }

    /// As one of which voters, by their set's hash, a signature was given: those of its height, above the tip those that
    /// the tip leads to. The header may be any. `None` where it is by none of them.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn signed_as(&mut self, signature: &HeaderSignature) -> Result<Option<Hash>, ExecutorError> {
        let Some(voters) = self.epochs.at(&self.ledger, signature.height)? else { return Ok(None) };
        let set = voters.hash();
        let key = voters.key_of(&signature.voter);
        Ok(key.filter(|key| signature.verifies(&self.genesis_hash, &set, key)).map(|_| set))
    }

    /// A signature over a height above the tip. The voters of the next height are known; those after it may be others,
    /// so what these do not answer for is no fault there.
    fn add_ahead(&mut self, signature: HeaderSignature) -> Result<Certification, SignatureError> {
        let height = signature.height;
        // Where a held recovery goes on from the tip, the next height may be its voters'.
        let next = height == self.tip.height + 1 && !self.config.recoveries.goes_on_from(&self.tip);
        let Some(key) = self.epochs.current().key_of(&signature.voter).copied() else {
            return if next { Err(SignatureError::NotAVoter) } else { Ok(Certification::Nothing) };
        };
        let known = self.ahead.get(&height).is_some_and(|known| known.iter().any(|ahead| ahead.signature == signature));
        if !known {
            let voters = self.epochs.current_hash();
            if !signature.verifies(&self.genesis_hash, &voters, &key) {
                return if next { Err(SignatureError::Bad) } else { Ok(Certification::Nothing) };
            }
            self.keep_ahead(Ahead { signature, voters });
        }
        Ok(self.quorum_ahead(height))
    }

    /// Looks again at signatures and the certificate that came before their block, once blocks up to the tip are
    /// applied; the newest certificate that this makes.
    ///
    /// # Errors
    /// [`ExecutorError`]: the replica must stop.
    pub fn certify_applied(&mut self) -> Result<Option<Certificate>, ExecutorError> {
        let mut newest = None;
        let later = self.ahead.split_off(&(self.tip.height + 1));
        for waited in std::mem::replace(&mut self.ahead, later).into_values().flatten() {
            let Ahead { signature, voters } = waited;
            let header = self.ledger.view()?.header(signature.height)?;
            // The voters may have changed since it came.
            if header.is_none_or(|header| header.voter_set != voters) {
                continue;
            }
            if let Ok(Certification::Certified(certificate)) = self.store(&signature)? {
                newest = Some(certificate);
            }
        }
        if let Some(waited) = self.certificate_ahead.take_if(|ahead| ahead.certificate.height <= self.tip.height) {
            let CertificateAhead { certificate, voters: made_by } = waited;
            if let Some(voters) = self.epochs.at(&self.ledger, certificate.height)?
                && certificate.height > self.ledger.certified_height()
                && (voters.hash() == made_by || certificate.verify(&self.genesis_hash, &voters).is_ok())
            {
                newest = self.store_certificate(certificate)?.or(newest);
            }
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
        if height > self.tip.height {
            let voters = Arc::clone(self.epochs.current());
            if certificate.verify(&self.genesis_hash, &voters).is_err() {
                return Ok(Certification::Claimed(height));
            }
            self.keep_certificate_ahead(certificate, &voters);
            return Ok(Certification::Behind(height));
        }
        let Some(voters) = self.epochs.at(&self.ledger, height)? else { return Ok(Certification::Nothing) };
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::CertificateUnverified) {
            return Ok(self.store_certificate(certificate)?.map_or(Certification::Nothing, Certification::Certified));
        }
        if certificate.verify(&self.genesis_hash, &voters).is_err() {
            return Ok(Certification::Nothing);
        }
        Ok(self.store_certificate(certificate)?.map_or(Certification::Nothing, Certification::Certified))
    }

    /// Keeps a certificate that these voters made until its block is applied.
    pub(super) fn keep_certificate_ahead(&mut self, certificate: Certificate, voters: &VoterSet) {
        if self.certificate_ahead.as_ref().is_none_or(|ahead| ahead.certificate.height < certificate.height) {
            self.certificate_ahead = Some(CertificateAhead { certificate, voters: voters.hash() });
        }
    }

    /// Stores a certificate that its height's voters made, over a block that is applied. One of a later epoch waits for
    /// the certificate that hands over to it. The newest that this makes valid.
    pub(super) fn store_certificate(&mut self, certificate: Certificate) -> Result<Option<Certificate>, ExecutorError> {
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
        if height > self.epochs.reach(self.tip.height) {
            if self.certificate_waiting.as_ref().is_none_or(|waiting| waiting.height < height) {
                self.certificate_waiting = Some(certificate);
            }
            return Ok(None);
        }
        self.ledger.put_certificate(&certificate)?;
        if !self.epochs.certified(height) {
            return Ok(Some(certificate));
        }
        Ok(self.certify_newest()?.or(Some(certificate)))
    }

    /// Certifies as far as stored signatures and the waiting certificate reach, from epoch to epoch; the newest
    /// certificate that this makes.
    fn certify_newest(&mut self) -> Result<Option<Certificate>, ExecutorError> {
        let mut newest = None;
        loop {
            let reach = self.epochs.reach(self.tip.height);
            let certified = self.ledger.certified_height();
            let oldest = certified.max(reach.saturating_sub(limits::RELOADED_HEIGHTS_MAX));
            let mut found = self.certificate_waiting.take_if(|waiting| waiting.height <= reach);
            found = found.filter(|waiting| waiting.height > certified);
            let from = found.as_ref().map_or(oldest, |waiting| waiting.height);
            for height in (from + 1..=reach).rev() {
                if let Some(joined) = self.join_signatures(height)? {
                    found = Some(joined);
                    break;
                }
            }
            let Some(certificate) = found else { return Ok(newest) };
            self.ledger.put_certificate(&certificate)?;
            let opened = self.epochs.certified(certificate.height);
            newest = Some(certificate);
            if !opened {
                return Ok(newest);
            }
        }
    }

    /// Stores a verified signature over an applied height, with the chain or as evidence.
    fn store(&mut self, signature: &HeaderSignature) -> Result<Result<Certification, SignatureError>, ExecutorError> {
        let agrees = self.ledger.put_signature(signature)?;
        if !agrees {
            let (voter, height) = (&signature.voter, signature.height);
            tracing::warn!(
                %voter,
                height,
                "a voter signed another header than this node computed: evidence, once a quorum certified this one"
            );
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
        let certificate = match self.join_signatures(height)? {
            Some(certificate) => self.store_certificate(certificate)?,
            None => None,
        };
        Ok(Ok(certificate.map_or(Certification::Nothing, Certification::Certified)))
    }

    /// Joins the stored signatures over an applied height to a certificate, if they are a quorum's.
    fn join_signatures(&mut self, height: u64) -> Result<Option<Certificate>, ExecutorError> {
        let view = self.ledger.view()?;
        let mut known = view.signatures(height)?;
        if known.is_empty() {
            return Ok(None);
        }
        let Some(header) = view.header_hash(height)? else { return Ok(None) };
        drop(view);
        let quorum = self.epochs.at(&self.ledger, height)?.map(|voters| voters.quorum());
        #[cfg(feature = "planted")]
        let quorum = match galen_planted::is_on(galen_planted::Bug::CertificateBelowQuorum) {
            true => quorum.map(|quorum| (quorum - 1).max(1)),
            false => quorum,
        };
        if quorum.is_none_or(|quorum| known.len() < quorum) {
            return Ok(None);
        }
        known.sort_by(|left, right| left.voter.cmp(&right.voter));
        let part = |signed: HeaderSignature| VoterSignature { voter: signed.voter, signature: signed.signature };
        Ok(Some(Certificate { height, header, signatures: known.into_iter().map(part).collect() }))
    }

    /// Keeps a verified signature over a block not applied yet, within bounds. Of a voter that signs several headers of a
    /// height two are kept: which of them deviates is known once the block is there.
    fn keep_ahead(&mut self, ahead: Ahead) {
        let (height, voter) = (ahead.signature.height, &ahead.signature.voter);
        let by_voter = |known: &&Ahead| known.signature.voter == *voter;
        let elsewhere =
            self.ahead.iter().filter(|(other, known)| **other != height && known.iter().any(|ahead| by_voter(&ahead)));
        if elsewhere.count() >= limits::HEIGHTS_AHEAD_PER_VOTER_MAX {
            return;
        }
        let of_voter: Vec<_> = self.ahead.get(&height).into_iter().flatten().filter(by_voter).collect();
        let repeated = of_voter.iter().any(|known| known.signature.header == ahead.signature.header);
        if !repeated && of_voter.len() < limits::HEADERS_AHEAD_PER_VOTER_MAX {
            self.ahead.entry(height).or_default().push(ahead);
        }
    }

    /// Whether a quorum signed one header at a height above the tip: then it can be pulled.
    fn quorum_ahead(&self, height: u64) -> Certification {
        let Some(known) = self.ahead.get(&height) else { return Certification::Nothing };
        let same = |header| known.iter().filter(|ahead| ahead.signature.header == header).count();
        let least = self.epochs.current().quorum();
        let quorum = known.iter().any(|ahead| same(ahead.signature.header) >= least);
        if quorum { Certification::Behind(height) } else { Certification::Nothing }
    }

    /// Blocks that are now durable, applied and certified: below them the ordering log may be cut.
    pub fn cut_points(&mut self) -> Vec<CutPoint> {
        let safe = self.ledger.certified_height().min(self.ledger.durable_height());
        #[cfg(feature = "planted")]
        let safe = if galen_planted::is_on(galen_planted::Bug::LogCutTooFar) { self.tip.height } else { safe };
        let count = self.cut_points.partition_point(|point| point.height <= safe);
        self.cut_points.drain(..count).collect()
    }
}
