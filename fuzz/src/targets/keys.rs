//! Key files: what is read without the password, and what opens with it. Only the keys that were sealed come out.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use galen_keys::{KdfProfile, KeyPair, Keystore, Password};
use galen_types::Signer;

use crate::chain::folder;
use crate::hold;
use crate::mutation::mutate;
use crate::random::Random;
use crate::shared::consortium::name;
use crate::target::{Limits, Target, Trace};

const NAME: &str = "alice@harlem";
/// Opening costs what the file asks for, as it must; here only so much is paid, and not for every input. That what a file
/// may ask for is bounded is the file's own check.
const MEMORY_KIB_MAX: u64 = 19 << 10;
/// One in so many inputs that ask for more than this is opened.
const CHEAP_KIB: u64 = 256;
const OPENED_EVERY: u8 = 16;

const WORDS: &[&str] = &[
    "\"version\"",
    "\"kdf\"",
    "\"cipher\"",
    "\"ciphertext\"",
    "argon2id",
    "xchacha20-poly1305",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "1e9",
    "-1",
    "4294967295",
    "4294967296",
    "1048577",
    "0",
    "8",
    "\\u0061",
    "ed25519:",
    "x25519:",
    " ",
    "\n",
];

/// Key files.
pub struct Keys {
    store: Keystore,
    path: PathBuf,
    password: Password,
    keys: KeyPair,
    _folder: tempfile::TempDir,
}

impl Default for Keys {
    fn default() -> Self {
        let folder = folder();
        let root = folder.path().join("keys");
        let store = Keystore::open(&root).expect("a keystore can be made");
        let password = Password::new("correct horse battery staple".to_owned()).expect("it is long enough");
        let path = root.join(format!("{NAME}.json"));
        Self { store, path, password, keys: KeyPair::from_seed(&[7; 32]), _folder: folder }
    }
}

/// A file that was sealed with the target's password at the lower cost; pinned, since sealing draws random numbers.
const SEALED: &str = include_str!("key_file.json");

impl Keys {
    fn put(&self, bytes: &[u8]) {
        std::fs::write(&self.path, bytes).expect("a file can be written");
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o600))
            .expect("it can be closed to others");
    }

    /// The cost that a file asks for, and whether it is one that may be paid here.
    fn is_cheap(bytes: &[u8]) -> bool {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return false };
        let of = |field: &str| value["kdf"][field].as_u64().unwrap_or(u64::MAX);
        let memory = of("memory_kib");
        let drawn = memory <= CHEAP_KIB || blake3::hash(bytes).as_bytes()[0].is_multiple_of(OPENED_EVERY);
        drawn && memory <= MEMORY_KIB_MAX && of("iterations") <= 2 && of("parallelism") <= 8
    }

    /// Makes the pinned file anew: seals, and writes the text to the standard output.
    #[must_use]
    pub fn seal() -> String {
        let target = Self::default();
        let signer: Signer = name(NAME);
        target.store.insert(&signer, &target.keys, &target.password, KdfProfile::Testnet).expect("it is sealed");
        std::fs::read_to_string(&target.path).expect("it is there")
    }
}

impl Target for Keys {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        vec![SEALED.as_bytes().to_vec()]
    }

    fn reshape(&mut self, input: &[u8], _other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        // A field changed in a file that stays well-formed.
        let mut value: serde_json::Value = serde_json::from_slice(input).ok()?;
        let number = random.draw() >> random.below(64);
        match random.below(8) {
            0 => value["kdf"]["memory_kib"] = number.into(),
            1 => value["kdf"]["iterations"] = (number & 31).into(),
            2 => value["kdf"]["parallelism"] = (number & 31).into(),
            3 => value["name"] = "bob@harlem".into(),
            field => {
                let at = match field {
                    4 => value["kdf"].get_mut("salt")?,
                    5 => value["cipher"].get_mut("nonce")?,
                    6 => value.get_mut("public_key")?,
                    _ => value.get_mut("ciphertext")?,
                };
                let mut text = at.as_str()?.as_bytes().to_vec();
                mutate(&mut text, b"0123456789abcdef", &[], 400, random);
                *at = String::from_utf8_lossy(&text).into_owned().into();
            }
        }
        let text =
            if random.chance(500) { serde_json::to_string(&value) } else { serde_json::to_string_pretty(&value) };
        text.ok().map(String::into_bytes)
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        self.put(input);
        let signer: Signer = name(NAME);
        let public = match self.store.public_keys(&signer) {
            Ok(public) => public,
            Err(error) => {
                // Of damaged files the text says what is wrong.
                trace.reach((error.code(), error.to_string().split_once("damaged").map(|(_, what)| what.len() / 4)));
                return Ok(());
            }
        };
        hold!(public.name == signer, "a file of another name is read");
        let listed = self.store.list().map_err(|error| error.to_string())?;
        hold!(listed.len() == 1 && listed[0].keys.is_ok(), "a file that is read is listed as damaged");
        if !Self::is_cheap(input) && input != SEALED.as_bytes() {
            trace.reach("dear");
            return Ok(());
        }
        match self.store.load(&signer, &self.password) {
            Ok(keys) => {
                trace.accept();
                hold!(keys.public_key() == self.keys.public_key(), "a foreign signing key is opened");
                hold!(keys.encryption_key() == self.keys.encryption_key(), "a foreign encryption key is opened");
                hold!(public.public_key == keys.public_key(), "the readable part is of another key");
                // What is authenticated is all of the file: only blanks may differ from what was sealed.
                let bare =
                    |bytes: &[u8]| bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect::<Vec<_>>();
                let order = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
                let same = bare(input) == bare(SEALED.as_bytes()) || order(input) == order(SEALED.as_bytes());
                hold!(same, "a changed file opens: {}", String::from_utf8_lossy(input));
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn limits(&self) -> Limits {
        // The pinned file costs 19 MiB and its time to open, as it must.
        Limits {
            memory_bytes: 24 << 20,
            memory_bytes_per_byte: 200,
            time: std::time::Duration::from_millis(300),
            input_bytes_max: 9 << 10,
        }
    }
}
