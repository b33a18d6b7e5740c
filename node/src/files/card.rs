//! Cards: titles, descriptions and contacts of datasets, which stay off the chain behind salted commitments. The owner's
//! node gives a card and its salt to the consortium's other nodes, which show it to whom the chain lets discover the
//! dataset; whoever has a card can check it against the chain.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use galen_filestore::Salt;
use galen_types::Hash;
use galen_types::api::Card;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use super::documents::Documents;
use super::error::disk_failed;
use crate::http::services::{ErrorKind, ServiceError};

/// Most bytes of a title or contact.
const LINE_BYTES_MAX: usize = 256;
/// Most bytes of a description.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;
/// Most bytes of a card as JSON: control characters take six bytes each.
const CARD_JSON_BYTES_MAX: usize = 128 << 10;
/// Most bytes of a stored card: the JSON, quoted once more.
pub(crate) const CARD_DOCUMENT_BYTES_MAX: u64 = 512 << 10;
/// Cards of other members that are remembered.
const CACHE_CARDS_MAX: usize = 1_000;

/// What opens a card's commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardOpening {
    #[serde(with = "hex::serde")]
    salt: [u8; 32],
    /// The card as JSON.
    text: String,
}

impl CardOpening {
    /// The card under a salt made of the dataset's, so that an unchanged card has an unchanged commitment. The dataset's
    /// salt does not follow from it.
    pub(crate) fn new(card: &Card, dataset: &Salt) -> Result<Self, ServiceError> {
        check(card)?;
        let text = serde_json::to_string(card).map_err(|error| ServiceError::internal(&error))?;
        Ok(Self { salt: Hash::commitment(dataset.as_bytes(), b"card").0, text })
    }

    /// What the chain holds of it.
    pub(crate) fn commitment(&self) -> Hash {
        Hash::commitment(&self.salt, self.text.as_bytes())
    }

    /// The card, if it is the one that the chain's commitment stands for.
    pub(crate) fn open(&self, commitment: &Hash) -> Option<Card> {
        if self.text.len() > CARD_JSON_BYTES_MAX || self.commitment() != *commitment {
            return None;
        }
        serde_json::from_str(&self.text).ok().filter(|card| check(card).is_ok())
    }

    /// Bytes it takes in an answer.
    pub(crate) fn length(&self) -> usize {
        self.text.len() + 64
    }
}

fn check(card: &Card) -> Result<(), ServiceError> {
    let fits = card.title.len() <= LINE_BYTES_MAX
        && card.contact.len() <= LINE_BYTES_MAX
        && card.description.len() <= DESCRIPTION_BYTES_MAX;
    if fits {
        return Ok(());
    }
    let detail = format!(
        "a card has at most {LINE_BYTES_MAX} bytes of title, {DESCRIPTION_BYTES_MAX} of description and {LINE_BYTES_MAX} of contact"
    );
    Err(ServiceError::new(ErrorKind::Unprocessable, "card-too-large", detail))
}

/// Cards of the node's own member, by commitment.
#[derive(Debug)]
pub(crate) struct CardStore(pub(crate) Documents);

impl CardStore {
    /// Keeps a card; what the chain is to hold of it.
    pub(crate) fn keep(&self, opening: &CardOpening) -> Result<Hash, ServiceError> {
        let commitment = opening.commitment();
        let document = serde_json::to_vec_pretty(opening).map_err(|error| ServiceError::internal(&error))?;
        self.0.write(&document_name(&commitment), &document).map_err(disk_failed)?;
        Ok(commitment)
    }

    /// The card of a commitment. One that is damaged is none.
    pub(crate) fn get(&self, commitment: &Hash) -> Option<CardOpening> {
        let document = match self.0.read(&document_name(commitment)) {
            Ok(document) => document?,
            Err(error) => {
                tracing::warn!(%commitment, %error, "a card cannot be read");
                return None;
            }
        };
        let opening = serde_json::from_slice::<CardOpening>(&document).ok();
        let sound = opening.filter(|opening| opening.commitment() == *commitment);
        if sound.is_none() {
            tracing::warn!(%commitment, "a stored card is damaged; publish it again");
        }
        sound
    }
}

