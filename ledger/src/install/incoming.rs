//! What was received of a snapshot, in a folder: resumable after a crash, and from another peer.

use std::path::{Path, PathBuf};

use galen_types::NodeName;
use galen_types::encoding::Encoding as _;

use crate::constants::{SNAPSHOT_MANIFEST_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX, SNAPSHOT_PROOF_BYTES_MAX};
use crate::folder;
use crate::halt::Halt;
use crate::snapshot::{BaseProof, Manifest, Part, SnapshotError};

const MANIFEST: &str = "manifest";
const PROOF: &str = "proof";
const OFFERED_BY: &str = "offered-by";

/// Peers noted down as those that offer a snapshot, and bytes of the note.
const OFFERED_BY_MAX: usize = 16;
const OFFERED_BY_BYTES_MAX: usize = OFFERED_BY_MAX * 130;

/// A snapshot that is being received.
pub struct Incoming {
    folder: PathBuf,
    manifest: Manifest,
    proof: BaseProof,
    received: Vec<bool>,
    missing: usize,
    pub(super) halt: Halt,
}

impl Incoming {
    /// What breaks off the building of a ledger from it.
    pub fn halt(&self) -> Halt {
        self.halt.clone()
    }

    /// Begins, or goes on when the folder holds parts of the same manifest already; parts of another are removed. The
    /// caller has verified the proof: handovers, certificate and trail.
    ///
    /// # Errors
    /// [`SnapshotError::Manifest`] and [`SnapshotError::VoterSets`] when manifest and proof do not fit together;
    /// [`SnapshotError::ProofTooLong`]; when the disk refuses. What is in the folder already never stands in the way.
    pub fn begin(folder: &Path, manifest: Manifest, proof: BaseProof) -> Result<Self, SnapshotError> {
        manifest.check()?;
        proof.check(&manifest.header)?;
        let bytes = proof.bytes();
        if bytes > SNAPSHOT_PROOF_BYTES_MAX {
            return Err(SnapshotError::ProofTooLong { bytes, most: SNAPSHOT_PROOF_BYTES_MAX });
        }
        match Self::resume(folder) {
            Ok(Some(held)) if held.manifest == manifest => return Ok(held),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what was received of a snapshot cannot be read; it is fetched again"),
        }
        Self::discard_folder(folder)?;
        folder::create(folder)?;
        folder::write(&folder.join(PROOF), &proof.encode())?;
        // Last: its presence says that the rest is there.
        folder::write(&folder.join(MANIFEST), &manifest.encode())?;
        let missing = manifest.parts.len();
        Ok(Self {
            folder: folder.to_owned(),
            received: vec![false; missing],
            missing,
            manifest,
            proof,
            halt: Halt::default(),
        })
    }

    /// What the folder holds of a snapshot; `None` when it holds none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn resume(folder: &Path) -> Result<Option<Self>, SnapshotError> {
        let path = folder.join(MANIFEST);
        if !path.exists() {
            return Ok(None);
        }
        let manifest = read_bounded(&path, SNAPSHOT_MANIFEST_BYTES_MAX)?;
        let proof = read_bounded(&folder.join(PROOF), SNAPSHOT_PROOF_BYTES_MAX)?;
        let manifest = manifest.and_then(|bytes| Manifest::from_peer(&bytes).ok());
        let proof = proof.and_then(|bytes| BaseProof::decode(&bytes, SNAPSHOT_PROOF_BYTES_MAX).ok());
        let (Some(manifest), Some(proof)) = (manifest, proof) else {
            // Damaged on disk: nothing that cannot be fetched again.
            tracing::warn!(folder = %folder.display(), "a snapshot that was being received is damaged; it is fetched again");
            return Ok(None);
        };
        let mut received = vec![false; manifest.parts.len()];
        for (index, (place, digest)) in (0_u32..).zip(received.iter_mut().zip(&manifest.parts)) {
            let file = part_path(folder, index);
            *place = file.metadata().is_ok_and(|file| file.len() == u64::from(digest.bytes));
        }
        let missing = received.iter().filter(|received| !**received).count();
        Ok(Some(Self { folder: folder.to_owned(), manifest, proof, received, missing, halt: Halt::default() }))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is being received.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Why its header is believed.
    pub fn proof(&self) -> &BaseProof {
        &self.proof
    }

