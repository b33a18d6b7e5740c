//! Datasets: searching, looking at one, its history, and checking the stored bytes.

use std::sync::Arc;

use galen_contracts::EventQuery;
use galen_contracts::query::{get_dataset, get_newest_version, get_version, list_datasets, list_versions};
use galen_types::api::{AuditEntry, Card, DatasetDetail, DatasetSummary, FileVerification, PAGE_ITEMS_MAX, Page};
use galen_types::dataset::{Dataset, Version};
use galen_types::member::Role;
use galen_types::vocabulary::DataUseTerm;
use galen_types::{ColumnName, DatasetName, MemberName};

use super::{audit, viewer};
use crate::http::app::Call;
use crate::http::pages::gather;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json};
use crate::http::route::{Access, Handler, Route};
use crate::http::services::{ChainView, ServiceError};
use crate::http::visibility::oversees;

const SEARCH: [Parameter; 4] = [
    Parameter::new("text", "Words looked for in name, card title and column names, without regard to case"),
    Parameter::new("member", "Only this member's"),
    Parameter::new("column", "Only those with this column"),
    Parameter::new("data_use", "Only those with this DUO term, e.g. GRU"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/datasets",
            "Datasets that the account may discover, by member and name",
            Handler::Act(|call, _| Box::pin(search(call))),
        )
        .consistent()
        .query(&SEARCH)
        .paged()
        .gives_page::<DatasetSummary>(),
        Route::get(
            "/v1/datasets/{member}/{dataset}",
            "A dataset with its versions",
            Handler::Act(|call, _| Box::pin(detail(call))),
        )
        .consistent()
        .gives::<DatasetDetail>(),
        Route::get(
            "/v1/datasets/{member}/{dataset}/history",
            "What was done with a dataset, in the order of happening; of others' doings only what the account may see",
            Handler::Read(history),
        )
        .paged()
        .gives_page::<AuditEntry>(),
        Route::post(
            "/v1/datasets/{member}/{dataset}/verify",
            "Compares the stored bytes with the chain, and records on it what differs; at the owner's node",
            Handler::Act(|call, _| Box::pin(verify(call))),
        )
        .access(Access::Roles(&[Role::Admin, Role::Owner, Role::Auditor]))
        .gives::<FileVerification>(),
    ]
}

/// The dataset that a path names.
pub(super) fn dataset_of(call: &Call) -> Result<DatasetName, Refusal> {
    Ok(DatasetName { member: call.path(0, "member")?, dataset: call.path(1, "dataset")? })
}

/// What a search asks for.
struct Search {
    words: Vec<String>,
    member: Option<MemberName>,
    column: Option<ColumnName>,
    data_use: Option<DataUseTerm>,
}

impl Search {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let words = call.query.text("text").unwrap_or("");
        Ok(Self {
            words: words.split_whitespace().map(str::to_lowercase).collect(),
            member: call.query.get("member")?,
            column: call.query.get("column")?,
            data_use: call.query.get("data_use")?,
        })
    }

    /// Whether all but the words fit.
    fn fits(&self, version: &Version) -> bool {
        let content = &version.content;
        self.column.as_ref().is_none_or(|wanted| content.columns.iter().any(|column| &column.name == wanted))
            && self.data_use.is_none_or(|wanted| content.data_use.iter().any(|data_use| data_use.term == wanted))
    }

    /// Whether every word is found.
    fn reads(&self, summary: &DatasetSummary) -> bool {
        let mut text = summary.dataset.name.to_string();
        for column in &summary.version.content.columns {
            text.push('\n');
            text.push_str(column.name.as_str());
        }
        if let Some(card) = &summary.card {
            text.push('\n');
            text.push_str(&card.title);
        }
        let text = text.to_lowercase();
        self.words.iter().all(|word| text.contains(word.as_str()))
    }
}

/// The version that stands for a dataset: the newest that can be used, or the newest.
fn standing_version(view: &dyn ChainView, dataset: &Dataset) -> Result<Version, Refusal> {
    let newest = match get_newest_version(view.state(), &dataset.name)? {
        Some(version) => Some(version),
        None => get_version(view.state(), &dataset.name, dataset.latest)?,
    };
    newest.ok_or_else(|| {
        Refusal::Service(ServiceError::internal(&format!("dataset {} has no version {}", dataset.name, dataset.latest)))
    })
}

