//! Processor time of preparing and committing blocks, per transaction: `cargo bench -p galen-ledger`. Each transaction has 400
//! bytes, five state writes (two updates of old keys, two new keys, one deletion) and three rows in the event index, over
//! a state of 200,000 keys in 2^20 buckets. Building the block is not counted. `blocks=N` and `transactions=N` change
//! the load.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark ends at the first fault")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use galen_ledger::{BlockCommit, Ledger, LedgerOptions, StateWrite};
use galen_types::certificate::VoterSet;
use galen_types::receipt::Operation;
use galen_types::{Block, BlockHeader, Event, Hash, Outcome, Receipt, Signer, Timestamp, TransactionId, merkle};

/// Keys in the state before the first block.
const STATE_KEYS: u64 = 200_000;

fn main() {
    let argument = |name: &str, default: u64| {
        let value =
            std::env::args().find_map(|argument| Some(argument.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
        value.map_or(default, |value| value.parse().unwrap())
    };
    // `cargo bench` says so; as a test it only shows that it still runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let blocks = argument("blocks", if measured { 30 } else { 1 });
    let transactions = argument("transactions", if measured { 1_000 } else { 10 });
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions::new(Hash([1; 32]), "accounts".parse().unwrap(), 20);
    let ledger = Ledger::open(folder.path(), &options).unwrap();
    let state = (0..STATE_KEYS).map(|number| write(number, Some(0))).collect::<BTreeMap<_, _>>();
    let state = ledger.prepare_state(state.into_iter().collect()).unwrap();
    ledger.initialise(&state, &VoterSet::new(0, Hash::ZERO, Vec::new())).unwrap();
    let (mut prepare, mut commit) = (Duration::ZERO, Duration::ZERO);
    for height in 1..=blocks {
        let (writes, content, receipts, events) = content(height, transactions);
        let started = on_core();
        let state = ledger.prepare_state(writes).unwrap();
        prepare += on_core() - started;
        let block = Block { header: header(&ledger, state.root()), transactions: content };
        let started = on_core();
        let all = BlockCommit { block: &block, receipts: &receipts, events: &events, next_voters: None };
        ledger.commit(&all, &state).unwrap();
        commit += on_core() - started;
    }
    let started = Instant::now();
    ledger.sync().unwrap();
    let sync = started.elapsed();
    drop(ledger);
    let started = Instant::now();
    drop(Ledger::open(folder.path(), &options).unwrap());
    let open = started.elapsed();
    let per_transaction = |time: Duration| time.as_secs_f64() * 1e6 / (blocks * transactions) as f64;
    println!("blocks={blocks} transactions_per_block={transactions} state_writes_per_transaction=5");
    println!("prepare_us_per_transaction={:.2}", per_transaction(prepare));
    println!("commit_us_per_transaction={:.2}", per_transaction(commit));
    println!("total_us_per_transaction={:.2}", per_transaction(prepare + commit));
    println!("sync_ms={:.2} open_ms={:.2}", sync.as_secs_f64() * 1e3, open.as_secs_f64() * 1e3);
}

/// Time that this thread has been on a core: what other work on the machine does not distort.
fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_ascii_whitespace().next().unwrap().parse().unwrap())
}

/// A key spread over the state, and a value of 60 bytes.
fn write(number: u64, value: Option<u64>) -> StateWrite {
    let mut key = vec![b'k'];
    key.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let value = value.map(|value| value.to_le_bytes().repeat(8)[..60].to_vec());
    (key, value)
}

type Content = (Vec<StateWrite>, Vec<Vec<u8>>, Vec<Receipt>, Vec<(Vec<u8>, Vec<u8>)>);

fn content(height: u64, transactions: u64) -> Content {
    let mut writes = BTreeMap::new();
    let (mut bytes, mut receipts, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for place in 0..transactions {
        let number = height * transactions + place;
        let fresh = STATE_KEYS + 2 * number;
        writes.extend([
            write(number.wrapping_mul(7) % STATE_KEYS, Some(height)),
            write(number.wrapping_mul(13) % STATE_KEYS, Some(height)),
            write(fresh, Some(height)),
            write(fresh + 1, Some(height)),
            write(fresh - 2 * transactions, None),
        ]);
        let mut hasher = galen_types::hash::Context::TransactionId.hasher();
        let mut content = vec![0; 400];
        hasher.update(&number.to_le_bytes()).finalize_xof().fill(&mut content);
        let mut id = [0; 32];
        id.copy_from_slice(&content[..32]);
        bytes.push(content);
        receipts.push(receipt(TransactionId(Hash(id))));
        for index in [b'd', b'm', b'o'] {
            let mut key = vec![index];
            key.extend_from_slice(&(number % 50).to_be_bytes());
            key.extend_from_slice(&height.to_be_bytes());
            key.extend_from_slice(&place.to_be_bytes());
            events.push((key, vec![1; 4]));
        }
    }
    events.sort();
    (writes.into_iter().collect(), bytes, receipts, events)
}

fn receipt(transaction: TransactionId) -> Receipt {
    let event = Event {
        operation: Operation::Publish,
        operator: Signer::Account("alice@harlem".parse().unwrap()),
        dataset: Some("harlem/opt".parse().unwrap()),
        version: Some(1),
        subject: None,
        member: None,
        account: None,
        node: None,
        action: None,
        purpose: None,
        reason: None,
        decision: None,
        rule: None,
    };
    Receipt { transaction, outcome: Outcome::Applied, events: vec![event], write_set: Hash([3; 32]) }
}

fn header(ledger: &Ledger, state_root: Hash) -> BlockHeader {
    let tip = ledger.tip().unwrap();
    let nothing = merkle::root(std::iter::empty());
    let voter_set = ledger.view().unwrap().voter_set(0).unwrap().unwrap().hash();
    BlockHeader {
        genesis: ledger.genesis_hash(),
        chain: ledger.chain().clone(),
        height: tip.height + 1,
        parent: tip.hash,
        time: Timestamp(tip.height + 1),
        epoch: 0,
        voter_set,
        next_voter_set: voter_set,
        rules_version: 1,
        proposer: "node-1.harlem".parse().unwrap(),
        raft_term: 1,
        raft_index: tip.height + 1,
        transactions_root: nothing,
        receipts_root: nothing,
        history_root: ledger.history_root().unwrap(),
        state_root,
    }
}
