//! The names of the protocols. All but the handshake carry the first 16 hexadecimal digits of the genesis hash, so that
//! nodes of two chains have no protocol in common.

use galen_types::Hash;
use libp2p::StreamProtocol;

/// The handshake, spoken before anything else. Not scoped by the genesis, so that a wrong genesis gets an answer.
pub(crate) const HANDSHAKE: &str = "/galen/handshake/1";

/// Version of the protocols behind the handshake; nodes with different ones refuse each other.
pub const PROTOCOL_VERSION: u32 = 2;

/// The scoped names of one chain.
#[derive(Debug, Clone)]
pub(crate) struct Protocols {
    pub(crate) raft: StreamProtocol,
    pub(crate) transactions: StreamProtocol,
    pub(crate) request: StreamProtocol,
    pub(crate) file: StreamProtocol,
    /// Agreeing on it is the whole conversation: who answers is alive.
    pub(crate) alive: StreamProtocol,
    pub(crate) dial_back: StreamProtocol,
    /// Prefix of gossip's protocol and topics.
    pub(crate) scope: String,
}

impl Protocols {
    pub(crate) fn new(genesis: &Hash) -> Self {
        let scope = format!("/galen/{}", hex::encode(&genesis.0[..8]));
        // A name that starts with a slash is always a valid protocol; the fallback is never taken.
        let name = |protocol: &str| {
            StreamProtocol::try_from_owned(format!("{scope}/{protocol}/1"))
                .unwrap_or(StreamProtocol::new("/galen/invalid"))
        };
        Self {
            raft: name("raft"),
            transactions: name("transactions"),
            request: name("request"),
            file: name("file"),
            alive: name("alive"),
            dial_back: name("dial-back"),
            scope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_sixteen_digits_of_the_genesis() {
        let protocols = Protocols::new(&Hash([0xab; 32]));
        assert_eq!(protocols.raft.as_ref(), "/galen/abababababababab/raft/1");
        assert_eq!(protocols.file.as_ref(), "/galen/abababababababab/file/1");
    }
}
