//! The main job of a consortium, from publication to result.

use galen_contracts::access::grant_in_force;
use galen_contracts::{EventQuery, index_entries, query};
use galen_types::access::{Basis, Effect, GrantLimits, RequestState};
use galen_types::job::{JobState, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{Call, GrantId, Hash, JobId, RequestId, TransactionId};

use crate::support::{Consortium, MEMBERS, approve, name, slug, specification, terms};

#[test]
fn a_researcher_computes_over_four_hospitals() {
    let mut chain = Consortium::new();
    let researcher = "researcher@hennepin";

    // Each hospital's owner publishes; the datasets can be discovered, but nothing computed.
    chain.publish_everywhere();
    let refusal = chain.refused("nothing-permits", researcher, Call::SubmitJob(specification()));
    assert!(refusal.contains("harlem/opt"), "{refusal}");

    // The researcher asks; harlem rejects with a reason code, the others approve.
    let requests: Vec<_> = MEMBERS
        .into_iter()
        .map(|member| chain.request(researcher, &format!("{member}/opt"), terms(Action::Compute)))
        .collect();
    let reason = ReasonCode::InsufficientInformation;
    chain.done("owner@harlem", Call::RejectRequest { request: RequestId(requests[0]), reason });
    let rejected = query::get_request(&chain.state, RequestId(requests[0])).unwrap().unwrap();
    assert_eq!((rejected.state, rejected.reason), (RequestState::Rejected, Some(reason)));
    for (member, request) in MEMBERS.into_iter().zip(&requests).skip(1) {
        chain.done(&format!("owner@{member}"), approve(*request, GrantLimits::default()));
    }

    // One hospital is missing: the job is refused as a whole, and only that dataset is named as denied.
    let (_, refused) = chain.recorded(researcher, Call::SubmitJob(specification()));
    assert_eq!(refused.events.len(), 1);
    assert_eq!(refused.events[0].dataset, Some(name("harlem/opt")));
    assert_eq!(refused.events[0].decision.as_ref().unwrap().basis, Basis::NothingPermits);

    // A second request is approved with a larger minimum cohort.
    let second = chain.request(researcher, "harlem/opt", terms(Action::Compute));
    let limits = GrantLimits { cohort_min: Some(20), ..GrantLimits::default() };
    let grant = chain.done("owner@harlem", approve(second, limits));

    // Now the job is authorised: one event a dataset, versions pinned, cohorts set.
    let (job, recorded) = chain.recorded(researcher, Call::SubmitJob(specification()));
    let job = JobId(job);
    assert_eq!(recorded.events.len(), 4);
    let record = query::get_job(&chain.state, job).unwrap().unwrap();
    assert_eq!(record.sites[0].decision.basis, Basis::Grant { grant: GrantId(grant) });
    assert_eq!(record.sites.iter().map(|site| site.cohort_min).collect::<Vec<_>>(), [20, 10, 10, 10]);
    assert_eq!(record.sites[0].version.to_string(), "harlem/opt@1");
    assert_eq!(query::list_jobs_running(&chain.state, None, 10).unwrap(), [record]);

    // Three sites give summaries, one refuses by a disclosure rule.
    for member in MEMBERS {
        let given = if member == "kentucky" {
            SiteGiven::Refused { rule: slug("rows-below-minimum") }
        } else {
            SiteGiven::Summary { digest: Hash::default() }
        };
        let answer = SiteAnswer { dataset: name(&format!("{member}/opt")), given };
        chain.done(&format!("node-1.{member}"), Call::AnswerJob { job, answer });
    }

    // The aggregator publishes the result's digest and says which sites are in the total.
    let sites = MEMBERS.map(|member| SiteOutcome {
        dataset: name(&format!("{member}/opt")),
        refused: (member == "kentucky").then(|| slug("rows-below-minimum")),
    });
    let result = Hash([7; 32]);
    chain.done("aggregator.harlem", Call::FinishJob { job, result, sites: sites.to_vec(), summaries_deleted: true });
    let record = query::get_job(&chain.state, job).unwrap().unwrap();
    assert_eq!((record.state, record.result), (JobState::Finished, Some(result)));
    assert!(query::list_jobs_running(&chain.state, None, 10).unwrap().is_empty());

    // Only the submitter reads the result, and reading is recorded for every dataset.
    chain.refused("not-submitter", "auditor@harlem", Call::ReadResult { job });
    let (_, read) = chain.recorded(researcher, Call::ReadResult { job });
    assert_eq!(read.events.len(), 4);
    assert_eq!(read.events[2].rule, Some(slug("rows-below-minimum")));
}

#[test]
fn a_file_is_given_to_grantees_of_download_only() {
    let mut chain = Consortium::new();
    let researcher = "researcher@hennepin";
    chain.publish("harlem/opt");
    chain.grant(researcher, "harlem/opt", terms(Action::Compute), GrantLimits::default());
    let download = || Call::Download { version: name("harlem/opt@1"), purpose: Purpose::HealthcareResearch };

    // A grant of `compute` does not give the file away; the denial is an event with its basis.
    let (id, denied) = chain.recorded(researcher, download());
    let event = &denied.events[0];
    assert_eq!(event.operation, Operation::Download);
    assert_eq!(event.rule, Some(slug("nothing-permits")));
    assert_eq!(event.decision.as_ref().unwrap().effect, Effect::Deny);
    // The owner finds it among the events of its dataset.
    let receipt = denied.receipt(TransactionId(id));
    let dataset = EventQuery::Dataset(name("harlem/opt")).prefix();
    assert!(index_entries(9, 0, &receipt).iter().any(|key| key.starts_with(&dataset)));

    let limits = GrantLimits { uses_max: Some(1), ..GrantLimits::default() };
    let grant = chain.grant(researcher, "harlem/opt", terms(Action::Download), limits);
    let (_, given) = chain.recorded(researcher, download());
    let basis = &given.events[0].decision.as_ref().unwrap().basis;
    assert_eq!(*basis, Basis::Grant { grant: GrantId(grant) });

    // Its one use is over, and the request says so.
    chain.refused("nothing-permits", researcher, download());
    let grant = query::get_grant(&chain.state, GrantId(grant)).unwrap().unwrap();
    assert_eq!(grant.uses, 1);
    assert!(!grant_in_force(&grant, chain.now()));
    let request = query::get_request(&chain.state, grant.request).unwrap().unwrap();
    assert_eq!(request.state, RequestState::Expired);
}
