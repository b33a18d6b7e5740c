//! BLAKE3 under a context string a purpose (its key derivation mode), and how hashes and keys are written.

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// What a hash is made for: a text that is part of the chain's formats.
pub(crate) struct Context(&'static str);

pub(crate) const TRANSACTION_ID: Context = Context("galen 2026 transaction id v1");
pub(crate) const BLOCK_HEADER: Context = Context("galen 2026 block header v1");
pub(crate) const HEADER_SIGNATURE: Context = Context("galen 2026 header signature v1");
pub(crate) const GENESIS: Context = Context("galen 2026 genesis v1");
pub(crate) const VOTER_SET: Context = Context("galen 2026 voter set v1");
pub(crate) const MERKLE_LEAF: Context = Context("galen 2026 merkle leaf v1");
pub(crate) const MERKLE_NODE: Context = Context("galen 2026 merkle node v1");
pub(crate) const HISTORY_PEAKS: Context = Context("galen 2026 history peaks v1");
pub(crate) const STATE_KEY: Context = Context("galen 2026 state key v1");
pub(crate) const STATE_VALUE: Context = Context("galen 2026 state value v1");
pub(crate) const STATE_BUCKET: Context = Context("galen 2026 state bucket v1");
pub(crate) const STATE_NODE: Context = Context("galen 2026 state node v1");
pub(crate) const RECOVERY: Context = Context("galen 2026 recovery v1");
pub(crate) const PROOF_FILE: Context = Context("galen 2026 proof file v1");

impl Context {
    /// The hash of parts joined.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key(self.0);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash from its 64 lower-case hexadecimal digits.
pub fn hash_from_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(hash)
}
