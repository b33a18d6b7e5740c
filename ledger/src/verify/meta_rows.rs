//! The rows of `meta`: their checksums, and that they say what the chain says.

use super::Run;
use super::blocks::Chain;
use super::finding::{Findings, Problem};
use super::sweep::{Sweep, require};
use crate::error::LedgerError;
use crate::meta::{
    self, DurableMark, GenesisRoot, HistoryPeaks, HistorySpan, MetaRow, OrderingStarted, Progress, Settings,
};
use crate::snapshot::BaseProof;
use crate::store::Reader;
use crate::store::column::Meta;

/// The settings of the folder, where they can be read.
pub(super) fn settings(reader: &Reader<'_>, run: &mut Run<'_>) -> Option<Settings> {
    row::<Settings>(reader, &mut run.findings)
}

/// Which part of the chain the folder says that it holds.
pub(super) fn span(reader: &Reader<'_>, run: &mut Run<'_>) -> HistorySpan {
    optional::<HistorySpan>(reader, &mut run.findings).unwrap_or_default()
}

pub(super) fn verify(reader: &Reader<'_>, run: &mut Run<'_>, chain: &Chain) {
    let findings = &mut run.findings;
    let height = chain.tip.as_ref().map_or(0, |header| header.height);
    if let Some(progress) = row::<Progress>(reader, findings) {
        let key = Progress::KEY.as_bytes();
        findings.check::<Meta, _>(key, "height", &progress.height, &height);
        // Entries that made no block may have been applied after the last block's.
        let (index, term) = chain.tip.as_ref().map_or((0, 0), |header| (header.raft_index, header.raft_term));
        if progress.raft_index < index || progress.raft_term < term {
            let stored = format!("{} (term {})", progress.raft_index, progress.raft_term);
            let expected = format!("at least {index} (term {term})");
            findings.add::<Meta>(key, Problem::differs("applied entry", stored, expected));
        }
    }
    if let Some(peaks) = row::<HistoryPeaks>(reader, findings) {
        let key = HistoryPeaks::KEY.as_bytes();
        findings.check::<Meta, _>(key, "root", &peaks.range.root(), &chain.history.root());
    }
    row::<GenesisRoot>(reader, findings);
    optional::<OrderingStarted>(reader, findings);
    let mut rows = Sweep::<Meta>::new(reader, findings);
    while let Some(row) = rows.next(findings) {
        let known = [
            Settings::KEY,
            Progress::KEY,
            HistoryPeaks::KEY,
            GenesisRoot::KEY,
            HistorySpan::KEY,
            BaseProof::KEY,
            OrderingStarted::KEY,
        ];
        if row.key == DurableMark::KEY.as_bytes() {
            match meta::read::<DurableMark>(&row.value_bytes) {
                Ok(mark) if mark.height > height => {
                    findings.add::<Meta>(
                        &row.key_bytes,
                        Problem::differs("height", mark.height, format!("at most {height}")),
                    );
                }
                Ok(_) => {}
                Err(error) => findings.add_error::<Meta>(&row.key_bytes, error),
            }
        } else if !known.iter().any(|known| row.key == known.as_bytes()) {
            findings.add::<Meta>(&row.key_bytes, Problem::Stray);
        }
    }
}

/// One row that must be there, checksum checked.
pub(super) fn row<R: MetaRow>(reader: &Reader<'_>, findings: &mut Findings) -> Option<R> {
    let key = R::KEY.as_bytes();
    let bytes = require::<Meta>(reader, findings, key)?;
    let read: Result<R, LedgerError> = meta::read(&bytes);
    read.map_err(|error| findings.add_error::<Meta>(key, error)).ok()
}

/// One row that may be there, checksum checked.
pub(super) fn optional<R: MetaRow>(reader: &Reader<'_>, findings: &mut Findings) -> Option<R> {
    let row = meta::get::<R>(reader);
    row.map_err(|error| findings.add_error::<Meta>(R::KEY.as_bytes(), error)).ok().flatten()
}
