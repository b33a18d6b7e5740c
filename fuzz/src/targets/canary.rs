//! Targets with planted bugs, one for each thing that the harness watches: it must find every one of them, or it is blind.

use galen_types::hash::{Context, Hash};

use crate::hold;
use crate::target::{Limits, Target, Trace};

/// What is wrong with a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A length is believed and reaches beyond the end.
    Panic,
    /// A length is believed and reserved.
    Memory,
    /// A number is believed and counted to.
    Time,
    /// Two encodings are one value.
    TwoEncodings,
    /// What was verified once is remembered by its name, and so believed with any content.
    Forgery,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Panic, Self::Memory, Self::Time, Self::TwoEncodings, Self::Forgery];
}

/// A small format: a tag, a flag, a count, so many records with a length each, and a checksum of all.
pub struct Canary {
    bug: Bug,
}

const TAG: &[u8; 4] = b"cnry";

impl Canary {
    /// A target with one bug.
    pub fn new(bug: Bug) -> Self {
        Self { bug }
    }

    fn read(&self, input: &[u8], trace: &mut Trace) -> Option<(bool, Vec<Vec<u8>>)> {
        let (sum, rest) = input.split_at_checked(8)?;
        let sealed = &seal(rest)[..8] == sum;
        let (name, content) = rest.split_at_checked(8)?;
        if self.bug == Bug::Forgery {
            // The planted fault: the name stands for the content.
            if name != seeded(0)[8..16].to_vec() {
                return None;
            }
        } else if !sealed && self.bug != Bug::Time {
            return None;
        }
        trace.reach("sealed");
        let (tag, rest) = content.split_at_checked(4)?;
        if tag != TAG {
            return None;
        }
        let (flag, mut rest) = rest.split_first()?;
        let flag = match flag {
            0 => false,
            1 => true,
            _ if self.bug == Bug::TwoEncodings => true,
            _ => return None,
        };
        let count = u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
        trace.reach(count.min(8));
        if self.bug == Bug::Time {
            let mut sum = 0_u64;
            (0..u64::from(count & 0xff_ffff) * 4).for_each(|number| sum = std::hint::black_box(sum ^ number));
        }
        let mut records = Vec::new();
        if self.bug == Bug::Memory {
            records.reserve(count as usize & 0xff_ffff);
        }
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(*rest.split_off(..2)?.first_chunk()?));
            if self.bug == Bug::Panic && count == 3 {
                records.push(rest[..length].to_vec());
                rest = &rest[length..];
            } else {
                records.push(rest.split_off(..length)?.to_vec());
            }
        }
        rest.is_empty().then_some((flag, records))
    }
}

fn seal(bytes: &[u8]) -> [u8; 32] {
    Hash::of(Context::Commitment, bytes).0
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut named = seal(content)[..8].to_vec();
    named.extend_from_slice(content);
    let mut bytes = seal(&named)[..8].to_vec();
    bytes.extend_from_slice(&named);
    bytes
}

fn content(flag: bool, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = TAG.to_vec();
    bytes.push(u8::from(flag));
    bytes.extend_from_slice(&(records.len() as u32).to_le_bytes());
    for record in records {
        bytes.extend_from_slice(&(record.len() as u16).to_le_bytes());
        bytes.extend_from_slice(record);
    }
    bytes
}

fn seeded(records: usize) -> Vec<u8> {
    sealed(&content(records.is_multiple_of(2), &vec![b"record".to_vec(); records]))
}

impl Target for Canary {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        if self.bug == Bug::Forgery { vec![seeded(0)] } else { (0..3).map(seeded).collect() }
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut crate::random::Random) -> Option<Vec<u8>> {
        let mut content = input.get(16..)?.to_vec();
        crate::mutation::mutate(&mut content, other.get(16..).unwrap_or_default(), &[], 512, random);
        (self.bug != Bug::Forgery).then(|| sealed(&content))
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((flag, records)) = self.read(input, trace) else { return Ok(()) };
        trace.accept();
        let written = content(flag, &records);
        hold!(self.bug == Bug::Forgery || input[16..] == written, "what was read has another encoding");
        hold!(seal(&input[8..])[..8] == input[..8], "it was believed and is not sealed");
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { time: std::time::Duration::from_millis(20), ..Limits::default() }
    }
}
