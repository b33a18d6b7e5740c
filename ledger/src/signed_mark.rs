//! The highest header that this node signed, in a small file of its own beside the ledger: a voter must not sign a second
//! header of a height, also when its ledger has rotted in a way that no checksum sees, and is fetched anew from others.
//!
//! ```text
//! slot     magic [8] | sequence u64 | lineage [32] | height u64 | header [32] | reserved u64 | boot [16] | CRC-32C u32
//! file     slot at 0, slot at 512: written in turn, so that a write that is cut short spoils only the older one
//! ```
//!
//! It is written before the signature is stored in the ledger, and so before it is given out. Only each
//! [`SIGNED_RESERVED_HEIGHTS`]th write is synced: what is written survives the process, and `reserved` is a height that
//! was not passed when power was lost. Which of the two counts, the system's boot says.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use galen_types::Hash;

use crate::constants::SIGNED_RESERVED_HEIGHTS;
use crate::error::LedgerError;
use crate::folder;

const MAGIC: &[u8; 8] = b"GLSIGN01";
const SLOT_BYTES: usize = 512;
const CONTENT_BYTES: usize = 8 + 8 + 32 + 8 + 32 + 8 + 16;

/// What was signed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed {
    sequence: u64,
    /// The recovery that the voters went on by; zero before the first.
    pub(crate) lineage: Hash,
    /// The highest height signed.
    pub(crate) height: u64,
    /// The header signed there; zero where it is not known.
    pub(crate) header: Hash,
    /// Nothing above it was signed, also when power was lost.
    reserved: u64,
    boot: [u8; 16],
}

impl Signed {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        let mut content = Vec::with_capacity(CONTENT_BYTES + 4);
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&self.sequence.to_le_bytes());
        content.extend_from_slice(self.lineage.as_bytes());
        content.extend_from_slice(&self.height.to_le_bytes());
        content.extend_from_slice(self.header.as_bytes());
        content.extend_from_slice(&self.reserved.to_le_bytes());
        content.extend_from_slice(&self.boot);
        content.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
        slot[..content.len()].copy_from_slice(&content);
        slot
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let (content, rest) = slot.split_at_checked(CONTENT_BYTES)?;
        if rest.get(..4)? != crc32c::crc32c(content).to_le_bytes() {
            return None;
        }
        let (magic, rest) = content.split_first_chunk::<8>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (lineage, rest) = rest.split_first_chunk::<32>()?;
        let (height, rest) = rest.split_first_chunk::<8>()?;
        let (header, rest) = rest.split_first_chunk::<32>()?;
        let (reserved, boot) = rest.split_first_chunk::<8>()?;
        (magic == MAGIC).then_some(Self {
            sequence: u64::from_le_bytes(*sequence),
            lineage: Hash(*lineage),
            height: u64::from_le_bytes(*height),
            header: Hash(*header),
            reserved: u64::from_le_bytes(*reserved),
            boot: boot.try_into().ok()?,
        })
    }

    /// The highest height that may have been signed.
    pub(crate) fn bound(&self) -> u64 {
        // Since the same boot, what was written is what is read.
        if self.boot == boot() { self.height } else { self.height.max(self.reserved) }
    }
}

/// The file, open for this process.
#[derive(Debug)]
pub(crate) struct SignedMark {
    file: File,
    path: PathBuf,
    last: Option<Signed>,
}

impl SignedMark {
    /// Opens the file, making it where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |error: std::io::Error| LedgerError::Read(format!("`{}`: {error}", path.display()));
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        if is_new {
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0).and_then(|()| file.sync_all()).map_err(failed)?;
            folder::sync_parent(path).map_err(|error| LedgerError::Read(error.to_string()))?;
        }
        let mut bytes = [0; 2 * SLOT_BYTES];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], read as u64).map_err(failed)? {
                0 => break,
                some => read += some,
            }
        }
        let slots = bytes.chunks_exact(SLOT_BYTES).filter_map(Signed::decode);
        let last = slots.max_by_key(|signed| signed.sequence);
        if last.is_none() && bytes.iter().any(|byte| *byte != 0) {
            tracing::error!(
                path = %path.display(),
                "the note of the highest header that was signed is damaged; what the ledger says counts"
            );
        }
        Ok(Self { file, path: path.to_owned(), last })
    }

    /// What was signed last, as far as the file says.
    pub(crate) fn last(&self) -> Option<&Signed> {
        self.last.as_ref()
    }

    /// Notes a header before its signature is stored.
    pub(crate) fn advance(&mut self, lineage: Hash, height: u64, header: Hash) -> Result<(), LedgerError> {
        let before = self.last.filter(|last| last.lineage == lineage);
        let sequence = self.last.map_or(0, |last| last.sequence) + 1;
        let reserved = before.map_or(0, |last| last.reserved);
        let syncs = before.is_none() || height > reserved || before.is_some_and(|last| last.boot != boot());
        let reserved = if syncs { height.saturating_add(SIGNED_RESERVED_HEIGHTS) } else { reserved };
        let next = Signed { sequence, lineage, height, header, reserved, boot: boot() };
        let place = (sequence % 2) * SLOT_BYTES as u64;
        let written = self.file.write_all_at(&next.encode(), place);
        let written = written.and_then(|()| if syncs { self.file.sync_data() } else { Ok(()) });
        written.map_err(|error| LedgerError::Write(format!("`{}`: {error}", self.path.display())))?;
        self.last = Some(next);
        Ok(())
    }
}

/// What names this run of the operating system; zeros where it does not say.
fn boot() -> [u8; 16] {
    static BOOT: std::sync::OnceLock<[u8; 16]> = std::sync::OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flip(path: &Path, place: u64) {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], place).unwrap();
    }

    #[test]
    fn the_last_one_comes_back_and_a_spoilt_slot_costs_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        let mut mark = SignedMark::open(&path).unwrap();
        assert_eq!(mark.last(), None);
        for height in 1..=3 {
            mark.advance(Hash::ZERO, height, Hash([u8::try_from(height).unwrap(); 32])).unwrap();
        }
        let last = *SignedMark::open(&path).unwrap().last().unwrap();
        assert_eq!((last.height, last.header, last.bound()), (3, Hash([3; 32]), 3));
        assert_eq!(Signed { boot: [9; 16], ..last }.bound(), 1 + SIGNED_RESERVED_HEIGHTS, "power may have been lost");
        // The third stands in the second slot.
        flip(&path, SLOT_BYTES as u64 + 60);
        assert_eq!(SignedMark::open(&path).unwrap().last().unwrap().height, 2);
        flip(&path, 60);
        assert_eq!(SignedMark::open(&path).unwrap().last(), None);
    }

    #[test]
    fn another_lineage_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        let mut mark = SignedMark::open(&path).unwrap();
        mark.advance(Hash::ZERO, 90, Hash([1; 32])).unwrap();
        mark.advance(Hash([5; 32]), 40, Hash([2; 32])).unwrap();
        let last = *SignedMark::open(&path).unwrap().last().unwrap();
        assert_eq!((last.lineage, last.height, last.reserved), (Hash([5; 32]), 40, 40 + SIGNED_RESERVED_HEIGHTS));
    }
}
