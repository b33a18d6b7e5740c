//! A site's answer: the digest of the summary that it gave, or the disclosure rule by which it refused.

use galen_types::job::{SiteAnswer, SiteGiven};
use galen_types::{Event, JobId};

use super::permission::site_permitted;
use super::running;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};

pub(crate) fn answer(session: &mut Session<'_>, id: JobId, answer: &SiteAnswer) -> Judged {
    let member = session.node()?.name.member.clone();
    let dataset = &answer.dataset;
    if member != dataset.member {
        return Err(Refusal::NotYourMember { member: dataset.member.clone() }.into());
    }
    let mut job = running(session, id)?;
    let Some(place) = job.sites.iter().position(|site| &site.version.dataset == dataset) else {
        return Err(Refusal::DatasetNotInJob { dataset: dataset.clone() }.into());
    };
    let site = &job.sites[place];
    if site.answer.is_some() {
        return Err(Refusal::AlreadyAnswered { dataset: dataset.clone() }.into());
    }
    if matches!(answer.given, SiteGiven::Summary { .. }) {
        site_permitted(session, session.now(), &job, site)?;
    }
    let event = Event {
        version: Some(site.version.version),
        action: Some(galen_types::vocabulary::Action::Compute),
        purpose: Some(job.specification.purpose),
        ..session.event()
    };
    job.sites[place].answer = Some(answer.given.clone());
    session.put(keys::job(id), &job);
    session.record(event);
    Ok(())
}
