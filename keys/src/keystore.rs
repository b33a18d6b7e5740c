//! A private folder of key files, one per account or node, named after it: `alice@harlem.json`. A key file is never
//! overwritten, except by its own content under a new password, and then only once the new file is on the disk.

use std::io;
use std::path::{Path, PathBuf};

use galen_types::Signer;

use crate::error::KeyError;
use crate::key_file::{KdfProfile, KeyFile, MAX_KEY_FILE_BYTES, ParseError, PublicKeys};
use crate::key_pair::KeyPair;
use crate::password::Password;
use crate::private_file::{self, failed};

/// A folder of key files.
#[derive(Debug, Clone)]
pub struct Keystore {
    folder: PathBuf,
}

/// A key file as listed: its readable part, or why it cannot be read.
#[derive(Debug)]
pub struct ListedKey {
    /// The file.
    pub path: PathBuf,
    /// Its readable part.
    pub keys: Result<PublicKeys, KeyError>,
}

impl Keystore {
    /// Opens the folder, which is made (closed to others) if it is not there.
    ///
    /// # Errors
    /// When it cannot be used or is open to other users.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, KeyError> {
        let folder = folder.as_ref().to_owned();
        private_file::private_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Makes fresh keys and stores them under a password.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there are keys of this name; or when storing fails.
    pub fn create(&self, name: &Signer, password: &Password, profile: KdfProfile) -> Result<KeyPair, KeyError> {
        let keys = KeyPair::generate()?;
        self.insert(name, &keys, password, profile)?;
        Ok(keys)
    }

    /// Stores given keys under a password.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there are keys of this name; or when storing fails.
    pub fn insert(
        &self,
        name: &Signer,
        keys: &KeyPair,
        password: &Password,
        profile: KdfProfile,
    ) -> Result<(), KeyError> {
        let path = self.path(name);
        if path.try_exists().map_err(failed(&path))? {
            return Err(self.exists(name));
        }
        self.create_file(name, &KeyFile::seal(name, keys, password, profile)?)
    }

    /// Opens keys with their password.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::WrongPassword`], [`KeyError::Damaged`], [`KeyError::OpenToOthers`], or when
    /// reading fails.
    pub fn load(&self, name: &Signer, password: &Password) -> Result<KeyPair, KeyError> {
        let path = self.path(name);
        self.read(name)?.open(password)?.ok_or(KeyError::WrongPassword { path })
    }

    /// The readable part of a key file, without a password, and so not authenticated.
    ///
    /// # Errors
    /// As [`Keystore::load`], but for the password.
    pub fn public_keys(&self, name: &Signer) -> Result<PublicKeys, KeyError> {
        Ok(self.read(name)?.public_keys())
    }

    /// Every key file in the folder, in the order of file names; a damaged one is listed with its error.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<ListedKey>, KeyError> {
        let mut listed = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let path = entry.map_err(failed(&self.folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let keys = read_key_file(&path).and_then(|file| {
                    let keys = file.public_keys();
                    check_name(&path, &self.path(&keys.name)).map(|()| keys)
                });
                listed.push(ListedKey { path, keys });
            }
        }
        listed.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(listed)
    }

    /// Puts the keys under a new password, at the same cost of guessing. A crash leaves the old file or the new one.
    ///
    /// # Errors
    /// As [`Keystore::load`], or when writing fails; the old password then still holds.
    pub fn change_password(&self, name: &Signer, old: &Password, new: &Password) -> Result<(), KeyError> {
        let path = self.path(name);
        let file = self.read(name)?;
        let keys = file.open(old)?.ok_or_else(|| KeyError::WrongPassword { path: path.clone() })?;
        let file = KeyFile::seal_at_cost(name, &keys, new, file.cost())?;
        private_file::replace(&path, file.to_text().as_bytes())
    }

    /// Copies a key file, still encrypted, to a new file elsewhere.
    ///
    /// # Errors
    /// When there is a file already, or reading or writing fails.
    pub fn export(&self, name: &Signer, target: &Path) -> Result<(), KeyError> {
        let file = self.read(name)?;
        if private_file::create(target, file.to_text().as_bytes())? {
            return Ok(());
        }
        Err(failed(target)(io::Error::from(io::ErrorKind::AlreadyExists)))
    }

    /// Takes in a key file from elsewhere, still encrypted, under the name it holds.
    ///
    /// # Errors
    /// When it is no sound key file or open to other users, [`KeyError::Exists`] when there are keys of its name, or
    /// when reading or writing fails.
    pub fn import(&self, source: &Path) -> Result<PublicKeys, KeyError> {
        let file = read_key_file(source)?;
        let keys = file.public_keys();
        self.create_file(&keys.name, &file)?;
        Ok(keys)
    }

    fn path(&self, name: &Signer) -> PathBuf {
        // A name is made of a-z, 0-9, `-`, `@` and `.`, and starts with one of the first three.
        self.folder.join(format!("{name}.json"))
    }

    fn read(&self, name: &Signer) -> Result<KeyFile, KeyError> {
        let path = self.path(name);
        match read_key_file(&path) {
            Ok(file) => check_name(&path, &self.path(&file.public_keys().name)).map(|()| file),
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(KeyError::Missing { name: Box::new(name.clone()), folder: self.folder.clone() })
            }
            Err(error) => Err(error),
        }
    }

    fn create_file(&self, name: &Signer, file: &KeyFile) -> Result<(), KeyError> {
        if private_file::create(&self.path(name), file.to_text().as_bytes())? { Ok(()) } else { Err(self.exists(name)) }
    }

    fn exists(&self, name: &Signer) -> KeyError {
        KeyError::Exists { name: Box::new(name.clone()), folder: self.folder.clone() }
    }
}

fn read_key_file(path: &Path) -> Result<KeyFile, KeyError> {
    let text = private_file::read(path, MAX_KEY_FILE_BYTES)?;
    KeyFile::parse(&text).map_err(|error| match error {
        ParseError::Damaged(reason) => KeyError::Damaged { path: path.to_owned(), reason },
        ParseError::UnknownVersion(version) => KeyError::UnknownVersion { path: path.to_owned(), version },
    })
}

/// A file is found by its name, so its name must be that of the keys in it.
fn check_name(path: &Path, expected: &Path) -> Result<(), KeyError> {
    if path == expected {
        return Ok(());
    }
    let reason = format!("it should be called {}", expected.display());
    Err(KeyError::Damaged { path: path.to_owned(), reason })
}
