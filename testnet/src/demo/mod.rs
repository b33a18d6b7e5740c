//! The main job, step by step, over running nodes and through [`galen_client`] alone: four hospitals publish their
//! files, a researcher of one of them finds them, asks, computes over all four, downloads one; what must be denied is
//! denied, what was done is on record, and a changed byte is found.
//!
//! Every step checks what came. What is not as it must be ends the job with [`TestnetError::Demo`].
//!
//! Running it again on the same testnet takes the datasets as they are where their files are unchanged, takes back the
//! grants of earlier runs, and asks anew.

mod access;
mod cast;
mod compute;
mod download;
mod files;
mod pooled;
mod publish;
mod step;
mod table;
mod tampering;
mod trail;

use crate::error::TestnetError;
use crate::network::Testnet;

pub use files::SiteFile;
pub use step::Step;

use cast::Cast;

/// The dataset that each hospital publishes.
pub const DATASET: &str = "opt";

/// Runs the main job on a testnet that is up, with the files that ship with the project ([`SiteFile::shipped`]) or
/// others with the same columns. `on_step` is told of each step once it is done.
///
/// # Errors
/// [`TestnetError::Demo`] when something did not come out as it must; otherwise what the nodes or local files give.
pub async fn run(testnet: &Testnet, files: Vec<SiteFile>, on_step: &mut dyn FnMut(Step)) -> Result<(), TestnetError> {
    let cast = Cast::new(testnet, files)?;
    tampering::mend_left_over(&cast)?;
    on_step(publish::publish(&cast).await?);
    let since = cast.height().await?;
    on_step(publish::search(&cast).await?);
    access::take_back_earlier(&cast).await?;
    let requests = access::ask_for_compute(&cast).await?;
    on_step(requests.step());
    on_step(access::decide(&cast, requests).await?);
    on_step(compute::compute(&cast).await?);
    on_step(download::denied(&cast).await?);
    on_step(download::granted(&cast).await?);
    on_step(tampering::tamper(&cast).await?);
    on_step(trail::trail(&cast, since).await?);
    Ok(())
}
