//! From one voter set to the next: by certificate, or by a recovery when a quorum is lost.

use std::sync::Arc;

use galen_chain::executor::{ApplyRecoveryError, Certification, FollowError};
use galen_chain::recovery::{HeldRecoveries, HeldRecovery};
use galen_chain::sync::{SyncAnswer, SyncRequest, verify_handovers};
use galen_chain::{Executor, LedgerState};
use galen_contracts::query;
use galen_types::certificate::{Voter, VoterSet, VoterSignature};
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::{Call, Certificate, Encoding, Genesis, Hash, HeaderSignature, NodeName, SecretKey, TransactionBody};
use tempfile::TempDir;

use super::support::{
    Clients, FOUNDED, MEMBERS, batch, batch_of, executor, folder, genesis, key, name, open_ledger, verify, voter_name,
};

pub(super) struct Chain {
    pub(super) genesis: Arc<Genesis>,
    pub(super) clients: Clients,
    pub(super) folder: TempDir,
    pub(super) replica: Executor,
    pub(super) index: u64,
    /// The key of the first voter, which rotates.
    pub(super) first: SecretKey,
}

impl Chain {
    pub(super) fn new() -> Self {
        let genesis = genesis(4);
        let folder = folder();
        let replica = executor(open_ledger(folder.path(), &genesis), &genesis, "node-1.harlem", true);
        let first = key("node-1.harlem");
        Self { clients: Clients::new(&genesis), genesis, folder, replica, index: 0, first }
    }

    pub(super) fn block(&mut self) -> u64 {
        let transaction = self.clients.next("harlem", self.replica.tip().time.plus_ms(50_000));
        self.index += 1;
        self.replica.execute(&batch_of(self.index, &transaction)).unwrap();
        self.replica.tip().height
    }

    /// The first voter's key changes: the last block of an epoch.
    pub(super) fn rotate(&mut self, to: &str) -> u64 {
        let call = Call::RotateNodeKey { node: voter_name(0), key: key(to).public_key() };
        let secret = key("admin@harlem");
        // A node's key changes once a minute at most.
        let time = self.replica.tip().time.plus_ms(61_000);
        let transaction = self.clients.sign_with(&secret, "admin@harlem", time.plus_ms(50_000), call);
        self.index += 1;
        self.replica.execute(&batch(self.index, time, &[&transaction])).unwrap();
        self.replica.tip().height
    }

    pub(super) fn hash(&self, height: u64) -> Hash {
        self.replica.ledger().view().unwrap().header_hash(height).unwrap().unwrap()
    }

    pub(super) fn certificate(&self, height: u64, first: &SecretKey, places: &[usize]) -> Certificate {
        let part = |place: &usize| {
            let secret = if *place == 0 { first.clone() } else { key(&voter_name(*place).to_string()) };
            let header = self.replica.ledger().view().unwrap().header(height).unwrap().unwrap();
            let (genesis, set, hash) = (self.genesis.hash(), header.voter_set, header.hash());
            let signed = HeaderSignature::sign(&genesis, &set, height, hash, voter_name(*place), &secret);
            VoterSignature { voter: signed.voter, signature: signed.signature }
        };
        Certificate { height, header: self.hash(height), signatures: places.iter().map(part).collect() }
    }

    pub(super) fn certified(&self) -> u64 {
        self.replica.ledger().certified_height()
    }

    pub(super) fn observer(&self) -> (TempDir, Executor) {
        let folder = folder();
        let replica = executor(open_ledger(folder.path(), &self.genesis), &self.genesis, "watcher.harlem", false);
        (folder, replica)
    }

    pub(super) fn ask(&self, request: SyncRequest) -> SyncAnswer {
        let answer = SyncAnswer::to_request(&request, self.replica.ledger()).unwrap();
        SyncAnswer::from_peer(&answer.encode()).unwrap()
    }

    pub(super) fn recovery(&self, voters: &[usize]) -> Vec<u8> {
        let names: Vec<_> = voters.iter().map(|place| voter_name(*place)).collect();
        let members: Vec<_> = voters.iter().map(|place| MEMBERS[*place]).collect();
        self.recovery_with(&names, &members)
    }

