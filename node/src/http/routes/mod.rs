//! The handlers, by what they are about, and the one table of them all.

mod access;
mod applications;
mod audit;
mod blocks;
mod chain;
mod datasets;
mod downloads;
mod events;
mod evidence;
mod files;
mod jobs;
mod join;
mod members;
mod node;
mod operations;
mod proofs;
mod released;
mod transactions;

use galen_types::Timestamp;

use super::app::Call;
use super::refusal::Refusal;
use super::route::Route;
use super::services::ChainView;
use super::visibility::Viewer;

/// Every route. The busiest come first, because the table is searched in order.
pub(crate) fn all() -> Vec<Route> {
    let mut routes = transactions::routes();
    routes.extend(operations::routes());
    routes.extend(chain::routes());
    routes.extend(blocks::routes());
    routes.extend(events::routes());
    routes.extend(members::routes());
    routes.extend(join::routes());
    routes.extend(applications::routes());
    routes.extend(node::routes());
    routes.extend(datasets::routes());
    routes.extend(files::routes());
    routes.extend(access::routes());
    routes.extend(jobs::routes());
    routes.extend(downloads::routes());
    routes.extend(audit::routes());
    routes.extend(proofs::routes());
    routes.extend(evidence::routes());
    routes
}

/// The time of the newest block, at which the state is judged; the founding time before the first block.
fn block_time(call: &Call, view: &dyn ChainView) -> Result<Timestamp, Refusal> {
    let header = view.header(view.height())?;
    Ok(header.map_or(call.chain().genesis().founded, |header| header.time))
}

/// The asking account, looking at a view.
fn viewer<'view>(call: &'view Call, view: &'view dyn ChainView) -> Result<Viewer<'view>, Refusal> {
    Ok(Viewer { state: view.state(), now: block_time(call, view)?, account: call.account()? })
}
