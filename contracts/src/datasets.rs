//! Datasets: published, updated, withdrawn; their versions are numbered without gaps.
//!
//! | from | call | to |
//! |---|---|---|
//! | (none) | publish | dataset active, version 1 active |
//! | dataset active | update | version n + 1 active |
//! | version active | withdraw version | version withdrawn; the dataset can get another |
//! | dataset active | withdraw | dataset withdrawn, with every version, for good |
//!
//! Which version is the newest that can be used is found without walking: maximal runs of withdrawn versions are kept
//! at both of their ends.

use std::collections::BTreeSet;

use galen_types::access::{Contract, Effect, Rule, Scope};
use galen_types::dataset::{Dataset, FileFormat, Version, VersionContent, VersionState};
use galen_types::member::Role;
use galen_types::vocabulary::{Action, ReasonCode};
use galen_types::{DatasetName, Slug, VersionName};

use crate::keys;
use crate::limits::{COLUMNS_MAX, LIST_MAX};
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError};

pub(crate) fn publish(
    session: &mut Session<'_>,
    dataset: &Slug,
    content: &VersionContent,
    discoverable: bool,
) -> Judged {
    let publisher = session.account_with_role(&[Role::Owner])?;
    check_content(content)?;
    let name = DatasetName { member: publisher.member.clone(), dataset: dataset.clone() };
    if session.load(&keys::dataset(&name))?.is_some() {
        return Err(Refusal::DatasetExists { dataset: name }.into());
    }
    let version = Version {
        number: 1,
        content: content.clone(),
        publisher,
        published: session.now(),
        state: VersionState::Active,
        reason: None,
        tampering_reported: None,
    };
    session.put(keys::version(&name, 1), &version);
    if discoverable {
        let scope = Scope::Dataset(name.clone());
        session
            .put(keys::contract(&scope), &Contract { scope: scope.clone(), version: 1, rules: vec![discover_all()] });
    }
    let dataset = Dataset { name, latest: 1, state: VersionState::Active, created: session.now() };
    session.put(keys::dataset(&dataset.name), &dataset);
    session.record(session.event());
    Ok(())
}

pub(crate) fn update(session: &mut Session<'_>, name: &DatasetName, previous: u32, content: &VersionContent) -> Judged {
    let publisher = session.account_of_member(&name.member, &[Role::Owner])?;
    check_content(content)?;
    let mut dataset = usable(session, name)?;
    let newest = dataset.latest;
    if previous != newest {
        return Err(Refusal::VersionOutdated { dataset: dataset.name, previous, newest }.into());
    }
    let last = session.load_present(&keys::version(name, newest))?;
    if last.state == VersionState::Active && same_content(&last.content, content) {
        return Err(Refusal::ContentUnchanged { dataset: dataset.name, newest }.into());
    }
    let Some(number) = newest.checked_add(1) else {
        return Err(Refusal::VersionsExhausted { dataset: dataset.name }.into());
    };
    let version = Version {
        number,
        content: content.clone(),
        publisher,
        published: session.now(),
        state: VersionState::Active,
        reason: None,
        tampering_reported: None,
    };
    dataset.latest = number;
    session.put(keys::version(name, number), &version);
    session.put(keys::dataset(name), &dataset);
    session.record(session.event());
    Ok(())
}

pub(crate) fn withdraw(session: &mut Session<'_>, name: &DatasetName) -> Judged {
    session.account_of_member(&name.member, &[Role::Owner])?;
    let mut dataset = usable(session, name)?;
    dataset.state = VersionState::Withdrawn;
    session.put(keys::dataset(name), &dataset);
    session.record(session.event());
    Ok(())
}

pub(crate) fn withdraw_version(
    session: &mut Session<'_>,
    name: &DatasetName,
    number: u32,
    reason: ReasonCode,
) -> Judged {
    session.account_of_member(&name.member, &[Role::Owner])?;
    let dataset = usable(session, name)?;
    let mut version = usable_version(session, &dataset, number)?;
    version.state = VersionState::Withdrawn;
    version.reason = Some(reason);
    session.put(keys::version(name, number), &version);
    // Join the runs of withdrawn versions on either side. Versions are counted from 1, so 0 is no run's end.
    let below = number.saturating_sub(1);
    let above = number.saturating_add(1);
    let bottom = session.load(&keys::withdrawn_run(name, below))?;
    let top = session.load(&keys::withdrawn_run(name, above))?;
    if bottom.is_some() {
        session.remove(keys::withdrawn_run(name, below));
    }
    if top.is_some() {
        session.remove(keys::withdrawn_run(name, above));
    }
    let (bottom, top) = (bottom.unwrap_or(number), top.unwrap_or(number));
    session.put(keys::withdrawn_run(name, bottom), &top);
    session.put(keys::withdrawn_run(name, top), &bottom);
    session.record(session.event());
    Ok(())
}

