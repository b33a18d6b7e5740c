//! Finding the cards of datasets: the own ones on disk, the others' at their owners' nodes, within a short time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use galen_contracts::query::{get_dataset, get_newest_version, get_version};
use galen_types::api::Card;
use galen_types::{DatasetName, Encoding, Hash, MemberName};
use tokio::time::{Instant, timeout_at};

use super::Files;
use super::card::CardOpening;
use super::error::state_unusable;
use super::protocol::{CARDS_MAX, CardsAnswer, CardsRequest};
use super::reading::{other_nodes, read};
use crate::http::services::{ChainView, ServiceError};
use crate::runtime::kinds;

/// How long all other nodes together may take.
const CARDS_WITHIN: Duration = Duration::from_millis(1_500);
/// Most bytes of an answer that is looked at.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A dataset's place in the question, and the card that the chain promises.
struct Wanted {
    place: usize,
    dataset: DatasetName,
    commitment: Hash,
}

impl Files {
    pub(super) async fn find_cards(&self, datasets: Vec<DatasetName>) -> Vec<Option<Card>> {
        let mut found = vec![None; datasets.len()];
        let (own, store) = (self.member().clone(), self.cards.clone());
        let looked_up = read(&self.chain, move |view| {
            let mut elsewhere: BTreeMap<MemberName, Vec<Wanted>> = BTreeMap::new();
            let mut here = Vec::new();
            for (place, dataset) in datasets.into_iter().enumerate() {
                let Some(commitment) = promised(view, &dataset)? else { continue };
                let kept = if dataset.member == own { store.get(&commitment) } else { None };
                match kept.and_then(|opening| opening.open(&commitment)) {
                    Some(card) => here.push((place, card)),
                    None => {
                        let member = dataset.member.clone();
                        elsewhere.entry(member).or_default().push(Wanted { place, dataset, commitment });
                    }
                }
            }
            Ok((here, elsewhere))
        });
        let (here, mut elsewhere) = match looked_up.await {
            Ok(parts) => parts,
            // Logged where it was met; a list without cards is better than none.
            Err(_) => return found,
        };
        for (place, card) in here {
            found[place] = Some(card);
        }
        for wanted in elsewhere.values_mut() {
            wanted.retain(|wanted| match self.cache.get(&wanted.commitment) {
                Some(card) => {
                    found[wanted.place] = Some(card);
                    false
                }
                None => true,
            });
        }
        let deadline = Instant::now() + CARDS_WITHIN;
        let mut asked: FuturesUnordered<_> = elsewhere
            .iter()
            .filter(|(_, wanted)| !wanted.is_empty())
            .map(|(member, wanted)| self.ask_cards(member, wanted, deadline))
            .collect();
        while let Ok(Some(cards)) = timeout_at(deadline, asked.next()).await {
            for (place, card) in cards {
                found[place] = Some(card);
            }
        }
        found
    }

    /// The cards of one member's datasets, as far as its nodes give them in time.
    async fn ask_cards(&self, member: &MemberName, wanted: &[Wanted], deadline: Instant) -> Vec<(usize, Card)> {
        let Ok(nodes) = other_nodes(&self.chain, member.clone()).await else { return Vec::new() };
        let mut cards = Vec::new();
        for part in wanted.chunks(CARDS_MAX) {
            let datasets: Vec<DatasetName> = part.iter().map(|wanted| wanted.dataset.clone()).collect();
            for node in nodes.iter().filter(|node| self.network.is_connected(node)) {
                let request = Bytes::from(CardsRequest { datasets: datasets.clone() }.encode());
                let patience = deadline.saturating_duration_since(Instant::now());
                let Ok(answer) = self.network.request(node, kinds::CARD, request, patience).await else { continue };
                let Ok(answer) = CardsAnswer::decode(&answer, ANSWER_BYTES_MAX) else {
                    tracing::warn!(%node, "a malformed answer about cards");
                    continue;
                };
                let before = cards.len();
                for (wanted, opening) in part.iter().zip(&answer.cards) {
                    cards.extend(self.checked(wanted, opening.as_ref()));
                }
                if cards.len() > before {
                    break;
                }
            }
        }
        cards
    }

    fn checked(&self, wanted: &Wanted, opening: Option<&CardOpening>) -> Option<(usize, Card)> {
        let card = opening?.open(&wanted.commitment)?;
        self.cache.put(wanted.commitment, card.clone());
        Some((wanted.place, card))
    }
}

/// The card that the chain promises for a dataset: that of the version which stands for it.
pub(super) fn promised(view: &dyn ChainView, dataset: &DatasetName) -> Result<Option<Hash>, ServiceError> {
    let state = view.state();
    let version = match get_newest_version(state, dataset).map_err(state_unusable)? {
        Some(version) => Some(version),
        None => match get_dataset(state, dataset).map_err(state_unusable)? {
            Some(recorded) => get_version(state, dataset, recorded.latest).map_err(state_unusable)?,
            None => None,
        },
    };
    Ok(version.and_then(|version| version.content.card))
}
