//! A consortium in memory: three hospitals whose calls are executed by the real rules, one block a call.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for tests, which assert by panicking; fuzzing uses a part"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use galen_contracts::query::{get_version, get_voter_set};
use galen_contracts::{
    BlockContext, EventPosition, EventQuery, StateError, StateRead, Verdict, begin_block, execute, genesis_writes,
    index_entries, signer_key,
};
use galen_types::access::{Basis, Decision, Effect};
use galen_types::api::{
    BlockSummary, Card, ChainStatus, DownloadTicket, Evidence, FileKeyDeposit, FileVerification, Finality, JobOpening,
    PeerStatus, StoredFile, StreamEvent, TransactionStatus,
};
use galen_types::application::{InvitationToken, SignedApplication};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::member::{Account, EncryptionKey, NewAccount, NodeAddress, NodeRole, Role};
use galen_types::vocabulary::{DataUse, DataUseTerm};
use galen_types::{
    AccountName, BlockHeader, Call, Certificate, DatasetName, DecodedTransaction, Encoding, Genesis, Hash, JobId,
    NodeName, Parameters, ProposalId, PublicKey, Receipt, SecretKey, Signature, Timestamp, TransactionBody,
    TransactionId,
};
use prometheus_client::registry::Registry;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::http::services::{
    BackupSummary, ByteRange, ByteStream, ChainService, ChainView, ErrorKind, FileContent, FileService, HealthCheck,
    HealthService, JobResult, JobService, MembershipService, OperatorService, OrderingStatus, Participation,
    ServiceError, Services, SnapshotSummary, StoredBlock, StoredTransaction, TransactionPlace,
};
use crate::http::{HttpMetrics, HttpSettings, Server, TlsFiles, serve};
use crate::proving::ProofQuestion;

pub(super) const MEMBERS: [&str; 3] = ["harlem", "hennepin", "kentucky"];

/// Reads a name of any kind.
pub(super) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(super) fn key_of(signer: &str) -> SecretKey {
    SecretKey::from_seed(&Hash::of(Context::Commitment, signer.as_bytes()).0)
}

fn genesis() -> Genesis {
    let account = |account: &str, member: &str, role| NewAccount {
        account: name(account),
        key: key_of(&format!("{account}@{member}")).public_key(),
        encryption_key: EncryptionKey([9; 32]),
        roles: vec![role],
    };
    let node = |node: &str, member: &str, role| FoundingNode {
        node: name(node),
        key: key_of(&format!("{node}.{member}")).public_key(),
        role,
        address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7101").unwrap(),
    };
    let founder = |member: &str| Founder {
        name: name(member),
        accounts: vec![
            account("admin", member, Role::Admin),
            account("owner", member, Role::Owner),
            account("researcher", member, Role::Researcher),
            account("auditor", member, Role::Auditor),
            account("suspended", member, Role::Owner),
        ],
        nodes: vec![node("node-1", member, NodeRole::Voter)],
    };
    let mut members: Vec<_> = MEMBERS.into_iter().map(founder).collect();
    members[0].nodes.push(node("aggregator", "harlem", NodeRole::Aggregator));
    let founded = Timestamp(Timestamp::now().0 - 300_000);
    let parameters = Parameters::default();
    Genesis { chain: name("opt"), founded, rules_version: 1, state_bucket_bits: 8, parameters, members }
}

#[derive(Clone, Default)]
struct MemoryState(BTreeMap<Vec<u8>, Vec<u8>>);

impl StateRead for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        start_after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        let rows = self.0.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        let rows = rows.filter(|(key, _)| start_after.is_none_or(|start| key.as_slice() > start));
        Ok(rows.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// The chain at one moment.
#[derive(Clone, Default)]
struct Moment {
    state: MemoryState,
    blocks: Vec<StoredBlock>,
    places: HashMap<TransactionId, TransactionPlace>,
    events: BTreeSet<Vec<u8>>,
    certified: u64,
}

impl Moment {
    fn write(&mut self, writes: galen_contracts::Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.state.0.insert(key, value),
                None => self.state.0.remove(&key),
            };
        }
    }

    fn at(&self, height: u64) -> Option<&StoredBlock> {
        self.blocks.get(usize::try_from(height.checked_sub(1)?).unwrap())
    }
}

