//! Transactions of clients and peers: decoded, verified, and executed by the rules over a state with something in it.

use std::collections::HashMap;

use ed25519_dalek::VerifyingKey;
use galen_chain::signatures::VerifiedCache;
use galen_contracts::limits::STATE_VALUE_BYTES_MAX;
use galen_contracts::{Verdict, execute, signer_key};
use galen_types::access::GrantLimits;
use galen_types::hash::Context;
use galen_types::identifier::{GrantId, JobId, RequestId};
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{
    Call, DecodedTransaction, Encoding as _, Hash, Outcome, Parameters, ProposalId, PublicKey, Receipt, SecretKey,
    Signature, SignedTransaction, Signer, TransactionBody, TransactionId,
};

use crate::hold;
use crate::mutation::mutate;
use crate::random::Random;
use crate::shared::consortium::{Consortium, MEMBERS, name, secret_key, specification, terms};
use crate::shared::examples;
use crate::target::{Limits, Target, Trace};

/// Most bytes of a transaction here.
const BYTES_MAX: usize = 64 << 10;
const ROLES: [&str; 4] = ["admin", "owner", "researcher", "auditor"];

/// Transaction decode, verify and execute.
pub struct Transactions {
    consortium: Consortium,
    /// Everyone who can sign, by name.
    keys: HashMap<String, SecretKey>,
    verified: VerifiedCache,
    /// Inputs since the cache was empty; what it remembers is no memory that an input takes.
    inputs: u32,
    seeds: Vec<Vec<u8>>,
}

impl Default for Transactions {
    fn default() -> Self {
        let mut consortium = Consortium::new();
        consortium.publish_everywhere();
        let grants = consortium.grant_compute_everywhere("researcher@mississippi");
        let request = consortium.request("researcher@kentucky", "harlem/opt", terms(Action::Download));
        let job = consortium.done("researcher@mississippi", Call::SubmitJob(specification()));
        let based_on = Parameters::default().hash();
        let parameters = Parameters { voters_per_member_max: 2, ..Parameters::default() };
        let change = ProposedChange::SetParameters { parameters, based_on, effective_height: 0 };
        let proposal = consortium.done("admin@hennepin", Call::Propose(change));
        consortium.next_block();
        let mut names: Vec<String> =
            MEMBERS.iter().flat_map(|member| ROLES.map(|role| format!("{role}@{member}"))).collect();
        names.extend(MEMBERS.map(|member| format!("node-1.{member}")));
        names.push("aggregator.harlem".to_owned());
        let keys = names.into_iter().map(|name| (name.clone(), secret_key(&name))).collect();
        let mut target = Self { consortium, keys, verified: VerifiedCache::default(), inputs: 0, seeds: Vec::new() };
        target.seeds = target.examples(&[grants[0], request, job, proposal]);
        target
    }
}

impl Transactions {
    fn sign(&self, signer: &str, salt: u8, call: Call) -> Vec<u8> {
        let body = TransactionBody {
            chain: self.consortium.block.genesis,
            signer: name::<Signer>(signer),
            salt: [salt; 16],
            valid_until: self.consortium.now().plus_ms(60_000),
            call,
        };
        body.sign(&self.keys[signer]).encode()
    }

    /// Every kind of call, and calls about what is there.
    fn examples(&self, [grant, request, job, proposal]: &[Hash; 4]) -> Vec<Vec<u8>> {
        let mut seeds: Vec<_> = examples::calls()
            .into_iter()
            .enumerate()
            .map(|(place, (_, call))| self.sign(signer_of(&call), place as u8, call))
            .collect();
        let reason = ReasonCode::ScopeTooBroad;
        let about = [
            ("owner@harlem", Call::ApproveRequest { request: RequestId(*request), limits: GrantLimits::default() }),
            ("owner@harlem", Call::RejectRequest { request: RequestId(*request), reason }),
            ("owner@harlem", Call::ReturnRequest { request: RequestId(*request), reason }),
            ("researcher@kentucky", Call::CloseRequest { request: RequestId(*request) }),
            ("owner@harlem", Call::RevokeGrant { grant: GrantId(*grant), reason }),
            ("admin@harlem", Call::Vote { proposal: ProposalId(*proposal), ballot: Ballot::Approve, reason: None }),
            ("researcher@mississippi", Call::ReadResult { job: JobId(*job) }),
            ("researcher@mississippi", Call::SubmitJob(specification())),
            (
                "researcher@mississippi",
                Call::Download { version: name("harlem/opt@1"), purpose: Purpose::HealthcareResearch },
            ),
            ("owner@harlem", Call::WithdrawDataset { dataset: name("harlem/opt"), version: None, reason }),
            ("admin@mississippi", Call::Leave { reason }),
            ("admin@mississippi", Call::DemoteNode { node: name("node-1.mississippi") }),
        ];
        seeds.extend(about.into_iter().zip(100..).map(|((signer, call), salt)| self.sign(signer, salt, call)));
        seeds
    }

    fn verify(&self, decoded: &DecodedTransaction, trace: &mut Trace) -> Result<bool, String> {
        let key = signer_key(&self.consortium.state, &decoded.body.signer).map_err(|error| error.to_string())?;
        let valid = self.verified.verify(&[(decoded, key)])[0];
        hold!(self.verified.verify(&[(decoded, key)])[0] == valid, "the second verdict differs from the first");
        trace.reach((key.is_some(), valid));
        if valid {
            let key = key.ok_or("an unknown signer's signature is valid")?;
            hold!(signed_by(&decoded.id.0, &decoded.signature, &key), "a foreign signature is valid");
        }
        Ok(valid)
    }

