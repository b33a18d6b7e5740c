//! Stored bytes and signed results are pinned: nodes of different releases must agree on them.

use galen_contracts::write_set_digest;
use galen_types::TransactionId;
use galen_types::access::GrantLimits;
use galen_types::job::{SiteAnswer, SiteGiven};
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{Call, Hash, JobId};

use crate::support::{Consortium, content, name, specification, terms};

/// A change of this digest is a change of the stored format or of a rule: it needs a new rules version, for chains
/// that exist must still verify.
const STATE_DIGEST: &str = "3132b07e40fc1a04863bce7c83fc500e3d2c9a0605ab457b235667f5e4ff2b54";
/// The same for a receipt.
const RECEIPT_HASH: &str = "72ceece2dd27290536ce8f5c89258f46eaa64e83f764cff5395d1e71d2c6a7ed";

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

    let state = chain.state.0.into_iter().map(|(key, value)| (key, Some(value))).collect();
    assert_eq!(write_set_digest(&state).to_string(), STATE_DIGEST);
    assert_eq!(recorded.receipt(TransactionId(id)).hash().to_string(), RECEIPT_HASH);
}
