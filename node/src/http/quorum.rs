//! Refusing calls that would stop the chain: those after which fewer voters are connected to this node than a majority of
//! ordering or the quorum of certificates needs. The chain itself refuses an empty voter set only, because it does not
//! know who is connected; so this is advice, given where it can still be taken.

use std::collections::HashSet;
use std::sync::Arc;

use galen_contracts::query::get_voter_set;
use galen_contracts::{Verdict, keys};
use galen_types::{DecodedTransaction, Encoding, NodeName, VoterSet};

use super::app::Call;
use super::limits::TRANSACTION_BODY_BYTES_MAX;
use super::refusal::Refusal;
use super::rehearsal::rehearse;
use super::services::{ChainService, ChainView, ServiceError};

/// Tags of the calls that may take voters out: a vote (the last one decides), leaving, removing and demoting a node,
/// replacing a node's key.
const TAGS: [u8; 5] = [7, 9, 12, 13, 15];
/// Most bytes of an encoded voter set.
const VOTER_SET_BYTES_MAX: usize = 256 << 10;
/// Missing voters that are named.
const MISSING_NAMED_MAX: usize = 8;

/// Refuses a transaction that would stop the chain. Says nothing about those whose signature does not verify, which are
/// admission's to refuse: a stranger does not have this node execute calls, or learn who is connected.
pub(crate) async fn keep(call: &Arc<Call>, bytes: &[u8]) -> Result<(), Refusal> {
    if call_tag(bytes).is_none_or(|tag| !TAGS.contains(&tag)) {
        return Ok(());
    }
    // What is malformed is admission's to refuse.
    let Ok(transaction) = DecodedTransaction::decode(bytes.to_vec(), TRANSACTION_BODY_BYTES_MAX) else {
        return Ok(());
    };
    call.read(move |call, view| check(call.chain(), view, &transaction)).await
}

fn check(chain: &dyn ChainService, view: &dyn ChainView, transaction: &DecodedTransaction) -> Result<(), Refusal> {
    let key = galen_contracts::signer_key(view.state(), &transaction.body.signer)?;
    if key.is_none_or(|key| transaction.verify(&key).is_err()) {
        return Ok(());
    }
    let Verdict::Recorded(recorded) = rehearse(chain, view, transaction)? else { return Ok(()) };
    let Some(Some(next)) = recorded.writes.get(keys::voter_set().as_bytes()) else { return Ok(()) };
    let next = VoterSet::decode(next, VOTER_SET_BYTES_MAX)
        .map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
    let before = get_voter_set(view.state())?;
    if next.voters == before.voters {
        return Ok(());
    }
    let peers = chain.peers().into_iter().filter(|peer| peer.connected).map(|peer| peer.node);
    let mut connected: HashSet<_> = peers.chain([chain.node().clone()]).collect();
    leave_out_rekeyed(&before, &next, &mut connected);
    suffices(&next, &connected)
}

/// A voter whose key is replaced is away until it has started with the new one, so the others must suffice. Where they
/// could not even if all were connected (one or two voters), there is no other way, and it is permitted.
fn leave_out_rekeyed(before: &VoterSet, next: &VoterSet, connected: &mut HashSet<NodeName>) {
    let is_rekeyed = |node: &NodeName| before.key_of(node).is_some_and(|key| next.key_of(node) != Some(key));
    let rekeyed: Vec<_> = next.voters.iter().map(|voter| &voter.node).filter(|node| is_rekeyed(node)).collect();
    if next.voters.len() - rekeyed.len() >= needed(next) {
        rekeyed.into_iter().for_each(|node| {
            connected.remove(node);
        });
    }
}

/// Voters that must be connected: a majority orders, and a quorum certifies.
fn needed(set: &VoterSet) -> usize {
    (set.voters.len() / 2 + 1).max(set.quorum())
}

/// Whether a voter set can order and certify with the nodes that are connected.
fn suffices(next: &VoterSet, connected: &HashSet<NodeName>) -> Result<(), Refusal> {
    let voters = next.voters.len();
    let missing: Vec<_> =
        next.voters.iter().map(|voter| &voter.node).filter(|node| !connected.contains(*node)).collect();
    let reached = voters - missing.len();
    let needed = needed(next);
    if reached >= needed {
        return Ok(());
    }
    let mut names: Vec<_> = missing.iter().take(MISSING_NAMED_MAX).map(ToString::to_string).collect();
    if missing.len() > MISSING_NAMED_MAX {
        names.push(format!("{} more", missing.len() - MISSING_NAMED_MAX));
    }
    Err(Refusal::QuorumWouldBeLost { voters, connected: reached, needed, missing: names.join(", ") })
}