    /// Signed by these members; the others are abandoned.
    pub(super) fn recovery_with(&self, voters: &[NodeName], members: &[&str]) -> Vec<u8> {
        let tip = self.replica.tip();
        let state = LedgerState(self.replica.ledger().view().unwrap());
        let key_of = |node: &NodeName| query::get_node(&state, node).unwrap().unwrap().key;
        let recovery = Recovery {
            genesis: self.genesis.hash(),
            lineage: self.replica.lineage().unwrap(),
            height: tip.height,
            header: tip.hash,
            made: FOUNDED.plus_ms(1_000_000).max(tip.time.plus_ms(1)),
            abandoned: MEMBERS[..4]
                .iter()
                .filter(|member| !members.contains(member))
                .map(|member| name(member))
                .collect(),
            voters: voters.iter().map(|node| Voter { node: node.clone(), key: key_of(node) }).collect(),
        };
        let members = members.iter().copied();
        let sign = |member: &str| {
            let account = format!("admin@{member}");
            RecoverySignature::sign(&recovery, name(&account), &key(&account))
        };
        let signatures: Vec<_> = members.map(sign).collect();
        let signer = signatures[0].account.to_string();
        let recovery = SignedRecovery { recovery, signatures };
        let valid_until = recovery.recovery.made;
        let call = Call::Recover { recovery: Box::new(recovery) };
        let body =
            TransactionBody { chain: self.genesis.hash(), signer: name(&signer), salt: [0; 16], valid_until, call };
        body.sign(&key(&signer)).encode()
    }
}

#[test]
fn certification_passes_the_end_of_an_epoch_only_by_its_own_certificate() {
    let mut chain = Chain::new();
    chain.block();
    let end = chain.rotate("new");
    let after = chain.block();
    assert_eq!((end, after, chain.replica.voters().epoch), (2, 3, 1));
    let (old, new) = (chain.first.clone(), key("new"));
    // The new voters' certificate alone hands nothing over; nor does the old voters' over a height that is not theirs.
    let early = chain.certificate(after, &new, &[0, 1, 2]);
    assert_eq!(chain.replica.add_certificate(early).unwrap(), Certification::Nothing);
    let foreign = chain.certificate(after, &old, &[0, 1, 2]);
    assert_eq!(chain.replica.add_certificate(foreign).unwrap(), Certification::Nothing);
    let foreign = chain.certificate(end, &new, &[0, 1, 2]);
    assert_eq!(chain.replica.add_certificate(foreign).unwrap(), Certification::Nothing);
    assert_eq!(chain.certified(), 0);
    assert!(chain.replica.take_group().is_some_and(|group| group.height == 0), "the founders'");
    assert!(chain.replica.take_group().is_none(), "no group of a block that is not certified");
    // This node's key file still holds the old key: it signs for the old epoch only.
    let signed: Vec<_> = chain.replica.sign().unwrap().into_iter().map(|signature| signature.height).collect();
    assert_eq!(signed, [1, 2]);
    let handover = chain.certificate(end, &old, &[1, 2, 3]);
    let taken = chain.replica.add_certificate(handover).unwrap();
    assert!(matches!(taken, Certification::Certified(ref newest) if newest.height == after), "{taken:?}");
    assert_eq!(chain.certified(), after, "what waited holds now");
    assert!(chain.replica.take_group().is_some_and(|group| group.height == end));
}

#[test]
fn who_follows_crosses_epochs_run_by_run_and_handovers_lead_to_the_last_voters() {
    let mut chain = Chain::new();
    let mut secret = chain.first.clone();
    for round in 0..3 {
        chain.block();
        let end = chain.rotate(&format!("key-{round}"));
        let certificate = chain.certificate(end, &secret, &[0, 1, 2]);
        chain.replica.add_certificate(certificate).unwrap();
        secret = key(&format!("key-{round}"));
    }
    let last = chain.block();
    let certificate = chain.certificate(last, &secret, &[0, 1, 3]);
    chain.replica.add_certificate(certificate).unwrap();
    assert_eq!(chain.certified(), last);
    let (_folder, mut observer) = chain.observer();
    // A run of a later epoch is refused by name.
    let SyncAnswer::Blocks { mut blocks, .. } = chain.ask(SyncRequest::Blocks { from: 1 }) else { panic!() };
    let SyncAnswer::Blocks { blocks: later, trail, certificate } = chain.ask(SyncRequest::Blocks { from: 3 }) else {
        panic!()
    };
    blocks.extend(later);
    match observer.follow(SyncAnswer::Blocks { blocks, trail, certificate }) {
        Err(FollowError::Answer(error)) => assert_eq!(error.code(), "sync-wrong-epoch"),
        outcome => panic!("{outcome:?}"),
    }
    let mut runs = 0;
    while observer.tip().height < last {
        let from = observer.tip().height + 1;
        assert!(!observer.follow(chain.ask(SyncRequest::Blocks { from })).unwrap().is_empty());
        assert_eq!(observer.ledger().certified_height(), observer.tip().height);
        runs += 1;
    }
    assert_eq!((runs, observer.tip()), (4, chain.replica.tip()));
    let SyncAnswer::Handovers { handovers } = chain.ask(SyncRequest::Handovers { from_epoch: 0 }) else { panic!() };
    let (hash, founders) = (chain.genesis.hash(), chain.genesis.voter_set());
    let verified = |handovers: &[_]| verify_handovers(&hash, &founders, handovers, &HeldRecoveries::default());
    assert_eq!(&verified(&handovers).unwrap(), chain.replica.voters());
    assert!(verified(&handovers[1..]).is_err(), "a gap");
    let mut forged = handovers;
    forged[1].next = VoterSet::new(2, Hash::ZERO, founders.voters.clone());
    assert_eq!(verified(&forged).unwrap_err().code(), "sync-handover");
}

