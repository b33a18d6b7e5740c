//! Sealing a few bytes for the owner of an X25519 key. Layout, version 1:
//!
//! ```text
//! 1 (version) | ephemeral public key (32) | XChaCha20-Poly1305 ciphertext | tag (16)
//! ```
//!
//! The ephemeral secret is drawn afresh for every seal and thrown away (ephemeral-static Diffie-Hellman, RFC 7748). The
//! cipher's key is BLAKE3's `derive_key` under the use's context of: shared secret | ephemeral public key | recipient's
//! public key. That key is used once, so the nonce is zero. Associated data: version | recipient's public key | the
//! file's name; a seal opens for one recipient and one file only.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use galen_types::Hash;
use galen_types::member::EncryptionKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::WrapError;

/// The first byte of every seal.
const VERSION: u8 = 1;
/// Bytes a seal adds.
pub(crate) const OVERHEAD_BYTES: usize = 1 + 32 + 16;

pub(crate) fn seal(
    content: &[u8],
    recipient: &EncryptionKey,
    ciphertext: &Hash,
    context: &str,
) -> Result<Vec<u8>, WrapError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    let ephemeral = StaticSecret::from(*seed);
    let ephemeral_public = PublicKey::from(&ephemeral);
    let cipher = cipher(&ephemeral, &PublicKey::from(recipient.0), &ephemeral_public, recipient, context)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(content.len() + OVERHEAD_BYTES));
    buffer.extend_from_slice(content);
    let inner: &mut Vec<u8> = &mut buffer;
    cipher
        .encrypt_in_place(&XNonce::default(), &associated_data(recipient, ciphertext), inner)
        .map_err(|_| WrapError::Malformed)?;
    Ok([&[VERSION], ephemeral_public.as_bytes().as_slice(), &buffer].concat())
}

pub(crate) fn open(
    sealed: &[u8],
    recipient: &StaticSecret,
    ciphertext: &Hash,
    context: &str,
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let Some((&[VERSION], rest)) = sealed.split_first_chunk() else { return Err(WrapError::Malformed) };
    let Some((ephemeral_public, content)) = rest.split_first_chunk::<32>() else { return Err(WrapError::Malformed) };
    let ephemeral_public = PublicKey::from(*ephemeral_public);
    let public = EncryptionKey(PublicKey::from(recipient).to_bytes());
    let cipher =
        cipher(recipient, &ephemeral_public, &ephemeral_public, &public, context).map_err(|_| WrapError::NotOpened)?;
    let mut content = Zeroizing::new(content.to_vec());
    let inner: &mut Vec<u8> = &mut content;
    cipher
        .decrypt_in_place(&XNonce::default(), &associated_data(&public, ciphertext), inner)
        .map_err(|_| WrapError::NotOpened)?;
    Ok(content)
}

/// The cipher both sides arrive at.
fn cipher(
    mine: &StaticSecret,
    theirs: &PublicKey,
    ephemeral_public: &PublicKey,
    recipient: &EncryptionKey,
    context: &str,
) -> Result<XChaCha20Poly1305, WrapError> {
    let shared = mine.diffie_hellman(theirs);
    if !shared.was_contributory() {
        return Err(WrapError::UnsafeKey);
    }
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(shared.as_bytes()).update(ephemeral_public.as_bytes()).update(&recipient.0);
    let key = Zeroizing::new(*hasher.finalize().as_bytes());
    Ok(XChaCha20Poly1305::new(&Key::from(*key)))
}

fn associated_data(recipient: &EncryptionKey, ciphertext: &Hash) -> [u8; 65] {
    let mut data = [VERSION; 65];
    data[1..33].copy_from_slice(&recipient.0);
    data[33..].copy_from_slice(ciphertext.as_bytes());
    data
}