/// The tag of the call in the bytes of a signed transaction, found without decoding the rest: submissions are many, and
/// few of them are about voters.
fn call_tag(bytes: &[u8]) -> Option<u8> {
    // Length of the body, chain; then the signer: its tag and two texts; then salt and validity.
    let mut place: usize = 8 + 32 + 1;
    for _ in 0..2 {
        let length = bytes.get(place..place.checked_add(8)?)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        place = place.checked_add(8)?.checked_add(length)?;
    }
    bytes.get(place.checked_add(16 + 8)?).copied()
}

#[cfg(test)]
mod tests {
    use galen_types::certificate::Voter;
    use galen_types::proposal::Ballot;
    use galen_types::vocabulary::ReasonCode;
    use galen_types::{Hash, ProposalId, SecretKey, Signer, Timestamp, TransactionBody};

    use super::*;

    fn names(count: u8) -> Vec<NodeName> {
        (0..count).map(|index| format!("node-1.member-{index}").parse().unwrap()).collect()
    }

    #[test]
    fn the_tag_is_found_where_the_encoding_has_it() {
        let key = SecretKey::from_seed(&[1; 32]);
        let tag = |signer: Signer, call: galen_types::Call| {
            let (chain, salt, valid_until) = (Hash::ZERO, [9; 16], Timestamp(u64::MAX));
            let bytes = TransactionBody { chain, signer, salt, valid_until, call }.sign(&key).encode();
            assert_eq!(call_tag(&bytes[..60]), None, "cut short");
            call_tag(&bytes)
        };
        let (account, node) = ("admin@harlem".parse().unwrap(), names(1).remove(0));
        let vote = galen_types::Call::Vote { proposal: ProposalId(Hash::ZERO), ballot: Ballot::Approve, reason: None };
        assert_eq!(tag(account, vote), Some(7));
        let leave = galen_types::Call::Leave { reason: ReasonCode::Administrative };
        assert_eq!(tag(Signer::Node(node.clone()), leave), Some(9));
        assert_eq!(tag(Signer::Node(node.clone()), galen_types::Call::DemoteNode { node }), Some(13));
        assert_eq!(call_tag(&[0xff; 200]), None, "lengths out of bounds");
        assert_eq!(call_tag(&[]), None);
    }

    #[test]
    fn a_voter_with_a_new_key_does_not_count_unless_there_is_no_other_way() {
        let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public_key();
        let set = |count: u8, first: u8| {
            let voter = |(place, node)| Voter { node, key: key(if place == 0 { first } else { 2 }) };
            VoterSet::new(1, galen_types::Hash::ZERO, names(count).into_iter().enumerate().map(voter).collect())
        };
        let left = |voters: u8, connected: u8| {
            let (before, next) = (set(voters, 2), set(voters, 3));
            let mut connected = names(connected).into_iter().collect();
            leave_out_rekeyed(&before, &next, &mut connected);
            suffices(&next, &connected).is_ok()
        };
        for (voters, connected, fine) in
            [(1, 1, true), (2, 2, true), (3, 3, true), (3, 2, false), (4, 4, true), (4, 3, false)]
        {
            assert_eq!(left(voters, connected), fine, "{connected} of {voters}");
        }
    }

    #[test]
    fn a_majority_and_a_quorum_must_be_connected() {
        let set = |count: u8| {
            let key = SecretKey::from_seed(&[2; 32]).public_key();
            VoterSet::new(
                1,
                galen_types::Hash::ZERO,
                names(count).into_iter().map(|node| Voter { node, key }).collect(),
            )
        };
        let with = |voters: u8, connected: u8| {
            suffices(&set(voters), &names(connected).into_iter().collect()).map_err(|refusal| refusal.to_string())
        };
        for (voters, connected) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (7, 5)] {
            let quorum = usize::from(connected).max(set(voters).quorum());
            assert_eq!(quorum, usize::from(connected), "{voters} voters");
            assert_eq!(with(voters, connected), Ok(()), "{voters} voters");
            let text = with(voters, connected - 1).unwrap_err();
            assert!(text.contains(&format!("{} are connected", connected - 1)), "{text}");
            assert!(text.contains(&format!("{connected} are needed")), "{text}");
            assert!(text.ends_with(&names(voters).pop().unwrap().to_string()), "{text}");
        }
    }
}
