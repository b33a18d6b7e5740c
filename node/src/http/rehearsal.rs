//! Executing a call on the present state without recording it: what the rules would say to it in the next block. A
//! rehearsal is no promise: the block may come later, and other calls before it.

use galen_contracts::query::get_voter_set;
use galen_contracts::{BlockContext, Verdict, execute};
use galen_types::{
    Call, DecodedTransaction, Encoding, Signature, SignedTransaction, Signer, Timestamp, TransactionBody,
};

use super::refusal::Refusal;
use super::services::{ChainService, ChainView, ServiceError};

/// How long a rehearsed call of this node would be valid, milliseconds.
const VALIDITY_MS: u64 = 10_000;

/// What would become of a transaction; its signature is not looked at.
pub(crate) fn rehearse(
    chain: &dyn ChainService,
    view: &dyn ChainView,
    transaction: &DecodedTransaction,
) -> Result<Verdict, Refusal> {
    let last = view.header(view.height())?.map_or(chain.genesis().founded, |header| header.time);
    let context = BlockContext {
        genesis: *chain.genesis_hash(),
        height: view.height().saturating_add(1),
        time: last.plus_ms(1).max(Timestamp::now()),
        rules_version: chain.genesis().rules_version,
        epoch: get_voter_set(view.state())?.epoch,
        recovery: false,
    };
    Ok(execute(view.state(), &context, transaction)?)
}

/// What would become of a call of this node.
pub(crate) fn rehearse_own(chain: &dyn ChainService, view: &dyn ChainView, call: Call) -> Result<Verdict, Refusal> {
    let body = TransactionBody {
        chain: *chain.genesis_hash(),
        signer: Signer::Node(chain.node().clone()),
        salt: [0; 16],
        valid_until: Timestamp::now().plus_ms(VALIDITY_MS),
        call,
    };
    let bytes = SignedTransaction { body: body.encode(), signature: Signature::Ed25519([0; 64]) }.encode();
    let length = bytes.len();
    let decoded =
        DecodedTransaction::decode(bytes, length).map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
    rehearse(chain, view, &decoded)
}
