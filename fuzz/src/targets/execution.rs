//! A replica that runs: header signatures and certificates by gossip, and batches that a lying leader ordered. Nothing
//! foreign certifies anything, and the chain stays a chain.

use std::collections::HashSet;

use galen_chain::executor::Certification;
use galen_chain::sync::decode_certificate;
use galen_chain::{Executor, OrderedBatch};
use galen_types::certificate::VoterSignature;
use galen_types::{Batch, Block, Certificate, Encoding as _, Hash, HeaderSignature, Receipt, VoterSet};

use crate::chain::{Chain, HEIGHT, executor, folder};
use crate::hold;
use crate::mutation::mutate;
use crate::random::Random;
use crate::shared::consortium::secret_key;
use crate::target::{Limits, Target, Trace};

/// Blocks above the chain's after which the replica is made anew.
const BLOCKS_MAX: u64 = 300;
const BYTES_MAX: usize = 64 << 10;

/// What the first byte of an input says that the rest is.
mod kind {
    pub(super) const SIGNATURE: u8 = 0;
    pub(super) const CERTIFICATE: u8 = 1;
    pub(super) const BATCH: u8 = 2;
}

/// A replica at the chain's height, certified nowhere yet.
pub struct Execution {
    chain: &'static Chain,
    executor: Executor,
    genuine: HashSet<Vec<u8>>,
    _folder: tempfile::TempDir,
}

impl Default for Execution {
    fn default() -> Self {
        let chain = Chain::get();
        let folder = folder();
        let mut executor = executor(&folder.path().join("ledger"), &chain.genesis);
        for (bytes, index) in chain.batches.iter().zip(1..) {
            let batch = OrderedBatch { index, term: 1, bytes: bytes.clone().into() };
            executor.execute(&batch).expect("the executor goes on");
        }
        assert_eq!(executor.tip().hash, chain.header_hash(HEIGHT), "the same batches make the same chain");
        let genuine = chain.signatures.iter().map(|signature| signature.encode()).collect();
        Self { chain, executor, genuine, _folder: folder }
    }
}

fn input(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut input = vec![kind];
    input.extend_from_slice(bytes);
    input
}

impl Execution {
    fn certified(&self, certificate: &Certificate, trace: &mut Trace) -> Result<(), String> {
        let Certificate { height, header, signatures } = certificate;
        trace.accept();
        trace.reach(*height);
        hold!(*header == self.chain.header_hash(*height), "a foreign header is certified at {height}");
        let voters: &VoterSet = self.chain.voters_of(*height);
        let names: HashSet<_> = signatures.iter().map(|signature| &signature.voter).collect();
        hold!(names.len() >= voters.quorum(), "{} voters certify {height}", names.len());
        for VoterSignature { voter, signature } in signatures {
            let made =
                HeaderSignature { height: *height, header: *header, voter: voter.clone(), signature: *signature };
            hold!(self.genuine.contains(&made.encode()), "a foreign signature certifies {height}");
        }
        Ok(())
    }

    fn signature(&mut self, signature: HeaderSignature, trace: &mut Trace) -> Result<(), String> {
        let genuine = self.genuine.contains(&signature.encode());
        let before = self.executor.ledger().certified_height();
        let taken = self.executor.add_signature(signature).map_err(|error| format!("the replica stops: {error}"))?;
        match taken {
            Ok(Certification::Certified(certificate)) => self.certified(&certificate, trace)?,
            Ok(other) => {
                trace.reach(std::mem::discriminant(&other));
                if genuine {
                    trace.accept();
                }
            }
            Err(error) => trace.reach(error.code()),
        }
        let after = self.executor.ledger().certified_height();
        hold!(after == before || genuine, "a foreign signature certifies height {after}");
        Ok(())
    }

    fn certificate(&mut self, certificate: Certificate, trace: &mut Trace) -> Result<(), String> {
        let before = self.executor.ledger().certified_height();
        let taken = self.executor.add_certificate(certificate.clone());
        match taken.map_err(|error| format!("the replica stops: {error}"))? {
            Certification::Certified(made) => self.certified(&made, trace)?,
            other => {
                trace.reach(std::mem::discriminant(&other));
                if certificate.height <= before {
                    trace.accept();
                }
            }
        }
        let after = self.executor.ledger().certified_height();
        hold!(after <= HEIGHT, "height {after} is certified, which nobody signed");
        Ok(())
    }

    fn batch(&mut self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let tip = self.executor.tip();
        let applied = self.executor.ledger().applied().map_err(|error| error.to_string())?;
        let index = applied.index + 1;
        let batch = OrderedBatch { index, term: applied.term, bytes: bytes.to_vec().into() };
        let executed = self.executor.execute(&batch).map_err(|error| format!("the replica stops: {error}"))?;
        hold!(executed.applied_index == index, "batch {index} leaves the replica at {}", executed.applied_index);
        for (_, void) in &executed.void {
            trace.reach(void.code());
        }
        let Some(made) = executed.block else {
            hold!(self.executor.tip() == tip, "a batch without a block moves the tip");
            return Ok(());
        };
        trace.accept();
        let header = &made.block.header;
        hold!(header.height == tip.height + 1 && header.parent == tip.hash, "a block does not follow the tip");
        hold!(header.time > tip.time, "a block's time does not rise");
        hold!(made.block.transactions_match(), "a block's transactions are not those of its header");
        hold!(made.receipts.len() == made.block.transactions.len(), "not one receipt a transaction");
        let block = made.block.encode();
        let read = Block::decode(&block, block.len()).map_err(|error| error.to_string())?;
        hold!(read.header.hash() == made.hash, "a block is read as another");
        for receipt in made.receipts.iter() {
            let bytes = receipt.encode();
            hold!(Receipt::decode(&bytes, bytes.len()).as_ref() == Ok(receipt), "a receipt is read as another");
        }
        Ok(())
    }
}

