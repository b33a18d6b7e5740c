//! The process is killed at the n-th call that changes a file.

use super::{Report, Selection};
use crate::disk::{Image, Loss};
use crate::life::{Chapter, LifeError, Played, Stage, play, reopen};
use crate::trace::Strike;

/// Kills the node at calls of a chapter. With `loss` the machine loses power at that moment too; so points of several voters
/// are tried, of which only one has the accident.
///
/// # Errors
/// [`LifeError`] when a point cannot be tried.
pub async fn kill_at_calls(
    stage: &Stage,
    chapter: Chapter,
    undisturbed: &Played,
    selection: Selection,
    loss: Option<Loss>,
    report: &mut Report,
) -> Result<(), LifeError> {
    for place in selection.of(&undisturbed.ended.calls) {
        let at = place + 1;
        let played = match play(stage, chapter, Some(Strike::kill(at)), None).await? {
            Ok(played) => played,
            Err(fault) => {
                report.add("kill", &format!("{chapter} {at}"), Err(fault));
                continue;
            }
        };
        let place = played.ended.struck.as_ref().map_or_else(|| "after its end".to_owned(), ToString::to_string);
        if let Some(loss) = loss {
            let moment = played.recording.moment();
            stage.put(&Image::after(&played.recording, moment, loss, selection.seed(at)))?;
        }
        let outcome = reopen(stage, &played.receipts).await?;
        let lost = loss.map_or(String::new(), |loss| format!(", loses {loss}"));
        report.add("kill", &format!("{chapter} {at} ({place}){lost}"), outcome);
        stage.remember(&played.receipts)?;
    }
    Ok(())
}
