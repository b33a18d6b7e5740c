//! The audit trail.

use galen_contracts::query::get_version;
use galen_contracts::{EventPosition, EventQuery};
use galen_types::api::{AuditEntry, Page};
use galen_types::{AccountName, DatasetName, MemberName, Signer, Timestamp};

use super::viewer;
use crate::http::app::Call;
use crate::http::limits::RECORDS_EXAMINED_MAX;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json};
use crate::http::route::{Handler, Route};
use crate::http::services::{ChainView, ServiceError, TransactionPlace};
use crate::http::visibility::oversees;

const FILTERS: [Parameter; 5] = [
    Parameter::new("dataset", "Only about this dataset, e.g. harlem/opt"),
    Parameter::new("account", "Only by this account or node, e.g. alice@harlem"),
    Parameter::new("member", "Only by accounts and nodes of this member"),
    Parameter::new("since", "Only from this time on, RFC 3339"),
    Parameter::new("until", "Only before this time, RFC 3339"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/audit",
            "What happened, in the order of happening: for auditors and administrators everything, for others what their member did or what was done with its data",
            Handler::Read(audit),
        )
        .query(&FILTERS)
        .paged()
        .gives_page::<AuditEntry>(),
    ]
}

/// What of an index's events is asked for.
#[derive(Default)]
pub(super) struct Narrowing {
    dataset: Option<DatasetName>,
    operator: Option<Signer>,
    member: Option<MemberName>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

fn audit(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let narrowing = Narrowing {
        dataset: call.query.get("dataset")?,
        operator: call.query.get("account")?,
        member: call.query.get("member")?,
        since: call.query.get("since")?,
        until: call.query.get("until")?,
    };
    let account = call.account()?;
    // The narrowest index; everything else is judged event by event.
    let query = if let Some(dataset) = &narrowing.dataset {
        EventQuery::Dataset(dataset.clone())
    } else if let Some(operator) = &narrowing.operator {
        EventQuery::Operator(operator.clone())
    } else if let Some(member) = &narrowing.member {
        EventQuery::Member(member.clone())
    } else if oversees(account) {
        EventQuery::All
    } else {
        EventQuery::Member(own_member(&account.name))
    };
    page(call, view, &query, &narrowing)
}

fn own_member(account: &AccountName) -> MemberName {
    account.member.clone()
}

fn position_text(position: EventPosition) -> String {
    format!("{}.{}.{}", position.height, position.transaction, position.event)
}

fn parse_position(text: &str) -> Option<EventPosition> {
    let mut parts = text.split('.');
    let position = EventPosition {
        height: parts.next()?.parse().ok()?,
        transaction: parts.next()?.parse().ok()?,
        event: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(position)
}

/// The first height whose block's time is at or after a time: times ascend with heights.
fn height_at(view: &dyn ChainView, time: Timestamp) -> Result<u64, Refusal> {
    let (mut low, mut high) = (1, view.height() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        // A block that is no longer kept is older than all that are.
        if view.header(middle)?.is_some_and(|header| header.time >= time) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// The last position before a height.
fn before(height: u64) -> Option<EventPosition> {
    let height = height.checked_sub(1)?;
    Some(EventPosition { height, transaction: u32::MAX, event: u32::MAX })
}

/// Receipt and time of the block read last: events stand in order, so neighbours share them.
#[derive(Default)]
struct Latest {
    receipt: Option<(TransactionPlace, galen_types::Receipt)>,
    time: Option<(u64, Timestamp)>,
}

impl Latest {
    fn entry(&mut self, view: &dyn ChainView, position: EventPosition) -> Result<AuditEntry, Refusal> {
        let missing = |what: &str| {
            Refusal::Service(ServiceError::internal(&format!("{what} of event {} is missing", position_text(position))))
        };
        let place = TransactionPlace { height: position.height, index: position.transaction };
        let receipt = match self.receipt.take().filter(|(of, _)| *of == place) {
            Some((_, receipt)) => receipt,
            None => view.receipt(place)?.ok_or_else(|| missing("the receipt"))?,
        };
        let time = match self.time.filter(|(of, _)| *of == position.height) {
            Some((_, time)) => time,
            None => view.header(position.height)?.ok_or_else(|| missing("the header"))?.time,
        };
        self.time = Some((position.height, time));
        let event = usize::try_from(position.event)
            .ok()
            .and_then(|place| receipt.events.get(place).cloned())
            .ok_or_else(|| missing("the record"))?;
        let ciphertext = match (&event.dataset, event.version) {
            (Some(dataset), Some(number)) => {
                get_version(view.state(), dataset, number)?.map(|version| version.content.ciphertext)
            }
            _ => None,
        };
        let transaction = receipt.transaction;
        self.receipt = Some((place, receipt));
        Ok(AuditEntry { height: position.height, time, transaction, event, ciphertext })
    }
}

/// Positions read at a time.
const BATCH: usize = 250;

/// A page of an index's events that fit and that the account may see.
pub(super) fn page(
    call: &Call,
    view: &dyn ChainView,
    query: &EventQuery,
    narrowing: &Narrowing,
) -> Result<Response, Refusal> {
    let limit = call.query.limit()?;
    let viewer = viewer(call, view)?;
    let start_after = match call.query.text("start_after") {
        None => None,
        Some(text) => Some(parse_position(text).ok_or(Refusal::ParameterInvalid {
            name: "start_after",
            problem: "give the last page's `next`".to_owned(),
        })?),
    };
    let since = match narrowing.since {
        None => None,
        Some(time) => before(height_at(view, time)?),
    };
    let end = match narrowing.until {
        None => u64::MAX,
        Some(time) => height_at(view, time)?,
    };
    let mut place = start_after.max(since);
    let mut latest = Latest::default();
    let mut items: Vec<AuditEntry> = Vec::new();
    let (mut last_kept, mut examined) = (None, 0);
    let answer = |items, next: Option<EventPosition>| {
        json(&Page::<AuditEntry> { height: view.height(), items, next: next.map(position_text) })
    };
    loop {
        let positions = view.events(query, place, BATCH)?;
        let more = positions.len() >= BATCH;
        for position in positions {
            if position.height >= end {
                return answer(items, None);
            }
            examined += 1;
            let entry = latest.entry(view, position)?;
            if viewer.sees_event(&entry.event) && narrowing.fits(&entry) {
                if items.len() == limit {
                    return answer(items, last_kept);
                }
                items.push(entry);
                last_kept = Some(position);
            }
            place = Some(position);
        }
        if !more {
            return answer(items, None);
        }
        if examined >= RECORDS_EXAMINED_MAX {
            let next = if items.len() == limit { last_kept } else { place };
            return answer(items, next);
        }
    }
}

impl Narrowing {
    fn fits(&self, entry: &AuditEntry) -> bool {
        let event = &entry.event;
        self.dataset.as_ref().is_none_or(|dataset| event.dataset.as_ref() == Some(dataset))
            && self.operator.as_ref().is_none_or(|operator| &event.operator == operator)
            && self.member.as_ref().is_none_or(|member| event.operator.member() == member)
    }
}
