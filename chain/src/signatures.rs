//! Signatures of transactions, checked in batches and remembered. What is remembered is keyed by id, signature and key
//! together: never by id alone, since other signatures over the same body may be false.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use galen_types::hash::{Context, Hash};
use galen_types::signature::{Claim, PublicKey, Signature, verify_all};
use galen_types::{DecodedTransaction, TransactionId};

use crate::limits::VERIFIED_MAX;

/// A transaction whose signature was found valid under the key that its signer had registered then. Execution checks
/// again that the key is still the registered one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTransaction(DecodedTransaction);

impl VerifiedTransaction {
    /// The transaction.
    pub fn decoded(&self) -> &DecodedTransaction {
        &self.0
    }

    /// Gives the transaction up.
    pub fn into_decoded(self) -> DecodedTransaction {
        self.0
    }
}

/// What is remembered of one valid signature.
fn fingerprint(id: &TransactionId, signature: &Signature, key: &PublicKey) -> [u8; 32] {
    #[cfg(feature = "planted")]
    if galen_planted::is_on(galen_planted::Bug::CacheByIdAlone) {
        return Hash::of_parts(Context::VerifiedSignature, &[id.0.as_bytes()]).0;
    }
    let Signature::Ed25519(signature) = signature;
    Hash::of_parts(Context::VerifiedSignature, &[id.0.as_bytes(), signature, key.as_bytes()]).0
}

#[derive(Default)]
struct Remembered {
    set: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

/// Signatures found valid lately, shared by the threads of a node.
#[derive(Default)]
pub struct VerifiedCache {
    remembered: Mutex<Remembered>,
}

impl VerifiedCache {
    /// Judges each transaction under its key; `None` as key (an unknown signer) is judged invalid. Valid ones are
    /// remembered.
    pub fn verify(&self, transactions: &[(&DecodedTransaction, Option<PublicKey>)]) -> Vec<bool> {
        let mut verdicts = vec![false; transactions.len()];
        let (mut places, mut claims, mut prints) = (Vec::new(), Vec::new(), Vec::new());
        {
            let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, (transaction, key)) in transactions.iter().enumerate() {
                let Some(key) = key else { continue };
                let print = fingerprint(&transaction.id, &transaction.signature, key);
                if remembered.set.contains(&print) {
                    verdicts[place] = true;
                } else {
                    places.push(place);
                    prints.push(print);
                    claims.push(Claim { key: *key, hash: transaction.id.0, signature: transaction.signature });
                }
            }
        }
        let fresh = verify_all(&claims);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        for ((place, print), valid) in places.into_iter().zip(prints).zip(fresh) {
            verdicts[place] = valid;
            if valid && remembered.set.insert(print) {
                remembered.order.push_back(print);
                if remembered.order.len() > VERIFIED_MAX
                    && let Some(oldest) = remembered.order.pop_front()
                {
                    remembered.set.remove(&oldest);
                }
            }
        }
        verdicts
    }

    /// Checks transactions on arrival; `None` where the signature or the signer is not valid.
    pub fn admit(
        &self,
        transactions: Vec<(DecodedTransaction, Option<PublicKey>)>,
    ) -> Vec<Option<VerifiedTransaction>> {
        let verdicts =
            self.verify(&transactions.iter().map(|(transaction, key)| (transaction, *key)).collect::<Vec<_>>());
        let judged = transactions.into_iter().zip(verdicts);
        judged.map(|((transaction, _), valid)| valid.then_some(VerifiedTransaction(transaction))).collect()
    }
}
