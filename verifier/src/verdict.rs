//! What a proof shows, in words.

use std::fmt;

use crate::hash::{Hash, to_hex};
use crate::time::time_text;
use crate::value::{Value, printable};

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The chain's name.
    pub chain: String,
    /// The hash of its founding document.
    pub genesis: Hash,
    /// The block in which, or after which, it is so.
    pub block: ProvenBlock,
    /// Who says so.
    pub certificate: ProvenCertificate,
    /// How often the voters changed between the founding and the certificate.
    pub handovers: usize,
    /// The recoveries among those changes, which the reader accepted.
    pub recoveries: Vec<Hash>,
    /// What is so; one at least.
    pub facts: Vec<Fact>,
}

/// The block of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenBlock {
    /// Counted from 1.
    pub height: u64,
    /// Its header's hash.
    pub hash: Hash,
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// Which voter set's.
    pub epoch: u64,
    /// The node that proposed it.
    pub proposer: String,
}

/// The certificate of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenCertificate {
    /// The header that was signed: the block's, or a later one that names it in its history.
    pub height: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Who signed.
    pub signers: Vec<String>,
    /// How many vote in the epoch.
    pub voters: usize,
    /// How many must sign.
    pub quorum: usize,
    /// How many liars among the voters it withstands.
    pub faults_tolerated: usize,
}

/// Something that is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A transaction stands in the block, and this became of it.
    Recorded {
        /// Its id.
        transaction: Hash,
        /// What was signed; `None` when this program cannot put it into words.
        body: Option<Value>,
        /// What became of it, with its events; `None` likewise.
        receipt: Option<Value>,
        /// The receipt's bytes.
        receipt_bytes: Vec<u8>,
        /// The transaction's full signed bytes.
        bytes: Vec<u8>,
    },
    /// A key of the state has a value after the block.
    Present {
        /// The key.
        key: Vec<u8>,
        /// In words.
        name: String,
        /// The value's bytes.
        bytes: Vec<u8>,
        /// In words; `None` when this program cannot.
        value: Option<Value>,
    },
    /// A key of the state has no value after the block.
    Absent {
        /// The key.
        key: Vec<u8>,
        /// In words.
        name: String,
        /// What that means.
        meaning: &'static str,
    },
    /// A voter signed another header at the block's height than the one certified.
    Deviated {
        /// The voter.
        voter: String,
        /// The hash that it signed.
        header: Hash,
        /// Whether it signed the certified header as well.
        both: bool,
    },
}

impl fmt::Display for Fact {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = |value: &Option<Value>, bytes: &[u8]| match value {
            Some(value) => value.to_lines("    "),
            None => format!("    bytes {}\n", to_hex(bytes)),
        };
        match self {
            Self::Recorded { transaction, body, receipt, receipt_bytes, bytes } => {
                let part = |value: &Option<Value>, name| value.as_ref().and_then(|value| value.part(name)).cloned();
                let outcome = part(receipt, "outcome");
                let status = outcome.as_ref().and_then(|outcome| outcome.part("status")?.as_text());
                write!(to, "recorded: transaction {}", to_hex(transaction))?;
                if let Some(signer) = part(body, "signer").as_ref().and_then(Value::as_text) {
                    write!(to, " by {signer}")?;
                }
                writeln!(to, ", {}", printable(status.unwrap_or("its outcome is not known to this program")))?;
                write!(to, "  signed\n{}  receipt\n{}", details(body, bytes), details(receipt, receipt_bytes))
            }
            Self::Present { name, bytes, value, .. } => write!(to, "present: {name}\n{}", details(value, bytes)),
            Self::Absent { name, meaning, .. } => writeln!(to, "absent: {name}\n    {meaning}"),
            Self::Deviated { voter, header, both } => {
                let signed = if *both { "two headers of one height, this one and" } else { "another header:" };
                writeln!(to, "evidence: {voter} signed {signed} {}", to_hex(header))
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (block, certificate) = (&self.block, &self.certificate);
        let state = self.facts.iter().any(|fact| matches!(fact, Fact::Present { .. } | Fact::Absent { .. }));
        writeln!(
            to,
            "proven: {} block {} of chain `{}`, {}",
            if state { "after" } else { "in" },
            block.height,
            self.chain,
            time_text(block.time_ms)
        )?;
        self.facts.iter().try_for_each(|fact| write!(to, "\n{fact}"))?;
        writeln!(to, "\nblock      {} (epoch {}, proposed by {})", to_hex(&block.hash), block.epoch, block.proposer)?;
        let at = match certificate.height == block.height {
            true => String::new(),
            false => format!(" the later block {}, whose history holds it,", certificate.height),
        };
        writeln!(
            to,
            "certified{at} by {} of {} voters of epoch {} (quorum {}): {}",
            certificate.signers.len(),
            certificate.voters,
            certificate.epoch,
            certificate.quorum,
            certificate.signers.join(", ")
        )?;
        match certificate.faults_tolerated {
            0 => writeln!(to, "withstands no liar among the voters")?,
            faults => writeln!(to, "withstands {faults} of them lying")?,
        }
        writeln!(to, "genesis    {}, from which the voters changed {} times", to_hex(&self.genesis), self.handovers)?;
        self.recoveries.iter().try_for_each(|hash| writeln!(to, "recovery   {}, accepted by you", to_hex(hash)))
    }
}
