//! Files to and from nodes.

use std::path::Path;

use galen_client::{Client, Publication, Published};
use galen_types::api::Card;
use galen_types::vocabulary::{DataUse, Purpose};
use galen_types::{DatasetName, VersionName};

use crate::command::data::CardFlags;
use crate::error::CliError;
use crate::output::Output;
use crate::progress::on_progress;
use crate::table::joined;
use crate::terms::{data_use_text, sorted};

pub(super) async fn add(
    client: &Client,
    file: &Path,
    dataset: DatasetName,
    card: CardFlags,
    data_use: Vec<DataUse>,
    discoverable: bool,
    output: Output,
) -> Result<(), CliError> {
    let data_use = sorted(data_use);
    output.detail(&format!("data use: {}", joined(data_use.iter().map(data_use_text))));
    let card = card.over(None);
    let publication = Publication { dataset, previous: None, data_use, card, discoverable, temporary_folder: None };
    say(client.publish_file(file, publication, &on_progress(output)).await?, output)
}

pub(super) async fn update(
    client: &Client,
    file: &Path,
    dataset: DatasetName,
    card: CardFlags,
    data_use: Vec<DataUse>,
    output: Output,
) -> Result<(), CliError> {
    let detail = client.dataset(&dataset).await?;
    let newest = detail.versions.last();
    let publication = Publication {
        dataset,
        previous: Some(detail.dataset.latest),
        data_use: match newest {
            Some(newest) if data_use.is_empty() => newest.content.data_use.clone(),
            _ => sorted(data_use),
        },
        card: card.over(detail.card),
        discoverable: false,
        temporary_folder: None,
    };
    say(client.publish_file(file, publication, &on_progress(output)).await?, output)
}

fn say(published: Published, output: Output) -> Result<(), CliError> {
    output.document(&published, || {
        let Published { version, content, .. } = &published;
        let shape = match content.columns.len() {
            0 => "no table: it can be downloaded, not computed over".to_owned(),
            columns => format!("{} rows, {columns} columns", content.rows),
        };
        format!("{version} published: {shape}, {} bytes encrypted as {}", content.ciphertext_bytes, content.ciphertext)
    })
}

pub(super) async fn get(
    client: &Client,
    version: VersionName,
    purpose: Purpose,
    target: &Path,
    force: bool,
    output: Output,
) -> Result<(), CliError> {
    if target.is_dir() {
        return Err(CliError::usage(format!("{} is a folder", target.display())).or_hint("name the new file"));
    }
    if !force && target.exists() {
        return Err(
            CliError::usage(format!("{} is there already", target.display())).or_hint("replace it with --force")
        );
    }
    let downloaded = client.download(&version, purpose, target, &on_progress(output)).await?;
    output.document(&downloaded, || {
        let (bytes, basis) = (downloaded.plaintext_bytes, &downloaded.decision.basis);
        format!("{version} is in {}: {bytes} bytes, checked against the chain; permitted by {basis}", target.display())
    })
}

impl CardFlags {
    /// The card as given, over an earlier one; none where nothing was ever said.
    fn over(self, earlier: Option<Card>) -> Option<Card> {
        let nothing_given = self.title.is_none() && self.description.is_none() && self.contact.is_none();
        if nothing_given {
            return earlier;
        }
        let earlier = earlier.unwrap_or_default();
        Some(Card {
            title: self.title.unwrap_or(earlier.title),
            description: self.description.unwrap_or(earlier.description),
            contact: self.contact.unwrap_or(earlier.contact),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_what_the_card_said_before() {
        let flags =
            |title: Option<&str>| CardFlags { title: title.map(str::to_owned), description: None, contact: None };
        let earlier = Card { title: "Old".to_owned(), description: "Births".to_owned(), contact: String::new() };
        assert_eq!(flags(None).over(None), None);
        assert_eq!(flags(None).over(Some(earlier.clone())), Some(earlier.clone()));
        let changed = flags(Some("New")).over(Some(earlier)).unwrap();
        assert_eq!((changed.title.as_str(), changed.description.as_str()), ("New", "Births"));
    }
}
