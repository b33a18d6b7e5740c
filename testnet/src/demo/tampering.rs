//! One byte of a stored file is changed behind its node's back: found by `verify`, and the next job goes without that
//! hospital and says so. Then the byte is put back.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use galen_types::Hash;
use galen_types::api::{FilePart, FileVerification};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cast::{Cast, Hospital, ensure, short, wrong};
use super::compute::{check_total, included, run_job, table_lines};
use super::step::Step;
use crate::error::TestnetError;

const TAMPER: &str = "tamper";

/// The reason that a site gives when its stored file differs from the chain.
const RULE: &str = "integrity-failure";

/// A byte that was changed, noted on disk before it is: a run that is broken off is mended by the next.
#[derive(Debug, Serialize, Deserialize)]
struct ChangedByte {
    path: PathBuf,
    offset: u64,
    original: u8,
}

impl ChangedByte {
    fn change(note: &Path, path: PathBuf, offset: u64) -> Result<Self, TestnetError> {
        let failed = |error| TestnetError::file(&path, error);
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).map_err(failed)?;
        let changed = Self { path: path.clone(), offset, original: byte[0] };
        let text = serde_json::to_string(&changed).map_err(|error| wrong(TAMPER, error.to_string()))?;
        std::fs::write(note, text).map_err(|error| TestnetError::file(note, error))?;
        file.write_all_at(&[byte[0] ^ 1], offset).map_err(failed)?;
        Ok(changed)
    }

    fn put_back(&self, note: &Path) -> Result<(), TestnetError> {
        let failed = |error| TestnetError::file(&self.path, error);
        let file = File::options().write(true).open(&self.path).map_err(failed)?;
        file.write_all_at(&[self.original], self.offset).map_err(failed)?;
        std::fs::remove_file(note).map_err(|error| TestnetError::file(note, error))
    }
}

/// Puts back a byte that a broken-off run left changed.
pub(super) fn mend_left_over(cast: &Cast) -> Result<(), TestnetError> {
    let note = note_path(cast);
    let text = match std::fs::read(&note) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(TestnetError::file(note, error)),
    };
    match serde_json::from_slice::<ChangedByte>(&text) {
        Ok(changed) => changed.put_back(&note),
        // Broken off while the note was written, so before the byte was changed.
        Err(_) => std::fs::remove_file(&note).map_err(|error| TestnetError::file(note, error)),
    }
}

pub(super) async fn tamper(cast: &Cast) -> Result<Step, TestnetError> {
    let hospital = cast.tampered();
    let before = newest_part(hospital).await?;
    ensure(TAMPER, before.intact, || format!("{} is not intact to begin with: {:?}", before.version, before.finding))?;
    let path = stored_file(cast, hospital, &before.ciphertext)?;
    let note = note_path(cast);
    let changed = ChangedByte::change(&note, path, before.bytes / 2)?;
    let seen = look(cast, hospital).await;
    changed.put_back(&note)?;
    let (found, mut came, facts) = seen?;
    let after = newest_part(hospital).await?;
    ensure(TAMPER, after.intact, || format!("{} is not intact after mending: {:?}", after.version, after.finding))?;
    came.push(format!("the byte is put back; {} is intact again", after.version));
    Ok(Step {
        step: TAMPER,
        title: "A changed byte is found",
        done: format!(
            "Byte {} of the stored file of {} ({}) is changed behind the node's back.",
            changed.offset,
            found.version,
            short(&found.ciphertext)
        ),
        came,
        by_hand: vec![
            format!("galen --context {} data verify {}", hospital.owner, hospital.dataset),
            format!("galen --context {} compute list", cast.researcher),
        ],
        facts,
    })
}

/// What is seen while the byte is changed.
async fn look(cast: &Cast, hospital: &Hospital) -> Result<(FilePart, Vec<String>, serde_json::Value), TestnetError> {
    let found = newest_part(hospital).await?;
    ensure(TAMPER, !found.intact, || format!("`verify` finds nothing wrong with {}", found.version))?;
    let (result, table) = run_job(cast).await?;
    let refused = table.refused.iter().find(|site| site.dataset == hospital.dataset);
    let refused = refused.ok_or_else(|| wrong(TAMPER, format!("in the total are {}", included(&table))))?;
    ensure(TAMPER, refused.rule.as_str() == RULE, || {
        format!("{} refused by `{}` instead of `{RULE}`", hospital.dataset, refused.rule)
    })?;
    let others: Vec<&Hospital> = cast.hospitals.iter().filter(|other| other.dataset != hospital.dataset).collect();
    check_total(TAMPER, &table, &others)?;
    let finding = found.finding.clone().unwrap_or_default();
    let mut came = vec![
        format!("verify: {} DIFFERS from the chain: {finding}", found.version),
        format!("next job: {} refused by `{}`", refused.dataset, refused.rule),
        format!("in the total: {}", included(&table)),
    ];
    came.extend(table_lines(&table));
    let facts = json!({
        "version": found.version, "ciphertext": found.ciphertext, "finding": found.finding,
        "job": result.job.job.id, "result": table,
    });
    Ok((found, came, facts))
}

/// What the hospital's node finds of the newest version's stored file.
async fn newest_part(hospital: &Hospital) -> Result<FilePart, TestnetError> {
    let FileVerification { parts, .. } = hospital.client.verify_dataset(&hospital.dataset).await?;
    let newest = parts.into_iter().max_by_key(|part| part.version.version);
    newest.ok_or_else(|| wrong(TAMPER, format!("{} has no stored file", hospital.dataset)))
}

/// Where a node stores a ciphertext: `objects/HASH` under its folder of files.
fn stored_file(cast: &Cast, hospital: &Hospital, ciphertext: &Hash) -> Result<PathBuf, TestnetError> {
    let node = cast.testnet.node(hospital.file.member.as_str())?;
    let files = cast.testnet.folder().home(&node.name).files();
    let path = files.join("objects").join(ciphertext.to_string());
    ensure(TAMPER, path.is_file(), || format!("{} is not there", path.display()))?;
    Ok(path)
}

fn note_path(cast: &Cast) -> PathBuf {
    cast.folder.join("changed-byte.json")
}
