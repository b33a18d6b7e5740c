//! Certificates and signatures hold under the voters of their epoch, and speak of the headers held.

use galen_types::certificate::VoterSet;
use galen_types::{Hash, HeaderSignature};

use super::blocks::Chain;
use super::finding::Problem;
use super::sweep::Sweep;
use super::{Rules, Run, Step};
use crate::store::bytes::Key as _;
use crate::store::column::{Certificates, Column, Evidence, Headers, OwnSignatures, Signatures};
use crate::store::{Reader, Span};

pub(super) fn verify(reader: &Reader<'_>, run: &mut Run<'_>, rules: &mut dyn Rules, chain: &Chain) {
    let voters = Some(run.options.genesis_voters.clone());
    let mut checker = Checker { reader, header: None, voters };
    let genesis = run.options.ledger.genesis_hash;
    let mut certificates = Sweep::<Certificates>::new(reader, &mut run.findings);
    while let Some(row) = certificates.next(&mut run.findings) {
        let Some(certificate) = row.value else { continue };
        if row.key < run.span.headers_from {
            // Those of handovers are checked with the base; others wait for their headers.
            continue;
        }
        run.findings.check::<Certificates, _>(&row.key_bytes, "height", &certificate.height, &row.key);
        let Some((hash, voters)) = checker.at(run, row.key) else {
            run.findings.add::<Certificates>(&row.key_bytes, Problem::Stray);
            continue;
        };
        run.findings.check::<Certificates, _>(&row.key_bytes, "header", &certificate.header, &hash);
        match certificate.verify(&genesis, voters) {
            Ok(()) => {
                run.report.certificates += 1;
                run.report.certified_height = run.report.certified_height.max(row.key);
            }
            Err(error) => run.findings.add::<Certificates>(&row.key_bytes, Problem::Signature(error.to_string())),
        }
        run.progress(rules, Step::Signatures, run.report.certificates, None);
    }
    check_handovers(reader, run, chain);
    let mut own = Sweep::<OwnSignatures>::new(reader, &mut run.findings);
    while let Some(row) = own.next(&mut run.findings) {
        if let Some(signature) = row.value {
            run.findings.check::<OwnSignatures, _>(&row.key_bytes, "height", &signature.height, &row.key);
            check::<OwnSignatures>(&mut checker, run, rules, &row.key_bytes, &signature, true);
        }
    }
    let mut others = Sweep::<Signatures>::new(reader, &mut run.findings);
    while let Some(row) = others.next(&mut run.findings) {
        if let Some(signature) = row.value {
            run.findings.check::<Signatures, _>(&row.key_bytes, "height", &signature.height, &row.key.height);
            run.findings.check::<Signatures, _>(&row.key_bytes, "voter", &signature.voter, &row.key.voter);
            check::<Signatures>(&mut checker, run, rules, &row.key_bytes, &signature, true);
        }
    }
    let mut evidence = Sweep::<Evidence>::new(reader, &mut run.findings);
    while let Some(row) = evidence.next(&mut run.findings) {
        if let Some(signature) = row.value {
            run.findings.check::<Evidence, _>(&row.key_bytes, "height", &signature.height, &row.key.height);
            run.findings.check::<Evidence, _>(&row.key_bytes, "voter", &signature.voter, &row.key.voter);
            run.findings.check::<Evidence, _>(&row.key_bytes, "header", &signature.header, &row.key.header);
            check::<Evidence>(&mut checker, run, rules, &row.key_bytes, &signature, false);
        }
    }
}

/// Certification never passed the end of an epoch without the certificate that hands over, unless a recovery took its
/// place: then no height between the two is certified either.
fn check_handovers(reader: &Reader<'_>, run: &mut Run<'_>, chain: &Chain) {
    let certified = run.report.certified_height;
    for height in chain.handovers.iter().filter(|height| **height < certified) {
        let covering = Span { from: height.bytes().to_vec(), ..Span::default() };
        let covering = reader.rows::<Certificates>(covering).ok().and_then(|mut rows| rows.next()?.ok());
        let covered = covering.map_or(u64::MAX, |(height, _)| height);
        let recovered = chain.recoveries.iter().any(|recovery| (height + 1..=covered).contains(recovery));
        if covered != *height && !recovered {
            run.findings.add::<Certificates>(&height.bytes(), Problem::Missing);
        }
    }
}

/// Checks one signature; `agrees` is whether it must name the header held, or must not.
fn check<C: Column>(
    checker: &mut Checker<'_>,
    run: &mut Run<'_>,
    rules: &mut dyn Rules,
    key: &[u8],
    signature: &HeaderSignature,
    agrees: bool,
) {
    if signature.height < run.span.headers_from {
        // Carried over from before the snapshot: it waits for its header.
        return;
    }
    let genesis = run.options.ledger.genesis_hash;
    let Some((hash, voters)) = checker.at(run, signature.height) else {
        if !checker.is_passed_over(run, signature.height) {
            run.findings.add::<C>(key, Problem::Stray);
        }
        return;
    };
    if agrees {
        run.findings.check::<C, _>(key, "header", &signature.header, &hash);
    } else if signature.header == hash {
        run.findings.add::<C>(key, Problem::differs("header", hash, "another one than the chain's"));
    }
    match voters.key_of(&signature.voter) {
        None => {
            run.findings.add::<C>(key, Problem::Signature(format!("`{}` is no voter of the epoch", signature.voter)))
        }
        Some(public) if !signature.verifies(&genesis, &voters.hash(), public) => {
            let text = format!("it does not verify under the key of `{}`", signature.voter);
            run.findings.add::<C>(key, Problem::Signature(text));
        }
        Some(_) => run.report.signatures += 1,
    }
    run.progress(rules, Step::Signatures, run.report.certificates + run.report.signatures, None);
}

/// Looks up what a height's signatures are checked against; remembers the last height and epoch.
struct Checker<'reader> {
    reader: &'reader Reader<'reader>,
    header: Option<(u64, Hash, u64)>,
    voters: Option<VoterSet>,
}

impl Checker<'_> {
    /// The header's hash and the voters of its epoch; `None` without a header or its voters.
    fn at(&mut self, run: &mut Run<'_>, height: u64) -> Option<(Hash, &VoterSet)> {
        if self.header.is_none_or(|(held, ..)| held != height) {
            let header = self.reader.get::<Headers>(&height).ok().flatten()?;
            self.header = Some((height, header.hash(), header.epoch));
        }
        let (_, hash, epoch) = self.header?;
        if self.voters.as_ref().is_none_or(|set| set.epoch != epoch) {
            self.voters = match epoch {
                0 => Some(run.options.genesis_voters.clone()),
                epoch => run.voters(self.reader, epoch),
            };
        }
        self.voters.as_ref().map(|set| (hash, set))
    }

    /// Whether the height that was looked up last is of an epoch whose voters nobody knows any more.
    fn is_passed_over(&self, run: &Run<'_>, height: u64) -> bool {
        let header = self.header.filter(|(held, ..)| *held == height);
        header.is_some_and(|(_, _, epoch)| run.passed_over.iter().any(|epochs| epochs.contains(&epoch)))
    }
}