#[test]
fn a_recovery_goes_on_where_it_is_held_and_nowhere_else() {
    let mut chain = Chain::new();
    chain.block();
    let certificate = chain.certificate(1, &chain.first.clone(), &[0, 1, 2]);
    chain.replica.add_certificate(certificate).unwrap();
    // Not certified when the quorum is lost.
    chain.block();
    let document = chain.recovery(&[0, 1]);
    let block = chain.replica.apply_recovery(&document).unwrap();
    assert_eq!((block.block.header.height, block.block.header.epoch, chain.replica.voters().voters.len()), (3, 1, 2));
    assert!(matches!(chain.replica.apply_recovery(&document), Err(ApplyRecoveryError::Recovery(_))));
    let held = HeldRecovery::from_bytes(&document, &chain.genesis.hash()).unwrap();
    assert_eq!(chain.replica.lineage().unwrap(), held.hash);
    let certificate = chain.certificate(3, &chain.first.clone(), &[0, 1]);
    chain.replica.add_certificate(certificate).unwrap();
    assert_eq!(chain.certified(), 3, "the recovery stands in for the certificate that nobody could make");
    let (_folder, mut observer) = chain.observer();
    observer.follow(chain.ask(SyncRequest::Blocks { from: 1 })).unwrap();
    let refused = |outcome: Result<_, FollowError>| match outcome {
        Err(FollowError::Answer(error)) => error.code(),
        Err(error) => panic!("{error}"),
        Ok::<Vec<galen_chain::Executed>, _>(applied) => panic!("{applied:?}"),
    };
    assert_eq!(observer.tip().height, 1);
    assert_eq!(refused(observer.follow(chain.ask(SyncRequest::Blocks { from: 2 }))), "sync-not-certified");
    observer.hold_recovery(held.clone());
    assert_eq!(observer.follow(chain.ask(SyncRequest::Blocks { from: 2 })).unwrap().len(), 1);
    assert_eq!(observer.follow(chain.ask(SyncRequest::Blocks { from: 3 })).unwrap().len(), 1);
    assert_eq!((observer.tip(), observer.ledger().certified_height()), (chain.replica.tip(), 3));
    let SyncAnswer::Handovers { handovers } = chain.ask(SyncRequest::Handovers { from_epoch: 0 }) else { panic!() };
    let (hash, founders) = (chain.genesis.hash(), chain.genesis.voter_set());
    assert!(verify_handovers(&hash, &founders, &handovers, &HeldRecoveries::default()).is_err());
    let recoveries = HeldRecoveries::from_iter([held.clone()]);
    assert_eq!(&verify_handovers(&hash, &founders, &handovers, &recoveries).unwrap(), chain.replica.voters());
    let Chain { genesis, folder, replica, .. } = chain;
    drop(replica);
    let report = verify(folder.path(), &genesis, true);
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!(
        report.recoveries.iter().map(|found| (found.height, found.recovery)).collect::<Vec<_>>(),
        [(3, held.hash)]
    );
}

#[test]
fn a_handover_without_its_certificate_is_found_in_a_folder() {
    let mut chain = Chain::new();
    let end = chain.rotate("new");
    let after = chain.block();
    let handover = chain.certificate(end, &chain.first.clone(), &[0, 1, 2]);
    let later = chain.certificate(after, &key("new"), &[0, 1, 2]);
    chain.replica.add_certificate(handover).unwrap();
    chain.replica.add_certificate(later).unwrap();
    assert_eq!(chain.certified(), after);
    let Chain { genesis, folder, replica, .. } = chain;
    drop(replica);
    assert!(verify(folder.path(), &genesis, true).is_sound());
    for (column, height) in [("certificates", end), ("voter_sets", 1)] {
        let copy = super::support::folder();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), copy.path()).unwrap();
        let database = rocksdb::DB::open_cf(&rocksdb::Options::default(), copy.path(), &names).unwrap();
        let handle = database.cf_handle(column).unwrap();
        if column == "certificates" {
            database.delete_cf(handle, height.to_be_bytes()).unwrap();
        } else {
            let other = VoterSet::new(1, Hash::ZERO, genesis.voter_set().voters);
            database.put_cf(handle, height.to_be_bytes(), other.encode()).unwrap();
        }
        drop(database);
        let report = verify(copy.path(), &genesis, false);
        assert!(report.findings.iter().any(|finding| finding.column == column), "{column}: {:#?}", report.findings);
    }
}
