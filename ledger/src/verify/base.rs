//! What a ledger that was installed from a snapshot rests on: the way from the genesis voters to those who certified the
//! snapshot's header.

use galen_types::BlockHeader;
use galen_types::certificate::VoterSet;

use super::finding::Problem;
use super::sweep::require;
use super::{FoundRecovery, Run, meta_rows};
use crate::meta::MetaRow as _;
use crate::snapshot::{BaseProof, EpochEnd, EpochEndProof};
use crate::store::Reader;
use crate::store::bytes::Key as _;
use crate::store::column::{Headers, Meta, VoterSets};

/// Checks the proof of a ledger's base, where it has one.
pub(super) fn verify(reader: &Reader<'_>, run: &mut Run<'_>) {
    let Some(proof) = meta_rows::optional::<BaseProof>(reader, &mut run.findings) else {
        if run.span.base_height != 0 {
            run.findings.add::<Meta>(BaseProof::KEY.as_bytes(), Problem::Missing);
        }
        return;
    };
    let Some(header) = require::<Headers>(reader, &mut run.findings, &run.span.base_height) else { return };
    for set in proof.voter_sets() {
        if let Some(stored) = require::<VoterSets>(reader, &mut run.findings, &set.epoch) {
            run.findings.check::<VoterSets, _>(&set.epoch.bytes(), "hash", &stored.hash(), &set.hash());
        }
    }
    match check(run, &proof, &header) {
        Ok(()) => run.report.certified_height = run.span.base_height,
        Err(problem) => run.findings.add::<Meta>(BaseProof::KEY.as_bytes(), Problem::Signature(problem)),
    }
}

fn check(run: &mut Run<'_>, proof: &BaseProof, header: &BlockHeader) -> Result<(), String> {
    let genesis = run.options.ledger.genesis_hash;
    if proof.genesis_voters.hash() != run.options.genesis_voters.hash() {
        return Err(String::from("it does not begin with the voters of the genesis"));
    }
    proof.check(header).map_err(|error| error.to_string())?;
    let mut voters = &proof.genesis_voters;
    // The voters of the header's epoch; the last end may be the header's own.
    let mut of_header = (voters.epoch == header.epoch).then_some(voters);
    for end in &proof.epoch_ends {
        check_end(run, voters, end)?;
        run.passed_over.push(voters.epoch + 1..end.next.epoch);
        voters = &end.next;
        if voters.epoch == header.epoch {
            of_header = Some(voters);
        }
    }
    let of_header = of_header.ok_or("it names no voters for the epoch of the snapshot's header")?;
    let mut last = header;
    for after in &proof.trail {
        let follows = after.parent == last.hash() && after.height == last.height.saturating_add(1);
        if !follows || (after.epoch, after.voter_set) != (header.epoch, header.voter_set) {
            return Err(format!("the header at height {} does not follow", after.height));
        }
        last = after;
    }
    if (proof.certificate.height, proof.certificate.header) != (last.height, last.hash()) {
        return Err(String::from("its certificate is of another header"));
    }
    proof.certificate.verify(&genesis, of_header).map_err(|error| error.to_string())
}

fn check_end(run: &mut Run<'_>, voters: &VoterSet, end: &EpochEnd) -> Result<(), String> {
    let genesis = run.options.ledger.genesis_hash;
    let EpochEnd { last, proof, next } = end;
    let wrong = |problem: &str| Err(format!("the end of epoch {}: {problem}", last.epoch));
    match proof {
        EpochEndProof::Certificate(certificate) => {
            if (last.epoch, last.voter_set) != (voters.epoch, voters.hash()) {
                return wrong("its last block names other voters");
            }
            if next.hash() != last.next_voter_set {
                return wrong("its last block names other voters for the next height");
            }
            if (certificate.height, certificate.header) != (last.height, last.hash()) {
                return wrong("its certificate is of another header");
            }
            match certificate.verify(&genesis, voters) {
                Ok(()) => Ok(()),
                Err(error) => wrong(&error.to_string()),
            }
        }
        EpochEndProof::Recovery { header, recovery } => {
            end.check_recovery(voters, header, recovery).or_else(wrong)?;
            // Those whose headers and parents are held are found again there.
            if header.height <= run.span.headers_from {
                run.report.recoveries.push(FoundRecovery { height: header.height, recovery: recovery.hash() });
            }
            Ok(())
        }
    }
}