impl ChainView for Arc<Moment> {
    fn state(&self) -> &dyn StateRead {
        &self.state
    }

    fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    fn certified_height(&self) -> u64 {
        self.certified
    }

    fn header(&self, height: u64) -> Result<Option<BlockHeader>, ServiceError> {
        Ok(self.at(height).map(|block| block.header.clone()))
    }

    fn transaction_count(&self, height: u64) -> Result<u32, ServiceError> {
        Ok(self.at(height).map_or(0, |block| u32::try_from(block.receipts.len()).unwrap()))
    }

    fn block(&self, height: u64) -> Result<Option<StoredBlock>, ServiceError> {
        Ok(self.at(height).cloned())
    }

    fn certificate(&self, height: u64) -> Result<Option<Certificate>, ServiceError> {
        let header = self.at(height).filter(|_| height <= self.certified).map(|block| block.header.hash());
        Ok(header.map(|header| Certificate { height, header, signatures: Vec::new() }))
    }

    fn evidence(&self, from: u64, limit: usize) -> Result<Vec<Evidence>, ServiceError> {
        let header = self.at(1).filter(|_| from <= 1 && limit > 0).map(|block| block.header.clone());
        let signed = Hash([6; 32]);
        let found = |header: BlockHeader| Evidence {
            height: 1,
            voter: name("node-1.kentucky"),
            epoch: 0,
            time: header.time,
            signed,
            certified: header.hash(),
            both: false,
        };
        Ok(header.map(found).into_iter().collect())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<StoredTransaction>, ServiceError> {
        let Some(place) = self.places.get(id) else { return Ok(None) };
        let block = self.at(place.height).unwrap();
        let index = usize::try_from(place.index).unwrap();
        let (bytes, receipt) = (block.transactions[index].clone(), block.receipts[index].clone());
        Ok(Some(StoredTransaction { place: *place, bytes, receipt }))
    }

    fn receipt(&self, place: TransactionPlace) -> Result<Option<Receipt>, ServiceError> {
        Ok(self.at(place.height).map(|block| block.receipts[usize::try_from(place.index).unwrap()].clone()))
    }

    fn events(
        &self,
        query: &EventQuery,
        start_after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<EventPosition>, ServiceError> {
        let start = start_after.map(|position| query.key(position));
        let prefix = query.prefix();
        let keys = self.events.range(prefix.clone()..).take_while(|key| key.starts_with(&prefix));
        let keys = keys.filter(|key| start.as_ref().is_none_or(|start| *key > start));
        Ok(keys.take(limit).filter_map(|key| EventPosition::of_key(key)).collect())
    }
}

/// The consortium, as all services in one.
pub(super) struct World {
    genesis: Genesis,
    genesis_hash: Hash,
    node: NodeName,
    moment: Mutex<Arc<Moment>>,
    /// While this node lags: what it shows, and in how many views still.
    lag: Mutex<Option<(Arc<Moment>, usize)>>,
    /// While set, no quorum confirms a read.
    pub(super) unconfirmed: Mutex<bool>,
    events: broadcast::Sender<Arc<StreamEvent>>,
    salt: Mutex<u64>,
    /// While set, new blocks are not certified.
    pub(super) uncertified: Mutex<bool>,
    /// What `/livez` and `/readyz` say.
    pub(super) well: Mutex<bool>,
    pub(super) stored: Mutex<BTreeMap<Hash, Bytes>>,
    pub(super) openings: Mutex<Vec<(AccountName, JobOpening)>>,
    /// The result document of every job.
    pub(super) result: Mutex<Bytes>,
    pub(super) cards: Mutex<BTreeMap<DatasetName, Card>>,
    /// Other nodes that are not connected.
    pub(super) away: Mutex<BTreeSet<NodeName>>,
    /// Contacts of applicants, by proposal.
    pub(super) contacts: Mutex<BTreeMap<ProposalId, String>>,
    /// What was dialled.
    pub(super) dialled: Mutex<Vec<(NodeAddress, PublicKey)>>,
    /// The token that applications need; none if they need none.
    pub(super) invites: Mutex<Option<InvitationToken>>,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        let genesis = genesis();
        genesis.check().unwrap();
        let mut moment = Moment::default();
        moment.state.0.extend(genesis_writes(&genesis));
        let world = Arc::new(Self {
            genesis_hash: genesis.hash(),
            genesis,
            node: name("node-1.harlem"),
            moment: Mutex::new(Arc::new(moment)),
            lag: Mutex::default(),
            unconfirmed: Mutex::new(false),
            events: broadcast::channel(16).0,
            salt: Mutex::default(),
            uncertified: Mutex::new(false),
            well: Mutex::new(true),
            stored: Mutex::default(),
            openings: Mutex::default(),
            result: Mutex::default(),
            cards: Mutex::default(),
            away: Mutex::default(),
            contacts: Mutex::default(),
            dialled: Mutex::default(),
            invites: Mutex::default(),
        });
        for member in MEMBERS {
            let account = name(&format!("suspended@{member}"));
            let reason = galen_types::vocabulary::ReasonCode::Administrative;
            world.done(&format!("admin@{member}"), Call::SuspendAccount { account, reason });
        }
        world
    }

    /// A face over a new world, without a connection.
    #[cfg(feature = "fuzzing")]
    pub(super) async fn face() -> Result<(Arc<Self>, Arc<crate::http::app::App>), String> {
        let settings = HttpSettings { listen: name("127.0.0.1:0"), public_url: None, tls: None };
        let server = Server::bind(&settings).await.map_err(|error| error.to_string())?;
        let world = Self::new();
        let mut registry = Registry::with_prefix("galen");
        let metrics = HttpMetrics::new(&mut registry);
        let shutdown = CancellationToken::new();
        let app = crate::http::app::App::new(world.services(), metrics, Arc::new(registry), &server, shutdown);
        Ok((world, Arc::new(app.map_err(|error| error.to_string())?)))
    }

    #[cfg(feature = "fuzzing")]
    pub(super) fn own_node(&self) -> NodeName {
        self.node.clone()
    }

    fn services(self: &Arc<Self>) -> Services {
        Services {
            chain: self.clone(),
            files: self.clone(),
            jobs: self.clone(),
            membership: self.clone(),
            operator: self.clone(),
            health: self.clone(),
        }
    }

    pub(super) fn genesis_of(&self) -> Hash {
        self.genesis_hash
    }

    pub(super) fn height(&self) -> u64 {
        self.moment.lock().unwrap().height()
    }

    fn now(&self) -> Timestamp {
        let moment = self.moment.lock().unwrap();
        moment.blocks.last().map_or(self.genesis.founded, |block| block.header.time)
    }

    /// From now on the node shows in so many views what there is now, or until a read is confirmed.
    pub(super) fn fall_behind(&self, views: usize) {
        *self.lag.lock().unwrap() = Some((Arc::clone(&self.moment.lock().unwrap()), views));
    }

    /// What a view shows.
    fn shown(&self) -> Arc<Moment> {
        let mut lag = self.lag.lock().unwrap();
        match lag.as_mut().filter(|(_, views)| *views > 0) {
            Some((moment, views)) => {
                *views -= 1;
                Arc::clone(moment)
            }
            None => Arc::clone(&self.moment.lock().unwrap()),
        }
    }

    /// Everything so far is certified.
    pub(super) fn certify(&self) {
        let mut moment = self.moment.lock().unwrap();
        let height = moment.height();
        Arc::make_mut(&mut moment).certified = height;
    }

    pub(super) fn publish_event(&self, event: StreamEvent) {
        // Nobody may be listening.
        let _ = self.events.send(Arc::new(event));
    }

    /// A signed transaction.
    pub(super) fn transaction(&self, signer: &str, call: Call) -> Vec<u8> {
        let mut salt = [0; 16];
        {
            let mut count = self.salt.lock().unwrap();
            *count += 1;
            salt[..8].copy_from_slice(&count.to_le_bytes());
        }
        let body = TransactionBody {
            chain: self.genesis_hash,
            signer: name(signer),
            salt,
            valid_until: Timestamp::now().plus_ms(60_000),
            call,
        };
        body.sign(&key_of(signer)).encode()
    }

    /// Makes a block of a call that must be done; gives the transaction's id.
    pub(super) fn done(&self, signer: &str, call: Call) -> Hash {
        let status = self.apply(self.transaction(signer, call)).unwrap();
        let receipt = status.receipt.unwrap();
        assert!(receipt.is_applied(), "{receipt:?}");
        receipt.transaction.0
    }

    fn status_of(moment: &Arc<Moment>, id: &TransactionId) -> Option<TransactionStatus> {
        let stored = moment.transaction(id).unwrap()?;
        let body = DecodedTransaction::decode(stored.bytes, 1 << 20).unwrap().body;
        let finality = if stored.place.height <= moment.certified { Finality::Certified } else { Finality::Committed };
        Some(TransactionStatus {
            id: *id,
            finality,
            height: Some(stored.place.height),
            index: Some(stored.place.index),
            time: Some(moment.at(stored.place.height).unwrap().header.time),
            receipt: Some(stored.receipt),
            body: Some(body),
        })
    }

    /// Makes a block of one transaction.
    fn apply(&self, bytes: Vec<u8>) -> Result<TransactionStatus, ServiceError> {
        let decoded = DecodedTransaction::decode(bytes, 256 << 10)
            .map_err(|error| ServiceError::new(ErrorKind::Malformed, error.code(), error.to_string()))?;
        let mut guard = self.moment.lock().unwrap();
        if let Some(status) = Self::status_of(&guard, &decoded.id) {
            return Ok(status);
        }
        let moment = Arc::make_mut(&mut guard);
        let height = moment.blocks.len() as u64 + 1;
        let parent = moment.blocks.last().map(|block| block.header.clone());
        let time = parent.as_ref().map_or(self.genesis.founded, |header| header.time).plus_ms(1_000);
        let epoch = get_voter_set(&moment.state).unwrap().epoch;
        let context =
            BlockContext { genesis: self.genesis_hash, height, time, rules_version: 1, epoch, recovery: false };
        let begun = begin_block(&moment.state, &context).unwrap();
        moment.write(begun.writes);
        let key = signer_key(&moment.state, &decoded.body.signer).unwrap();
        if key.is_none_or(|key| decoded.verify(&key).is_err()) {
            let text = "the signature does not verify";
            return Err(ServiceError::new(ErrorKind::Unauthenticated, "transaction-bad-signature", text));
        }
        let recorded = match execute(&moment.state, &context, &decoded).unwrap() {
            Verdict::Recorded(recorded) => recorded.after(begun.events),
            Verdict::Void(reason) => return Err(ServiceError::new(ErrorKind::Gone, reason.code(), reason.to_string())),
        };
        let (receipt, writes) = recorded.into_receipt(decoded.id);
        moment.write(writes);
        moment.events.extend(index_entries(height, 0, &receipt));
        let header = BlockHeader {
            genesis: self.genesis_hash,
            chain: self.genesis.chain.clone(),
            height,
            parent: parent.map_or(self.genesis_hash, |header| header.hash()),
            time,
            epoch,
            voter_set: Hash::ZERO,
            next_voter_set: Hash::ZERO,
            rules_version: 1,
            proposer: self.node.clone(),
            raft_term: 1,
            raft_index: height,
            transactions_root: Hash::ZERO,
            receipts_root: Hash::ZERO,
            history_root: Hash::ZERO,
            state_root: Hash::ZERO,
        };
        let summary = BlockSummary { height, hash: header.hash(), time, transactions: 1, proposer: self.node.clone() };
        moment.places.insert(decoded.id, TransactionPlace { height, index: 0 });
        moment.blocks.push(StoredBlock { header, transactions: vec![decoded.bytes], receipts: vec![receipt] });
        if !*self.uncertified.lock().unwrap() {
            moment.certified = height;
        }
        let status = Self::status_of(&guard, &decoded.id).unwrap();
        drop(guard);
        self.publish_event(StreamEvent::Block(summary));
        self.publish_event(StreamEvent::Receipt(Box::new(status.clone())));
        Ok(status)
    }
}

fn outcome_unknown(id: &TransactionId) -> ServiceError {
    ServiceError::new(ErrorKind::TimedOut, "outcome-unknown", format!("transaction {id} has not come so far yet"))
}

impl ChainService for World {
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn genesis_hash(&self) -> &Hash {
        &self.genesis_hash
    }

