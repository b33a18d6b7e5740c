//! Datasets for people.

use galen_types::api::{DatasetDetail, DatasetSummary};
use galen_types::dataset::{FileFormat, Version};

use crate::table::{Table, fields, joined, time};
use crate::terms::data_use_text;

pub(super) fn table(datasets: &[DatasetSummary]) -> Table {
    let mut table = Table::new(&["dataset", ">rows", ">columns", "data use", "state", "title"]);
    for summary in datasets {
        let content = &summary.version.content;
        let title = summary.card.as_ref().map(|card| card.title.clone()).filter(|title| !title.is_empty());
        table.row([
            format!("{}@{}", summary.dataset.name, summary.version.number),
            rows(&summary.version),
            content.columns.len().to_string(),
            joined(content.data_use.iter().map(data_use_text)),
            summary.dataset.state.to_string(),
            title.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

pub(super) fn detail(detail: &DatasetDetail) -> String {
    let card = detail.card.clone().unwrap_or_default();
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let newest = detail.versions.last();
    let columns = newest.map(|version| {
        let column = |column: &galen_types::dataset::Column| format!("{} ({})", column.name, column.kind);
        joined(version.content.columns.iter().map(column))
    });
    let mut text = fields(&[
        ("dataset", Some(detail.dataset.name.to_string())),
        ("title", given(card.title)),
        ("description", given(card.description)),
        ("contact", given(card.contact)),
        ("state", Some(detail.dataset.state.to_string())),
        ("created", Some(time(detail.dataset.created))),
        ("data use", newest.map(|version| joined(version.content.data_use.iter().map(data_use_text)))),
        ("columns", columns),
    ]);
    let mut table = Table::new(&[">version", "published", "by", ">rows", ">bytes", "state", "ciphertext"]);
    for version in &detail.versions {
        let state = match (version.reason, version.tampering_reported) {
            (Some(reason), _) => format!("{} ({reason})", version.state),
            (None, Some(reported)) => format!("{}, found changed {}", version.state, time(reported)),
            (None, None) => version.state.to_string(),
        };
        table.row([
            version.number.to_string(),
            time(version.published),
            version.publisher.to_string(),
            rows(version),
            version.content.plaintext_bytes.to_string(),
            state,
            version.content.ciphertext.to_string(),
        ]);
    }
    text.push_str(&format!("\n{}", table.render()));
    text
}

fn rows(version: &Version) -> String {
    match version.content.format {
        FileFormat::Csv => version.content.rows.to_string(),
        FileFormat::Opaque => "-".to_owned(),
    }
}
