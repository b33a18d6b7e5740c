//! What becomes of a member's data, grants, requests, jobs and nodes when it is suspended, leaves or is removed.

use galen_contracts::access::{grant_in_force, request_state_at};
use galen_contracts::query::DatasetStanding;
use galen_contracts::{Verdict, VoidReason, authorise, query};
use galen_types::access::{GrantLimits, RequestState};
use galen_types::dataset::VersionState;
use galen_types::job::{SiteAnswer, SiteGiven};
use galen_types::member::Standing;
use galen_types::proposal::ProposedChange;
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{Call, GrantId, Hash, JobId, RequestId};

use crate::support::{Consortium, MEMBERS, approve, name, specification, terms};

const REASON: ReasonCode = ReasonCode::ProjectEnded;

fn standing(chain: &Consortium, member: &str) -> Standing {
    query::get_member(&chain.state, &name(member)).unwrap().unwrap().standing
}

/// The table of `standing.rs`: every change from every standing.
#[test]
fn a_member_is_suspended_restored_removed_or_leaves() {
    let (member, reason) = (|| name("kentucky"), REASON);
    let changes = [
        ProposedChange::SuspendMember { member: member(), reason },
        ProposedChange::RestoreMember { member: member() },
        ProposedChange::RemoveMember { member: member(), reason },
    ];
    let table = [
        (Standing::Active, [Ok(Standing::Suspended), Err("member-not-suspended"), Ok(Standing::Left)]),
        (Standing::Suspended, [Err("member-not-active"), Ok(Standing::Active), Ok(Standing::Left)]),
        (Standing::Left, [Err("member-left"), Err("member-not-suspended"), Err("member-left")]),
    ];
    for (from, row) in table {
        for (change, to) in changes.iter().zip(row) {
            let mut chain = Consortium::new();
            match from {
                Standing::Active => {}
                Standing::Suspended => drop(chain.pass(changes[0].clone())),
                Standing::Left => drop(chain.done("admin@kentucky", Call::Leave { reason })),
            }
            assert_eq!(standing(&chain, "kentucky"), from);
            match to {
                Err(code) => drop(chain.refused(code, "admin@hennepin", Call::Propose(change.clone()))),
                Ok(to) => {
                    chain.pass(change.clone());
                    assert_eq!(standing(&chain, "kentucky"), to);
                    let voting = chain.voters().contains(&"node-1.kentucky".to_owned());
                    assert!(!voting, "a restored member's voter starts anew");
                }
            }
        }
    }
}

#[test]
fn a_suspended_members_voter_is_out_at_once_and_starts_anew_when_restored() {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    chain.pass(ProposedChange::SuspendMember { member: name("kentucky"), reason: REASON });
    assert_eq!((chain.epoch(), chain.voters().len(), chain.node("node-1.kentucky").raft_id), (1, 3, 0));
    let (_, verdict) = chain.call("node-1.kentucky", Call::StartOrdering { replaces: 0 });
    assert_eq!(verdict, Verdict::Void(VoidReason::SuspendedMember(name("kentucky"))));
    // Its data cannot be used meanwhile, and says so.
    let purpose = Purpose::HealthcareResearch;
    let download = || Call::Download { version: name("kentucky/opt@1"), purpose };
    let refusal = chain.refused("member-not-active", "researcher@harlem", download());
    assert!(refusal.contains("kentucky"), "{refusal}");
    let dataset = name("kentucky/opt");
    let of = |chain: &Consortium| query::dataset_standing(&chain.state, &name("kentucky/opt")).unwrap();
    assert_eq!(of(&chain), Some(DatasetStanding::OwnerSuspended));
    chain.pass(ProposedChange::RestoreMember { member: name("kentucky") });
    assert_eq!((chain.epoch(), of(&chain)), (1, Some(DatasetStanding::Usable)));
    chain.refused("nothing-permits", "researcher@harlem", download());
    chain.join_voters("node-1.kentucky");
    assert_eq!((chain.node("node-1.kentucky").raft_id, chain.epoch()), (5, 2));
    assert!(query::get_newest_version(&chain.state, &dataset).unwrap().is_some());
}

