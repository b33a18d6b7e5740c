//! Joining: `join.toml` in the home says where the node, or its institution, was announced. Until the chain's ledger is
//! here, `galen node run` fetches the genesis document from there, checks it against the invitation, waits for the
//! members' vote, and writes down where the first peers are.
//!
//! What is written before the application is sent holds all of it, so that whoever was interrupted sends the same one
//! again, which the node answers as the first time. The file stays: with it a node whose ledger was lost comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use galen_keys::KeyError;
use galen_types::api::{ApplicationReceived, ApplicationSubmission, JoinState, JoinStatus};
use galen_types::application::Invitation;
use galen_types::genesis::{GENESIS_BYTES_MAX, GenesisError};
use galen_types::recovery::Recovery;
use galen_types::{Genesis, Hash, NodeName, ProposalId};
use serde::{Deserialize, Serialize};

use super::bootstrap::Bootstrap;
use super::fetch::{FetchError, Fetcher};
use super::files::{FileError, write_atomically};
use super::{held, own_key};
use crate::config::{ConfigError, NodeConfig, read_text};
use crate::home::NodeHome;

/// Most bytes of the chain's recoveries.
const RECOVERIES_BYTES_MAX: usize = 16 << 20;
/// Most bytes of the file.
const BYTES_MAX: u64 = 64 << 10;
/// Most bytes of an answer about an application: some thousand peers.
const STATUS_BYTES_MAX: usize = 4 << 20;
/// Between two questions whether the application was decided.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two questions.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where a node was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinFile {
    /// The invitation: a member's node, and the chain's genesis hash.
    pub invitation: String,
    /// This node.
    pub node: NodeName,
    /// The institution's application; none for a further node of a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ProposalId>,
    /// A file with the certificates (PEM) that the invitation's address is trusted by; without it the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_roots: Option<PathBuf>,
    /// Whether the invitation's address may be asked by plain http though it is another machine's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_http_allowed: bool,
    /// An application of which it is not known whether it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<Box<ApplicationSubmission>>,
}

/// Why a node cannot join. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The file cannot be read or understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the home cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The invitation is none.
    #[error("{0}; correct `invitation` in join.toml")]
    Invitation(galen_types::application::InvitationParseError),
    /// `join.toml` is for another node.
    #[error("join.toml is for node {named}, node.toml for {node}")]
    OtherNode {
        /// In `join.toml`.
        named: NodeName,
        /// In `node.toml`.
        node: NodeName,
    },
    /// The inviting node could not be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Its genesis document is none.
    #[error("the genesis document of the inviting node cannot be used: {0}")]
    Genesis(#[from] GenesisError),
    /// Its genesis document is another chain's.
    #[error(
        "the genesis document of {url} has hash {got}, the invitation names {expected}: ask the one who sent the \
         invitation which is right, and trust neither until then"
    )]
    WrongGenesis {
        /// The address.
        url: String,
        /// The hash of what it gave.
        got: Hash,
        /// The invitation's.
        expected: Hash,
    },
    /// Its recoveries are not those that the invitation vouches for.
    #[error(
        "{url} does not have the recovery {missing} that the invitation vouches for: ask the one who sent the invitation \
         for a new one, and correct `invitation` in join.toml"
    )]
    WrongLineage {
        /// The address.
        url: String,
        /// What it did not tell.
        missing: Hash,
    },
    /// The members decided against it.
    #[error("the application {application} was {state}; apply again (galen member apply)")]
    NotAdmitted {
        /// The application.
        application: ProposalId,
        /// `rejected`, `expired` or `withdrawn`.
        state: JoinState,
    },
    /// The node's key does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A genesis lies there already and is another chain's.
    #[error("genesis.toml in the home has hash {held}, the invitation names {expected}; use another home")]
    OtherHome {
        /// The hash of the one in the home.
        held: Hash,
        /// The invitation's.
        expected: Hash,
    },
}

impl JoinError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Invitation(_) => "invitation-malformed",
            Self::OtherNode { .. } => "join-other-node",
            Self::Fetch(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::WrongGenesis { .. } => "join-wrong-genesis",
            Self::WrongLineage { .. } => "join-wrong-lineage",
            Self::NotAdmitted { .. } => "join-not-admitted",
            Self::Key(error) => error.code(),
            Self::OtherHome { .. } => "join-other-home",
        }
    }
}

impl JoinFile {
    /// A node that was announced at an invitation's address, or is about to be.
    pub fn new(invitation: &Invitation, node: NodeName) -> Self {
        let invitation = invitation.to_string();
        Self { invitation, node, application: None, trust_roots: None, plain_http_allowed: false, submission: None }
    }

