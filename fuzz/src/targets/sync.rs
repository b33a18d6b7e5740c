//! What peers answer a node that catches up: runs of blocks, handovers, a snapshot's offer and parts, a recovery. What is
//! believed must be the one chain there is, whatever the bytes look like.

use galen_chain::recovery::{HeldRecoveries, HeldRecovery};
use galen_chain::snapshot::{SnapshotAnswer, SnapshotOffer};
use galen_chain::sync::{Handover, HandoverProof, RunStart, SyncAnswer, verify_handovers};
use galen_ledger::snapshot::Manifest;
use galen_types::certificate::{Certificate, VoterSignature};
use galen_types::{Block, Encoding, Hash, HeaderSignature, VoterSet};

use crate::chain::{Chain, HANDOVER, HEIGHT, SNAPSHOT};
use crate::hold;
use crate::mutation::mutate;
use crate::random::Random;
use crate::shared::consortium::secret_key;
use crate::target::{Limits, Target, Trace};

const BYTES_MAX: usize = 256 << 10;

/// What the first byte of an input says that the rest is.
mod kind {
    pub(super) const SYNC: u8 = 0;
    pub(super) const SNAPSHOT: u8 = 1;
    pub(super) const RECOVERY: u8 = 2;
    pub(super) const MANIFEST: u8 = 3;
}

/// Sync answers, handovers, snapshots, recovery.
pub struct Sync {
    chain: &'static Chain,
    genesis: Hash,
    manifest: Manifest,
    handovers: Vec<Handover>,
    parts: Vec<Vec<u8>>,
}

impl Default for Sync {
    fn default() -> Self {
        let chain = Chain::get();
        let [SnapshotAnswer::Offer(offer), parts @ ..] = chain.snapshot.as_slice() else { panic!("no offer") };
        let parts = parts.iter().filter_map(|part| match part {
            SnapshotAnswer::Part(bytes) => Some(bytes.clone()),
            _ => None,
        });
        let handovers = chain.sync.iter().find_map(|answer| match answer {
            SyncAnswer::Handovers { handovers } => Some(handovers.clone()),
            _ => None,
        });
        Self {
            chain,
            genesis: chain.hash(),
            manifest: offer.manifest.clone(),
            handovers: handovers.expect("there is an answer about handovers"),
            parts: parts.collect(),
        }
    }
}

fn input<T: Encoding>(kind: u8, value: &T) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(value.encode());
    bytes
}

fn canonical<T: Encoding>(value: &T, bytes: &[u8]) -> Result<(), String> {
    hold!(value.encode() == bytes, "what was read has another encoding");
    Ok(())
}

impl Sync {
    fn sync(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let answer = match SyncAnswer::from_peer(bytes) {
            Ok(answer) => answer,
            Err(error) => {
                trace.reach(error.code());
                return Ok(());
            }
        };
        canonical(&answer, bytes)?;
        match &answer {
            SyncAnswer::Blocks { .. } => {
                for height in [0, 3, HANDOVER, HEIGHT] {
                    self.blocks(answer.clone(), height, trace)?;
                }
            }
            SyncAnswer::Signatures { signatures, certificates } => {
                for signature in signatures {
                    self.signature(signature, trace)?;
                }
                for certificate in certificates {
                    self.certificate(certificate, trace)?;
                }
            }
            SyncAnswer::Handovers { handovers } => self.handovers(handovers, trace)?,
        }
        Ok(())
    }

