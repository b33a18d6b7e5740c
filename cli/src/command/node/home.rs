//! Making the home of a node that is to join: key, configuration, `join.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use galen_client::{Client, ClientError, collect_pages};
use galen_keys::{KeyPair, Keystore, PasswordSource};
use galen_node::config::NodeConfig;
use galen_node::home::NodeHome;
use galen_node::operate::join::{JoinFile, write_genesis};
use galen_node::operate::{Bootstrap, InitOptions, init};
use galen_types::api::BootstrapPeer;
use galen_types::application::{Invitation, InvitationParseError};
use galen_types::member::{NodeAddress, Standing};
use galen_types::{NodeName, Signer};

use crate::contexts::Context;
use crate::error::CliError;

/// Where a new node lives and listens.
#[derive(Debug, Args)]
pub(crate) struct NewHome {
    /// The node's home: a new folder
    #[arg(long, value_name = "DIR", env = "GALEN_NODE_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Where the other members' nodes reach it, e.g. /ip4/203.0.113.7/tcp/7201
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: NodeAddress,
    /// Where it serves HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7200")]
    pub(crate) http: SocketAddr,
    /// Where it takes the other nodes' connections [default: everywhere, at the address's port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<NodeAddress>,
    /// Where the other nodes fetch files [default: everywhere, at the next port]
    #[arg(long, value_name = "ADDRESS")]
    listen_files: Option<NodeAddress>,
}

/// The port of an address like `/ip4/203.0.113.7/tcp/7201`.
fn port(address: &NodeAddress) -> Result<u16, CliError> {
    let mut parts = address.as_str().split('/').skip_while(|part| *part != "tcp").skip(1);
    parts.next().and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or_else(|| {
        CliError::usage(format!("`{address}` names no TCP port")).or_hint("write it like /ip4/203.0.113.7/tcp/7201")
    })
}

/// A home as it was made, or found.
pub(crate) struct MadeHome {
    /// Its folder.
    pub(crate) home: NodeHome,
    /// The node's keys.
    pub(crate) keys: KeyPair,
    /// Whether nothing of it was there before.
    is_new: bool,
}

impl MadeHome {
    /// Takes a home away that was made for what is refused now, so that the next attempt does not find it in its way. Where
    /// it is not known whether it was refused, the home stays: the same command goes on with it.
    pub(crate) fn undo_if_refused(&self, error: &ClientError) {
        if is_refused(error) && self.is_new {
            // What cannot be removed is named by the next attempt.
            let _ = std::fs::remove_dir_all(self.home.root());
        }
    }
}

/// Whether a node said no, and would again.
pub(crate) fn is_refused(error: &ClientError) -> bool {
    match error {
        ClientError::Denied { .. } => true,
        ClientError::Problem(problem) => (400..500).contains(&problem.status) && problem.status != 429,
        _ => false,
    }
}

/// What a file of a home is called until it is whole.
fn unfinished(path: PathBuf) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(galen_node::operate::UNFINISHED_SUFFIX);
    name.into()
}

/// Refuses a folder that holds what is no node's: nothing of it is overwritten, or taken for a part of the home.
fn check_empty(home: &NodeHome) -> Result<bool, CliError> {
    let root = home.root();
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(CliError::file(root, &error)),
    };
    let mut is_new = true;
    for entry in entries {
        let entry = entry.map_err(|error| CliError::file(root, &error))?;
        // A key, and a configuration without its name, are what an interruption left.
        if entry.path() != home.keys() && entry.path() != unfinished(home.config()) {
            return Err(CliError::usage(format!("{} is not empty, and no node's home", root.display()))
                .or_hint("choose a new folder with --home"));
        }
        is_new = false;
    }
    Ok(is_new)
}

impl NewHome {
    /// Makes the home, or goes on with one that was made for this node before.
    pub(crate) fn make(&self, node: &NodeName, password_file: PathBuf) -> Result<MadeHome, CliError> {
        let home = NodeHome::new(std::path::absolute(&self.home).map_err(|error| CliError::file(&self.home, &error))?);
        let mut is_new = false;
        if home.config().exists() {
            let config = NodeConfig::load(&home).map_err(|error| CliError::operate(error.code(), &error))?;
            if config.node != *node {
                return Err(CliError::usage(format!("{} is the home of {}", home.root().display(), config.node))
                    .or_hint("choose another folder with --home"));
            }
            if home.ledger().exists() {
                return Err(CliError::usage(format!("the node of {} has run already", home.root().display()))
                    .or_hint("choose a new folder with --home"));
            }
        } else {
            is_new = check_empty(&home)?;
            let at = |port: u16| NodeAddress::parse(&format!("/ip4/0.0.0.0/tcp/{port}"));
            let wrong = |error: galen_types::name::NameError| CliError::usage(error.to_string());
            let own = port(&self.address)?;
            let next = own.checked_add(1).unwrap_or(own - 1);
            let options = InitOptions {
                node: node.clone(),
                http_listen: self.http,
                listen: self.listen.clone().map_or_else(|| at(own), Ok).map_err(wrong)?,
                listen_files: self.listen_files.clone().map_or_else(|| at(next), Ok).map_err(wrong)?,
                password_file: password_file.clone(),
                genesis: None,
            };
            init(&home, options)?;
        }
        let password = PasswordSource::File(password_file).read("")?;
        let keys = Keystore::open(home.keys())?.load(&Signer::Node(node.clone()), &password)?;
        Ok(MadeHome { home, keys, is_new })
    }
}