    fn node(&self) -> &NodeName {
        &self.node
    }

    fn status(&self) -> ChainStatus {
        let height = self.shown().height();
        ChainStatus {
            chain: self.genesis.chain.clone(),
            genesis: self.genesis_hash,
            node: self.node.clone(),
            role: NodeRole::Voter,
            version: "0".to_owned(),
            encryption_key: EncryptionKey([1; 32]),
            height,
            header: Hash::ZERO,
            time: self.now(),
            certified_height: height,
            epoch: 0,
            voters: vec![self.node.clone()],
            quorum: 1,
            faults_tolerated: 0,
            leader: Some(self.node.clone()),
            peers: 0,
            ready: true,
        }
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let away = self.away.lock().unwrap();
        let others = self.genesis.nodes().into_iter().filter(|node| node.name != self.node);
        others
            .map(|node| PeerStatus {
                connected: !away.contains(&node.name),
                node: node.name,
                role: node.role,
                connected_since: None,
                round_trip_us: None,
            })
            .collect()
    }

    fn view(&self) -> Result<Box<dyn ChainView + '_>, ServiceError> {
        Ok(Box::new(self.shown()))
    }

    fn confirm(&self, _: Instant) -> BoxFuture<'_, Result<(), ServiceError>> {
        async move {
            if *self.unconfirmed.lock().unwrap() {
                let error = ServiceError::new(ErrorKind::Unavailable, "read-not-confirmed", "no leader is known");
                return Err(error.with_hint("ask again"));
            }
            *self.lag.lock().unwrap() = None;
            Ok(())
        }
        .boxed()
    }

    fn prove(&self, question: ProofQuestion, _: Instant) -> BoxFuture<'_, Result<Vec<u8>, ServiceError>> {
        Box::pin(async move { Ok(format!("{question:?}").into_bytes()) })
    }

    fn submit(
        &self,
        transaction: Vec<u8>,
        wait: Finality,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>> {
        async move {
            let mut status = self.apply(transaction)?;
            if wait == Finality::Pending {
                status.finality = Finality::Pending;
            }
            if wait > status.finality { Err(outcome_unknown(&status.id)) } else { Ok(status) }
        }
        .boxed()
    }

    fn submit_many(
        &self,
        transactions: Vec<Vec<u8>>,
        wait: Finality,
        deadline: Instant,
    ) -> BoxFuture<'_, Vec<Result<TransactionStatus, ServiceError>>> {
        async move {
            let submissions = transactions.into_iter().map(|transaction| self.submit(transaction, wait, deadline));
            futures::future::join_all(submissions).await
        }
        .boxed()
    }

    fn wait(
        &self,
        id: TransactionId,
        _wait: Finality,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<Option<TransactionStatus>, ServiceError>> {
        let status = Self::status_of(&self.moment.lock().unwrap(), &id);
        async move { Ok(status) }.boxed()
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<StreamEvent>> {
        self.events.subscribe()
    }
}

/// What is published of a file.
pub(super) fn content(file: &Bytes) -> VersionContent {
    let column = |text: &str, kind| Column { name: name(text), kind };
    VersionContent {
        commitment: Hash::of(Context::Commitment, file),
        ciphertext: Hash(*blake3::hash(file).as_bytes()),
        ciphertext_sha256: Hash::of(Context::Commitment, b"sha"),
        ciphertext_bytes: file.len() as u64,
        plaintext_bytes: 1,
        format: FileFormat::Csv,
        rows: 200,
        columns: vec![column("Group", ColumnKind::Text), column("Age", ColumnKind::Number)],
        data_use: vec![DataUse { term: DataUseTerm::HealthMedicalBiomedical, parameter: None }],
        card: None,
    }
}

fn missing() -> ServiceError {
    ServiceError::new(ErrorKind::NotFound, "file-unknown", "there is no such file here")
}

impl World {
    fn file_of(&self, transaction: &TransactionId) -> Option<(galen_types::VersionName, VersionContent)> {
        let moment = Arc::clone(&self.moment.lock().unwrap());
        match Self::status_of(&moment, transaction)?.body?.call {
            Call::Download { version, .. } => {
                let content = get_version(&moment.state, &version.dataset, version.version).unwrap()?.content;
                Some((version, content))
            }
            _ => None,
        }
    }
}

impl FileService for World {
    fn receive_upload(
        &self,
        _account: AccountName,
        ciphertext: Hash,
        bytes: u64,
        mut content: ByteStream,
    ) -> BoxFuture<'_, Result<StoredFile, ServiceError>> {
        async move {
            let mut file = Vec::new();
            while let Some(part) = content.next().await {
                let part =
                    part.map_err(|error| ServiceError::new(ErrorKind::Malformed, "upload-broken", error.to_string()))?;
                file.extend_from_slice(&part);
            }
            if Hash(*blake3::hash(&file).as_bytes()) != ciphertext {
                let text = "the bytes are not those that were signed";
                return Err(ServiceError::new(ErrorKind::Unprocessable, "upload-hash-differs", text));
            }
            self.stored.lock().unwrap().insert(ciphertext, file.into());
            Ok(StoredFile { ciphertext, ciphertext_bytes: bytes })
        }
        .boxed()
    }

    fn deposit_key(
        &self,
        _account: AccountName,
        ciphertext: Hash,
        _deposit: FileKeyDeposit,
    ) -> BoxFuture<'_, Result<VersionContent, ServiceError>> {
        let file = self.stored.lock().unwrap().get(&ciphertext).cloned();
        async move { file.as_ref().map(content).ok_or_else(missing) }.boxed()
    }

    fn verify(&self, _dataset: DatasetName) -> BoxFuture<'_, Result<FileVerification, ServiceError>> {
        async { Ok(FileVerification { checked: Timestamp::now(), parts: Vec::new() }) }.boxed()
    }

    fn download_ticket(
        &self,
        transaction: TransactionId,
        _account: Account,
    ) -> BoxFuture<'_, Result<DownloadTicket, ServiceError>> {
        let file = self.file_of(&transaction);
        async move {
            let (version, content) = file.ok_or_else(missing)?;
            let decision = Decision { effect: Effect::Permit, basis: Basis::OwnData };
            Ok(DownloadTicket { transaction, version, decision, content, wrapped_key: "AAAA".to_owned() })
        }
        .boxed()
    }

    fn download_content(
        &self,
        transaction: TransactionId,
        _account: Account,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<FileContent, ServiceError>> {
        let file = self.file_of(&transaction);
        let file = file.and_then(|(_, content)| self.stored.lock().unwrap().get(&content.ciphertext).cloned());
        async move {
            let file = file.ok_or_else(missing)?;
            let bytes = file.len() as u64;
            let range = range.unwrap_or(ByteRange::From(0, None)).within(bytes).ok_or_else(|| {
                ServiceError::new(ErrorKind::Unprocessable, "range-invalid", "the range lies outside the file")
            })?;
            let part = file.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
            let parts: Vec<_> = part.chunks(1024).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            Ok(FileContent { bytes, range, stream: futures::stream::iter(parts).boxed() })
        }
        .boxed()
    }

    fn cards(&self, datasets: Vec<DatasetName>) -> BoxFuture<'_, Vec<Option<Card>>> {
        let cards = self.cards.lock().unwrap();
        let found = datasets.iter().map(|dataset| cards.get(dataset).cloned()).collect();
        async move { found }.boxed()
    }
}

