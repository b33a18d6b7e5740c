//! Who certifies which height, by the headers alone.
//!
//! A header names the voters of its own height and those of the next. The two differ in the last block of an epoch: its
//! certificate, by the old voters, hands over to the new ones. Only a recovery block names voters that its parent did not
//! announce.

use galen_types::BlockHeader;
use galen_types::Hash;
use galen_types::certificate::VoterSet;

use crate::error::LedgerError;
use crate::view::View;

/// Whether a header is the last of its epoch: the next height has other voters.
pub fn hands_over(header: &BlockHeader) -> bool {
    header.next_voter_set != header.voter_set
}

/// The epoch that a header announces for the next height.
pub fn next_epoch(header: &BlockHeader) -> u64 {
    header.epoch.saturating_add(u64::from(hands_over(header)))
}

/// Epoch and hash of the voters that a header must name: those that its parent announced; after the genesis, the founders.
pub(crate) fn announced(parent: Option<&BlockHeader>, founders: Hash) -> (u64, Hash) {
    parent.map_or((0, founders), |parent| (next_epoch(parent), parent.next_voter_set))
}

/// Checks the voters that a block names against its parent and against the set that it is committed with; says whether it
/// is a recovery block.
pub(crate) fn check_voters(
    view: &View<'_>,
    parent: Option<&BlockHeader>,
    header: &BlockHeader,
    next: Option<&VoterSet>,
) -> Result<bool, LedgerError> {
    let founders = match parent {
        Some(_) => Hash::ZERO,
        None => view.voter_set(0)?.ok_or(LedgerError::NotInitialised)?.hash(),
    };
    let (epoch, voters) = announced(parent, founders);
    let recovery = next.is_some_and(|set| set.epoch == header.epoch);
    let expected = epoch.saturating_add(u64::from(recovery));
    if header.epoch != expected {
        return Err(LedgerError::VoterSetEpoch { expected, given: header.epoch });
    }
    let check = |what: &'static str, given: Hash, expected: Hash| {
        if given == expected {
            return Ok(());
        }
        Err(LedgerError::Root { height: header.height, root: what, expected, given })
    };
    match next {
        Some(set) if recovery => check("voter_set", header.voter_set, set.hash())?,
        _ => check("voter_set", header.voter_set, voters)?,
    }
    match next {
        Some(set) => {
            if !recovery && set.epoch != header.epoch.saturating_add(1) {
                return Err(LedgerError::VoterSetEpoch { expected: header.epoch.saturating_add(1), given: set.epoch });
            }
            check("next_voter_set", header.next_voter_set, set.hash())?;
        }
        None => check("next_voter_set", header.next_voter_set, header.voter_set)?,
    }
    Ok(recovery)
}
