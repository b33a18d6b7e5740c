//! Downloads: a decision about one version of a dataset. The owner's node gives the file out against the certified
//! receipt; a denial is recorded too.

use galen_types::access::AccessTerms;
use galen_types::member::Role;
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{Event, VersionName};

use super::authorise::{active_member, charge, decide, denial};
use crate::datasets;
use crate::session::{Judged, Session};

pub(crate) fn download(session: &mut Session<'_>, name: &VersionName, purpose: Purpose) -> Judged {
    session.account_with_role(&[Role::Admin, Role::Owner, Role::Researcher])?;
    let dataset = datasets::usable(session, &name.dataset)?;
    datasets::usable_version(session, &dataset, name.version)?;
    active_member(session, &dataset.name.member)?;
    let terms = AccessTerms {
        action: Action::Download,
        purpose,
        columns: Vec::new(),
        statistics: Vec::new(),
        data_use: Vec::new(),
    };
    let account = session.account()?.clone();
    let rows_min = session.parameters.disclosure.rows_min;
    let authorisation = decide(session, session.now(), &account, &dataset.name, &terms, rows_min)?;
    let event = Event { decision: Some(authorisation.decision.clone()), ..session.event() };
    if !authorisation.is_permitted() {
        let refusal = denial(&dataset.name, &terms, &authorisation.decision);
        session.record_denial(Event { rule: Some(refusal.rule()), ..event });
        return Err(refusal.into());
    }
    charge(session, &account.name, authorisation.charge.as_ref())?;
    session.record(event);
    Ok(())
}