impl JobService for World {
    fn put_opening(&self, account: AccountName, opening: JobOpening) -> BoxFuture<'_, Result<(), ServiceError>> {
        self.openings.lock().unwrap().push((account, opening));
        async { Ok(()) }.boxed()
    }

    fn result(
        &self,
        _job: JobId,
        _receipt: TransactionId,
        _account: AccountName,
    ) -> BoxFuture<'_, Result<JobResult, ServiceError>> {
        let document = self.result.lock().unwrap().clone();
        async move { Ok(JobResult { digest: Hash::of(Context::JobResult, &document), document }) }.boxed()
    }
}

impl MembershipService for World {
    fn apply(
        &self,
        application: SignedApplication,
        contacts: String,
        _salt: [u8; 32],
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>> {
        async move {
            let call = Call::Apply { application: Box::new(application) };
            let status = self.apply(self.transaction("node-1.harlem", call))?;
            self.contacts.lock().unwrap().insert(ProposalId(status.id.0), contacts);
            Ok(status)
        }
        .boxed()
    }

    fn withdraw(
        &self,
        proposal: ProposalId,
        signature: Signature,
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>> {
        async move { self.apply(self.transaction("node-1.harlem", Call::WithdrawApplication { proposal, signature })) }
            .boxed()
    }

    fn invite(&self) -> Option<InvitationToken> {
        *self.invites.lock().unwrap()
    }

    fn is_invited(&self, token: Option<InvitationToken>) -> bool {
        let invites = *self.invites.lock().unwrap();
        invites.is_none() || invites == token
    }

    fn contacts(
        &self,
        proposal: ProposalId,
        _sponsor: NodeName,
        _commitment: Hash,
    ) -> BoxFuture<'_, Result<String, ServiceError>> {
        let found = self.contacts.lock().unwrap().get(&proposal).cloned();
        async move { found.ok_or_else(|| ServiceError::new(ErrorKind::NotFound, "contacts-unknown", "none are here")) }
            .boxed()
    }
}

impl OperatorService for World {
    fn storage(&self) -> galen_types::api::NodeStorage {
        galen_types::api::NodeStorage::default()
    }

