//! The founding document: what it is known by, and who voted first.

use crate::hash::{self, Hash};
use crate::header::{NodeName, Voter, read_key};
use crate::reader::Reader;
use crate::refusal::Refusal;
use crate::shapes;
use crate::value::read_value;

/// Tag of the role of nodes that order and certify.
const ROLE_VOTER: u8 = 1;

/// What a proof needs of the founding document.
pub(crate) struct Genesis<'file> {
    pub(crate) hash: Hash,
    pub(crate) chain: &'file str,
    /// The founding nodes that vote.
    pub(crate) voters: Vec<Voter<'file>>,
}

impl<'file> Genesis<'file> {
    /// Reads the canonical encoding.
    pub(crate) fn read(bytes: &'file [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let chain = reader.slug()?;
        let (_founded_ms, _rules_version, _state_bucket_bits) = (reader.u64()?, reader.u32()?, reader.byte()?);
        read_value(&mut reader, &shapes::PARAMETERS)?;
        let mut voters = Vec::new();
        for _ in 0..reader.count()? {
            let member = reader.slug()?;
            reader.list(|reader| read_value(reader, &shapes::NEW_ACCOUNT))?;
            for _ in 0..reader.count()? {
                let name = NodeName { node: reader.slug()?, member };
                let node = Voter { name, key: read_key(&mut reader)? };
                let role = reader.byte()?;
                let _address = reader.text()?;
                if role == ROLE_VOTER {
                    voters.push(node);
                }
            }
        }
        reader.end()?;
        Ok(Self { hash: hash::GENESIS.hash(&[bytes]), chain, voters })
    }
}
