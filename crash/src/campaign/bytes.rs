//! Bytes of a stopped node's files are altered: it refuses to start and says why by name, or starts whole.

use std::path::{Path, PathBuf};

use super::{Report, Selection};
use crate::life::{Chapter, LifeError, Outcome, Stage, attempt, compare};

/// Bytes at the end of an ordering log that are altered one by one: its last records.
const LOG_BYTES: usize = 3_000;
/// Larger files are altered at their ends only.
const SMALL_BYTES: usize = 16 << 10;

/// Bytes that a disk loses together.
const SECTOR_BYTES: usize = 512;

/// Files that a start does not read: their names begin with these.
const UNREAD: [&str; 5] = ["LOG", "LOCK", "lock", "OPTIONS", "IDENTITY"];

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alteration {
    /// It ends before this byte.
    Cut(usize),
    /// A bit of this byte is another.
    Flip(usize, u8),
    /// The sector that begins here holds zeroes.
    Zero(usize),
}

impl Alteration {
    fn stratum(self) -> u8 {
        match self {
            Self::Cut(_) => 0,
            Self::Flip(..) => 1,
            Self::Zero(_) => 2,
        }
    }

    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Cut(length) => bytes.truncate(length),
            Self::Flip(at, bit) => bytes[at] ^= 1 << bit,
            Self::Zero(at) => {
                let end = (at + SECTOR_BYTES).min(bytes.len());
                bytes[at..end].fill(0);
            }
        }
    }
}

/// Alters files of the home after its last chapter; with `only`, those whose path in it holds this text.
///
/// # Errors
/// [`LifeError`] when a point cannot be tried.
pub async fn alter_bytes(
    stage: &Stage,
    selection: Selection,
    only: Option<&str>,
    report: &mut Report,
) -> Result<(), LifeError> {
    let receipts = stage.put_back(Chapter::After)?;
    let mut points = Vec::new();
    let is_meant = |path: &PathBuf| {
        let place = path.strip_prefix(stage.home()).unwrap_or(path).to_string_lossy();
        only.is_none_or(|text| place.contains(text))
    };
    for path in files(&stage.home())?.into_iter().filter(is_meant) {
        let bytes = std::fs::read(&path).map_err(LifeError::file(&path))?;
        let listening = listening(&path, &bytes);
        let from = if bytes.len() > SMALL_BYTES { bytes.len() - LOG_BYTES } else { 0 };
        for at in from..bytes.len() {
            points.push((path.clone(), Alteration::Cut(at)));
            // Another port is no damage that could be seen.
            if !listening.iter().any(|line| line.contains(&at)) {
                let bit = u8::try_from(selection.seed(points.len()) % 8).unwrap_or(0);
                points.push((path.clone(), Alteration::Flip(at, bit)));
            }
        }
        let sectors = (0..bytes.len()).step_by(SECTOR_BYTES);
        points.extend(sectors.map(|at| (path.clone(), Alteration::Zero(at))));
    }
    let strata: Vec<(&Path, u8)> =
        points.iter().map(|(path, alteration)| (path.as_path(), alteration.stratum())).collect();
    for place in selection.of(&strata) {
        let (path, alteration) = &points[place];
        stage.put_back(Chapter::After)?;
        let mut bytes = std::fs::read(path).map_err(LifeError::file(path))?;
        alteration.apply(&mut bytes);
        std::fs::write(path, bytes).map_err(LifeError::file(path))?;
        let (outcome, end) = match attempt(stage).await? {
            Ok(Outcome::Refused { code }) => (Ok(()), code),
            Ok(Outcome::Runs(running)) => (compare(stage, running, &receipts).await?, "starts whole".to_owned()),
            Err(fault) => (Err(fault), String::new()),
        };
        let name = path.strip_prefix(stage.home()).unwrap_or(path);
        report.add("bytes", &format!("{} {alteration:?} ({end})", name.display()), outcome);
    }
    Ok(())
}

/// The places of the lines that say where a configuration listens.
fn listening(path: &Path, bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Vec::new();
    }
    let mut start = 0;
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"listen") {
            lines.push(start..start + line.len());
        }
        start += line.len();
    }
    lines
}

/// The files of a home that a start reads, but for the ledger's tables and the members' files, which have checksums of
/// their own and are read when they are needed.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LifeError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(LifeError::file(folder))? {
        let path = entry.map_err(LifeError::file(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["backups", "snapshots", "files"].contains(&name.as_str()) {
                found.extend(files(&path)?);
            }
        } else if !UNREAD.iter().any(|unread| name.starts_with(unread)) && !name.ends_with(".sst") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