    fn ordering(&self) -> OrderingStatus {
        OrderingStatus {
            participation: Participation::Voting,
            detail: String::new(),
            raft_id: 1,
            joint: false,
            change_pending: false,
            change_pending_seconds: 0,
            blocked_by: None,
            history_from: 1,
        }
    }

    fn transfer_leadership(&self, to: Option<NodeName>) -> BoxFuture<'_, Result<NodeName, ServiceError>> {
        async move { Ok(to.unwrap_or_else(|| name("node-1.kentucky"))) }.boxed()
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotSummary, ServiceError>> {
        let height = self.height();
        async move { Ok(SnapshotSummary { height, header: Hash::ZERO, rows: 5, bytes: 500 }) }.boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<BackupSummary, ServiceError>> {
        let height = self.height();
        async move { Ok(BackupSummary { folder: "/home/backups/1".into(), height, bytes: 700 }) }.boxed()
    }

    fn dial_back(&self, address: NodeAddress, key: PublicKey) -> BoxFuture<'_, Result<bool, ServiceError>> {
        let answers = address.as_str().starts_with("/ip4/127.");
        self.dialled.lock().unwrap().push((address, key));
        async move { Ok(answers) }.boxed()
    }
}

impl HealthService for World {
    fn live(&self) -> Vec<HealthCheck> {
        vec![HealthCheck { name: "ordering-loop", ok: *self.well.lock().unwrap(), detail: "ticked".to_owned() }]
    }

    fn ready(&self) -> Vec<HealthCheck> {
        vec![HealthCheck { name: "leader-known", ok: *self.well.lock().unwrap(), detail: "node-1.harlem".to_owned() }]
    }
}

/// A served world; stops serving when dropped.
pub(super) struct Served {
    pub(super) world: Arc<World>,
    pub(super) address: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) server: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Served {
    pub(super) async fn new() -> Self {
        Self::with(None).await
    }

    pub(super) async fn with(tls: Option<TlsFiles>) -> Self {
        let world = World::new();
        let settings = HttpSettings { listen: name("127.0.0.1:0"), public_url: None, tls };
        let server = Server::bind(&settings).await.unwrap();
        let address = server.address();
        let mut registry = Registry::with_prefix("galen");
        let metrics = HttpMetrics::new(&mut registry);
        let services = world.services();
        let shutdown = CancellationToken::new();
        let serving = serve(server, services, metrics, Arc::new(registry), shutdown.clone());
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { world, address, shutdown, server }
    }
}
