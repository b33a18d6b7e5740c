//! Submitting a job: every dataset must permit it, or it is refused as a whole, with an event for each that denies.

use std::collections::BTreeSet;

use galen_types::access::AccessTerms;
use galen_types::dataset::{ColumnKind, FileFormat, Version};
use galen_types::job::{Job, JobSite, JobSpecification, JobState};
use galen_types::member::{Account, Role};
use galen_types::vocabulary::Statistic;
use galen_types::{ColumnName, DatasetName, Event, JobId, VersionName};

use super::terms_of;
use crate::access::authorise::{active_member, charge, decide, denial};
use crate::datasets;
use crate::keys;
use crate::limits::{JOB_COLUMNS_MAX, JOB_DATASETS_MAX, JOB_FILTER_COLUMNS_MAX, LIST_MAX};
use crate::refusal::{Failure, Refusal};
use crate::session::{Judged, Session};

pub(crate) fn submit(session: &mut Session<'_>, specification: &JobSpecification) -> Judged {
    let submitter = session.account_with_role(&[Role::Owner, Role::Researcher])?;
    check(specification)?;
    check_members(specification, session.parameters.disclosure.sites_min)?;
    let account = session.account()?.clone();
    let terms = terms_of(specification);
    let mut sites = Vec::with_capacity(specification.datasets.len());
    let mut refused = None;
    for dataset in &specification.datasets {
        match authorise_site(session, &account, dataset, &terms, specification) {
            Ok(site) => sites.push(site),
            Err(Failure::Refused(refusal)) => refused = refused.or(Some(refusal)),
            Err(failure @ Failure::State(_)) => return Err(failure),
        }
    }
    if let Some(refusal) = refused {
        return Err(refusal.into());
    }
    for site in &sites {
        session.record(Event {
            dataset: Some(site.version.dataset.clone()),
            version: Some(site.version.version),
            decision: Some(site.decision.clone()),
            ..session.event()
        });
    }
    let job = Job {
        id: JobId(session.id),
        submitter,
        specification: specification.clone(),
        sites,
        submitted: session.now(),
        height: session.height(),
        state: JobState::Running,
        result: None,
        outcomes: Vec::new(),
        failure: None,
        aggregator: None,
    };
    session.put(keys::job(job.id), &job);
    session.put_present(keys::job_of(&job));
    session.put_present(keys::job_running(&job));
    Ok(())
}

/// Decides about one dataset, counts the use and pins the version.
fn authorise_site(
    session: &mut Session<'_>,
    account: &Account,
    name: &DatasetName,
    terms: &AccessTerms,
    specification: &JobSpecification,
) -> Judged<JobSite> {
    let dataset = datasets::usable(session, name)?;
    active_member(session, &name.member)?;
    let Some(version) = datasets::newest_active(session, &dataset)? else {
        return Err(Refusal::NoActiveVersion { dataset: dataset.name }.into());
    };
    let rows_min = session.parameters.disclosure.rows_min;
    let authorisation = decide(session, session.now(), account, name, terms, rows_min)?;
    if !authorisation.is_permitted() {
        let refusal = denial(name, terms, &authorisation.decision);
        session.record_denial(Event {
            dataset: Some(name.clone()),
            version: Some(version.number),
            decision: Some(authorisation.decision),
            rule: Some(refusal.rule()),
            ..session.event()
        });
        return Err(refusal.into());
    }
    check_table(name, &version, &terms.columns, specification)?;
    charge(session, &account.name, authorisation.charge.as_ref())?;
    Ok(JobSite {
        version: VersionName { dataset: dataset.name, version: version.number },
        decision: authorisation.decision,
        cohort_min: authorisation.cohort_min,
        answer: None,
    })
}

/// That a specification stands in its one form and within bounds.
fn check(specification: &JobSpecification) -> Judged {
    let JobSpecification { datasets, statistics, columns, filter_columns, filter, data_use, .. } = specification;
    if !(1..=JOB_DATASETS_MAX).contains(&datasets.len()) || !ascending(datasets) {
        return Err(Refusal::JobDatasetsMalformed.into());
    }
    if statistics.is_empty() || !ascending(statistics) {
        return Err(Refusal::JobStatisticsMalformed.into());
    }
    let once: BTreeSet<_> = columns.iter().collect();
    if !(1..=JOB_COLUMNS_MAX).contains(&columns.len()) || once.len() < columns.len() {
        return Err(Refusal::JobColumnsMalformed.into());
    }
    let filtered = (1..=JOB_FILTER_COLUMNS_MAX).contains(&filter_columns.len()) && ascending(filter_columns);
    if !(if filter.is_some() { filtered } else { filter_columns.is_empty() }) {
        return Err(Refusal::JobFilterMalformed.into());
    }
    if data_use.len() > LIST_MAX {
        return Err(Refusal::TermsTooLong.into());
    }
    Ok(())
}

fn ascending<T: Ord>(list: &[T]) -> bool {
    list.is_sorted_by(|left, right| left < right)
}

/// Disclosure rule 6, before anybody computes: a site is a member, not a dataset.
fn check_members(specification: &JobSpecification, least: u32) -> Judged {
    let members: BTreeSet<_> = specification.datasets.iter().map(|dataset| &dataset.member).collect();
    if u32::try_from(members.len()).is_ok_and(|count| count < least) {
        return Err(Refusal::JobMembersTooFew { members: members.len(), least }.into());
    }
    Ok(())
}

/// That a version is a table with every column that the job reads, numeric where numbers are needed.
fn check_table(name: &DatasetName, version: &Version, read: &[ColumnName], specification: &JobSpecification) -> Judged {
    if version.content.format != FileFormat::Csv {
        return Err(Refusal::DatasetNotTable { dataset: name.clone() }.into());
    }
    let mut known: Vec<_> = version.content.columns.iter().map(|column| (&column.name, column.kind)).collect();
    known.sort();
    let kind_of = |column: &ColumnName| {
        known
            .binary_search_by(|(name, _)| (*name).cmp(column))
            .ok()
            .and_then(|place| known.get(place))
            .map(|(_, kind)| *kind)
    };
    if let Some(column) = read.iter().find(|column| kind_of(column).is_none()) {
        return Err(Refusal::ColumnUnknown { dataset: name.clone(), column: column.clone() }.into());
    }
    let numeric = |statistic: &Statistic| matches!(statistic, Statistic::Sum | Statistic::Mean | Statistic::Variance);
    if specification.statistics.iter().any(numeric) {
        let text = specification.columns.iter().find(|column| kind_of(column) == Some(ColumnKind::Text));
        if let Some(column) = text {
            return Err(Refusal::ColumnNotNumeric { dataset: name.clone(), column: column.clone() }.into());
        }
    }
    Ok(())
}