impl Target for Execution {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let first = |signature: &&HeaderSignature| signature.height <= 3;
        let signatures = self.chain.signatures.iter().filter(first);
        let mut seeds: Vec<_> = signatures.map(|signature| input(kind::SIGNATURE, &signature.encode())).collect();
        for height in [2, 5] {
            let made = self.chain.signatures.iter().filter(|signature| signature.height == height).take(3);
            let signatures =
                made.map(|made| VoterSignature { voter: made.voter.clone(), signature: made.signature }).collect();
            let certificate = Certificate { height, header: self.chain.header_hash(height), signatures };
            seeds.push(input(kind::CERTIFICATE, &certificate.encode()));
        }
        // A batch of transactions that are not in the chain yet.
        let call = |salt| {
            let member = "harlem";
            let account = crate::shared::consortium::new_account(
                &format!("fresh-{salt}"),
                member,
                &[galen_types::member::Role::Owner],
            );
            crate::chain::transaction(&self.chain.genesis, "admin@harlem", salt, galen_types::Call::AddAccount(account))
        };
        let tip = self.chain.headers.last().expect("there are headers");
        let batch = Batch {
            proposed: tip.time.plus_ms(5),
            proposer: tip.proposer.clone(),
            transactions: vec![call(250), call(251)],
        };
        seeds.push(input(kind::BATCH, &batch.encode()));
        seeds
    }

    fn reshape(&mut self, bytes: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let (kind, rest) = bytes.split_first()?;
        let hash = if random.chance(500) { self.chain.header_hash(1 + random.below(12) as u64) } else { Hash([7; 32]) };
        match *kind {
            kind::SIGNATURE => {
                let mut signature = random.pick(&self.chain.signatures).clone();
                match random.below(5) {
                    0 => signature.height = random.below(16) as u64,
                    1 => signature.header = hash,
                    2 => signature.voter = random.pick(&self.chain.signatures).voter.clone(),
                    3 => {
                        // A voter that really signs another header.
                        let key = secret_key(&signature.voter.to_string());
                        let HeaderSignature { height, voter, .. } = signature;
                        let height = if random.chance(300) { height + 20 } else { height };
                        let set = self.chain.voters_of(height).hash();
                        let header = Hash([random.draw() as u8; 32]);
                        signature = HeaderSignature::sign(&self.chain.hash(), &set, height, header, voter, &key);
                    }
                    _ => {}
                }
                Some(input(*kind, &signature.encode()))
            }
            kind::CERTIFICATE => {
                let mut certificate = decode_certificate(rest).ok()?;
                match random.below(5) {
                    0 => certificate.height = random.below(16) as u64,
                    1 => certificate.header = hash,
                    2 => drop(certificate.signatures.pop()),
                    3 => {
                        let twice = certificate.signatures.first()?.clone();
                        certificate.signatures.push(twice);
                    }
                    _ => {
                        let made = random.pick(&self.chain.signatures).clone();
                        certificate.signatures.push(VoterSignature { voter: made.voter, signature: made.signature });
                        certificate.signatures.sort_by(|left, right| left.voter.cmp(&right.voter));
                    }
                }
                Some(input(*kind, &certificate.encode()))
            }
            kind::BATCH => {
                let mut batch = Batch::decode(rest, BYTES_MAX).ok()?;
                match random.below(5) {
                    0 => batch.proposed.0 = random.draw() >> random.below(64),
                    1 => batch.transactions.push(random.pick(&batch.transactions.clone()).clone()),
                    2 => batch.transactions.push(self.chain.recovery.clone()),
                    3 => {
                        let account = format!("new-{}", random.draw() % 1_000_000);
                        let account = crate::shared::consortium::new_account(
                            &account,
                            "harlem",
                            &[galen_types::member::Role::Owner],
                        );
                        let call = galen_types::Call::AddAccount(account);
                        let salt = random.draw() as u8;
                        batch.transactions.push(crate::chain::transaction(
                            &self.chain.genesis,
                            "admin@harlem",
                            salt,
                            call,
                        ));
                    }
                    _ => {
                        let at = random.below(batch.transactions.len());
                        mutate(batch.transactions.get_mut(at)?, other, &[], BYTES_MAX, random);
                    }
                }
                batch.transactions.truncate(8);
                Some(input(*kind, &batch.encode()))
            }
            _ => None,
        }
    }

    fn renew(&mut self) {
        if self.executor.tip().height > HEIGHT + BLOCKS_MAX {
            *self = Self::default();
        }
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((kind, bytes)) = input.split_first() else { return Ok(()) };
        trace.reach(kind);
        match *kind {
            kind::SIGNATURE => {
                if let Ok(signature) = HeaderSignature::decode(bytes, 1024) {
                    self.signature(signature, trace)?;
                }
            }
            kind::CERTIFICATE => {
                if let Ok(certificate) = decode_certificate(bytes) {
                    self.certificate(certificate, trace)?;
                }
            }
            kind::BATCH => self.batch(bytes, trace)?,
            _ => {}
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 4 << 20, memory_bytes_per_byte: 256, input_bytes_max: 8 << 10, ..Limits::default() }
    }
}
