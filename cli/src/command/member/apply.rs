//! `galen member apply`: everything an institution does to become a member, but the running of its node.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use galen_client::{Client, ClientConfig, ClientError};
use galen_keys::{KdfProfile, KeyPair, Keystore, Password, PasswordSource};
use galen_node::home::NodeHome;
use galen_node::operate::FileError;
use galen_node::operate::join::JoinFile;
use galen_types::api::{ApplicationSubmission, JoinState};
use galen_types::application::{Application, Invitation, Offer};
use galen_types::member::{NewAccount, NewNode, NodeRole, Role};
use galen_types::{AccountName, Hash, MemberName, NodeName, ProposalId, Signer, Slug, Timestamp};
use serde::Serialize;

use crate::arguments::Global;
use crate::command::node::home::{MadeHome, NewHome, is_refused};
use crate::contexts::{self, Context, Contexts};
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{fields, time};
use crate::terms::sorted;

/// What an applicant's first node may be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirstRole {
    Voter,
    Observer,
}

impl From<FirstRole> for NodeRole {
    fn from(role: FirstRole) -> Self {
        match role {
            FirstRole::Voter => Self::Voter,
            FirstRole::Observer => Self::Observer,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The node is called node-1; --node NAME calls it otherwise here. --password-file names the file \
    that the passwords of both keys are in."
)]
pub(crate) struct Apply {
    /// What the consortium handed out: `https://node.example#<64 hexadecimal digits>`
    invitation: Invitation,
    /// What your institution is to be called, e.g. ohio
    #[arg(long)]
    name: MemberName,
    #[command(flatten)]
    home: NewHome,
    /// What the node is to do
    #[arg(long, value_enum, default_value = "voter")]
    role: FirstRole,
    /// What you offer: datasets, compute, voting, research, audit
    #[arg(long = "offer", value_delimiter = ',', value_name = "OFFER")]
    offers: Vec<Offer>,
    /// Whom the members may ask; it stays off the chain
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    contact: String,
    /// The first administrator's account: the part before @
    #[arg(long, value_name = "NAME", default_value = "admin")]
    admin: Slug,
    /// PEM file of the certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Permit plain http to another machine: what is sent can be read and changed on the way
    #[arg(long)]
    allow_plain_http: bool,
}

/// What was done, and what the applicant tells the members on another way.
#[derive(Debug, Serialize)]
struct Applied {
    proposal: ProposalId,
    state: JoinState,
    member: MemberName,
    administrator: AccountName,
    administrator_fingerprint: String,
    node: NodeName,
    node_fingerprint: String,
    home: PathBuf,
    context: String,
    genesis: Hash,
    closes: Timestamp,
}

/// `--node` names a node's address everywhere else; the invitation says that here, so it names the new node.
fn node_name(global: &Global, member: &MemberName) -> Result<NodeName, CliError> {
    let given = global.node.as_deref().filter(|text| !text.contains("://")).unwrap_or("node-1");
    let node = Slug::parse(given).map_err(|error| CliError::usage(error.to_string()))?;
    Ok(NodeName { node, member: member.clone() })
}

/// The administrator's keys: those that are in the keystore already, or fresh ones.
fn account_keys(folder: &Path, account: &AccountName, password: &Password) -> Result<KeyPair, CliError> {
    let keystore = Keystore::open(folder)?;
    let name = Signer::Account(account.clone());
    if keystore.public_keys(&name).is_ok() {
        return Ok(keystore.load(&name, password)?);
    }
    Ok(keystore.create(&name, password, KdfProfile::Standard)?)
}

pub(super) async fn run(arguments: Apply, global: &Global, output: Output) -> Result<(), CliError> {
    let password_file = global.password_file.clone().ok_or_else(|| {
        CliError::usage("a node starts without a person: its key's password must lie in a file")
            .or_hint("give the file with --password-file FILE; only its owner may read it")
    })?;
    let password_file = std::path::absolute(&password_file).map_err(|error| CliError::file(&password_file, &error))?;
    let invitation = &arguments.invitation;
    let mut config = ClientConfig::new(&invitation.url);
    config.genesis = Some(invitation.genesis);
    config.plain_http_allowed = arguments.allow_plain_http;
    config.ca_file.clone_from(&arguments.ca_file);
    let client = Client::new(config)?;
    // Before anything is made: whether the invitation leads to the chain that it names.
    let genesis = client.checked_genesis().await.map_err(|error| match error {
        ClientError::Integrity(found) => CliError::failed(format!("the invitation does not fit: {found}"))
            .or_hint("ask the one who sent the invitation which is right, and trust neither until then"),
        error => error.into(),
    })?;
    output.detail(&format!("the chain is {}, as the invitation says", genesis.chain));

    let node = node_name(global, &arguments.name)?;
    let account = AccountName { account: arguments.admin.clone(), member: arguments.name.clone() };
    let made = arguments.home.make(&node, password_file.clone())?;
    let (home, node_keys) = (&made.home, &made.keys);
    let keystore = session::keystore_folder(global, None)?;
    let password = PasswordSource::File(password_file.clone()).read("")?;
    let account_keys = account_keys(&keystore, &account, &password)?;

    let (proposal, state, closes) = match standing(&client, home).await? {
        Some(sent) => {
            output.note("the application was sent before; this is where it stands");
            sent
        }
        None => send(&arguments, &client, &made, &node, &account_keys, output).await?,
    };
    let context = add_context(&arguments, &account, &keystore, &password_file, output)?;
    let applied = Applied {
        proposal,
        state,
        member: arguments.name.clone(),
        administrator: account,
        administrator_fingerprint: account_keys.public_key().fingerprint(),
        node,
        node_fingerprint: node_keys.public_key().fingerprint(),
        home: home.root().to_owned(),
        context,
        genesis: invitation.genesis,
        closes,
    };
    output.document(&applied, || human(&applied))
}

type Sent = (ProposalId, JoinState, Timestamp);

/// The application that this home's `join.toml` names, unless the members decided against it.
async fn standing(client: &Client, home: &NodeHome) -> Result<Option<Sent>, CliError> {
    let join = JoinFile::load(home).map_err(|error| CliError::operate(error.code(), &error))?;
    match join.and_then(|join| join.application) {
        Some(proposal) => alive(client, proposal).await,
        None => Ok(None),
    }
}

/// Where an application stands, unless the members decided against it.
async fn alive(client: &Client, proposal: ProposalId) -> Result<Option<Sent>, CliError> {
    let status = client.join_status(proposal).await?;
    Ok(match status.state {
        JoinState::Pending | JoinState::Admitted => Some((proposal, status.state, status.closes)),
        JoinState::Rejected | JoinState::Expired | JoinState::Withdrawn => None,
    })
}

/// Hands the application over. One that may have been received before this was interrupted is sent again, word for word.
async fn send(
    arguments: &Apply,
    client: &Client,
    made: &MadeHome,
    node: &NodeName,
    account_keys: &KeyPair,
    output: Output,
) -> Result<Sent, CliError> {
    let home = &made.home;
    let failed = |error: FileError| CliError::operate(error.code(), &error);
    let join = JoinFile::new(&arguments.invitation, node.clone());
    let join = JoinFile { plain_http_allowed: arguments.allow_plain_http, ..join };
    let join = join.trusting(home, arguments.ca_file.as_deref()).map_err(failed)?;
    let present = application(arguments, made, node, account_keys)?;
    let written = JoinFile::load(home).map_err(|error| CliError::operate(error.code(), &error))?;
    let written = written.and_then(|join| join.submission).filter(|written| is_same(written, &present));
    if let Some(written) = written {
        let again = ApplicationSubmission { invitation: present.invitation, ..*written };
        match client.send_application(&again).await {
            Ok(received) => {
                join.clone().received(received.proposal).write(home).map_err(failed)?;
                if let Some(sent) = alive(client, received.proposal).await? {
                    output.note("the application was sent before; this is where it stands");
                    return Ok(sent);
                }
            }
            // It was never taken, and is too old by now, or the like: a new one is made.
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Before it is sent: who is interrupted sends the same again, and so does the node.
    let join = JoinFile { submission: Some(Box::new(present.clone())), ..join };
    join.write(home).map_err(failed)?;
    let received = client.send_application(&present).await.inspect_err(|error| made.undo_if_refused(error))?;
    join.received(received.proposal).write(home).map_err(failed)?;
    Ok((received.proposal, JoinState::Pending, received.closes))
}

/// Whether two applications ask for the same, made at whatever time.
fn is_same(one: &ApplicationSubmission, other: &ApplicationSubmission) -> bool {
    let asked = |submission: &ApplicationSubmission| {
        let application = submission.application.application.clone();
        Application { made: Timestamp(0), contacts: Hash::ZERO, ..application }
    };
    asked(one) == asked(other) && one.contacts == other.contacts
}

/// What the arguments ask for, signed.
fn application(
    arguments: &Apply,
    made: &MadeHome,
    node: &NodeName,
    account_keys: &KeyPair,
) -> Result<ApplicationSubmission, CliError> {
    let node_keys = &made.keys;
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(ClientError::from)?;
    let application = Application {
        genesis: arguments.invitation.genesis,
        member: arguments.name.clone(),
        administrator: NewAccount {
            account: arguments.admin.clone(),
            key: account_keys.public_key(),
            encryption_key: account_keys.encryption_key(),
            roles: vec![Role::Admin],
        },
        node: NewNode {
            node: node.node.clone(),
            key: node_keys.public_key(),
            role: arguments.role.into(),
            address: arguments.home.address.clone(),
        },
        offers: sorted(arguments.offers.clone()),
        contacts: Hash::commitment(&salt, arguments.contact.as_bytes()),
        made: Timestamp::now(),
    };
    let application = application.sign(&account_keys.signing, &node_keys.signing);
    let invitation = arguments.invitation.token;
    Ok(ApplicationSubmission { application, contacts: arguments.contact.clone(), salt, invitation })
}

/// A context for the administrator at its own node, named as the account.
fn add_context(
    arguments: &Apply,
    account: &AccountName,
    keystore: &Path,
    password_file: &Path,
    output: Output,
) -> Result<String, CliError> {
    let name = account.to_string();
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    let context = Context {
        node: format!("http://{}", arguments.home.http),
        account: Some(account.clone()),
        keystore: Some(std::path::absolute(keystore).map_err(|error| CliError::file(keystore, &error))?),
        password_file: Some(password_file.to_owned()),
        password_env: None,
        ca_file: None,
        plain_http_allowed: false,
        genesis: Some(arguments.invitation.genesis),
    };
    if contexts.contexts.get(&name).is_some_and(|known| *known != context) {
        output.note(&format!("the context `{name}` is replaced: it named another node, chain or keystore"));
    }
    contexts.contexts.insert(name.clone(), context);
    contexts.current.get_or_insert_with(|| name.clone());
    contexts.write(&path)?;
    Ok(name)
}

fn human(applied: &Applied) -> String {
    let text = fields(&[
        ("application", Some(applied.proposal.to_string())),
        ("state", Some(applied.state.to_string())),
        ("administrator", Some(format!("{}, key {}", applied.administrator, applied.administrator_fingerprint))),
        ("node", Some(format!("{}, key {}", applied.node, applied.node_fingerprint))),
        ("home", Some(applied.home.display().to_string())),
        ("context", Some(applied.context.clone())),
        ("closes", Some(time(applied.closes))),
    ]);
    let home = applied.home.display();
    format!(
        "{text}\nthe members see the two fingerprints when they vote: tell them yours on another way\n\
         next, type:\n  galen node check --home {home}\n  galen node run --home {home}\n\
         the node waits until the members have voted, then fetches the chain\n"
    )
}