    /// The same, trusting certificates (PEM), which are copied into the home: the file may be gone when they are needed.
    ///
    /// # Errors
    /// [`FileError`] when they cannot be copied.
    pub fn trusting(mut self, home: &NodeHome, certificates: Option<&Path>) -> Result<Self, FileError> {
        if let Some(path) = certificates {
            let pem = std::fs::read(path).map_err(FileError::of(path))?;
            write_atomically(&home.trust_roots(), &pem)?;
            self.trust_roots = Some(home.trust_roots());
        }
        Ok(self)
    }

    /// The same, once the application was received.
    #[must_use]
    pub fn received(self, application: ProposalId) -> Self {
        Self { application: Some(application), submission: None, ..self }
    }

    /// Reads a home's file; `None` where there is none.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read or understood.
    pub fn load(home: &NodeHome) -> Result<Option<Self>, ConfigError> {
        let path = home.join();
        if !path.exists() {
            return Ok(None);
        }
        let text = read_text(path.clone(), BYTES_MAX)?;
        let mut file: Self =
            toml::from_str(&text).map_err(|error| ConfigError::Malformed { path, cause: error.to_string() })?;
        file.trust_roots = file.trust_roots.map(|roots| home.root().join(roots));
        Ok(Some(file))
    }

    /// Writes it into a home.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written.
    pub fn write(&self, home: &NodeHome) -> Result<(), FileError> {
        let path = home.join();
        // From the home, which may be moved.
        let relative = |roots: &PathBuf| roots.strip_prefix(home.root()).unwrap_or(roots).to_owned();
        let file = Self { trust_roots: self.trust_roots.as_ref().map(relative), ..self.clone() };
        let text = toml::to_string_pretty(&file)
            .map_err(|error| FileError { path: path.clone(), cause: std::io::Error::other(error) })?;
        write_atomically(&path, text.as_bytes())
    }

    /// The invitation, taken apart.
    ///
    /// # Errors
    /// [`JoinError::Invitation`].
    pub fn invitation(&self) -> Result<Invitation, JoinError> {
        self.invitation.parse().map_err(JoinError::Invitation)
    }

    /// What asks the inviting node.
    ///
    /// # Errors
    /// [`JoinError`] when the invitation or the certificates are of no use.
    pub fn fetcher(&self) -> Result<Fetcher, JoinError> {
        let url = self.invitation()?.url;
        Ok(Fetcher::new(&url, self.trust_roots.as_deref(), self.plain_http_allowed)?)
    }

    /// Asks the inviting node where the application stands.
    ///
    /// # Errors
    /// [`JoinError::Fetch`] when it cannot be asked.
    pub async fn status(&self, fetcher: &Fetcher, application: ProposalId) -> Result<JoinStatus, JoinError> {
        Ok(fetcher.get_json(&format!("/v1/join/{application}"), STATUS_BYTES_MAX).await?)
    }
}

/// Fetches the genesis document that an invitation names.
///
/// # Errors
/// [`JoinError`] when it cannot be had or is another one.
pub async fn fetch_genesis(fetcher: &Fetcher, invitation: &Invitation) -> Result<Genesis, JoinError> {
    let genesis: Genesis = fetcher.get_json("/v1/genesis", 4 * GENESIS_BYTES_MAX).await?;
    genesis.check()?;
    let got = genesis.hash();
    if got != invitation.genesis {
        return Err(JoinError::WrongGenesis { url: invitation.url.clone(), got, expected: invitation.genesis });
    }
    Ok(genesis)
}

/// Writes a checked genesis document into a home that has none.
///
/// # Errors
/// [`FileError`] when it cannot be written.
pub fn write_genesis(home: &NodeHome, genesis: &Genesis) -> Result<(), FileError> {
    let path = home.genesis();
    if path.exists() {
        return Ok(());
    }
    let text = genesis.to_toml().map_err(std::io::Error::other).map_err(FileError::of(&path))?;
    write_atomically(&path, text.as_bytes())
}

