//! Sharing of data while everything goes wrong: a dataset, requests, grants that expire, run out and are revoked, downloads;
//! and account keys that change with transactions on their way.

use galen_chain::LedgerState;
use galen_contracts::query;
use galen_types::access::{AccessTerms, GrantLimits, RequestState};
use galen_types::dataset::{FileFormat, VersionContent};
use galen_types::member::{EncryptionKey, Role};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode};
use galen_types::{AccountName, Call, DatasetName, Hash, VersionName};

use crate::cluster::Cluster;
use crate::consortium::{MEMBERS, key, name, new_account};

/// Steps for which the first calls are given time before they are made again.
const AGAIN_STEPS: u64 = 60;

/// What the clients of the data know.
pub(crate) struct Access {
    owner: AccountName,
    researcher: AccountName,
    dataset: DatasetName,
    /// When the accounts and the dataset were asked for.
    began: [Option<u64>; 2],
    /// What the researcher's keys were made from, the newest last.
    keys: Vec<String>,
}

impl Default for Access {
    fn default() -> Self {
        let account = |account: &str, member: usize| name::<AccountName>(&format!("{account}@{}", MEMBERS[member]));
        let (owner, researcher) = (account("owner", 0), account("researcher", 1));
        let keys = vec![researcher.to_string()];
        let dataset = DatasetName { member: owner.member.clone(), dataset: name("opt") };
        Self { owner, researcher, dataset, began: [None; 2], keys }
    }
}

fn content() -> VersionContent {
    VersionContent {
        commitment: Hash([1; 32]),
        ciphertext: Hash([2; 32]),
        ciphertext_sha256: Hash([3; 32]),
        ciphertext_bytes: 200,
        plaintext_bytes: 100,
        format: FileFormat::Opaque,
        rows: 0,
        columns: Vec::new(),
        data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
        card: None,
    }
}

impl Cluster {
    /// Something about the data.
    pub(crate) fn share(&mut self) {
        if !self.random.chance(self.world.access) {
            return;
        }
        let Some(informed) = self.informed() else { return };
        let place = self.random.below(self.nodes.len());
        if self.begin_sharing(informed, place) {
            return;
        }
        let (researcher, dataset) = (self.access.researcher.clone(), self.access.dataset.clone());
        let state = LedgerState(self.nodes[informed].executor().ledger().view().unwrap());
        let requests = query::list_requests_of(&state, &researcher, None, 1_000).unwrap();
        let open: Vec<_> = requests.iter().filter(|request| request.state == RequestState::Submitted).collect();
        let open = open.first().map(|request| request.id);
        let grants = query::list_grants_of(&state, &researcher, None, 1_000).unwrap();
        let now = self.now();
        let in_force = |grant: &&galen_types::access::Grant| {
            grant.revoked.is_none() && grant.limits.expires.is_none_or(|expires| now < expires)
        };
        let granted = grants.iter().rev().find(in_force).map(|grant| grant.id);
        drop(state);
        let download = Call::Download {
            version: VersionName { dataset: dataset.clone(), version: 1 },
            purpose: Purpose::HealthcareResearch,
        };
        match (self.random.below(10), open, granted) {
            (6, ..) => self.rotate(informed, place, &download),
            (7, ..) => self.researcher_calls(informed, place, download),
            (0 | 1, ..) | (_, None, None) => {
                let terms = AccessTerms {
                    action: Action::Download,
                    purpose: Purpose::HealthcareResearch,
                    columns: Vec::new(),
                    statistics: Vec::new(),
                    data_use: Vec::new(),
                };
                self.researcher_calls(informed, place, Call::RequestAccess { dataset, terms, draft: false });
            }
            (2 | 3, Some(request), _) | (_, Some(request), None) => {
                let lifetime = 500 + self.random.below(8_000) as u64;
                let expires = self.random.chance(500).then(|| self.now().plus_ms(lifetime));
                let uses_max = self.random.chance(500).then(|| 1 + self.random.below(3) as u32);
                let limits = GrantLimits { expires, uses_max, cohort_min: None };
                // Both on their way at once, so that they often stand in one block, here and below.
                self.owner_calls(place, Call::ApproveRequest { request, limits });
                self.researcher_calls(informed, place, download);
            }
            (4 | 5, _, Some(grant)) => {
                self.owner_calls(place, Call::RevokeGrant { grant, reason: ReasonCode::ALL[0] });
                self.researcher_calls(informed, place, download);
            }
            _ => self.researcher_calls(informed, place, download),
        }
    }

    /// Makes the accounts and the dataset, until they are there.
    fn begin_sharing(&mut self, informed: usize, place: usize) -> bool {
        let state = LedgerState(self.nodes[informed].executor().ledger().view().unwrap());
        let has = |account: &AccountName| query::get_account(&state, account).unwrap().is_some();
        let accounts = [has(&self.access.owner), has(&self.access.researcher)];
        let published = query::get_dataset(&state, &self.access.dataset).unwrap().is_some();
        drop(state);
        if accounts == [true, true] && published {
            return false;
        }
        // The dataset needs its owner alone.
        let stage = usize::from(accounts[0] && !published);
        if self.access.began[stage].is_some_and(|began| self.step < began + AGAIN_STEPS) {
            return true;
        }
        self.access.began[stage] = Some(self.step);
        for (account, role, there) in
            [("owner", Role::Owner, accounts[0]), ("researcher", Role::Researcher, accounts[1])]
        {
            let member = if role == Role::Owner { MEMBERS[0] } else { MEMBERS[1] };
            if !there {
                let signer = format!("admin@{member}");
                self.call(&key(&signer), &signer, place, Call::AddAccount(new_account(account, member, &[role])));
            }
        }
        if accounts[0] {
            let dataset = self.access.dataset.dataset.clone();
            self.owner_calls(place, Call::PublishDataset { dataset, content: content(), discoverable: false });
        }
        true
    }

    fn owner_calls(&mut self, place: usize, call: Call) {
        let signer = self.access.owner.to_string();
        self.call(&key(&signer), &signer, place, call);
    }

    /// Signs with the key that the best informed node has registered.
    fn researcher_calls(&mut self, informed: usize, place: usize, call: Call) {
        let signer = self.access.researcher.to_string();
        let state = LedgerState(self.nodes[informed].executor().ledger().view().unwrap());
        let registered = query::get_account(&state, &self.access.researcher).unwrap().map(|account| account.key);
        let known = self.access.keys.iter().map(|text| key(text));
        let secret = known.into_iter().find(|secret| Some(secret.public_key()) == registered);
        drop(state);
        self.call(&secret.unwrap_or_else(|| key(&signer)), &signer, place, call);
    }

    /// The researcher's key changes while transactions under the former one are on their way: checked where they came in,
    /// judged by the new key where they stand behind the change.
    fn rotate(&mut self, informed: usize, place: usize, download: &Call) {
        let after = format!("{}-{}", self.access.researcher, self.access.keys.len());
        let rotation = Call::RotateAccountKey {
            account: self.access.researcher.clone(),
            key: key(&after).public_key(),
            encryption_key: EncryptionKey([8; 32]),
        };
        self.access.keys.push(after);
        self.researcher_calls(informed, place, rotation);
        for _ in 0..3 {
            let place = self.random.below(self.nodes.len());
            self.researcher_calls(informed, place, download.clone());
        }
    }
}
