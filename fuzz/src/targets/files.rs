//! What the off-chain store reads from others: encrypted files, wrapped keys, entries of the key ring. Only the plaintext
//! that was encrypted comes out, and only under its key.

use std::os::unix::fs::PermissionsExt as _;

use galen_filestore::{FileKey, FileStore, FileStoreOptions, KeyRing, Salt, VersionSecrets, WrappedKey};
use galen_filestore::{decrypt, unwrap_key};
use galen_types::Hash;
use galen_types::member::EncryptionKey;
use tokio::runtime::Runtime;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::chain::folder;
use crate::hold;
use crate::random::Random;
use crate::target::{Limits, Target, Trace};

/// What the first byte of an input says that the rest is.
mod kind {
    pub(super) const FILE: u8 = 0;
    pub(super) const WRAPPED: u8 = 1;
    pub(super) const RING: u8 = 2;
    pub(super) const RANGE: u8 = 3;
}

/// File chunks and keys.
pub struct Files {
    runtime: Runtime,
    store: FileStore,
    ring: KeyRing,
    secret: StaticSecret,
    stored: Hash,
    stored_bytes: Vec<u8>,
    folder: tempfile::TempDir,
}

/// Pinned, since encrypting draws random numbers: a file of three bytes, one of 70,000, a wrapped key, an entry.
const SMALL: &[u8] = include_bytes!("file_small.bin");
const WRAPPED: &[u8] = include_bytes!("file_wrapped.bin");
const RING: &[u8] = include_bytes!("file_ring.json");

fn key() -> FileKey {
    FileKey::from_bytes([5; 32])
}

fn secret() -> StaticSecret {
    StaticSecret::from([6; 32])
}

fn large_plaintext() -> Vec<u8> {
    (0..70_000_u32).map(|number| (number / 7) as u8).collect()
}

const SMALL_PLAINTEXT: &[u8] = b"Group,Age\nT,31\nC,28\n";

impl Default for Files {
    fn default() -> Self {
        let folder = folder();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime is made");
        let store = runtime.block_on(FileStore::open(folder.path().join("files"), FileStoreOptions::default()));
        let store = store.expect("a store is made");
        let mut stored_bytes = Vec::new();
        runtime
            .block_on(galen_filestore::encrypt(large_plaintext().as_slice(), &mut stored_bytes, &key()))
            .expect("it is encrypted");
        let stored = Hash(*blake3::hash(&stored_bytes).as_bytes());
        let put = store.put_encrypted(stored_bytes.as_slice(), &stored, stored_bytes.len() as u64);
        runtime.block_on(put).expect("it is stored");
        let ring = KeyRing::open(folder.path().join("keys")).expect("a ring is made");
        Self { runtime, store, ring, secret: secret(), stored, stored_bytes, folder }
    }
}

fn ciphertext() -> Hash {
    Hash(*blake3::hash(SMALL).as_bytes())
}

fn input(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut input = vec![kind];
    input.extend_from_slice(bytes);
    input
}