/// Brings a home that has a `join.toml` to where its node can start: the genesis document checked and written, the
/// application admitted, the first peers written. Waits for the members' vote; asks again when the inviting node is away.
/// Does nothing where all that is done.
///
/// # Errors
/// [`JoinError`] when the node cannot join.
pub async fn prepare(home: &NodeHome, node: &NodeName) -> Result<(), JoinError> {
    let Some(join) = JoinFile::load(home)? else { return Ok(()) };
    if join.node != *node {
        return Err(JoinError::OtherNode { named: join.node, node: node.clone() });
    }
    // A key that does not open is said now, not after days of waiting for the vote.
    if (join.application.is_some() || join.submission.is_some()) && !home.peers().exists() {
        own_key::open(home, &NodeConfig::load(home)?)?;
    }
    let invitation = join.invitation()?;
    let has_genesis = home.genesis().exists();
    if has_genesis {
        let held = Genesis::from_toml(&read_text(home.genesis(), GENESIS_BYTES_MAX as u64)?)?.hash();
        if held != invitation.genesis {
            return Err(JoinError::OtherHome { held, expected: invitation.genesis });
        }
        // Nobody needs to be asked.
        if home.peers().exists() && knows_lineage(home, &invitation) {
            return Ok(());
        }
    }
    let fetcher = join.fetcher()?;
    if !has_genesis {
        let genesis = patiently("the genesis document", || fetch_genesis(&fetcher, &invitation)).await?;
        write_genesis(home, &genesis)?;
        tracing::info!(genesis = %invitation.genesis, url = invitation.url, "the genesis document is the invitation's");
    }
    fetch_recoveries(home, &fetcher, &invitation).await?;
    if home.peers().exists() {
        return Ok(());
    }
    // A further node of a member finds its peers in the genesis, or in what its administrator gave it.
    let Some(application) = application(home, join.clone(), &fetcher).await? else { return Ok(()) };
    let mut pause = PAUSE;
    let mut told = None;
    loop {
        let status = patiently("the application's state", || join.status(&fetcher, application)).await?;
        match status.state {
            JoinState::Admitted => {
                let peers = status.admitted.map(|admitted| admitted.peers).unwrap_or_default();
                Bootstrap::new(status.height, peers).write(home)?;
                tracing::info!(%application, member = %status.member, "the members admitted this institution");
                return Ok(());
            }
            state @ (JoinState::Rejected | JoinState::Expired | JoinState::Withdrawn) => {
                return Err(JoinError::NotAdmitted { application, state });
            }
            JoinState::Pending => {
                if told != Some(status.ballots.approvals) {
                    told = Some(status.ballots.approvals);
                    let (approvals, needed) = (status.ballots.approvals, status.ballots.approvals_needed);
                    tracing::info!(%application, approvals, needed, closes = %status.closes, "the members vote");
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(PAUSE_MAX);
    }
}

/// The application; sent again where it is not known whether it was received.
async fn application(home: &NodeHome, join: JoinFile, fetcher: &Fetcher) -> Result<Option<ProposalId>, JoinError> {
    let Some(submission) = join.submission.as_deref().filter(|_| join.application.is_none()) else {
        return Ok(join.application);
    };
    let send = || async { Ok(fetcher.send_json("/v1/applications", submission, STATUS_BYTES_MAX).await?) };
    let received: ApplicationReceived = patiently("the receipt of the application", send).await?;
    tracing::info!(application = %received.proposal, closes = %received.closes, "the application is before the members");
    join.received(received.proposal).write(home)?;
    Ok(Some(received.proposal))
}

/// Whether the home holds the recoveries that the invitation vouches for.
fn knows_lineage(home: &NodeHome, invitation: &Invitation) -> bool {
    invitation.lineage == Hash::ZERO || home.recovery(&invitation.lineage).exists()
}

/// Fetches the recoveries that the chain went on by, which the invitation vouches for: its lineage is the hash of the last,
/// and each names the one before.
async fn fetch_recoveries(home: &NodeHome, fetcher: &Fetcher, invitation: &Invitation) -> Result<(), JoinError> {
    if knows_lineage(home, invitation) {
        return Ok(());
    }
    let ask = || async { Ok(fetcher.get_json::<Vec<Recovery>>("/v1/recoveries", RECOVERIES_BYTES_MAX).await?) };
    let told = patiently("the chain's recoveries", ask).await?;
    let mut next = invitation.lineage;
    let mut found = Vec::new();
    while next != Hash::ZERO {
        let wanted = |recovery: &&Recovery| recovery.genesis == invitation.genesis && recovery.hash() == next;
        let recovery = told.iter().find(wanted);
        let recovery =
            recovery.ok_or_else(|| JoinError::WrongLineage { url: invitation.url.clone(), missing: next })?;
        next = recovery.lineage;
        found.push(recovery.clone());
    }
    // The last one last: it says that the others are there.
    for recovery in found.into_iter().rev() {
        tracing::info!(recovery = %recovery.hash(), height = recovery.height, "the invitation vouches for a recovery");
        held::keep_document(home, recovery)?;
    }
    Ok(())
}

/// Repeats a question while the inviting node cannot be reached.
async fn patiently<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T, JoinError>
where
    F: Future<Output = Result<T, JoinError>>,
{
    let mut pause = PAUSE;
    loop {
        match ask().await {
            Err(JoinError::Fetch(error)) if error.is_temporary() => {
                tracing::warn!(code = error.code(), "{what} cannot be fetched now and is asked for again: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::{InitOptions, init};

    #[tokio::test]
    async fn a_key_that_does_not_open_is_said_before_the_vote_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "right").unwrap();
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let home = NodeHome::new(folder.path().join("home"));
        let node: NodeName = "node-1.ohio".parse().unwrap();
        let options = InitOptions {
            node: node.clone(),
            http_listen: "127.0.0.1:7200".parse().unwrap(),
            listen: galen_types::member::NodeAddress::parse("/ip4/127.0.0.1/tcp/7201").unwrap(),
            listen_files: galen_types::member::NodeAddress::parse("/ip4/127.0.0.1/tcp/7202").unwrap(),
            password_file: password.clone(),
            genesis: None,
        };
        init(&home, options).unwrap();
        let invitation = format!("http://127.0.0.1:1#{}", Hash::ZERO).parse().unwrap();
        JoinFile::new(&invitation, node.clone()).received(ProposalId(Hash::ZERO)).write(&home).unwrap();
        std::fs::write(&password, "wrong").unwrap();
        let error = prepare(&home, &node).await.unwrap_err();
        assert_eq!(error.code(), "key-wrong-password");
    }

    fn submission() -> ApplicationSubmission {
        use galen_types::application::{Application, InvitationToken, Offer};
        use galen_types::member::{EncryptionKey, NewAccount, NewNode, NodeAddress, NodeRole, Role};
        let [admin, node] = [[1; 32], [2; 32]].map(|seed| galen_types::SecretKey::from_seed(&seed));
        let application = Application {
            genesis: Hash::ZERO,
            member: "ohio".parse().unwrap(),
            administrator: NewAccount {
                account: "admin".parse().unwrap(),
                key: admin.public_key(),
                encryption_key: EncryptionKey([3; 32]),
                roles: vec![Role::Admin],
            },
            node: NewNode {
                node: "node-1".parse().unwrap(),
                key: node.public_key(),
                role: NodeRole::Voter,
                address: NodeAddress::parse("/ip4/203.0.113.7/tcp/7201").unwrap(),
            },
            offers: vec![Offer::Datasets],
            contacts: Hash::ZERO,
            made: galen_types::Timestamp::now(),
        };
        let application = application.sign(&admin, &node);
        let invitation = Some(InvitationToken([5; 24]));
        ApplicationSubmission {
            application,
            contacts: "a \"name\"\nand a number".to_owned(),
            salt: [4; 32],
            invitation,
        }
    }

    #[test]
    fn an_application_is_in_the_file_word_for_word_until_it_was_received() {
        let folder = tempfile::tempdir().unwrap();
        let home = NodeHome::new(folder.path());
        let certificates = folder.path().join("elsewhere.pem");
        std::fs::write(&certificates, "PEM").unwrap();
        let invitation = format!("https://galen.harlem.example#{}", Hash::ZERO).parse().unwrap();
        let join = JoinFile::new(&invitation, "node-1.ohio".parse().unwrap());
        let join = JoinFile { submission: Some(Box::new(submission())), plain_http_allowed: true, ..join };
        let join = join.trusting(&home, Some(&certificates)).unwrap();
        join.write(&home).unwrap();
        assert_eq!(JoinFile::load(&home).unwrap(), Some(join.clone()));
        std::fs::remove_file(&certificates).unwrap();
        assert_eq!(std::fs::read_to_string(home.trust_roots()).unwrap(), "PEM");
        let text = std::fs::read_to_string(home.join()).unwrap();
        assert!(!text.contains(&folder.path().display().to_string()), "a home can be moved: {text}");

        join.received(ProposalId(Hash::ZERO)).write(&home).unwrap();
        let text = std::fs::read_to_string(home.join()).unwrap();
        assert!(!text.contains("number"), "contacts are not kept: {text}");
    }

    fn genesis() -> Genesis {
        use galen_types::genesis::{Founder, FoundingNode};
        let ApplicationSubmission { application, .. } = submission();
        let asked = application.application;
        let founder = Founder {
            name: asked.member,
            accounts: vec![asked.administrator],
            nodes: vec![FoundingNode {
                node: asked.node.node,
                key: asked.node.key,
                role: asked.node.role,
                address: asked.node.address,
            }],
        };
        Genesis {
            chain: "opt".parse().unwrap(),
            founded: galen_types::Timestamp(1_790_000_000_000),
            rules_version: 1,
            state_bucket_bits: 8,
            parameters: galen_types::Parameters::default(),
            members: vec![founder],
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_where_genesis_and_peers_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let home = NodeHome::new(folder.path());
        let genesis = genesis();
        write_genesis(&home, &genesis).unwrap();
        Bootstrap::new(7, Vec::new()).write(&home).unwrap();
        let node: NodeName = "node-1.ohio".parse().unwrap();
        let invitation = format!("http://galen.harlem.example#{}", genesis.hash()).parse().unwrap();
        let mut join = JoinFile::new(&invitation, node.clone()).received(ProposalId(Hash::ZERO));
        join.trust_roots = Some("gone.pem".into());
        join.write(&home).unwrap();
        prepare(&home, &node).await.unwrap();
    }
}
