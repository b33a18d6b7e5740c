//! Whose signature counts.

use galen_types::member::{Account, Node, Standing};
use galen_types::{PublicKey, Signer};

use crate::keys;
use crate::state::{Lookup, StateError, StateRead};
use crate::void::VoidReason;

/// A signer as registered.
pub(crate) enum Actor {
    /// A person or program.
    Account(Account),
    /// A machine.
    Node(Node),
}

impl Actor {
    fn key(&self) -> PublicKey {
        match self {
            Self::Account(account) => account.key,
            Self::Node(node) => node.key,
        }
    }
}

/// The key under which a signer's signatures are to be checked; `None` for one that is unknown, suspended or removed,
/// or whose member is not active. Ask it of the parent block's state with what [`crate::begin_block`] changes: a key holds
/// from the block after the one whose transaction registers it, or from the block at whose start it comes into force.
///
/// # Errors
/// [`StateError`] when the state cannot be read.
pub fn signer_key(state: &dyn StateRead, signer: &Signer) -> Result<Option<PublicKey>, StateError> {
    Ok(load_actor(state, signer)?.ok().map(|actor| actor.key()))
}

/// The signer's record, or why what it signs is void.
pub(crate) fn load_actor(state: &dyn StateRead, signer: &Signer) -> Result<Result<Actor, VoidReason>, StateError> {
    let unknown = || VoidReason::UnknownSigner(signer.clone());
    let Some(member) = state.load(&keys::member(signer.member()))? else {
        return Ok(Err(unknown()));
    };
    match member.standing {
        Standing::Active => {}
        Standing::Suspended => return Ok(Err(VoidReason::SuspendedMember(member.name))),
        Standing::Left => return Ok(Err(VoidReason::LeftMember(member.name))),
    }
    Ok(match signer {
        Signer::Account(name) => match state.load(&keys::account(name))? {
            None => Err(unknown()),
            Some(account) if account.standing != Standing::Active => Err(VoidReason::SuspendedSigner(signer.clone())),
            Some(account) => Ok(Actor::Account(account)),
        },
        Signer::Node(name) => match state.load(&keys::node(name))? {
            None => Err(unknown()),
            Some(node) if node.standing != Standing::Active => Err(VoidReason::RemovedNode(node.name)),
            Some(node) => Ok(Actor::Node(node)),
        },
    })
}
