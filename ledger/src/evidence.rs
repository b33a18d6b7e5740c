//! Evidence: signatures of voters over other headers than those of this chain.
//!
//! A sound voter signs one header a height, the one that the ordering log leads to. Which of two headers is the other one
//! is not this ledger's to say: its own may be wrong, of a damaged disk. So deviant signatures are kept as they come, within
//! bounds, and count only where a certificate covers this ledger's header ([`View::found_evidence`]). What was signed before
//! a recovery counts against nobody: it names voters of another lineage, or a header that no certificate of its own epoch
//! covers.

use std::collections::BTreeMap;

use galen_types::proof::{EvidenceProof, Proof, Subject};
use galen_types::signature::Signature;
use galen_types::{BlockHeader, Genesis, HeaderSignature, NodeName};

use crate::constants::{EVIDENCE_MAX, EVIDENCE_PER_VOTER_MAX};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::prove::ProveError;
use crate::store::bytes::EvidenceKey;
use crate::store::column::Evidence;
use crate::store::{Durability, Reader, Span};
use crate::view::View;

/// How many rows of evidence there are.
#[derive(Default)]
pub(crate) struct EvidenceHeld {
    by_voter: BTreeMap<NodeName, usize>,
    by_height: BTreeMap<u64, usize>,
    total: usize,
}

impl EvidenceHeld {
    pub(crate) fn load(reader: &Reader<'_>) -> Result<Self, LedgerError> {
        let mut held = Self::default();
        for row in reader.sweep::<Evidence>(Span::default())? {
            let (key, _) = row?;
            held.add(key.voter, key.height);
        }
        Ok(held)
    }

    fn add(&mut self, voter: NodeName, height: u64) {
        *self.by_voter.entry(voter).or_default() += 1;
        *self.by_height.entry(height).or_default() += 1;
        self.total += 1;
    }

    fn has_room(&self, voter: &NodeName) -> bool {
        self.total < EVIDENCE_MAX && self.by_voter.get(voter).is_none_or(|count| *count < EVIDENCE_PER_VOTER_MAX)
    }
}

/// A voter signed another header than the one that its voters certified at that height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvidence {
    /// The deviant signature.
    pub signature: HeaderSignature,
    /// The header of this height, which a certificate of its own epoch covers.
    pub certified: BlockHeader,
    /// The voter's signature over that header, where it gave it too.
    pub also: Option<Signature>,
}

impl Ledger {
    /// Keeps a verified signature over another header than the one held; not one more of a voter, or in all, than the
    /// bounds allow.
    pub(crate) fn keep_evidence(&self, signature: &HeaderSignature) -> Result<(), LedgerError> {
        let (height, header, voter) = (signature.height, signature.header, signature.voter.clone());
        let key = EvidenceKey { height, header, voter };
        let mut held = self.evidence_held()?;
        if !held.has_room(&key.voter) || self.store.reader().get::<Evidence>(&key)?.is_some() {
            return Ok(());
        }
        let mut batch = self.store.batch(1024);
        let column = batch.column::<Evidence>()?;
        batch.put(&column, &key, signature);
        batch.write(Durability::Process)?;
        held.add(key.voter, height);
        Ok(())
    }

    /// How many deviant signatures are kept of heights up to the certified one.
    ///
    /// # Errors
    /// When a thread panicked while it kept one.
    pub fn evidence_count(&self) -> Result<usize, LedgerError> {
        Ok(self.evidence_held()?.by_height.range(..=self.certified_height()).map(|(_, count)| count).sum())
    }
}

impl View<'_> {
    /// Evidence from a height upwards, at most `limit`: of the signatures kept, those that deviate from a certified header.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn found_evidence(&self, from: u64, limit: usize) -> Result<Vec<FoundEvidence>, LedgerError> {
        let rows = self.evidence(from, EVIDENCE_MAX)?.into_iter();
        rows.filter_map(|signature| self.judged(signature).transpose()).take(limit).collect()
    }

    /// The proof that a voter signed another header than the certified one at a height.
    ///
    /// # Errors
    /// [`ProveError::NoEvidence`], or what else is missing.
    pub fn prove_evidence(&self, genesis: &Genesis, height: u64, voter: &NodeName) -> Result<Proof, ProveError> {
        let none = || ProveError::NoEvidence { height, voter: voter.clone() };
        let kept = self.evidence(height, EVIDENCE_MAX)?.into_iter().take_while(|kept| kept.height == height);
        let found = kept.filter(|kept| kept.voter == *voter).find_map(|kept| self.judged(kept).transpose());
        let FoundEvidence { signature, certified, also } = found.ok_or_else(none)??;
        let HeaderSignature { header, voter, signature, .. } = signature;
        let subject = Subject::Evidence(Box::new(EvidenceProof { voter, header, signature, also }));
        self.certified_proof(genesis, subject, &certified)
    }

    /// Whether a deviant signature is evidence: a certificate covers the header held at its height within the header's own
    /// epoch, and the signer was one of that epoch's voters. Nothing is taken from the time when it was kept: the chain
    /// may have gone on by a recovery since, or the ledger been another.
    pub(crate) fn judged(&self, signature: HeaderSignature) -> Result<Option<FoundEvidence>, LedgerError> {
        let height = signature.height;
        let Some(header) = self.header(height)?.filter(|_| height > 0) else { return Ok(None) };
        let hash = header.hash();
        if signature.header == hash || self.header_hash(height)? != Some(hash) {
            return Ok(None);
        }
        let Some(certificate) = self.certificate_covering(height)? else { return Ok(None) };
        let covering = self.header(certificate.height)?;
        if covering.is_none_or(|covering| covering.epoch != header.epoch || covering.hash() != certificate.header) {
            return Ok(None);
        }
        let Some(voters) = self.voter_set(header.epoch)? else { return Ok(None) };
        let (genesis, set) = (self.genesis(), voters.hash());
        let key = voters.key_of(&signature.voter);
        if set != header.voter_set || !key.is_some_and(|key| signature.verifies(&genesis, &set, key)) {
            return Ok(None);
        }
        let own = self.signatures(height)?.into_iter().find(|other| other.voter == signature.voter);
        let parts = if certificate.height == height { certificate.signatures } else { Vec::new() };
        let also = own
            .map(|own| own.signature)
            .or_else(|| parts.into_iter().find(|part| part.voter == signature.voter).map(|part| part.signature));
        Ok(Some(FoundEvidence { signature, certified: header, also }))
    }
}
