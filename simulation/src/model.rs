//! The rules of the chain, kept a second time and independently of the replica's code: whose key counts, which grants are in
//! force, what may be recorded when. Every block is judged by it when it is first seen.

use std::collections::BTreeMap;

use galen_chain::LedgerState;
use galen_contracts::query;
use galen_types::access::GrantLimits;
use galen_types::{
    AccountName, Block, BlockHeader, Call, DatasetName, DecodedTransaction, Genesis, GrantId, Outcome, PublicKey,
    Receipt, RequestId, Signer, Timestamp,
};

struct Given {
    grantee: AccountName,
    dataset: DatasetName,
    limits: GrantLimits,
    asserted: Timestamp,
    uses: u32,
    revoked: bool,
}

impl Given {
    fn in_force(&self, now: Timestamp) -> bool {
        !self.revoked
            && self.limits.expires.is_none_or(|expires| now < expires)
            && self.limits.uses_max.is_none_or(|uses_max| self.uses < uses_max)
    }
}

/// What the blocks so far amount to.
#[derive(Default)]
pub(crate) struct Model {
    keys: BTreeMap<Signer, PublicKey>,
    requests: BTreeMap<RequestId, (AccountName, DatasetName)>,
    grants: BTreeMap<GrantId, Given>,
    time: Timestamp,
    horizon_ms: u64,
}

impl Model {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let mut keys = BTreeMap::new();
        for member in &genesis.members {
            for account in &member.accounts {
                let name = AccountName { account: account.account.clone(), member: member.name.clone() };
                keys.insert(Signer::Account(name), account.key);
            }
        }
        keys.extend(genesis.nodes().into_iter().map(|node| (Signer::Node(node.name), node.key)));
        let horizon_ms = genesis.parameters.transaction_horizon_ms;
        Self { keys, time: genesis.founded, horizon_ms, ..Self::default() }
    }

    /// Judges the next block and takes it in; gives how many downloads it judged.
    pub(crate) fn take(&mut self, header: &BlockHeader, block: &Block, receipts: &[Receipt]) -> u64 {
        let (height, time) = (header.height, header.time);
        assert!(time > self.time, "the time of block {height} is not after its parent's");
        assert_eq!(block.transactions.len(), receipts.len(), "receipts of block {height}");
        // A key holds from the block after the one that registers it.
        let mut keys = self.keys.clone();
        let mut judged = 0;
        for (bytes, receipt) in block.transactions.iter().zip(receipts) {
            let transaction = DecodedTransaction::decode(bytes.clone(), 1 << 20).unwrap();
            let (id, body) = (transaction.id, &transaction.body);
            let key = self.keys.get(&body.signer);
            let valid = key.is_some_and(|key| key.verify(&id.0, &transaction.signature).is_ok());
            assert!(valid, "{id} in block {height} is not signed by the key that {} had registered", body.signer);
            assert!(body.valid_until >= time, "{id} was valid until {}, block {height} is of {time}", body.valid_until);
            let latest = time.plus_ms(self.horizon_ms);
            assert!(body.valid_until <= latest, "{id} in block {height} is valid beyond the horizon");
            judged += self.call(&transaction, &receipt.outcome, header, &mut keys);
        }
        self.keys = keys;
        self.time = time;
        judged
    }

    /// Compares the grants in a state after the last block with those kept here; gives how many.
    pub(crate) fn compare(&self, state: &LedgerState<'_>) -> u64 {
        for (id, given) in &self.grants {
            let Some(grant) = query::get_grant(state, *id).unwrap() else { panic!("grant {id} is not in the state") };
            assert_eq!(grant.uses, given.uses, "uses of grant {id} in the state");
            assert!(grant.revoked.is_some() || !given.revoked, "grant {id} was revoked, and is not in the state");
        }
        self.grants.len() as u64
    }

    fn call(
        &mut self,
        transaction: &DecodedTransaction,
        outcome: &Outcome,
        header: &BlockHeader,
        keys: &mut BTreeMap<Signer, PublicKey>,
    ) -> u64 {
        let (height, time) = (header.height, header.time);
        let Signer::Account(signer) = &transaction.body.signer else { return 0 };
        let applied = *outcome == Outcome::Applied;
        match &transaction.body.call {
            Call::Download { version, .. } => {
                let dataset = &version.dataset;
                let fits = |given: &Given| given.grantee == *signer && given.dataset == *dataset;
                let rank = |id: &GrantId, given: &Given| (given.limits.uses_max.is_some(), given.asserted, *id);
                let best = self.grants.iter_mut().filter(|(_, given)| fits(given) && given.in_force(time));
                let best = best.min_by_key(|(id, given)| rank(id, given));
                match (best, outcome) {
                    (Some((_, given)), Outcome::Applied) => given.uses = given.uses.saturating_add(1),
                    (None, Outcome::Applied) => {
                        panic!("block {height} gives {dataset} to {signer}, who has no grant in force")
                    }
                    (Some(_), Outcome::Refused { rule, .. }) => assert_ne!(
                        rule.as_str(),
                        "nothing-permits",
                        "block {height} refuses {dataset} to {signer}, who has a grant in force"
                    ),
                    (None, Outcome::Refused { .. }) => {}
                }
                return 1;
            }
            _ if !applied => {}
            Call::AddAccount(new) => {
                let account = AccountName { account: new.account.clone(), member: signer.member.clone() };
                keys.insert(Signer::Account(account), new.key);
            }
            Call::RotateAccountKey { account, key, .. } => {
                keys.insert(Signer::Account(account.clone()), *key);
            }
            Call::RotateNodeKey { node, key } => {
                keys.insert(Signer::Node(node.clone()), *key);
            }
            Call::RequestAccess { dataset, .. } => {
                let request = RequestId(transaction.id.0);
                self.requests.insert(request, (signer.clone(), dataset.clone()));
            }
            Call::ApproveRequest { request, limits } => {
                let (grantee, dataset) = self.requests[request].clone();
                let given = Given { grantee, dataset, limits: limits.clone(), asserted: time, uses: 0, revoked: false };
                self.grants.insert(GrantId(transaction.id.0), given);
            }
            Call::RevokeGrant { grant, .. } => self.grants.get_mut(grant).unwrap().revoked = true,
            _ => {}
        }
        0
    }
}
