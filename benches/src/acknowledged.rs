//! The record of receipts: a line for every transaction whose receipt came back, with height and place. A chain that
//! loses one of them has lost what it had acknowledged.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use galen_testnet::Testnet;
use galen_types::TransactionId;
use galen_types::api::TransactionStatus;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// One acknowledged transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The transaction.
    pub id: TransactionId,
    /// The block that the receipt named.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
}

impl Acknowledged {
    /// Of a receipt that came back.
    pub fn of(status: &TransactionStatus) -> Option<Self> {
        Some(Self { id: status.id, height: status.height?, index: status.index? })
    }
}

/// Writes a record, JSON lines.
pub struct Record {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Record {
    /// A new record; an older one at the path is added to.
    ///
    /// # Errors
    /// [`BenchError::File`].
    pub fn open(path: &Path) -> Result<Self, BenchError> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(|cause| BenchError::File { path: path.to_path_buf(), cause })?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Adds a transaction.
    ///
    /// # Errors
    /// [`BenchError::File`].
    pub fn add(&mut self, acknowledged: &Acknowledged) -> Result<(), BenchError> {
        let write = |file: &mut BufWriter<File>| {
            serde_json::to_writer(&mut *file, acknowledged)?;
            file.write_all(b"\n")
        };
        write(&mut self.file).map_err(|cause| BenchError::File { path: self.path.clone(), cause })
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// [`BenchError::File`].
    pub fn finish(mut self) -> Result<(), BenchError> {
        let sync = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        sync.map_err(|cause| BenchError::File { path: self.path, cause })
    }
}

/// What a check of a record found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Transactions in the record.
    pub acknowledged: u64,
    /// Nodes that were asked for each.
    pub nodes: usize,
    /// Transactions that a node does not have at the place that its receipt named; the first hundred.
    pub missing: Vec<String>,
    /// How many there are.
    pub missing_total: u64,
}

/// Asks every running node of a testnet for every acknowledged transaction of a record.
///
/// # Errors
/// [`BenchError`] when the record cannot be read, or a node cannot be asked.
pub async fn check(testnet: &Testnet, path: &Path, on_checked: &dyn Fn(u64)) -> Result<Check, BenchError> {
    let file = File::open(path).map_err(|cause| BenchError::File { path: path.to_path_buf(), cause })?;
    let nodes: Vec<_> =
        testnet.plan().present().map(|node| Ok((node, testnet.client(node)?))).collect::<Result<_, BenchError>>()?;
    let mut check = Check { nodes: nodes.len(), ..Check::default() };
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|cause| BenchError::File { path: path.to_path_buf(), cause })?;
        let expected: Acknowledged = serde_json::from_str(&line).map_err(|error| BenchError::Record {
            path: path.to_path_buf(),
            line: number + 1,
            cause: error.to_string(),
        })?;
        check.acknowledged += 1;
        let answers = nodes.iter().map(|(_, client)| client.transaction(&expected.id));
        let mut found = Vec::with_capacity(nodes.len());
        for answer in answers {
            found.push(answer.await);
        }
        for ((node, _), answer) in nodes.iter().zip(found) {
            let there = matches!(&answer, Ok(status) if Acknowledged::of(status) == Some(expected));
            if !there {
                check.missing_total += 1;
                if check.missing.len() < 100 {
                    check.missing.push(format!("{} at {}: {answer:?}", expected.id, node.name));
                }
            }
        }
        on_checked(check.acknowledged);
    }
    Ok(check)
}
