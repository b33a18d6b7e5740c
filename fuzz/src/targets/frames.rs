//! Frames of peers and gossip: every message that one node reads from another's bytes is decoded as the node does, is
//! bounded, and has one encoding.

use galen_chain::history::{HistoryAnswer, HistoryRequest};
use galen_chain::snapshot::{SnapshotAnswer, SnapshotRequest};
use galen_chain::sync::{SyncAnswer, SyncRequest, decode_certificate};
use galen_types::{Batch, Block, Encoding, Genesis, HeaderSignature, VoterSet};

use crate::chain::{Chain, SNAPSHOT};
use crate::hold;
use crate::shared::examples;
use crate::target::{Limits, Target, Trace};

const BYTES_MAX: usize = 1 << 20;

/// Reads bytes and writes what was read; `None` where they are refused.
type Reread = fn(&[u8]) -> Result<Vec<u8>, String>;

fn reread<T: Encoding>(bytes: &[u8]) -> Result<Vec<u8>, String> {
    T::decode(bytes, BYTES_MAX).map(|value| value.encode()).map_err(|error| error.code().to_owned())
}

/// What the first byte of an input says that the rest is.
const KINDS: [Reread; 13] = [
    reread::<Vec<Vec<u8>>>,
    reread::<HeaderSignature>,
    |bytes| decode_certificate(bytes).map(|value| value.encode()).map_err(|error| error.code().to_owned()),
    reread::<SyncRequest>,
    |bytes| SyncAnswer::from_peer(bytes).map(|value| value.encode()).map_err(|error| error.code().to_owned()),
    reread::<SnapshotRequest>,
    |bytes| SnapshotAnswer::from_peer(bytes).map(|value| value.encode()).map_err(|error| error.code().to_owned()),
    reread::<HistoryRequest>,
    reread::<HistoryAnswer>,
    reread::<Batch>,
    reread::<Block>,
    reread::<VoterSet>,
    reread::<Genesis>,
];

/// Kinds from here on are read by the network's crate.
const NETWORK: u8 = 32;
/// Kinds from here on are read by the node: questions and answers about files, jobs, contacts, knowledge.
const NODE: u8 = 64;

/// Peer frames and gossip.
pub struct Frames;

fn input(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut input = vec![kind];
    input.extend_from_slice(bytes);
    input
}

impl Target for Frames {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let chain = Chain::get();
        let transactions: Vec<Vec<u8>> = examples::calls()
            .into_iter()
            .take(4)
            .map(|(_, call)| examples::body(call).sign(&examples::secret(1)).encode())
            .collect();
        let certificate = examples::certificate(&examples::header()).encode();
        let block = Block { header: examples::header(), transactions: transactions.clone() };
        let mut seeds = vec![
            input(0, &transactions.encode()),
            input(1, &chain.signatures[0].encode()),
            input(2, &certificate),
            input(3, &SyncRequest::Blocks { from: 7 }.encode()),
            input(5, &SnapshotRequest::Part { height: SNAPSHOT, index: 1 }.encode()),
            input(7, &HistoryRequest::Bodies { below: 5 }.encode()),
            input(9, &chain.batches[0]),
            input(10, &block.encode()),
            input(11, &chain.voters[0].encode()),
            input(12, &examples::genesis().encode()),
        ];
        seeds.extend(chain.sync.iter().map(|answer| input(4, &answer.encode())));
        seeds.extend(chain.snapshot.iter().map(|answer| input(6, &answer.encode())));
        seeds.extend(chain.history.iter().map(|answer| input(8, &answer.encode())));
        seeds.extend(galen_p2p::fuzzing::examples().into_iter().map(|(kind, bytes)| input(NETWORK + kind, &bytes)));
        seeds.extend(galen_node::fuzzing::examples().into_iter().map(|(kind, bytes)| input(NODE + kind, &bytes)));
        seeds
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((kind, bytes)) = input.split_first() else { return Ok(()) };
        trace.reach(kind);
        let read = match *kind {
            NODE.. => galen_node::fuzzing::reread(kind - NODE, bytes),
            NETWORK.. => galen_p2p::fuzzing::reread(kind - NETWORK, bytes),
            _ => match KINDS.get(usize::from(*kind)) {
                Some(reread) => reread(bytes),
                None => return Ok(()),
            },
        };
        match read {
            Ok(again) => {
                trace.accept();
                hold!(again == bytes, "what was read has another encoding");
            }
            Err(code) => trace.reach(code),
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        // An element of a list takes a byte of the input at least, and at most some hundreds in memory.
        Limits { memory_bytes: 64 << 10, memory_bytes_per_byte: 512, ..Limits::default() }
    }
}
