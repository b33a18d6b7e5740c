//! Stored bytes and signed results are pinned: nodes of different releases must agree on them.

use galen_contracts::write_set_digest;
use galen_types::TransactionId;
use galen_types::access::GrantLimits;
use galen_types::job::{SiteAnswer, SiteGiven};
use galen_types::proposal::ProposedChange;
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{Call, Hash, JobId, Parameters};

use crate::support::{Consortium, content, encryption_key, name, public_key, specification, terms};

/// A change of this digest is a change of the stored format or of a rule: it needs a new rules version, for chains
/// that exist must still verify.
const STATE_DIGEST: &str = "d48790442bbde3537f29d3e0a5931d3418dc27c34515aa631b6292b86192bc08";
/// The same for a receipt.
const RECEIPT_HASH: &str = "f06f357fec02685d8cba750b4fcd8ac02780a69d72773199645035cc1164c18d";

#[test]
fn the_state_after_a_fixed_history_is_pinned() {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    let limits = GrantLimits { uses_max: Some(2), cohort_min: Some(12), ..GrantLimits::default() };
    chain.grant("researcher@hennepin", "harlem/opt", terms(Action::Download), limits);
    let download = Call::Download { version: name("harlem/opt@1"), purpose: Purpose::HealthcareResearch };
    let (id, recorded) = chain.recorded("researcher@hennepin", download);
    chain.grant_compute_everywhere("researcher@hennepin");
    let job = JobId(chain.done("researcher@hennepin", Call::SubmitJob(specification())));
    let given = SiteGiven::Summary { digest: Hash::ZERO };
    chain.done("node-1.harlem", Call::AnswerJob { job, answer: SiteAnswer { dataset: name("harlem/opt"), given } });
    let content = content("other");
    let refused = Call::PublishDataset { dataset: name("opt"), content, discoverable: true };
    chain.refused("dataset-exists", "owner@harlem", refused);
    // A fifth member joins and votes; parameters and a reset wait to come into force; a member leaves.
    chain.admit("bellevue");
    chain.join_voters("node-1.bellevue");
    let (key, encryption_key) = (public_key("found"), encryption_key("found"));
    chain.pass(ProposedChange::ResetAdministrator { account: name("admin@kentucky"), key, encryption_key });
    let parameters = Parameters { requests_open_max: 7, ..Parameters::default() };
    chain.pass(chain.set_parameters(parameters, 1_000));
    chain.done("admin@mississippi", Call::Leave { reason: ReasonCode::ProjectEnded });

    let state = chain.state.0.into_iter().map(|(key, value)| (key, Some(value))).collect();
    assert_eq!(write_set_digest(&state).to_string(), STATE_DIGEST);
    assert_eq!(recorded.receipt(TransactionId(id)).hash().to_string(), RECEIPT_HASH);
}
