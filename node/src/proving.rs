//! Offline proofs: which key of the state a name stands for, and the proof of a question from a ledger. `docs/proofs.md`
//! has the table of names.

use std::path::Path;

use galen_contracts::keys;
use galen_ledger::constants::EVIDENCE_MAX;
use galen_ledger::{FoundEvidence, Ledger, LedgerError, ProveError, ProvenState};
use galen_types::api::Evidence;
use galen_types::{Genesis, NodeName, Proof, Provable, TransactionId};

/// What is to be proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofQuestion {
    /// A transaction and its receipt.
    Transaction(TransactionId),
    /// What the newest state says of these.
    State {
        /// What.
        names: Vec<Provable>,
        /// Only if the newest state is that after this height.
        height: Option<u64>,
    },
    /// That a voter signed another header than the certified one.
    Evidence {
        /// At which height.
        height: u64,
        /// The voter.
        voter: NodeName,
    },
}

/// The key of the state that a name stands for.
pub fn key_of(name: &Provable) -> Vec<u8> {
    match name {
        Provable::Parameters => keys::parameters().into_bytes(),
        Provable::Voters => keys::voter_set().into_bytes(),
        Provable::MembersActive => keys::members_active().into_bytes(),
        Provable::LastRecovery => keys::last_recovery().into_bytes(),
        Provable::Schedule => keys::schedule().into_bytes(),
        Provable::Applications => keys::applications_open().into_bytes(),
        Provable::Member(name) => keys::member(name).into_bytes(),
        Provable::MemberLeft(name) => keys::member_left(name).into_bytes(),
        Provable::Account(name) => keys::account(name).into_bytes(),
        Provable::Node(name) => keys::node(name).into_bytes(),
        Provable::SigningKey(key) => keys::signing_key(key).into_bytes(),
        Provable::Dataset(name) => keys::dataset(name).into_bytes(),
        Provable::Version(name) => keys::version(&name.dataset, name.version).into_bytes(),
        Provable::Contract(scope) => keys::contract(scope).into_bytes(),
        Provable::ReplacedContract(scope, version) => keys::replaced_contract(scope, *version).into_bytes(),
        Provable::Request(id) => keys::request(*id).into_bytes(),
        Provable::Grant(id) => keys::grant(*id).into_bytes(),
        Provable::Grants(grantee, dataset) => keys::grants_active(grantee, dataset).into_bytes(),
        Provable::Job(id) => keys::job(*id).into_bytes(),
        Provable::Proposal(id) => keys::proposal(*id).into_bytes(),
        Provable::Live(id, until) => keys::live_id(*until, *id).into_bytes(),
        Provable::Key(key) => key.clone(),
    }
}

/// What the newest state says of names. It is a proof once its header is certified.
///
/// # Errors
/// [`ProveError`].
pub(crate) fn state_of(ledger: &Ledger, names: &[Provable], height: Option<u64>) -> Result<ProvenState, ProveError> {
    let keys: Vec<Vec<u8>> = names.iter().map(key_of).collect();
    ledger.prove_keys(&keys, height)
}

/// Answers a question from the ledger in a folder: a backup's, a snapshot's, or a stopped node's.
///
/// # Errors
/// [`ProveError`].
pub fn prove_in_folder(folder: &Path, genesis: &Genesis, question: &ProofQuestion) -> Result<Proof, ProveError> {
    let ledger = Ledger::open_read_only(folder)?;
    let view = ledger.view()?;
    match question {
        ProofQuestion::Transaction(id) => view.prove_transaction(genesis, id),
        ProofQuestion::Evidence { height, voter } => view.prove_evidence(genesis, *height, voter),
        ProofQuestion::State { names, height } => {
            let ProvenState { subject, header } = state_of(&ledger, names, *height)?;
            view.certified_proof(genesis, subject, &header)
        }
    }
}

/// The evidence that the ledger in a folder holds.
///
/// # Errors
/// When the ledger cannot be read.
pub fn evidence_in_folder(folder: &Path) -> Result<Vec<Evidence>, LedgerError> {
    let ledger = Ledger::open_read_only(folder)?;
    let found = ledger.view()?.found_evidence(0, EVIDENCE_MAX)?;
    Ok(found.iter().map(told_evidence).collect())
}

/// Evidence as the API tells it.
pub(crate) fn told_evidence(found: &FoundEvidence) -> Evidence {
    let FoundEvidence { signature, certified, also } = found;
    Evidence {
        height: signature.height,
        voter: signature.voter.clone(),
        epoch: certified.epoch,
        time: certified.time,
        signed: signature.header,
        certified: certified.hash(),
        both: also.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stand-alone verifier, which knows nothing of the contracts, calls every key by the name it was asked for.
    #[test]
    fn the_verifier_calls_each_key_by_its_name() {
        let id = "ab".repeat(32);
        let names = [
            "parameters".to_owned(),
            "voters".to_owned(),
            "members-active".to_owned(),
            "last-recovery".to_owned(),
            "schedule".to_owned(),
            "applications".to_owned(),
            "member:harlem".to_owned(),
            "member-left:harlem".to_owned(),
            "account:alice@harlem".to_owned(),
            "node:node-1.harlem".to_owned(),
            format!("signing-key:ed25519:{id}"),
            "dataset:harlem/opt".to_owned(),
            "version:harlem/opt@3".to_owned(),
            "contract:harlem/opt".to_owned(),
            "contract:harlem/*".to_owned(),
            "replaced-contract:harlem/opt@2".to_owned(),
            "replaced-contract:harlem/*@2".to_owned(),
            format!("request:{id}"),
            format!("grant:{id}"),
            "grants:alice@harlem:mississippi/opt".to_owned(),
            format!("job:{id}"),
            format!("proposal:{id}"),
            format!("live:{id}@2026-11-21T10:00:00.000Z"),
            "key:ff01".to_owned(),
        ];
        for name in names {
            let key = key_of(&name.parse().unwrap());
            assert_eq!(galen_verifier::key_in_words(&key), name);
        }
    }
}
