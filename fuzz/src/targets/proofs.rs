//! Files of offline proofs into the stand-alone verifier: whatever it says is so.

use std::collections::HashSet;

use galen_types::hash::{Context, Hash};
use galen_types::proof::{PROOF_MAGIC, Proof, Subject};
use galen_types::{Batch, Encoding as _, HeaderSignature};
use galen_verifier::{Fact, Trust, verify};

use crate::chain::{Chain, HEIGHT};
use crate::hold;
use crate::mutation::mutate;
use crate::random::Random;
use crate::target::{Limits, Target, Trace};

/// Before the proof's encoding: the magic and the version.
const HEAD: usize = PROOF_MAGIC.len() + 2;
/// After it: the hash.
const SEAL: usize = 32;

/// Offline proofs.
pub struct Proofs;

fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let hash = Hash::of(Context::ProofFile, &file);
    file.extend_from_slice(hash.as_bytes());
    file
}

impl Proofs {
    fn check(fact: &Fact, height: u64) -> Result<(), String> {
        let chain = Chain::get();
        match fact {
            Fact::Recorded { bytes, .. } => {
                let batches = chain.batches.iter().filter_map(|bytes| Batch::decode(bytes, bytes.len()).ok());
                let known: HashSet<Vec<u8>> = batches.flat_map(|batch| batch.transactions).collect();
                hold!(known.contains(bytes), "a foreign transaction is proven");
            }
            Fact::Present { key, bytes, .. } => {
                hold!(height == HEIGHT, "a state at height {height} is proven");
                hold!(chain.state.get(key) == Some(bytes), "a foreign value is proven: {key:?}");
            }
            Fact::Absent { key, .. } => {
                hold!(height == HEIGHT, "a state at height {height} is proven");
                hold!(!chain.state.contains_key(key), "a key that is there is proven absent: {key:?}");
            }
            Fact::Deviated { voter, header, both } => {
                let of = |signed: &HeaderSignature, header: Hash| {
                    signed.height == height && signed.voter.to_string() == *voter && signed.header == header
                };
                hold!(chain.lies.iter().any(|lie| of(lie, Hash(*header))), "{voter} is accused at height {height}");
                let right = chain.header_hash(height);
                hold!(!both || chain.signatures.iter().any(|signed| of(signed, right)), "{voter} signed one header");
            }
        }
        Ok(())
    }
}

impl Target for Proofs {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        Chain::get().proofs.clone()
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let end = input.len().checked_sub(SEAL)?;
        let body = input.get(HEAD..end)?;
        let mut file = input.get(..HEAD)?.to_vec();
        let others = other.get(HEAD..other.len().checked_sub(SEAL)?)?;
        let (read, second) = (Proof::decode(body, body.len()), Proof::decode(others, others.len()));
        match (read, second) {
            (Ok(mut proof), Ok(second)) if random.chance(700) => {
                match random.below(8) {
                    0 => proof.subject = second.subject,
                    1 => proof.earlier = second.earlier,
                    2 => (proof.certified, proof.signatures) = (second.certified, second.signatures),
                    3 => proof.certified = random.pick(&Chain::get().headers).clone(),
                    4 => drop(proof.signatures.pop()),
                    5 => drop(proof.handovers.pop()),
                    6 => proof.handovers.extend(second.handovers),
                    _ => {
                        if let Subject::State(keys) = &mut proof.subject {
                            let key = random.below(keys.len());
                            let key = keys.get_mut(key)?;
                            match random.below(4) {
                                0 => key.value = None,
                                1 => drop(key.entries.pop()),
                                2 => drop(key.siblings.pop()),
                                _ => mutate(&mut key.key, other, &[], 64, random),
                            }
                        }
                        if let Subject::Evidence(evidence) = &mut proof.subject {
                            let lie = random.pick(&Chain::get().lies).clone();
                            let right = random.pick(&Chain::get().signatures).clone();
                            match random.below(6) {
                                0 => evidence.voter = right.voter,
                                1 => evidence.header = random.pick(&Chain::get().headers).hash(),
                                2 => (evidence.header, evidence.signature) = (right.header, right.signature),
                                3 => (evidence.voter, evidence.signature) = (lie.voter, lie.signature),
                                4 => evidence.also = None,
                                _ => evidence.also = Some(right.signature),
                            }
                        }
                    }
                }
                file.extend_from_slice(&proof.encode());
            }
            _ => {
                let mut body = body.to_vec();
                mutate(&mut body, others, &[], 32 << 10, random);
                file.extend_from_slice(&body);
            }
        }
        Some(sealed(file))
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let chain = Chain::get();
        let trust = Trust { genesis: chain.hash().0, recoveries: Vec::new() };
        let verdict = match verify(input, &trust) {
            Ok(verdict) => verdict,
            Err(refusal) => {
                trace.reach((refusal.code(), refusal.to_string().len()));
                return Ok(());
            }
        };
        trace.accept();
        let height = verdict.block.height;
        trace.reach((height, verdict.handovers, verdict.facts.len()));
        hold!(Hash(verdict.block.hash) == chain.header_hash(height), "a foreign block is proven at {height}");
        let signers: HashSet<_> = verdict.certificate.signers.iter().collect();
        hold!(signers.len() >= verdict.certificate.quorum, "{} signers are a quorum", signers.len());
        hold!(!verdict.facts.is_empty(), "a proof of nothing is accepted");
        for fact in &verdict.facts {
            Self::check(fact, height)?;
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 1 << 20, memory_bytes_per_byte: 256, input_bytes_max: 32 << 10, ..Limits::default() }
    }
}
