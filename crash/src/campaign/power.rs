//! The machine loses power: folders are built from a recording, as they may be found afterwards.

use std::collections::HashMap;

use super::{Report, Selection};
use crate::disk::{Change, Image, Loss};
use crate::life::{Chapter, LifeError, Played, Stage, reopen};

/// Reopens what losses of power leave at moments of a recording, each with what was acknowledged by then. Images that are
/// equal are tried once, with the most that was acknowledged.
///
/// # Errors
/// [`LifeError`] when a point cannot be tried.
pub async fn lose_power(
    stage: &Stage,
    chapter: Chapter,
    played: &Played,
    selection: Selection,
    report: &mut Report,
) -> Result<(), LifeError> {
    // A moment is the one after a change; the first is before all of them.
    let moments = std::iter::once(0).chain(played.recording.changes().iter().map(stratum));
    let strata: Vec<_> = moments.flat_map(|change| (0..Loss::ALL.len()).map(move |loss| (loss, change))).collect();
    let mut tried: HashMap<u64, usize> = HashMap::new();
    for point in selection.of(&strata).into_iter().rev() {
        let (moment, loss) = (point / Loss::ALL.len(), Loss::ALL[point % Loss::ALL.len()]);
        let receipts = played.receipts.by(moment);
        let image = Image::after(&played.recording, moment, loss, selection.seed(point));
        let known = tried.entry(image.fingerprint()).or_default();
        if *known > receipts.transactions.len() {
            continue;
        }
        *known = receipts.transactions.len() + 1;
        stage.put(&image)?;
        let outcome = reopen(stage, &receipts).await?;
        report.add("power", &format!("{chapter} after {moment} changes, loses {loss}"), outcome);
    }
    Ok(())
}

fn stratum(change: &Change) -> u8 {
    match change {
        Change::Write { .. } => 0,
        Change::Resize { .. } => 1,
        Change::Enter { .. } => 2,
        Change::Leave { .. } => 3,
        Change::Move { .. } => 4,
        Change::Sync { .. } => 5,
    }
}