fn document_name(commitment: &Hash) -> String {
    format!("{commitment}.json")
}

/// Cards that other nodes gave, by commitment; when it is full the oldest goes.
#[derive(Debug, Default)]
pub(crate) struct CardCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    cards: HashMap<Hash, Card>,
    order: VecDeque<Hash>,
}

impl CardCache {
    pub(crate) fn get(&self, commitment: &Hash) -> Option<Card> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cards.get(commitment).cloned()
    }

    pub(crate) fn put(&self, commitment: Hash, card: Card) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.cards.insert(commitment, card).is_none() {
            cached.order.push_back(commitment);
        }
        while cached.order.len() > CACHE_CARDS_MAX {
            if let Some(oldest) = cached.order.pop_front() {
                cached.cards.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(title: &str) -> Card {
        Card { title: title.to_owned(), description: "Two\nlines".to_owned(), contact: "data@harlem".to_owned() }
    }

    #[test]
    fn a_card_opens_its_own_commitment_only() {
        let salt = Salt::from_bytes([7; 32]);
        let opening = CardOpening::new(&card("Trial"), &salt).unwrap();
        let commitment = opening.commitment();
        assert_eq!(opening.open(&commitment), Some(card("Trial")));
        assert_eq!(CardOpening::new(&card("Trial"), &salt).unwrap().commitment(), commitment);

        let changed = CardOpening { text: opening.text.replace("Trial", "Other"), ..opening.clone() };
        assert_eq!(changed.open(&commitment), None);
        let other_salt = CardOpening { salt: [0; 32], ..opening.clone() };
        assert_eq!(other_salt.open(&commitment), None);
        assert_ne!(CardOpening::new(&card("Trial"), &Salt::from_bytes([8; 32])).unwrap().commitment(), commitment);
        assert!(!opening.salt.iter().eq(salt.as_bytes()));
    }

    #[test]
    fn cards_are_bounded() {
        let salt = Salt::from_bytes([7; 32]);
        let error = CardOpening::new(&card(&"x".repeat(257)), &salt).unwrap_err();
        assert_eq!(error.code, "card-too-large");
        // A peer that commits to more than a card may hold is not believed.
        let large = Card { description: "x".repeat(DESCRIPTION_BYTES_MAX + 1), ..card("Trial") };
        let forged = CardOpening { salt: [1; 32], text: serde_json::to_string(&large).unwrap() };
        assert_eq!(forged.open(&forged.commitment()), None);
        // The worst card that fits is kept and found again.
        let folder = tempfile::tempdir().unwrap();
        let store = CardStore(Documents::open(folder.path().join("cards"), CARD_DOCUMENT_BYTES_MAX).unwrap());
        let worst = Card { description: "\u{1}".repeat(DESCRIPTION_BYTES_MAX), ..card("Trial") };
        let commitment = store.keep(&CardOpening::new(&worst, &salt).unwrap()).unwrap();
        assert_eq!(store.get(&commitment).unwrap().open(&commitment), Some(worst));
    }

    #[test]
    fn a_damaged_card_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = CardStore(Documents::open(folder.path().join("cards"), CARD_DOCUMENT_BYTES_MAX).unwrap());
        let commitment = store.keep(&CardOpening::new(&card("Trial"), &Salt::from_bytes([7; 32])).unwrap()).unwrap();
        let path = folder.path().join("cards").join(document_name(&commitment));
        let text = std::fs::read_to_string(&path).unwrap().replace("Trial", "Other");
        std::fs::write(&path, text).unwrap();
        assert_eq!(store.get(&commitment), None);
    }

    #[test]
    fn the_cache_forgets_the_oldest() {
        let cache = CardCache::default();
        let name = |number: usize| Hash::of(galen_types::hash::Context::Commitment, &number.to_le_bytes());
        for number in 0..=CACHE_CARDS_MAX {
            cache.put(name(number), card("Trial"));
            cache.put(name(number), card("Trial"));
        }
        assert_eq!(cache.get(&name(0)), None);
        assert!(cache.get(&name(1)).is_some());
        assert!(cache.get(&name(CACHE_CARDS_MAX)).is_some());
    }
}