    /// Notes down who offered it, so that they are known when it turns out wrong, also after a restart.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note_offered_by(&self, peers: &[NodeName]) -> Result<(), SnapshotError> {
        let names: Vec<_> = peers.iter().take(OFFERED_BY_MAX).map(NodeName::to_string).collect();
        folder::write(&self.folder.join(OFFERED_BY), names.join("\n").as_bytes())
    }

    /// Who offered it, as far as that was noted down.
    pub fn offered_by(&self) -> Vec<NodeName> {
        let noted = read_bounded(&self.folder.join(OFFERED_BY), OFFERED_BY_BYTES_MAX).ok().flatten();
        let text = noted.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        text.lines().filter_map(|name| name.parse().ok()).collect()
    }

    /// The parts that are still missing, in order, from a place on and at most `limit` of them.
    pub fn missing(&self, from: u32, limit: usize) -> Vec<u32> {
        let places = (0_u32..).zip(&self.received).skip(from as usize);
        places.filter(|(_, received)| !**received).map(|(index, _)| index).take(limit).collect()
    }

    /// How many parts are still missing.
    pub fn missing_count(&self) -> usize {
        self.missing
    }

    /// Bytes of the parts that are there.
    pub fn received_bytes(&self) -> u64 {
        let parts = self.received.iter().zip(&self.manifest.parts);
        parts.filter(|(received, _)| **received).map(|(_, part)| u64::from(part.bytes)).sum()
    }

    /// Takes a part, checked against the manifest; afterwards it survives a crash. One that is there already is fine.
    ///
    /// # Errors
    /// [`SnapshotError::Part`] when it is not what the manifest names: ask another peer; when the disk refuses.
    pub fn accept(&mut self, index: u32, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.manifest.check_part(index, bytes)?;
        let Some(received) = self.received.get_mut(index as usize) else { return Ok(()) };
        if !*received {
            folder::write(&part_path(&self.folder, index), bytes)?;
            *received = true;
            self.missing -= 1;
        }
        Ok(())
    }

    /// A part that is there, checked again. One that was damaged on disk is removed, so that it is asked for again.
    pub(super) fn part(&mut self, index: u32) -> Result<Part, SnapshotError> {
        let path = part_path(&self.folder, index);
        let bytes = folder::read(&path, SNAPSHOT_PART_BYTES_MAX)?.unwrap_or_default();
        self.manifest.check_part(index, &bytes).inspect_err(|_| {
            let _ = std::fs::remove_file(&path);
            if let Some(received) = self.received.get_mut(index as usize).filter(|received| **received) {
                *received = false;
                self.missing += 1;
            }
        })
    }

    /// Removes what the folder holds if that would not bring a ledger of this height forward: a snapshot that it has come
    /// past, or what a crash left of one that was being removed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tidy(folder: &Path, height: u64) -> Result<(), SnapshotError> {
        match Self::resume(folder)? {
            Some(incoming) if incoming.manifest.header.height > height => Ok(()),
            _ => Self::discard_folder(folder),
        }
    }

    /// Removes everything that was received.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn discard(self) -> Result<(), SnapshotError> {
        Self::discard_folder(&self.folder)
    }

    fn discard_folder(folder: &Path) -> Result<(), SnapshotError> {
        // Without the manifest the rest counts for nothing, so it goes first.
        match std::fs::remove_file(folder.join(MANIFEST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(folder::failed(folder, "it cannot be emptied")(error));
            }
            _ => {}
        }
        folder::remove(folder)
    }
}

/// A file's bytes; `None` when it is absent or larger than anything that is written there.
fn read_bounded(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, SnapshotError> {
    if path.metadata().is_ok_and(|file| file.len() > limit as u64) { Ok(None) } else { folder::read(path, limit) }
}

fn part_path(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("part-{index:07}"))
}
