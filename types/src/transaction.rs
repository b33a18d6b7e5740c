//! Transactions: a body that says who asks what of which chain and until when, and a signature over its exact bytes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::call::Call;
use crate::encoding::{DecodeError, Encoding};
use crate::hash::{Context, Hash};
use crate::identifier::TransactionId;
use crate::name::Signer;
use crate::signature::{BadSignature, PublicKey, SecretKey, Signature};
use crate::time::Timestamp;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
pub struct TransactionBody {
    /// The chain it is meant for: the hash of its genesis.
    pub chain: Hash,
    /// Who asks.
    pub signer: Signer,
    /// Random, so that the same call can be made twice and ids cannot be guessed.
    #[serde(with = "hex::serde")]
    #[schema(value_type = String)]
    pub salt: [u8; 16],
    /// The last block time at which it may be executed; at most the chain's horizon (10 minutes) ahead.
    pub valid_until: Timestamp,
    /// What is asked.
    pub call: Call,
}

/// A transaction as it travels and is stored: exact body bytes and the signature over them.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SignedTransaction {
    /// The encoding of a [`TransactionBody`].
    pub body: Vec<u8>,
    /// Over the transaction id.
    pub signature: Signature,
}

impl TransactionBody {
    /// Signs the body.
    pub fn sign(&self, key: &SecretKey) -> SignedTransaction {
        let body = self.encode();
        let id = transaction_id(&body);
        SignedTransaction { body, signature: key.sign(&id.0) }
    }
}

impl SignedTransaction {
    /// The id: the hash of the exact body bytes.
    pub fn id(&self) -> TransactionId {
        transaction_id(&self.body)
    }
}

fn transaction_id(body: &[u8]) -> TransactionId {
    TransactionId(Hash::of(Context::TransactionId, body))
}

/// A transaction that was decoded exactly; its signature is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedTransaction {
    /// The hash of the exact body bytes.
    pub id: TransactionId,
    /// The body.
    pub body: TransactionBody,
    /// The signature over the id.
    pub signature: Signature,
    /// The full signed bytes, as they go into a block.
    pub bytes: Vec<u8>,
}

impl DecodedTransaction {
    /// Decodes full signed bytes of at most `limit` bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not exactly one transaction.
    pub fn decode(bytes: Vec<u8>, limit: usize) -> Result<Self, DecodeError> {
        let signed = SignedTransaction::decode(&bytes, limit)?;
        let body = TransactionBody::decode(&signed.body, limit)?;
        Ok(Self { id: signed.id(), body, signature: signed.signature, bytes })
    }

    /// Checks the signature under the key that the signer has registered.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify.
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        key.verify(&self.id.0, &self.signature)
    }
}
