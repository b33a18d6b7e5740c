//! What a recorded download releases, on a real ledger whose calls are executed by the real rules.

use std::sync::Arc;

use galen_chain::{Executor, ExecutorConfig, OrderedBatch};
use galen_ledger::{Ledger, LedgerOptions};
use galen_types::access::{AccessTerms, Effect, GrantLimits, Rule, Scope};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::member::{EncryptionKey, NewAccount, NodeAddress, NodeRole, Role};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode};
use galen_types::{
    Batch, Call, DatasetName, Encoding, Genesis, GrantId, Hash, Parameters, RequestId, SecretKey, Signer, Slug,
    Timestamp, TransactionBody, TransactionId, VersionName,
};

use super::release::{RELEASE_MS, Release, release_of};
use crate::http::services::ServiceError;
use crate::runtime::LedgerChainView;

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn key_of(signer: &str) -> SecretKey {
    SecretKey::from_seed(&Hash::of(Context::Commitment, signer.as_bytes()).0)
}

fn encryption_key_of(account: &str) -> EncryptionKey {
    EncryptionKey(Hash::of(Context::Commitment, format!("encryption {account}").as_bytes()).0)
}

fn genesis() -> Genesis {
    let founder = |member: &str| {
        let account = |account: &str, role| {
            let whole = format!("{account}@{member}");
            NewAccount {
                account: name(account),
                key: key_of(&whole).public_key(),
                encryption_key: encryption_key_of(&whole),
                roles: vec![role],
            }
        };
        let accounts =
            vec![account("admin", Role::Admin), account("owner", Role::Owner), account("researcher", Role::Researcher)];
        Founder { name: name(member), accounts, nodes: Vec::new() }
    };
    let mut members = vec![founder("harlem"), founder("kentucky")];
    members[0].nodes.push(FoundingNode {
        node: name("node-1"),
        key: key_of("node-1.harlem").public_key(),
        role: NodeRole::Voter,
        address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7101").unwrap(),
    });
    let founded = Timestamp(1_790_000_000_000);
    let parameters = Parameters::default();
    Genesis { chain: name("opt"), founded, rules_version: 1, state_bucket_bits: 8, parameters, members }
}

/// A chain of one voter; every call is a block, a second after the last.
struct World {
    executor: Executor,
    ledger: Arc<Ledger>,
    genesis: Hash,
    salt: u8,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let genesis = Arc::new(genesis());
        let options = LedgerOptions::new(genesis.hash(), genesis.chain.clone(), genesis.state_bucket_bits);
        let ledger = Arc::new(Ledger::open(folder.path(), &options).unwrap());
        let config = ExecutorConfig {
            genesis: Arc::clone(&genesis),
            node: name("node-1.harlem"),
            voter_keys: vec![key_of("node-1.harlem")],
            orders: true,
            recoveries: galen_chain::recovery::HeldRecoveries::default(),
            verified: Arc::default(),
        };
        let executor = Executor::new(Arc::clone(&ledger), config).unwrap();
        Self { executor, ledger, genesis: genesis.hash(), salt: 0, _folder: folder }
    }

    /// Executes a call in a block of its own, certified or not.
    fn block(&mut self, signer: &str, call: Call, certified: bool) -> TransactionId {
        self.salt += 1;
        let time = self.executor.tip().time.plus_ms(1_000);
        let body = TransactionBody {
            chain: self.genesis,
            signer: name::<Signer>(signer),
            salt: [self.salt; 16],
            valid_until: time.plus_ms(60_000),
            call,
        };
        let signed = body.sign(&key_of(signer));
        let batch = Batch { proposed: time, proposer: name("node-1.harlem"), transactions: vec![signed.encode()] };
        let index = self.executor.tip().height + 1;
        let ordered = OrderedBatch { index, term: 1, bytes: batch.encode().into() };
        let executed = self.executor.execute(&ordered).unwrap();
        assert!(executed.block.is_some(), "{:?}", executed.void);
        if certified {
            for signature in self.executor.sign().unwrap() {
                self.executor.add_signature(signature).unwrap().unwrap();
            }
            self.executor.certify_applied().unwrap();
            assert_eq!(self.ledger.certified_height(), index);
        }
        signed.id()
    }

    #[track_caller]
    fn done(&mut self, signer: &str, call: Call) -> TransactionId {
        let id = self.block(signer, call, true);
        let (_, receipt) = self.ledger.view().unwrap().receipt(&id).unwrap().unwrap();
        assert!(receipt.is_applied(), "{:?}", receipt.outcome);
        id
    }

    fn publish(&mut self) {
        let content = VersionContent {
            commitment: Hash([1; 32]),
            ciphertext: Hash([2; 32]),
            ciphertext_sha256: Hash([3; 32]),
            ciphertext_bytes: 1_000,
            plaintext_bytes: 900,
            format: FileFormat::Csv,
            rows: 10,
            columns: vec![Column { name: name("Age"), kind: ColumnKind::Number }],
            data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
            card: None,
        };
        self.done("owner@harlem", Call::PublishDataset { dataset: name("opt"), content, discoverable: true });
    }

    /// A grant of `kentucky`'s researcher, through a request and its approval.
    fn grant(&mut self, uses_max: Option<u32>) -> GrantId {
        let terms = AccessTerms {
            action: Action::Download,
            purpose: Purpose::HealthcareResearch,
            columns: Vec::new(),
            statistics: Vec::new(),
            data_use: Vec::new(),
        };
        let request = self.done("researcher@kentucky", Call::RequestAccess { dataset: opt(), terms, draft: false });
        let limits = GrantLimits { uses_max, ..GrantLimits::default() };
        GrantId(self.done("owner@harlem", Call::ApproveRequest { request: RequestId(request.0), limits }).0)
    }

    fn download(&mut self, signer: &str) -> TransactionId {
        self.done(signer, download())
    }

    fn release_at(&self, id: &TransactionId, clock: Timestamp) -> Result<Release, ServiceError> {
        release_of(&LedgerChainView::new(&self.ledger).unwrap(), id, clock)
    }

    fn release(&self, id: &TransactionId) -> Result<Release, &'static str> {
        self.release_at(id, self.executor.tip().time).map_err(|error| error.code)
    }

    fn set_contract(&mut self, previous: u32, rules: Vec<Rule>) {
        self.done("owner@harlem", Call::SetContract { scope: Scope::Dataset(opt()), previous, rules });
    }
}

