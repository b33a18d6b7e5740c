//! A node's key on chain, its libp2p identity and its peer id are one Ed25519 key.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use zeroize::Zeroizing;

/// Why a key is not a node key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The 32 bytes are no point of the curve.
    #[error("the node key is not an ed25519 public key; register the public half of the node's key file")]
    NotAKey,
    /// The peer id does not carry an ed25519 key.
    #[error("the peer id carries no ed25519 key; Galen nodes have no other kind")]
    NotEd25519,
}

impl IdentityError {
    /// A stable code for interfaces and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAKey => "node-key-invalid",
            Self::NotEd25519 => "peer-id-not-ed25519",
        }
    }
}

/// The peer id of a 32-byte Ed25519 public key.
///
/// # Errors
/// [`IdentityError::NotAKey`] when the bytes are no public key.
pub fn peer_id_of(public_key: &[u8; 32]) -> Result<PeerId, IdentityError> {
    let key = ed25519::PublicKey::try_from_bytes(public_key).map_err(|_| IdentityError::NotAKey)?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The 32-byte Ed25519 public key in a peer id (a peer id of such a key holds the key itself, not a hash of it).
///
/// # Errors
/// [`IdentityError::NotEd25519`] when it holds none.
pub fn public_key_of(peer_id: &PeerId) -> Result<[u8; 32], IdentityError> {
    /// Multihash code of "identity": the digest is the encoded key itself.
    const IDENTITY: u64 = 0;
    let multihash = peer_id.as_ref();
    if multihash.code() != IDENTITY {
        return Err(IdentityError::NotEd25519);
    }
    let key = PublicKey::try_decode_protobuf(multihash.digest()).map_err(|_| IdentityError::NotEd25519)?;
    Ok(key.try_into_ed25519().map_err(|_| IdentityError::NotEd25519)?.to_bytes())
}

/// The libp2p key pair of a node key's 32-byte secret seed. Cannot fail: every 32 bytes are a seed.
pub(crate) fn keypair_of(seed: &Zeroizing<[u8; 32]>) -> Result<Keypair, IdentityError> {
    let mut bytes = seed.clone();
    Keypair::ed25519_from_bytes(bytes.as_mut()).map_err(|_| IdentityError::NotAKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_key_and_peer_id_convert_both_ways() {
        let pair = keypair_of(&Zeroizing::new([7; 32])).unwrap();
        let public = pair.public().try_into_ed25519().unwrap().to_bytes();
        let peer = peer_id_of(&public).unwrap();
        assert_eq!(peer, pair.public().to_peer_id());
        assert_eq!(public_key_of(&peer).unwrap(), public);
    }

    #[test]
    fn a_peer_id_that_is_only_a_hash_is_refused() {
        // Multihash sha2-256 (0x12) of 32 bytes.
        let mut bytes = vec![0x12, 32];
        bytes.extend([1; 32]);
        let peer = PeerId::from_bytes(&bytes).unwrap();
        assert_eq!(public_key_of(&peer), Err(IdentityError::NotEd25519));
    }
}
