//! The voter set: who certifies the next height. It changes by calls of nodes that have caught up, and by everything
//! that takes a node out; whatever changes it in a block makes the one new epoch that starts after that block.

use galen_types::certificate::Voter;
use galen_types::member::OrderingNode;
use galen_types::{NodeName, VoterSet};

use crate::keys;
use crate::limits::RETIRED_NUMBERS_MAX;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

/// Changes the voter set; what leaves it as it is makes no new epoch. An empty set is refused.
pub(super) fn change(session: &mut Session<'_>, changing: impl FnOnce(&mut Vec<Voter>)) -> Judged {
    let before = session.load_present(&keys::voter_set())?;
    let mut voters = before.voters.clone();
    changing(&mut voters);
    if voters == before.voters {
        return Ok(());
    }
    if voters.is_empty() {
        return Err(Refusal::LastVoter.into());
    }
    let epoch = session.block.epoch.saturating_add(1);
    session.put(keys::voter_set(), &VoterSet::new(epoch, before.lineage, voters));
    Ok(())
}

/// Takes nodes out of ordering and out of the voter set: their numbers never count again. The newest stay listed as
/// retired, because ordering needs their votes until it goes on without them.
pub(super) fn retire(session: &mut Session<'_>, retired: impl Fn(&NodeName) -> bool) -> Judged {
    let height = session.height();
    take_out(session, &retired, |ordering| {
        for entry in ordering.iter_mut().filter(|entry| entry.orders() && retired(&entry.node)) {
            entry.retired_height = height;
        }
        forget_oldest(ordering);
    })
}

/// Takes a node out whose ordering log is lost: nobody has the promises any more that were made under its number, so
/// nothing may be said under it again.
pub(super) fn replace(session: &mut Session<'_>, node: &NodeName) -> Judged {
    take_out(session, &|name| name == node, |ordering| ordering.retain(|entry| &entry.node != node))
}

fn take_out(
    session: &mut Session<'_>,
    out: &impl Fn(&NodeName) -> bool,
    listing: impl FnOnce(&mut Vec<OrderingNode>),
) -> Judged {
    let mut ordering = session.load_present(&keys::ordering())?;
    let going: Vec<_> = ordering.iter().filter(|entry| entry.orders() && out(&entry.node)).cloned().collect();
    if going.is_empty() {
        return Ok(());
    }
    for OrderingNode { node, .. } in going {
        let mut record = session.load_present(&keys::node(&node))?;
        record.raft_id = 0;
        session.put(keys::node(&node), &record);
    }
    listing(&mut ordering);
    session.put(keys::ordering(), &ordering);
    change(session, |voters| voters.retain(|voter| !out(&voter.node)))
}

/// Drops the retired numbers above the limit, those that were retired first before others.
fn forget_oldest(ordering: &mut Vec<OrderingNode>) {
    let retired = ordering.iter().filter(|entry| !entry.orders());
    let mut retired: Vec<_> = retired.map(|entry| (entry.retired_height, entry.raft_id)).collect();
    retired.sort_unstable();
    let forgotten = &retired[..retired.len().saturating_sub(RETIRED_NUMBERS_MAX)];
    ordering.retain(|entry| entry.orders() || !forgotten.contains(&(entry.retired_height, entry.raft_id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_were_retired_first_are_forgotten_first() {
        let entry = |raft_id: u64, retired_height| OrderingNode {
            raft_id,
            node: format!("node-{raft_id}.harlem").parse().unwrap(),
            retired_height,
        };
        let limit = u64::try_from(RETIRED_NUMBERS_MAX).unwrap();
        let numbers = |ordering: &[OrderingNode]| ordering.iter().map(|entry| entry.raft_id).collect::<Vec<_>>();
        // The smallest numbers were retired last; two order.
        let mut ordering = vec![entry(1, 0)];
        ordering.extend((2..limit + 2).map(|number| entry(number, 1_000 - number)));
        ordering.push(entry(500, 0));
        let before = ordering.clone();
        forget_oldest(&mut ordering);
        assert_eq!(ordering, before, "as many as may stay");
        ordering.insert(1 + RETIRED_NUMBERS_MAX, entry(400, 2_000));
        ordering.insert(2 + RETIRED_NUMBERS_MAX, entry(401, 2_000));
        forget_oldest(&mut ordering);
        let expected: Vec<_> = (1..limit).chain([400, 401, 500]).collect();
        assert_eq!(numbers(&ordering), expected);
    }
}