fn opt() -> DatasetName {
    name("harlem/opt")
}

fn download() -> Call {
    Call::Download { version: version(), purpose: Purpose::HealthcareResearch }
}

fn withdrawal() -> Call {
    Call::WithdrawDataset { dataset: opt(), version: None, reason: ReasonCode::DataQuality }
}

fn version() -> VersionName {
    VersionName { dataset: opt(), version: 1 }
}

fn rule(text: &str, effect: Effect) -> Rule {
    Rule {
        name: Slug::parse(text).unwrap(),
        effect,
        members: vec![name("kentucky")],
        accounts: Vec::new(),
        roles: Vec::new(),
        actions: vec![Action::Download],
        purposes: Vec::new(),
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: (effect == Effect::Permit).then_some(1),
    }
}

#[test]
fn a_download_releases_its_version_to_its_account() {
    let mut world = World::new();
    world.publish();
    world.grant(Some(1));
    let id = world.download("researcher@kentucky");
    let release = world.release(&id).unwrap();
    assert_eq!(release.account, name("researcher@kentucky"));
    assert_eq!(release.encryption_key, encryption_key_of("researcher@kentucky"));
    assert_eq!((release.version, release.content.ciphertext), (version(), Hash([2; 32])));
    // The grant's one use is used up; the receipt is good for a resumed transfer all the same.
    assert_eq!(release.decision.effect, Effect::Permit);

    let own = world.download("owner@harlem");
    assert_eq!(world.release(&own).unwrap().account, name("owner@harlem"));
}

#[test]
fn only_a_certified_applied_download_releases() {
    let mut world = World::new();
    world.publish();
    assert_eq!(world.release(&TransactionId(Hash::ZERO)), Err("receipt-unknown"));
    let refused = world.block("researcher@kentucky", download(), true);
    assert_eq!(world.release(&refused), Err("receipt-refused"));
    let other = world.done("owner@harlem", withdrawal());
    assert_eq!(world.release(&other), Err("receipt-unknown"));

    let mut world = World::new();
    world.publish();
    let early = world.block("owner@harlem", download(), false);
    assert_eq!(world.release(&early), Err("not-certified"));
    world.download("owner@harlem");
    assert!(world.release(&early).is_ok(), "the next certificate covers it");
}

#[test]
fn a_receipt_is_good_for_a_day() {
    let mut world = World::new();
    world.publish();
    let id = world.download("owner@harlem");
    let recorded = world.executor.tip().time;
    assert!(world.release_at(&id, recorded.plus_ms(RELEASE_MS)).is_ok());
    assert_eq!(world.release_at(&id, recorded.plus_ms(RELEASE_MS + 1)).unwrap_err().code, "download-expired");
}

#[test]
fn what_is_taken_back_holds_for_receipts_too() {
    let mut world = World::new();
    world.publish();
    let grant = world.grant(None);
    let id = world.download("researcher@kentucky");
    world.done("owner@harlem", Call::RevokeGrant { grant, reason: ReasonCode::TermsBroken });
    assert_eq!(world.release(&id), Err("download-permission-lost"));

    // A rule with a limit of uses: used up is no loss, a new contract without it is, and so is one that denies.
    let mut world = World::new();
    world.publish();
    world.set_contract(1, vec![rule("once", Effect::Permit)]);
    let id = world.download("researcher@kentucky");
    assert!(world.release(&id).is_ok());
    world.set_contract(2, Vec::new());
    assert_eq!(world.release(&id), Err("download-permission-lost"));
    world.set_contract(3, vec![rule("again", Effect::Permit)]);
    assert!(world.release(&id).is_ok());
    world.set_contract(4, vec![rule("again", Effect::Permit), rule("never", Effect::Deny)]);
    assert_eq!(world.release(&id), Err("download-permission-lost"));

    let mut world = World::new();
    world.publish();
    let id = world.download("owner@harlem");
    world.done("owner@harlem", withdrawal());
    assert_eq!(world.release(&id), Err("download-permission-lost"));
}
