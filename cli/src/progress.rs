//! Progress bars on stderr, when it is a terminal.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use galen_client::{OnProgress, Progress, Stage, silent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// Shows client progress, one bar for each stage; nothing where nobody looks.
pub(crate) fn on_progress(output: Output) -> OnProgress {
    if !output.shows_progress() {
        return silent();
    }
    let current: Mutex<Option<(Stage, ProgressBar)>> = Mutex::new(None);
    Arc::new(move |progress| {
        // A bar is only for show: one that another thread broke is given up.
        let Ok(mut current) = current.lock() else { return };
        let same = current.as_ref().is_some_and(|(stage, _)| *stage == progress.stage);
        if !same {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            *current = Some((progress.stage, bar(progress)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            if progress.total > 0 && progress.done >= progress.total {
                bar.finish_and_clear();
            }
        }
    })
}

/// A spinner for work whose length is not known; its owner sets the message and clears it.
pub(crate) fn spinner(output: Output) -> ProgressBar {
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn bar(progress: Progress) -> ProgressBar {
    let (label, bytes) = match progress.stage {
        Stage::Encrypting => ("encrypting", true),
        Stage::Uploading => ("uploading", true),
        Stage::Checking => ("the node checks the file", false),
        Stage::Recording => ("recording on the chain", false),
        Stage::Downloading => ("downloading", true),
        Stage::Decrypting => ("decrypting", true),
        Stage::Computing => ("sites that answered", false),
    };
    let template = match (bytes, progress.total) {
        (true, _) => "{msg:12} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        (false, 0) => "{spinner} {msg}",
        (false, _) => "{msg} [{bar:30}] {pos}/{len}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(progress.total).with_style(style.progress_chars("=> ")).with_message(label);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
