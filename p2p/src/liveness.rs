//! Whether the process at the other end of a peer's connections still answers: asked when a second process comes with
//! the same key.

use libp2p::{PeerId, StreamProtocol};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::{LIVENESS_PROBE_TIMEOUT, LIVENESS_PROBES_MAX};
use crate::shared::ControlPort;
use crate::streams::OpenError;

/// See the module's description.
pub(crate) struct Liveness {
    control: ControlPort,
    protocol: StreamProtocol,
    probes: Semaphore,
}

impl Liveness {
    pub(crate) fn new(control: ControlPort, protocol: StreamProtocol) -> Self {
        Self { control, protocol, probes: Semaphore::new(LIVENESS_PROBES_MAX) }
    }

    /// Whether the peer agrees on a stream within [`LIVENESS_PROBE_TIMEOUT`]. A connection that is gone, or breaks
    /// meanwhile, answers no at once.
    pub(crate) async fn answers(&self, peer: PeerId) -> bool {
        let Ok(_permit) = self.probes.acquire().await else {
            return false;
        };
        match timeout(LIVENESS_PROBE_TIMEOUT, self.control.open(peer, self.protocol.clone())).await {
            // Saying that it does not know the protocol is an answer.
            Ok(Ok(_) | Err(OpenError::Unsupported)) => true,
            Ok(Err(OpenError::NotConnected | OpenError::Broken(_) | OpenError::Slow)) | Err(_) => false,
        }
    }
}
