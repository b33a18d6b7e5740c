//! The disk fails: calls return errors. The process must end with a named cause or go on without breaking a promise; it
//! must never count on a sync that failed.

use nix::errno::Errno;

use super::{Report, Selection};
use crate::disk::{Image, Loss};
use crate::life::{Chapter, Fault, LifeError, Played, Stage, cause, play, reopen};
use crate::trace::{Action, Kind, Strike};

/// How the disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// A sync says EIO, once. What it should have made durable is lost.
    Sync,
    /// A write says EIO, once.
    Write,
    /// From a call on that needs space, all that do say ENOSPC.
    Full,
    /// The same, and the first one writes half of its bytes.
    FullHalfway,
}

impl Failing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sync, Self::Write, Self::Full, Self::FullHalfway];

    fn name(self) -> &'static str {
        match self {
            Self::Sync => "eio-sync",
            Self::Write => "eio-write",
            Self::Full => "enospc",
            Self::FullHalfway => "enospc-half",
        }
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Sync => &[Kind::Sync],
            Self::Write => &[Kind::Write],
            Self::Full | Self::FullHalfway => &Kind::NEED_SPACE,
        }
    }

    fn strike(self, at: usize) -> Strike {
        let action = match self {
            Self::Sync | Self::Write => Action::Fail { error: Errno::EIO, lasts: false },
            Self::Full => Action::Fail { error: Errno::ENOSPC, lasts: true },
            Self::FullHalfway => Action::Halve { error: Errno::ENOSPC },
        };
        Strike { kinds: self.kinds().to_vec(), within: None, at, action }
    }
}

/// Fails calls of a chapter. After an error of the disk the power is lost too, so that nothing unsynced hides what was
/// promised on it; after a full disk the node starts again once there is room.
///
/// # Errors
/// [`LifeError`] when a point cannot be tried.
pub async fn fail_calls(
    stage: &Stage,
    chapter: Chapter,
    undisturbed: &Played,
    failing: Failing,
    selection: Selection,
    report: &mut Report,
) -> Result<(), LifeError> {
    let counted: Vec<Kind> =
        undisturbed.ended.calls.iter().copied().filter(|kind| failing.kinds().contains(kind)).collect();
    for place in selection.of(&counted) {
        let at = place + 1;
        let (outcome, what) = match play(stage, chapter, Some(failing.strike(at)), None).await? {
            Err(fault) => (Err(fault), String::new()),
            Ok(played) => {
                let place =
                    played.ended.struck.as_ref().map_or_else(|| "after its end".to_owned(), ToString::to_string);
                let (outcome, end) = match end(&played) {
                    Ok(end) => (after(stage, failing, &played).await?, end),
                    Err(fault) => (Err(fault), String::new()),
                };
                (outcome, format!(" ({place}; {end})"))
            }
        };
        report.add(failing.name(), &format!("{chapter} {at}{what}"), outcome);
    }
    Ok(())
}

/// How a process ended: told to stop, or with a named cause.
fn end(played: &Played) -> Result<String, Fault> {
    if played.ended.status.success() && !played.said.contains("panicked") {
        return Ok("goes on".to_owned());
    }
    cause(&played.said, played.ended.status)
}

async fn after(stage: &Stage, failing: Failing, played: &Played) -> Result<Result<(), Fault>, LifeError> {
    if matches!(failing, Failing::Sync | Failing::Write) {
        stage.put(&Image::after(&played.recording, usize::MAX, Loss::All, 0))?;
    }
    reopen(stage, &played.receipts).await
}
