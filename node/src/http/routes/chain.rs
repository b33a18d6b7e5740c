//! The chain as a whole.

use galen_contracts::query::{get_lineage, get_parameters, list_recoveries};
use galen_types::api::{NodeOrdering, NodeStatus, PeerStatus};
use galen_types::recovery::Recovery;
use galen_types::{Genesis, Parameters};

use crate::http::app::Call;
use crate::http::respond::json;
use crate::http::route::{Access, Handler, Route};

/// Most recoveries in one answer.
const RECOVERIES_MAX: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/chain",
            "The node, and how far its chain has come",
            Handler::Act(|call, _| Box::pin(async move { json(&status(&call)) })),
        )
        .consistent()
        .access(Access::Open)
        .gives::<NodeStatus>(),
        Route::get(
            "/v1/recoveries",
            "What the chain went on by when a quorum was lost, the last first; a reader believes those that its invitation vouches for",
            Handler::Read(|_, view| json(&list_recoveries(view.state(), get_lineage(view.state())?, RECOVERIES_MAX)?)),
        )
        .access(Access::Open)
        .gives::<Vec<Recovery>>(),
        Route::get(
            "/v1/genesis",
            "The founding document",
            Handler::Act(|call, _| Box::pin(async move { json(call.chain().genesis()) })),
        )
        .access(Access::Open)
        .gives::<Genesis>(),
        Route::get(
            "/v1/peers",
            "Connected and expected peers of this node",
            Handler::Act(|call, _| Box::pin(async move { json(&call.chain().peers()) })),
        )
        .gives_list::<PeerStatus>(),
        Route::get(
            "/v1/parameters",
            "The chain's parameters in force",
            Handler::Read(|_, view| json(&get_parameters(view.state())?)),
        )
        .gives::<Parameters>(),
    ]
}

fn status(call: &Call) -> NodeStatus {
    let ordering = call.app.services.operator.ordering();
    let ordering = NodeOrdering {
        participation: ordering.participation,
        detail: Some(ordering.detail).filter(|detail| !detail.is_empty()),
        raft_id: ordering.raft_id,
        joint: ordering.joint,
        change_pending: ordering.change_pending,
        change_pending_seconds: ordering.change_pending_seconds,
        blocked_by: ordering.blocked_by,
        history_from: ordering.history_from,
    };
    let chain = call.chain().status();
    call.read_height.note(chain.height);
    let storage = call.app.services.operator.storage();
    NodeStatus { chain, ordering, storage }
}