impl Files {
    /// Makes the pinned bytes anew: (file, wrapped key, entry of the ring).
    #[must_use]
    pub fn make() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let target = Self::default();
        let mut small = Vec::new();
        target
            .runtime
            .block_on(galen_filestore::encrypt(SMALL_PLAINTEXT, &mut small, &key()))
            .expect("it is encrypted");
        let ciphertext = Hash(*blake3::hash(&small).as_bytes());
        let owner = EncryptionKey(PublicKey::from(&target.secret).to_bytes());
        let wrapped = galen_filestore::wrap_key(&key(), &owner, &ciphertext).expect("it is wrapped");
        let plaintext_hash = Hash(*blake3::hash(SMALL_PLAINTEXT).as_bytes());
        let secrets = VersionSecrets { ciphertext, key: key(), salt: Salt::from_bytes([8; 32]), plaintext_hash };
        target.ring.insert(&secrets, &owner).expect("it is kept");
        let entry = std::fs::read_dir(target.folder.path().join("keys")).expect("the ring is there").flatten().next();
        let entry = std::fs::read(entry.expect("the entry is there").path()).expect("it is read");
        (small, wrapped.as_bytes().to_vec(), entry)
    }

    /// What is released of a damaged stream is authentic, and its end is not mistaken for the file's.
    fn file(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let mut plaintext = Vec::new();
        let outcome = self.runtime.block_on(decrypt::decrypt(bytes, &mut plaintext, &key()));
        let known = [SMALL_PLAINTEXT, &large_plaintext()].into_iter().any(|known| known.starts_with(&plaintext));
        hold!(known, "bytes come out that were never encrypted");
        match outcome {
            Ok(digest) => {
                trace.accept();
                let whole = plaintext == SMALL_PLAINTEXT || plaintext == large_plaintext();
                hold!(whole, "a part of a file is taken for the whole: {} bytes", plaintext.len());
                hold!(digest.bytes == plaintext.len() as u64, "a digest of another length");
                hold!(bytes == SMALL || bytes == self.stored_bytes, "a changed ciphertext is decrypted");
            }
            Err(error) => trace.reach((error.code(), plaintext.len())),
        }
        let other = FileKey::from_bytes([9; 32]);
        let refused = self.runtime.block_on(decrypt::decrypt(bytes, &mut Vec::new(), &other)).is_err();
        hold!(refused, "another key opens the file");
        Ok(())
    }

    fn wrapped(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Ok(wrapped) = WrappedKey::from_bytes(bytes) else {
            trace.reach("malformed");
            return Ok(());
        };
        let text = serde_json::to_string(&wrapped).map_err(|error| error.to_string())?;
        let again: WrappedKey = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        hold!(again == wrapped, "a wrapped key's text is another key");
        match unwrap_key(&wrapped, &self.secret, &ciphertext()) {
            Ok(opened) => {
                trace.accept();
                hold!(opened == key() && bytes == WRAPPED, "a foreign wrapped key opens");
                let elsewhere = unwrap_key(&wrapped, &self.secret, &self.stored);
                hold!(elsewhere.is_err(), "a key opens for another file than it was wrapped for");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn entry(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let path = self.folder.path().join("keys").join(format!("{}.json", ciphertext()));
        std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(|error| error.to_string())?;
        match self.ring.get(&ciphertext(), &self.secret) {
            Ok(secrets) => {
                trace.accept();
                hold!(secrets.key == key() && secrets.ciphertext == ciphertext(), "a foreign entry opens");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    /// Sixteen bytes name a range of the stored file; what comes is that range.
    fn range(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some(([start, end], [])) = bytes
            .first_chunk::<16>()
            .map(|bytes| bytes.as_chunks::<8>())
            .and_then(|(ends, rest)| Some((<[[u8; 8]; 2]>::try_from(ends).ok()?, rest.first_chunk::<0>()?)))
        else {
            return Ok(());
        };
        let range = u64::from_le_bytes(start)..u64::from_le_bytes(end);
        let outcome = self.runtime.block_on(async {
            let mut reader = self.store.get_range(&self.stored, range.clone()).await?;
            let mut read = Vec::new();
            while let Some(piece) = reader.next().await? {
                read.extend_from_slice(&piece);
            }
            Ok::<_, galen_filestore::StoreError>(read)
        });
        match outcome {
            Ok(read) => {
                trace.accept();
                let expected = self.stored_bytes.get(range.start as usize..range.end as usize);
                hold!(expected == Some(&read), "another range is read than {range:?}");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }
}

impl Target for Files {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut range = 100_u64.to_le_bytes().to_vec();
        range.extend_from_slice(&70_000_u64.to_le_bytes());
        vec![
            input(kind::FILE, SMALL),
            input(kind::WRAPPED, WRAPPED),
            input(kind::RING, RING),
            input(kind::RANGE, &range),
        ]
    }

    fn reshape(&mut self, bytes: &[u8], _other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        // The large file, changed, moved, cut at a chunk's end, or with chunks doubled.
        if bytes.first() != Some(&kind::FILE) || random.chance(700) {
            return None;
        }
        let mut file = self.stored_bytes.clone();
        let chunk = (64 << 10) + 16;
        match random.below(5) {
            0 => file.truncate(64 + chunk),
            1 => file.truncate(64 + random.below(file.len())),
            2 => {
                let first = file[64..64 + chunk].to_vec();
                file.splice(64..64, first);
            }
            3 => {
                file.drain(64..64 + chunk);
            }
            _ => {
                let at = random.below(file.len());
                file[at] ^= 1 << random.below(8);
            }
        }
        Some(input(kind::FILE, &file))
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((kind, bytes)) = input.split_first() else { return Ok(()) };
        trace.reach(kind);
        match *kind {
            kind::FILE => self.file(bytes, trace),
            kind::WRAPPED => self.wrapped(bytes, trace),
            kind::RING => self.entry(bytes, trace),
            kind::RANGE => self.range(bytes, trace),
            _ => Ok(()),
        }
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 2 << 20, ..Limits::default() }
    }
}
