//! Preparing a node's home: key, configuration, and the genesis where there is one already.

use std::net::SocketAddr;
use std::path::PathBuf;

use galen_keys::{KdfProfile, KeyError, Keystore, PasswordSource};
use galen_types::genesis::{GENESIS_BYTES_MAX, GenesisError};
use galen_types::member::NodeAddress;
use galen_types::{Genesis, NodeName, PublicKey, Signer};
use serde::Serialize;

use super::files::{FileError, create_folder, write_atomically};
use crate::config::{
    ConfigError, JoiningSection, KeySection, LedgerSection, NetworkSection, NodeConfig, OrderingSection, ScrubSection,
    SyncSection, read_text,
};
use crate::home::NodeHome;
use crate::http::HttpSettings;
use crate::telemetry::LogSettings;

/// What a home is made with.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// This node's name.
    pub node: NodeName,
    /// Where it serves HTTP.
    pub http_listen: SocketAddr,
    /// Where it takes peers' connections.
    pub listen: NodeAddress,
    /// Where peers fetch files.
    pub listen_files: NodeAddress,
    /// File that holds the password of its key file.
    pub password_file: PathBuf,
    /// The founding document, where it is written already.
    pub genesis: Option<PathBuf>,
}

/// A home as made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Initialised {
    /// This node.
    pub node: NodeName,
    /// The folder.
    pub home: PathBuf,
    /// What the genesis registers for it.
    pub public_key: PublicKey,
    /// What to write into the genesis under the member.
    pub genesis_entry: String,
    /// Whether a genesis lies in the home.
    pub has_genesis: bool,
}

/// Why a home is not made. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is a configuration already.
    #[error("{0} exists already; use another home, or edit the file")]
    Exists(PathBuf),
    /// Something cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The genesis given.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl InitError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "init-exists",
            Self::File(_) => "init-file",
            Self::Key(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::Config(error) => error.code(),
        }
    }
}

/// Makes a home: folders, a key file, a configuration, and a copy of the genesis where one is given. A key file that is
/// there already is kept.
///
/// # Errors
/// [`InitError`] saying what is in the way.
pub fn init(home: &NodeHome, options: InitOptions) -> Result<Initialised, InitError> {
    if home.config().exists() {
        return Err(InitError::Exists(home.config()));
    }
    let genesis_text =
        options.genesis.as_ref().map(|path| read_text(path.clone(), GENESIS_BYTES_MAX as u64)).transpose()?;
    if let Some(text) = &genesis_text {
        Genesis::from_toml(text)?;
    }
    create_folder(home.root())?;
    let password_file = std::path::absolute(&options.password_file).map_err(FileError::of(&options.password_file))?;
    let store = Keystore::open(home.keys())?;
    let signer = Signer::Node(options.node.clone());
    let public_key = match store.public_keys(&signer) {
        Ok(keys) => keys.public_key,
        Err(_) => {
            let password = PasswordSource::File(password_file.clone()).read("")?;
            store.create(&signer, &password, KdfProfile::Standard)?.public_key()
        }
    };
    if let Some(text) = &genesis_text {
        write_atomically(&home.genesis(), text.as_bytes())?;
    }
    // An address to listen on everywhere is none to be reached at: it must be filled in.
    let address =
        options.listen.to_string().replace("/ip4/0.0.0.0/", "/ip4/ADDRESS/").replace("/ip6/::/", "/ip6/ADDRESS/");
    let genesis_entry = format!(
        "[[members.nodes]]\nnode = \"{}\"\nkey = \"{public_key}\"\n\
         role = \"voter\" # or \"observer\", \"aggregator\"\n\
         address = \"{address}\" # where the other members' nodes reach it\n",
        options.node.node
    );
    let config = NodeConfig {
        node: options.node.clone(),
        http: HttpSettings { listen: options.http_listen, public_url: None, tls: None },
        network: NetworkSection { listen: options.listen, listen_files: options.listen_files },
        key: KeySection { password_file: Some(password_file), password_env: None },
        ordering: OrderingSection::default(),
        ledger: LedgerSection::default(),
        sync: SyncSection::default(),
        scrub: ScrubSection::default(),
        joining: JoiningSection::default(),
        log: LogSettings::default(),
    };
    // Last: without it the folder is no home, and the same command goes on with what is there.
    write_atomically(&home.config(), config.to_toml()?.as_bytes())?;
    Ok(Initialised {
        node: options.node,
        home: home.root().to_path_buf(),
        public_key,
        genesis_entry,
        has_genesis: genesis_text.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::operate::UNFINISHED_SUFFIX;

    #[test]
    fn an_interrupted_command_is_completed_by_the_same_command() {
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, "secret").unwrap();
        std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let home = NodeHome::new(folder.path().join("homes").join("home"));
        let options = || InitOptions {
            node: "node-1.ohio".parse().unwrap(),
            http_listen: "127.0.0.1:7200".parse().unwrap(),
            listen: NodeAddress::parse("/ip4/0.0.0.0/tcp/7201").unwrap(),
            listen_files: NodeAddress::parse("/ip4/0.0.0.0/tcp/7202").unwrap(),
            password_file: password_file.clone(),
            genesis: None,
        };
        let first = init(&home, options()).unwrap();
        // As it was before the configuration had its name.
        let mut unfinished = home.config().into_os_string();
        unfinished.push(UNFINISHED_SUFFIX);
        std::fs::rename(home.config(), &unfinished).unwrap();
        std::fs::write(&unfinished, "node = ").unwrap();
        let again = init(&home, options()).unwrap();
        assert_eq!(again.public_key, first.public_key, "the key that was made is kept");
        assert_eq!(NodeConfig::load(&home).unwrap().node, first.node);
        assert!(!PathBuf::from(unfinished).exists());
        assert_eq!(init(&home, options()).unwrap_err().code(), "init-exists");
    }
}
