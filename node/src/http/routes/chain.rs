//! The chain as a whole.

use galen_contracts::query::get_parameters;
use galen_types::api::{ChainStatus, PeerStatus};
use galen_types::{Genesis, Parameters};

use crate::http::respond::json;
use crate::http::route::{Access, Handler, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/chain",
            "The node, and how far its chain has come",
            Handler::Act(|call, _| Box::pin(async move { json(&call.chain().status()) })),
        )
        .access(Access::Open)
        .gives::<ChainStatus>(),
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