/// Writes what a further node of a member begins with: the genesis document, checked; where its peers are now; and where
/// all that is from, with what the context trusts there.
pub(crate) async fn announce(
    client: &Client,
    context: Option<&Context>,
    home: &NodeHome,
    node: &NodeName,
) -> Result<(), CliError> {
    let invitation = client.invitation().await?.invitation;
    let invitation: Invitation =
        invitation.parse().map_err(|error: InvitationParseError| CliError::failed(error.to_string()))?;
    let genesis = client.checked_genesis().await?;
    if genesis.hash() != invitation.genesis {
        return Err(CliError::failed(format!(
            "the node names the chain {} and is of {}",
            invitation.genesis,
            genesis.hash()
        )));
    }
    // It applies for nothing.
    let join = JoinFile::new(&Invitation { token: None, ..invitation }, node.clone());
    let join = JoinFile { plain_http_allowed: context.is_some_and(|context| context.plain_http_allowed), ..join };
    let written = join
        .trusting(home, context.and_then(|context| context.ca_file.as_deref()))
        .and_then(|join| join.write(home))
        .and_then(|()| write_genesis(home, &genesis));
    written.map_err(|error| CliError::operate(error.code(), &error))?;
    let height = client.chain().await?.height;
    let members = collect_pages(usize::MAX, |paging| client.members(paging)).await?;
    let active = |name: &galen_types::MemberName| {
        members.iter().any(|member| member.name == *name && member.standing == Standing::Active)
    };
    let nodes = collect_pages(usize::MAX, |paging| client.nodes(None, paging)).await?;
    let peers = nodes
        .into_iter()
        .map(|detail| detail.node)
        .filter(|other| other.standing == Standing::Active && active(&other.name.member) && other.name != *node)
        .map(|other| BootstrapPeer { name: other.name, key: other.key, address: other.address, role: other.role });
    Bootstrap::new(height, peers.collect()).write(home).map_err(|error| CliError::operate(error.code(), &error))
}

#[cfg(test)]
mod tests {
    use galen_keys::{KdfProfile, Password};
    use galen_types::api::Problem;

    use super::*;

    #[test]
    fn only_an_absent_or_empty_folder_becomes_a_home() {
        let folder = tempfile::tempdir().unwrap();
        let home = |name: &str| NodeHome::new(folder.path().join(name));
        assert!(check_empty(&home("absent")).unwrap());
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert!(check_empty(&home("empty")).unwrap());
        std::fs::create_dir_all(home("interrupted").keys()).unwrap();
        assert!(!check_empty(&home("interrupted")).unwrap(), "its key is kept");
        std::fs::write(home("interrupted").root().join("node.toml.new"), "node = ").unwrap();
        assert!(!check_empty(&home("interrupted")).unwrap(), "so is half of a configuration");
        std::fs::write(home("interrupted").root().join("thesis.txt"), "mine").unwrap();
        let error = check_empty(&home("interrupted")).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        assert!(error.to_string().ends_with("is not empty, and no node's home"), "{error}");
    }

    #[test]
    fn a_home_goes_with_the_refusal_of_what_it_was_made_for_and_only_then() {
        let made = |is_new| {
            let folder = tempfile::tempdir().unwrap().keep();
            let keys = Keystore::open(folder.join("keys")).unwrap();
            let signer = Signer::Node("node-1.ohio".parse().unwrap());
            let keys = keys.create(&signer, &Password::new("pw".to_owned()).unwrap(), KdfProfile::Testnet).unwrap();
            MadeHome { home: NodeHome::new(folder), keys, is_new }
        };
        let refused = ClientError::Problem(Box::new(Problem::new(409, "member-exists", "title", "detail")));
        let away = ClientError::Unreachable { url: String::new(), reason: String::new() };
        for (is_new, error, stays) in [(true, &refused, false), (false, &refused, true), (true, &away, true)] {
            let made = made(is_new);
            made.undo_if_refused(error);
            assert_eq!(made.home.root().exists(), stays, "{is_new} {error}");
            let _ = std::fs::remove_dir_all(made.home.root());
        }
    }

    #[test]
    fn the_port_is_read_out_of_an_address() {
        let of = |text: &str| port(&NodeAddress::parse(text).unwrap()).ok();
        assert_eq!(of("/ip4/203.0.113.7/tcp/7201"), Some(7201));
        assert_eq!(of("/dns4/galen.ohio.example/tcp/443"), Some(443));
        for text in ["/ip4/203.0.113.7/udp/7201", "/ip4/203.0.113.7/tcp", "/ip4/203.0.113.7/tcp/x", "/a/tcp/0"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
