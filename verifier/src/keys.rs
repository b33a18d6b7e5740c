//! Keys of the state in words: the names by which `galen proof get` asks for them.

use crate::hash::to_hex;
use crate::reader::Reader;
use crate::refusal::Refusal;
use crate::shapes::{KeyParts, TABLES, Table};
use crate::time::time_text;

/// A key in words, e.g. `grants:alice@harlem:mississippi/opt`; `key:` and digits where no table is known.
pub fn key_in_words(key: &[u8]) -> String {
    let words = table_of(key).and_then(|table| parts(key, table).ok());
    words.unwrap_or_else(|| format!("key:{}", to_hex(key)))
}

/// The table that a key belongs to.
pub(crate) fn table_of(key: &[u8]) -> Option<&'static Table> {
    let tag = key.first()?;
    TABLES.iter().find(|table| table.tag == *tag)
}

fn parts(key: &[u8], table: &Table) -> Result<String, Refusal> {
    let mut reader = Reader::new(key.get(1..).unwrap_or_default());
    let name = match table.parts {
        KeyParts::Nothing => None,
        KeyParts::Member => Some(part(&mut reader)?),
        KeyParts::Owned('/') => Some(dataset(&mut reader)?),
        KeyParts::Owned(between) => Some(of_member(&mut reader, between)?),
        KeyParts::Id => Some(to_hex(reader.take(32)?)),
        KeyParts::SigningKey => Some(match reader.byte()? {
            1 => format!("ed25519:{}", to_hex(reader.take(32)?)),
            _ => return Err(Refusal::Malformed("a key is of an unknown suite")),
        }),
        KeyParts::Version => Some(format!("{}@{}", dataset(&mut reader)?, number(&mut reader)?)),
        KeyParts::Scope => Some(scope(&mut reader)?),
        KeyParts::ScopeVersion => Some(format!("{}@{}", scope(&mut reader)?, number(&mut reader)?)),
        KeyParts::AccountDataset => Some(format!("{}:{}", of_member(&mut reader, '@')?, dataset(&mut reader)?)),
        KeyParts::TimeId => {
            let until = time_text(u64::from_be_bytes(reader.array()?));
            Some(format!("{}@{until}", to_hex(reader.take(32)?)))
        }
    };
    reader.end()?;
    Ok(name.map_or_else(|| table.word.to_owned(), |name| format!("{}:{name}", table.word)))
}

/// A slug, which ends with a zero byte in keys.
fn part(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    let mut text = String::new();
    loop {
        match reader.byte()? {
            0 => return Ok(text),
            byte @ (b'a'..=b'z' | b'0'..=b'9' | b'-') => text.push(char::from(byte)),
            _ => return Err(Refusal::Malformed("a name is none")),
        }
    }
}

/// What is a member's; its name begins with itself.
fn of_member(reader: &mut Reader<'_>, between: char) -> Result<String, Refusal> {
    let member = part(reader)?;
    Ok(format!("{}{between}{member}", part(reader)?))
}

fn dataset(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    Ok(format!("{}/{}", part(reader)?, part(reader)?))
}

fn scope(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    match reader.byte()? {
        1 => dataset(reader),
        2 => Ok(format!("{}/*", part(reader)?)),
        _ => Err(Refusal::Malformed("a contract is attached to something unknown")),
    }
}

fn number(reader: &mut Reader<'_>) -> Result<u32, Refusal> {
    Ok(u32::from_be_bytes(reader.array()?))
}