    /// Blocks that are believed from this height on are those of the chain.
    fn blocks(&self, answer: SyncAnswer, height: u64, trace: &mut Trace) -> Result<(), String> {
        let start = RunStart {
            genesis: &self.genesis,
            height,
            parent: self.chain.header_hash(height),
            voters: self.chain.voters_of(height + 1),
            recoveries: &HeldRecoveries::default(),
        };
        match answer.certified_run(start) {
            Ok(Some(run)) => {
                trace.accept();
                trace.reach((height, run.blocks.len()));
                for (block, expected) in run.blocks.iter().zip(height + 1..) {
                    let known = self.chain.header_hash(expected);
                    hold!(block.header.hash() == known, "a foreign block is believed at height {expected}");
                    hold!(block.transactions_match(), "a block's transactions are not those of its header");
                }
                let certificate = run.certificate.ok_or("a run without a certificate is believed")?;
                self.certificate(&certificate, trace)?;
            }
            Ok(None) => {
                trace.accept();
                trace.reach("none");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn signature(&self, signature: &HeaderSignature, trace: &mut Trace) -> Result<(), String> {
        let voters = self.chain.voters_of(signature.height);
        let valid =
            voters.key_of(&signature.voter).is_some_and(|key| signature.verifies(&self.genesis, &voters.hash(), key));
        trace.reach(valid);
        if valid {
            trace.accept();
            hold!(self.chain.signatures.contains(signature), "a foreign header signature is valid");
        }
        Ok(())
    }

    fn certificate(&self, certificate: &Certificate, trace: &mut Trace) -> Result<(), String> {
        for voters in &self.chain.voters {
            match certificate.verify(&self.genesis, voters) {
                Ok(()) => {
                    trace.accept();
                    trace.reach(voters.epoch);
                    let (height, header) = (certificate.height, certificate.header);
                    hold!(header == self.chain.header_hash(height), "a foreign certificate is valid at {height}");
                    let genuine = |signature: &VoterSignature| {
                        let VoterSignature { voter, signature } = signature.clone();
                        self.chain.signatures.contains(&HeaderSignature { height, header, voter, signature })
                    };
                    let mut names: Vec<_> = certificate.signatures.iter().map(|signature| &signature.voter).collect();
                    names.dedup();
                    hold!(certificate.signatures.iter().all(genuine), "a certificate holds a foreign signature");
                    hold!(names.len() >= voters.quorum(), "{} voters are a quorum", names.len());
                }
                Err(error) => trace.reach(std::mem::discriminant(&error)),
            }
        }
        Ok(())
    }

    fn handovers(&self, handovers: &[Handover], trace: &mut Trace) -> Result<(), String> {
        match verify_handovers(&self.genesis, &self.chain.voters[0], handovers, &HeldRecoveries::default()) {
            Ok(voters) => {
                trace.accept();
                trace.reach(voters.epoch);
                hold!(self.chain.voters.contains(&voters), "handovers lead to foreign voters");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn snapshot(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let answer = match SnapshotAnswer::from_peer(bytes) {
            Ok(answer) => answer,
            Err(error) => {
                trace.reach(error.code());
                return Ok(());
            }
        };
        canonical(&answer, bytes)?;
        match answer {
            SnapshotAnswer::Nothing => trace.reach("nothing"),
            SnapshotAnswer::Offer(offer) => self.offer(*offer, trace)?,
            SnapshotAnswer::Part(bytes) => {
                for index in 0..=self.parts.len() {
                    match self.manifest.check_part(index as u32, &bytes) {
                        Ok(_) => {
                            trace.accept();
                            hold!(self.parts.get(index) == Some(&bytes), "a foreign part {index} is believed");
                        }
                        Err(error) => trace.reach(error.code()),
                    }
                }
            }
        }
        Ok(())
    }

    /// The offer's header is certified; its parts are checked against the state's root once they are there.
    fn offer(&self, offer: SnapshotOffer, trace: &mut Trace) -> Result<(), String> {
        match offer.verified(&self.chain.genesis, &self.handovers, &HeldRecoveries::default()) {
            Ok((manifest, proof)) => {
                trace.accept();
                let height = manifest.header.height;
                trace.reach(height);
                hold!(manifest.header.hash() == self.chain.header_hash(height), "a foreign snapshot is believed");
                hold!(manifest.history.length() + 1 == height, "a snapshot's history has another length");
                self.certificate(&proof.certificate, trace)?;
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn recovery(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        match HeldRecovery::from_bytes(bytes, &self.genesis) {
            Ok(held) => {
                trace.accept();
                trace.reach(held.recovery.height);
                hold!(held.transaction_bytes() == Some(bytes), "a recovery has another encoding");
                hold!(held.recovery.genesis == self.genesis, "a recovery of another chain is taken");
                // To hold a recovery believes none of a peer's.
                let handover = Handover {
                    last: self.chain.headers[HEIGHT as usize - 1].clone(),
                    proof: HandoverProof::Recovery {
                        header: Box::new(self.chain.headers[HEIGHT as usize - 1].clone()),
                        recovery: Box::new(held.recovery.clone()),
                    },
                    next: VoterSet { epoch: 2, ..self.chain.voters[1].clone() },
                };
                let none = HeldRecoveries::default();
                let led = verify_handovers(&self.genesis, &self.chain.voters[1], &[handover], &none);
                hold!(led.is_err(), "a recovery that nobody gave this node is believed");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    /// One field of an answer changed, as a peer would that lies well.
    fn forge(&self, answer: SyncAnswer, random: &mut Random) -> Option<SyncAnswer> {
        let hash = Hash([random.draw() as u8; 32]);
        match answer {
            SyncAnswer::Blocks { mut blocks, mut trail, mut certificate } => {
                match random.below(6) {
                    0 => {
                        let place = random.below(blocks.len());
                        let mut block = Block::decode(blocks.get(place)?, BYTES_MAX).ok()?;
                        match random.below(9) {
                            0 => block.header.height = random.draw() >> random.below(64),
                            1 => block.header.parent = hash,
                            2 => block.header.epoch = random.draw() >> random.below(64),
                            3 => block.header.voter_set = hash,
                            4 => block.header.next_voter_set = self.chain.voters[random.below(2)].hash(),
                            5 => block.header.state_root = hash,
                            6 => block.header.genesis = hash,
                            7 => drop(block.transactions.pop()),
                            _ => block.transactions.push(self.chain.recovery.clone()),
                        }
                        blocks[place] = block.encode();
                    }
                    1 if !blocks.is_empty() => drop(blocks.remove(random.below(blocks.len()))),
                    2 => trail.push(random.pick(&self.chain.headers).clone()),
                    3 if !blocks.is_empty() => {
                        let (left, right) = (random.below(blocks.len()), random.below(blocks.len()));
                        blocks.swap(left, right);
                    }
                    4 => certificate = Some(self.forged_certificate(random)),
                    _ => certificate = None,
                }
                Some(SyncAnswer::Blocks { blocks, trail, certificate })
            }
            SyncAnswer::Signatures { mut signatures, mut certificates } => {
                certificates.push(self.forged_certificate(random));
                let mut signature = random.pick(&self.chain.signatures).clone();
                signature.height = 1 + random.below(HEIGHT as usize) as u64;
                signatures.push(signature);
                Some(SyncAnswer::Signatures { signatures, certificates })
            }
            SyncAnswer::Handovers { mut handovers } => {
                let handover = handovers.first_mut()?;
                match random.below(4) {
                    0 => handover.last = random.pick(&self.chain.headers).clone(),
                    1 => handover.next = self.chain.voters[0].clone(),
                    2 => handover.proof = HandoverProof::Certificate(self.forged_certificate(random)),
                    _ => {
                        let held = HeldRecovery::from_bytes(&self.chain.recovery, &self.genesis).ok()?;
                        handover.proof = HandoverProof::Recovery {
                            header: Box::new(random.pick(&self.chain.headers).clone()),
                            recovery: Box::new(held.recovery),
                        }
                    }
                }
                Some(SyncAnswer::Handovers { handovers })
            }
        }
    }

    /// Genuine signatures over another height, too few, twice the same voter, or keys of nobody.
    fn forged_certificate(&self, random: &mut Random) -> Certificate {
        let height = 1 + random.below(HEIGHT as usize) as u64;
        let header = if random.chance(500) { self.chain.header_hash(height) } else { Hash([random.draw() as u8; 32]) };
        let mut signatures: Vec<VoterSignature> = (0..random.below(5))
            .map(|_| {
                let HeaderSignature { voter, signature, .. } = random.pick(&self.chain.signatures).clone();
                VoterSignature { voter, signature }
            })
            .collect();
        if random.chance(300) {
            let of_height = self.chain.signatures.iter().filter(|signature| signature.height == height);
            signatures = of_height
                .take(random.below(4))
                .map(|made| VoterSignature { voter: made.voter.clone(), signature: made.signature })
                .collect();
        }
        if random.chance(300) {
            // A stranger's valid signature in a voter's name.
            let made = &self.chain.signatures[0];
            let (voter, key) = (made.voter.clone(), secret_key("stranger"));
            let set = self.chain.voters_of(height).hash();
            let forged = HeaderSignature::sign(&self.genesis, &set, height, header, voter, &key);
            signatures.push(VoterSignature { voter: forged.voter, signature: forged.signature });
        }
        signatures.sort_by(|left, right| left.voter.cmp(&right.voter));
        Certificate { height, header, signatures }
    }
}

impl Target for Sync {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut seeds: Vec<_> = self.chain.sync.iter().map(|answer| input(kind::SYNC, answer)).collect();
        seeds.extend(self.chain.snapshot.iter().map(|answer| input(kind::SNAPSHOT, answer)));
        seeds.push(input(kind::MANIFEST, &self.manifest));
        let mut recovery = vec![kind::RECOVERY];
        recovery.extend_from_slice(&self.chain.recovery);
        seeds.push(recovery);
        seeds
    }

    fn reshape(&mut self, bytes: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            kind::SYNC => {
                let answer = SyncAnswer::from_peer(rest).ok()?;
                Some(input(kind::SYNC, &self.forge(answer, random)?))
            }
            kind::SNAPSHOT => {
                let SnapshotAnswer::Offer(mut offer) = SnapshotAnswer::from_peer(rest).ok()? else { return None };
                match random.below(5) {
                    0 => offer.certificate = self.forged_certificate(random),
                    1 => offer.trail.push(random.pick(&self.chain.headers).clone()),
                    2 => offer.manifest.header = random.pick(&self.chain.headers).clone(),
                    3 => offer.manifest.rows = random.draw() >> random.below(64),
                    _ => drop(offer.manifest.parts.pop()),
                }
                Some(input(kind::SNAPSHOT, &SnapshotAnswer::Offer(offer)))
            }
            _ => {
                let mut rest = rest.to_vec();
                mutate(&mut rest, other, &[], BYTES_MAX, random);
                rest.insert(0, *kind);
                Some(rest)
            }
        }
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((kind, rest)) = input.split_first() else { return Ok(()) };
        trace.reach(kind);
        match *kind {
            kind::SYNC => self.sync(rest, trace),
            kind::SNAPSHOT => self.snapshot(rest, trace),
            kind::RECOVERY => self.recovery(rest, trace),
            kind::MANIFEST => match Manifest::from_peer(rest) {
                Ok(manifest) => {
                    trace.accept();
                    canonical(&manifest, rest)?;
                    hold!(manifest.header.height != SNAPSHOT || manifest.check().is_ok(), "a manifest is unsound");
                    Ok(())
                }
                Err(error) => {
                    trace.reach(error.code());
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 256 << 10, input_bytes_max: 64 << 10, ..Limits::default() }
    }
}