    fn execute(&self, decoded: &DecodedTransaction, trace: &mut Trace) -> Result<(), String> {
        let run =
            || execute(&self.consortium.state, &self.consortium.block, decoded).map_err(|error| error.to_string());
        let verdict = run()?;
        hold!(format!("{verdict:?}") == format!("{:?}", run()?), "the same call has two outcomes");
        let recorded = match verdict {
            Verdict::Void(reason) => {
                trace.reach(reason.code());
                return Ok(());
            }
            Verdict::Recorded(recorded) => recorded,
        };
        match &recorded.outcome {
            Outcome::Applied => trace.reach("applied"),
            Outcome::Refused { rule, .. } => {
                trace.reach(rule.as_str());
                hold!(recorded.writes.len() == 2, "a refused call writes {} keys", recorded.writes.len());
            }
        }
        trace.reach(examples::tag(&decoded.body.call));
        for (key, value) in &recorded.writes {
            let size = value.as_ref().map_or(0, Vec::len);
            hold!(key.len() <= 1024 && size <= STATE_VALUE_BYTES_MAX, "a write of {} and {size} bytes", key.len());
        }
        let (receipt, _) = recorded.into_receipt(decoded.id);
        let bytes = receipt.encode();
        let read = Receipt::decode(&bytes, bytes.len()).map_err(|error| format!("a receipt is not read: {error}"))?;
        hold!(read == receipt, "a receipt is read as another");
        Ok(())
    }
}

/// By a verifier of another library, under its strict rule: keys here are sound ones, for which the rules agree.
pub(super) fn signed_by(hash: &Hash, signature: &Signature, key: &PublicKey) -> bool {
    let Signature::Ed25519(bytes) = signature;
    let key = VerifyingKey::from_bytes(key.as_bytes()).expect("a registered key is a key");
    key.verify_strict(hash.as_bytes(), &ed25519_dalek::Signature::from_bytes(bytes)).is_ok()
}

/// Who may make such a call.
fn signer_of(call: &Call) -> &'static str {
    match examples::tag(call) {
        8 | 14 | 16 | 17 | 23 => "node-1.harlem",
        1..=19 => "admin@harlem",
        20..=22 | 40 | 43..=45 | 47 => "owner@harlem",
        61 => "node-1.kentucky",
        62 | 63 => "aggregator.harlem",
        _ => "researcher@mississippi",
    }
}

impl Target for Transactions {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        self.seeds.clone()
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let signed = SignedTransaction::decode(input, BYTES_MAX).ok()?;
        let others = SignedTransaction::decode(other, BYTES_MAX).ok()?;
        let mut body = TransactionBody::decode(&signed.body, BYTES_MAX).ok()?;
        let other_body = TransactionBody::decode(&others.body, BYTES_MAX).ok()?;
        match random.below(8) {
            // A valid signature by somebody else, or over something else.
            0 => return Some(SignedTransaction { signature: others.signature, ..signed }.encode()),
            1 => body.signer = other_body.signer,
            2 => body.valid_until.0 = body.valid_until.0.wrapping_add(random.draw() >> random.below(64)),
            3 => body.chain = Hash([random.draw() as u8; 32]),
            _ => {
                // Mutated until it is a call again, and signed.
                let bytes = body.call.encode();
                let other = other_body.call.encode();
                body.call = (0..40).find_map(|_| {
                    let mut bytes = bytes.clone();
                    mutate(&mut bytes, &other, &[], BYTES_MAX, random);
                    Call::decode(&bytes, BYTES_MAX).ok()
                })?;
            }
        }
        body.salt = random.draw().to_le_bytes().repeat(2).try_into().ok()?;
        let key = self.keys.get(&body.signer.to_string())?;
        Some(body.sign(key).encode())
    }

    fn renew(&mut self) {
        self.inputs += 1;
        if self.inputs.is_multiple_of(4_096) {
            self.verified = VerifiedCache::default();
        }
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let decoded = match DecodedTransaction::decode(input.to_vec(), BYTES_MAX) {
            Ok(decoded) => decoded,
            Err(error) => {
                trace.reach(error.code());
                return Ok(());
            }
        };
        let signed = SignedTransaction { body: decoded.body.encode(), signature: decoded.signature };
        hold!(signed.encode() == input, "an accepted transaction has another encoding");
        let id = TransactionId(Hash::of(Context::TransactionId, &signed.body));
        hold!(decoded.id == id && signed.id() == id, "an id is not the hash of the body");
        let text = serde_json::to_string(&decoded.body).map_err(|error| error.to_string())?;
        let read: TransactionBody =
            serde_json::from_str(&text).map_err(|error| format!("its JSON is not read: {error}: {text}"))?;
        // Times after the year 9999 have no text of their own.
        hold!(read == decoded.body || text.contains("9999-12-31T23:59:59.999Z"), "its JSON is read as another: {text}");
        if self.verify(&decoded, trace)? {
            trace.accept();
            self.execute(&decoded, trace)?;
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 1 << 20, memory_bytes_per_byte: 256, ..Limits::default() }
    }
}