pub(crate) fn report_tampering(session: &mut Session<'_>, name: &VersionName) -> Judged {
    let member = session.node()?.name.member.clone();
    if member != name.dataset.member {
        return Err(Refusal::NotYourMember { member: name.dataset.member.clone() }.into());
    }
    let dataset = registered(session, &name.dataset)?;
    let mut version = registered_version(session, &dataset, name.version)?;
    version.tampering_reported = Some(session.now());
    session.put(keys::version(&name.dataset, name.version), &version);
    session.record(session.event());
    Ok(())
}

/// A dataset, withdrawn or not.
pub(crate) fn registered<L: Lookup + ?Sized>(state: &L, name: &DatasetName) -> Judged<Dataset> {
    let dataset = state.load(&keys::dataset(name))?;
    dataset.ok_or_else(|| Refusal::DatasetUnknown { dataset: name.clone() }.into())
}

/// A dataset that is not withdrawn.
pub(crate) fn usable<L: Lookup + ?Sized>(state: &L, name: &DatasetName) -> Judged<Dataset> {
    let dataset = registered(state, name)?;
    match dataset.state {
        VersionState::Active => Ok(dataset),
        VersionState::Withdrawn => Err(Refusal::DatasetWithdrawn { dataset: dataset.name }.into()),
    }
}

fn registered_version<L: Lookup + ?Sized>(state: &L, dataset: &Dataset, number: u32) -> Judged<Version> {
    state.load(&keys::version(&dataset.name, number))?.ok_or_else(|| {
        Refusal::VersionUnknown { dataset: dataset.name.clone(), version: number, newest: dataset.latest }.into()
    })
}

/// A version that is not withdrawn, of a dataset that is not withdrawn.
pub(crate) fn usable_version<L: Lookup + ?Sized>(state: &L, dataset: &Dataset, number: u32) -> Judged<Version> {
    let version = registered_version(state, dataset, number)?;
    match version.state {
        VersionState::Active => Ok(version),
        VersionState::Withdrawn => {
            Err(Refusal::VersionWithdrawn { dataset: dataset.name.clone(), version: number }.into())
        }
    }
}

/// The newest version that is not withdrawn; `None` when all are, one by one.
pub(crate) fn newest_active<L: Lookup + ?Sized>(state: &L, dataset: &Dataset) -> Result<Option<Version>, StateError> {
    let number = match state.load(&keys::withdrawn_run(&dataset.name, dataset.latest))? {
        None => dataset.latest,
        Some(bottom) => bottom.saturating_sub(1),
    };
    if number == 0 { Ok(None) } else { state.load_present(&keys::version(&dataset.name, number)).map(Some) }
}

/// The one rule of the contract that a discoverable dataset starts with.
#[expect(clippy::expect_used, reason = "the name is a constant, read as a slug by every test that publishes")]
fn discover_all() -> Rule {
    Rule {
        name: Slug::parse("discover-all").expect("a constant slug"),
        effect: Effect::Permit,
        members: Vec::new(),
        accounts: Vec::new(),
        roles: Vec::new(),
        actions: vec![Action::Discover],
        purposes: Vec::new(),
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: None,
    }
}

fn check_content(content: &VersionContent) -> Judged {
    let columns = content.columns.len();
    if columns > COLUMNS_MAX {
        return Err(Refusal::ColumnsTooMany { columns }.into());
    }
    match content.format {
        FileFormat::Csv if columns == 0 => return Err(Refusal::TableWithoutColumns.into()),
        FileFormat::Opaque if columns > 0 || content.rows > 0 => return Err(Refusal::OpaqueWithTable.into()),
        FileFormat::Csv | FileFormat::Opaque => {}
    }
    let mut names = BTreeSet::new();
    if let Some(column) = content.columns.iter().find(|column| !names.insert(&column.name)) {
        return Err(Refusal::ColumnRepeated { column: column.name.clone() }.into());
    }
    check_data_use(content)?;
    if content.ciphertext_bytes < content.plaintext_bytes {
        let (ciphertext_bytes, plaintext_bytes) = (content.ciphertext_bytes, content.plaintext_bytes);
        return Err(Refusal::CiphertextTooShort { ciphertext_bytes, plaintext_bytes }.into());
    }
    Ok(())
}

fn check_data_use(content: &VersionContent) -> Judged {
    let sound = content.data_use.len() <= LIST_MAX
        && content.data_use.split_first().is_some_and(|(permission, modifiers)| {
            let mut seen = BTreeSet::new();
            permission.term.is_permission()
                && modifiers.iter().all(|modifier| !modifier.term.is_permission() && seen.insert(modifier))
        });
    if sound { Ok(()) } else { Err(Refusal::DataUseMalformed.into()) }
}

/// Whether two versions say the same. Ciphertexts of the same plaintext differ, for each version has a key of its own;
/// commitments do not, for a dataset has one salt.
fn same_content(last: &VersionContent, next: &VersionContent) -> bool {
    last.commitment == next.commitment
        && last.plaintext_bytes == next.plaintext_bytes
        && last.format == next.format
        && last.rows == next.rows
        && last.columns == next.columns
        && last.data_use == next.data_use
        && last.card == next.card
}