/// Datasets that fit all but the words, as many as a page may examine for them.
fn candidates(call: &Call, view: &dyn ChainView) -> Result<Page<DatasetSummary>, Refusal> {
    let search = Search::of(call)?;
    let viewer = viewer(call, view)?;
    // With words, a dataset may fall out again once its card is known.
    let limit = if search.words.is_empty() { call.query.limit()? } else { PAGE_ITEMS_MAX };
    let page = gather(
        view.height(),
        call.query.get("start_after")?,
        limit,
        |after: Option<&DatasetName>, limit| {
            let datasets = list_datasets(view.state(), search.member.as_ref(), after, limit)?;
            datasets
                .into_iter()
                .map(|dataset| {
                    let version = standing_version(view, &dataset)?;
                    Ok(DatasetSummary { dataset, version, card: None })
                })
                .collect()
        },
        |summary| summary.dataset.name.clone(),
        |summary| Ok(search.fits(&summary.version) && viewer.sees_dataset(&summary.dataset.name)?),
    )?;
    Ok(page)
}

/// Cards in the order asked.
async fn cards(call: &Call, datasets: Vec<DatasetName>) -> Vec<Option<Card>> {
    let count = datasets.len();
    let mut cards = call.app.services.files.cards(datasets).await;
    cards.resize(count, None);
    cards
}

async fn search(call: Arc<Call>) -> Result<Response, Refusal> {
    let search = Search::of(&call)?;
    let limit = call.query.limit()?;
    let mut page = call.read(candidates).await?;
    let names = page.items.iter().map(|summary| summary.dataset.name.clone()).collect();
    for (summary, card) in page.items.iter_mut().zip(cards(&call, names).await) {
        summary.card = card;
    }
    page.items.retain(|summary| search.reads(summary));
    if page.items.len() > limit {
        page.items.truncate(limit);
        page.next = page.items.last().map(|summary| summary.dataset.name.to_string());
    }
    json(&page)
}

async fn detail(call: Arc<Call>) -> Result<Response, Refusal> {
    let name = dataset_of(&call)?;
    let mut detail = call
        .read(|call, view| {
            let name = dataset_of(call)?;
            let seen = viewer(call, view)?.sees_dataset(&name)?;
            let dataset = get_dataset(view.state(), &name)?.filter(|_| seen).ok_or(Refusal::NotFound("dataset"))?;
            let mut versions = Vec::new();
            while let Some(more) = more_versions(view, &name, &versions)? {
                versions.extend(more);
            }
            Ok(DatasetDetail { height: view.height(), dataset, versions, card: None })
        })
        .await?;
    detail.card = cards(&call, vec![name]).await.pop().flatten();
    json(&detail)
}

/// The versions after those known, some at a time; `None` at the end.
fn more_versions(view: &dyn ChainView, name: &DatasetName, known: &[Version]) -> Result<Option<Vec<Version>>, Refusal> {
    let start_after = known.last().map_or(0, |version| version.number);
    let more = list_versions(view.state(), name, start_after, PAGE_ITEMS_MAX)?;
    Ok((!more.is_empty()).then_some(more))
}

fn history(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let name = dataset_of(call)?;
    let viewer = viewer(call, view)?;
    let known = get_dataset(view.state(), &name)?.is_some();
    if !known || !(oversees(viewer.account) || viewer.sees_dataset(&name)?) {
        return Err(Refusal::NotFound("dataset"));
    }
    audit::page(call, view, &EventQuery::Dataset(name), &audit::Narrowing::default())
}

async fn verify(call: Arc<Call>) -> Result<Response, Refusal> {
    let name = dataset_of(&call)?;
    let own = call.chain().node().member.clone();
    let account = call.account()?;
    if account.name.member != name.member {
        return Err(Refusal::NotFound("dataset"));
    }
    if name.member != own {
        return Err(Refusal::WrongMember(format!("the member `{own}`")));
    }
    let asked = name.clone();
    call.read(move |_, view| get_dataset(view.state(), &asked)?.map(|_| ()).ok_or(Refusal::NotFound("dataset")))
        .await?;
    json(&call.app.services.files.verify(name).await?)
}
