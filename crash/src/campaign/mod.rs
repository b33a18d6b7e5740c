//! Points tried one after the other. Every one ends with the same questions to what is left of the node's home: does it
//! start, does it know every receipt that it gave at the same place, are files whole, does it take a new transaction, does
//! its ledger verify?

mod bytes;
mod commands;
mod failing;
mod killed;
mod points;
mod power;
mod report;

pub use bytes::alter_bytes;
pub use commands::interrupt_commands;
pub use failing::{Failing, fail_calls};
pub use killed::kill_at_calls;
pub use points::Selection;
pub use power::lose_power;
pub use report::{Failure, Report};

use crate::life::{Chapter, LifeError, Played, Stage, play, reopen};

/// Plays all chapters undisturbed and keeps the home before each, so that points can be tried in any of them. What comes
/// back is how they went.
///
/// # Errors
/// [`LifeError`]; [`LifeError::Fault`] when the undisturbed life fails.
pub async fn rehearse(stage: &Stage) -> Result<Vec<(Chapter, Played)>, LifeError> {
    let mut chapters = Vec::new();
    for chapter in Chapter::PLAYED {
        let played = play(stage, chapter, None, None).await??;
        if !played.ended.status.success() {
            return Err(crate::life::Fault::DoesNotStart(played.said).into());
        }
        stage.keep(chapter.next(), &played.receipts)?;
        chapters.push((chapter, played));
    }
    let receipts = stage.put_back(Chapter::After)?;
    reopen(stage, &receipts).await??;
    Ok(chapters)
}
