//! Signature suites. A suite is tagged in every key and signature: 1 is Ed25519 (RFC 8032). Validity is ZIP-215 on
//! every path, so that single and batch verification never judge a signature differently.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use wincode::{SchemaRead, SchemaWrite};
use zeroize::Zeroizing;

use crate::encoding::serde_as_text;
use crate::hash::{Context, Hash};

/// A public signing key. In text: the suite and hexadecimal digits, e.g. `ed25519:` and 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum PublicKey {
    /// Suite 1.
    #[wincode(tag = 1)]
    Ed25519([u8; 32]),
}

/// A signature over a 32-byte, context-separated hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum Signature {
    /// Suite 1.
    #[wincode(tag = 1)]
    Ed25519([u8; 64]),
}

/// A signature that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct BadSignature;

/// A secret signing key; cleared from memory when dropped.
#[derive(Clone)]
pub struct SecretKey {
    signing: ed25519_dalek::SigningKey,
}

impl SecretKey {
    /// A fresh key from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { signing: ed25519_dalek::SigningKey::from_bytes(seed) }
    }

    /// The seed, for key files and the network identity.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.signing.verifying_key().to_bytes())
    }

    /// Signs a hash that was made under a context of its own.
    pub fn sign(&self, hash: &Hash) -> Signature {
        Signature::Ed25519(self.signing.sign(hash.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.public_key())
    }
}

impl PublicKey {
    /// Checks one signature.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify (ZIP-215), or the key is no curve point.
    pub fn verify(&self, hash: &Hash, signature: &Signature) -> Result<(), BadSignature> {
        let (Self::Ed25519(key), Signature::Ed25519(signature)) = (self, signature);
        ed25519_zebra::VerificationKey::try_from(*key)
            .and_then(|key| key.verify(&ed25519_zebra::Signature::from_bytes(signature), hash.as_bytes()))
            .map_err(|_| BadSignature)
    }

    /// Sixteen hexadecimal digits in groups of four, for people to compare by telephone: `8f3a-12cd-77e0-b4f1`.
    pub fn fingerprint(&self) -> String {
        let digits = Hash::of(Context::Fingerprint, self.as_bytes()).to_string();
        let groups: Vec<&str> = (0..4).filter_map(|group| digits.get(4 * group..4 * group + 4)).collect();
        groups.join("-")
    }

    /// The 32 key bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        let Self::Ed25519(bytes) = self;
        bytes
    }
}

/// One signature to check: who is said to have signed what.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The key.
    pub key: PublicKey,
    /// The hash that was signed.
    pub hash: Hash,
    /// The signature.
    pub signature: Signature,
}

/// Claims in one batch equation; larger batches gain little and make a failed batch dearer.
const BATCH_CLAIMS: usize = 256;

/// Checks many signatures, in batches of 256. The answer for each claim is the one [`PublicKey::verify`] gives: a
/// batch that fails is judged one by one.
pub fn verify_all(claims: &[Claim]) -> Vec<bool> {
    let mut verdicts = Vec::with_capacity(claims.len());
    for batch in claims.chunks(BATCH_CLAIMS) {
        if batch.len() > 1 && verify_batch(batch) {
            verdicts.extend(std::iter::repeat_n(true, batch.len()));
        } else {
            verdicts.extend(batch.iter().map(|claim| claim.key.verify(&claim.hash, &claim.signature).is_ok()));
        }
    }
    verdicts
}

fn verify_batch(batch: &[Claim]) -> bool {
    let mut verifier = ed25519_zebra::batch::Verifier::new();
    for claim in batch {
        let (PublicKey::Ed25519(key), Signature::Ed25519(signature)) = (claim.key, claim.signature);
        let key = ed25519_zebra::VerificationKeyBytes::from(key);
        verifier.queue((key, ed25519_zebra::Signature::from_bytes(&signature), claim.hash.as_bytes()));
    }
    // The batch's random weights decide only how a forgery is caught, never whether a valid batch passes; without
    // randomness the caller falls back to single verification.
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_err() {
        return false;
    }
    verifier.verify(BatchWeights::new(seed)).is_ok()
}

/// The random weights of a batch equation: BLAKE3's output stream keyed by an operating-system seed.
struct BatchWeights(blake3::OutputReader);

impl BatchWeights {
    fn new(seed: [u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(&seed).finalize_xof())
    }
}

impl ed25519_dalek::rand_core::TryRng for BatchWeights {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(destination);
        Ok(())
    }
}

impl ed25519_dalek::rand_core::TryCryptoRng for BatchWeights {}

/// Text that is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a public key: write `ed25519:` and 64 hexadecimal digits")]
pub struct PublicKeyParseError(String);

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ed25519:{}", Hash(*self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PublicKeyParseError(text.chars().take(80).collect());
        let digits = text.strip_prefix("ed25519:").ok_or_else(error)?;
        digits.parse::<Hash>().map(|hash| Self::Ed25519(hash.0)).map_err(|_| error())
    }
}

serde_as_text!(PublicKey, "PublicKey", "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");

/// Text that is not a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a signature: write `ed25519:` and 128 hexadecimal digits")]
pub struct SignatureParseError;

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ed25519(bytes) = self;
        write!(formatter, "ed25519:{}", hex::encode(bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Signature {
    type Err = SignatureParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("ed25519:").ok_or(SignatureParseError)?;
        let mut bytes = [0; 64];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| SignatureParseError)?;
        let signature = Self::Ed25519(bytes);
        // One text per signature: upper-case digits are refused by writing it again.
        if signature.to_string() == text { Ok(signature) } else { Err(SignatureParseError) }
    }
}

serde_as_text!(Signature, "Signature", "ed25519:<128 hexadecimal digits>");
