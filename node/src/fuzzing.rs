//! Entry points for fuzzing: what nodes ask each other, by kind, and examples of it. Only with the feature `fuzzing`,
//! which no program turns on.

use galen_types::vocabulary::Filter;
use galen_types::{DatasetName, DecodeError, Encoding, Hash, JobId, ProposalId, TransactionId};

use crate::files::protocol::{self as files, CardsAnswer, CardsRequest, ContentRequest, KeyRequest};
use crate::jobs::protocol::{self as jobs, Opening, OpeningRequest, ResultRequest, SiteReply, SummaryQuestion};
use crate::membership::ContactsOpening;
use crate::membership::protocol::{self as membership, ContactsRequest};
use crate::runtime::knowledge::fuzzing as knowledge;

/// Most bytes of answers here: the node's own limit for them, or less.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Bytes as a peer sends them, with the kind that [`reread`] takes.
#[must_use]
pub fn examples() -> Vec<(u8, Vec<u8>)> {
    let (hash, job) = (Hash([7; 32]), JobId(Hash([8; 32])));
    let transaction = TransactionId(hash);
    let datasets: Vec<DatasetName> =
        ["harlem/opt", "kentucky/opt"].iter().filter_map(|name| name.parse().ok()).collect();
    let opening = || Opening { filter: "Age >= 18 and Group = 'T'".to_owned(), salt: [3; 32] };
    let mut examples = vec![
        (2, KeyRequest { transaction }.encode()),
        (3, ContentRequest { transaction, start: 0, end: 65_536 }.encode()),
        (4, CardsRequest { datasets: datasets.clone() }.encode()),
        (5, CardsAnswer { cards: vec![None, None] }.encode()),
        (6, OpeningRequest { job }.encode()),
        (7, opening().encode()),
        (9, SiteReply::Summary { bytes: vec![1; 40], salt: [4; 32] }.encode()),
        (9, SiteReply::Working.encode()),
        (10, ResultRequest { job, receipt: transaction }.encode()),
        (11, ContactsRequest { proposal: ProposalId(hash) }.encode()),
    ];
    if let Ok(name) = "node-1.harlem".parse() {
        examples.extend((0..).zip(knowledge::examples(name)));
    }
    examples.extend(
        datasets
            .first()
            .map(|dataset| (8, SummaryQuestion { job, dataset: dataset.clone(), opening: Some(opening()) }.encode())),
    );
    examples
}

fn read<T: Encoding>(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    T::decode(bytes, limit).map(|value| value.encode())
}

/// Reads bytes as the node does, and writes what was read.
///
/// # Errors
/// The code of the refusal.
pub fn reread(kind: u8, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let read = match kind {
        0 => knowledge::question(bytes),
        1 => knowledge::answer(bytes),
        2 => read::<KeyRequest>(bytes, files::REQUEST_BYTES_MAX),
        3 => read::<ContentRequest>(bytes, files::REQUEST_BYTES_MAX),
        4 => read::<CardsRequest>(bytes, files::REQUEST_BYTES_MAX),
        5 => read::<CardsAnswer>(bytes, ANSWER_BYTES_MAX),
        6 => read::<OpeningRequest>(bytes, jobs::REQUEST_BYTES_MAX),
        7 => opening(bytes),
        8 => read::<SummaryQuestion>(bytes, jobs::REQUEST_BYTES_MAX),
        9 => read::<SiteReply>(bytes, jobs::REPLY_BYTES_MAX),
        10 => read::<ResultRequest>(bytes, jobs::REQUEST_BYTES_MAX),
        11 => read::<ContactsRequest>(bytes, membership::REQUEST_BYTES_MAX),
        12 => read::<ContactsOpening>(bytes, membership::ANSWER_BYTES_MAX),
        _ => return Err("unknown".to_owned()),
    };
    read.map_err(|error| error.code().to_owned())
}

/// An opening's filter is a text with a grammar of its own: what is read of it reads the same when it is written.
fn opening(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let opening = Opening::decode(bytes, jobs::OPENING_BYTES_MAX)?;
    let commitment = Hash::commitment(&opening.salt, opening.filter.as_bytes());
    if let Some(filter) = opening.open(&commitment)
        && filter.to_string().parse::<Filter>().ok().as_ref() != Some(&filter)
    {
        return Ok(Vec::new());
    }
    Ok(opening.encode())
}