#[test]
fn a_member_that_left_leaves_its_history_and_nothing_that_can_be_used() {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    let limits = GrantLimits::default;
    let to = GrantId(chain.grant("researcher@kentucky", "harlem/opt", terms(Action::Download), limits()));
    let on = GrantId(chain.grant("researcher@harlem", "kentucky/opt", terms(Action::Download), limits()));
    let expired = GrantLimits { expires: Some(chain.now().plus_ms(30_000)), ..limits() };
    let expires = expired.expires;
    let soon = GrantId(chain.grant("researcher@harlem", "kentucky/opt", terms(Action::Compute), expired));
    let by = RequestId(chain.request("researcher@kentucky", "harlem/opt", terms(Action::Compute)));
    let at = RequestId(chain.request("researcher@harlem", "kentucky/opt", terms(Action::Compute)));
    chain.grant_compute_everywhere("researcher@hennepin");
    let job = JobId(chain.done("researcher@hennepin", Call::SubmitJob(specification())));
    let given = || SiteGiven::Summary { digest: Hash::ZERO };
    for member in MEMBERS {
        let answer = SiteAnswer { dataset: name(&format!("{member}/opt")), given: given() };
        chain.done(&format!("node-1.{member}"), Call::AnswerJob { job, answer });
    }
    chain.block.time = chain.now().plus_ms(60_000);
    let (_, left) = chain.recorded("admin@kentucky", Call::Leave { reason: REASON });
    let left_at = chain.now();
    assert_eq!((left.events[0].operation, left.events[0].reason), (Operation::MemberLeft, Some(REASON)));
    assert_eq!(left.events[0].member, Some(name("kentucky")));
    assert!(left.writes.len() < 10, "leaving does not walk the member's data");

    // Nobody of it signs; nobody uses its data; its grants and requests have ended.
    for signer in ["admin@kentucky", "researcher@kentucky", "node-1.kentucky"] {
        let (_, verdict) = chain.call(signer, Call::Leave { reason: REASON });
        assert_eq!(verdict, Verdict::Void(VoidReason::LeftMember(name("kentucky"))), "{signer}");
    }
    let download = Call::Download { version: name("kentucky/opt@1"), purpose: Purpose::HealthcareResearch };
    chain.refused("member-left", "researcher@harlem", download);
    let file = Call::RequestAccess { dataset: name("kentucky/opt"), terms: terms(Action::Download), draft: false };
    chain.refused("member-left", "researcher@harlem", file);
    chain.refused("member-left", "researcher@hennepin", Call::SubmitJob(specification()));
    chain.refused("member-left", "owner@harlem", approve(by.0, limits()));
    let discover = authorise(
        &chain.state,
        chain.now(),
        &name("researcher@harlem"),
        &name("kentucky/opt"),
        &terms(Action::Discover),
    );
    assert!(discover.is_err());
    let (state, now) = (&chain.state, chain.now());
    for (id, ends) in [(to, Some(left_at)), (on, Some(left_at)), (soon, expires)] {
        let grant = query::get_grant(state, id).unwrap().unwrap();
        assert_eq!(grant.limits.expires, ends);
        assert!(!grant_in_force(&grant, now));
        let request = query::get_request(state, grant.request).unwrap().unwrap();
        assert_eq!(request.state, RequestState::Expired);
    }
    for id in [by, at] {
        let request = query::get_request(state, id).unwrap().unwrap();
        assert_eq!(request.state, RequestState::Closed);
        assert_eq!(request_state_at(state, &request, now).unwrap(), RequestState::Closed);
    }
    let on_harlem = query::list_grants_on(state, &name("harlem/opt"), None, 10).unwrap();
    assert_eq!(on_harlem.iter().filter(|grant| grant_in_force(grant, now)).count(), 1);
    let dataset = query::get_dataset(state, &name("kentucky/opt")).unwrap().unwrap();
    assert_eq!(dataset.state, VersionState::Withdrawn);
    let listed = query::list_datasets(state, None, None, 10).unwrap();
    let withdrawn: Vec<_> = listed.iter().filter(|dataset| dataset.state == VersionState::Withdrawn).collect();
    assert_eq!(withdrawn, [&dataset]);
    assert_eq!(query::get_newest_version(state, &dataset.name).unwrap(), None);
    assert_eq!(query::dataset_standing(state, &dataset.name).unwrap(), Some(DatasetStanding::Withdrawn));
    assert!(query::get_version(state, &dataset.name, 1).unwrap().is_some(), "history stays");

    // A running job goes on without its answer.
    let outcome = |refused: bool| {
        let site = |member: &str| galen_types::job::SiteOutcome {
            dataset: name(&format!("{member}/opt")),
            refused: (refused && member == "kentucky").then(|| name("member-left")),
        };
        Call::FinishJob { job, result: Hash::ZERO, sites: MEMBERS.map(site).to_vec(), summaries_deleted: true }
    };
    let refusal = chain.refused("job-permission-lost", "aggregator.harlem", outcome(false));
    assert!(refusal.contains("its owner has left"), "{refusal}");
    chain.done("aggregator.harlem", outcome(true));

    assert_eq!((chain.voters().len(), chain.epoch(), chain.node("node-1.kentucky").raft_id), (3, 1, 0));
}

#[test]
fn the_last_member_does_not_leave() {
    let mut chain = Consortium::new();
    for member in ["hennepin", "kentucky", "mississippi"] {
        chain.done(&format!("admin@{member}"), Call::Leave { reason: REASON });
    }
    chain.refused("last-member", "admin@harlem", Call::Leave { reason: REASON });
    chain.refused("role-missing", "owner@harlem", Call::Leave { reason: REASON });
    assert_eq!(chain.voters(), ["node-1.harlem"]);
    chain.admit("bellevue");
    chain.join_voters("node-1.bellevue");
    chain.done("admin@harlem", Call::Leave { reason: REASON });
    assert_eq!((chain.voters(), chain.epoch()), (vec!["node-1.bellevue".to_owned()], 5));
}
