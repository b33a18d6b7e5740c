//! Values as people and programs read them. Bytes are read by a shape, see [`crate::shapes`]; what comes out prints as
//! indented lines, with the names that the HTTP interface has for the parts.

use std::fmt;

use crate::hash::to_hex;
use crate::reader::Reader;
use crate::refusal::Refusal;
use crate::time::time_text;

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing where something may stand.
    Nothing,
    /// Whether something is so.
    Truth(bool),
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<Value>),
    /// Named parts.
    Record(Vec<(String, Value)>),
}

/// How bytes make a value. Numbers are little-endian; a length or count before what it counts has eight bytes.
pub(crate) enum Shape {
    /// One byte, 0 or 1.
    Truth,
    U8,
    U32,
    U64,
    /// Milliseconds since 1970.
    Time,
    /// As many bytes as they are; written as hexadecimal digits.
    Bytes(usize),
    /// A tagged public key.
    Key,
    EncryptionKey,
    /// A tagged signature.
    Signature,
    /// A part of a name.
    Slug,
    Text,
    /// Two parts of a name, and what stands between them.
    Pair(char),
    /// A dataset and a number.
    Version,
    /// An account or a node.
    Signer,
    /// One of these words; tags count from 1.
    Word(&'static str),
    /// 0, or 1 and a value.
    Maybe(&'static Shape),
    List(&'static Shape),
    /// Parts one after the other; those of a part without a name stand among the others.
    Record(Fields),
    /// One of several records by its tag. The first text names the part that says which, if there is one.
    Variant(&'static str, &'static [(u8, &'static str, Fields)]),
}

/// Named parts.
pub(crate) type Fields = &'static [(&'static str, &'static Shape)];

/// Reads a value.
pub(crate) fn read_value(reader: &mut Reader<'_>, shape: &Shape) -> Result<Value, Refusal> {
    Ok(match shape {
        Shape::Truth => Value::Truth(reader.maybe(|_| Ok(()))?.is_some()),
        Shape::U8 => Value::Number(reader.byte()?.into()),
        Shape::U32 => Value::Number(reader.u32()?.into()),
        Shape::U64 => Value::Number(reader.u64()?),
        Shape::Time => Value::Text(time_text(reader.u64()?)),
        Shape::Bytes(count) => Value::Text(to_hex(reader.take(*count)?)),
        Shape::Key => Value::Text(format!("ed25519:{}", to_hex(&crate::header::read_key(reader)?))),
        Shape::EncryptionKey => Value::Text(format!("x25519:{}", to_hex(reader.take(32)?))),
        Shape::Signature if reader.byte()? == 1 => Value::Text(format!("ed25519:{}", to_hex(reader.take(64)?))),
        Shape::Slug => Value::Text(reader.slug()?.to_owned()),
        Shape::Text => Value::Text(reader.text()?.to_owned()),
        Shape::Pair(between) => Value::Text(format!("{}{between}{}", reader.slug()?, reader.slug()?)),
        Shape::Version => Value::Text(format!("{}/{}@{}", reader.slug()?, reader.slug()?, reader.u32()?)),
        Shape::Signer => {
            let tag = reader.byte()?;
            let between = [(1, '@'), (2, '.')].into_iter().find(|(known, _)| *known == tag).ok_or(UNKNOWN)?.1;
            read_value(reader, &Shape::Pair(between))?
        }
        Shape::Word(words) => {
            let place = usize::from(reader.byte()?).checked_sub(1).ok_or(UNKNOWN)?;
            Value::text(words.split(' ').nth(place).ok_or(UNKNOWN)?)
        }
        Shape::Maybe(shape) => reader.maybe(|reader| read_value(reader, shape))?.unwrap_or(Value::Nothing),
        Shape::List(shape) => Value::List(reader.list(|reader| read_value(reader, shape))?),
        Shape::Record(fields) => Value::Record(read_fields(reader, fields, Vec::new())?),
        Shape::Variant(said_by, variants) => {
            let tag = reader.byte()?;
            let (_, name, fields) = variants.iter().find(|(known, ..)| *known == tag).ok_or(UNKNOWN)?;
            let mut parts = Vec::new();
            if !said_by.is_empty() {
                parts.push(((*said_by).to_owned(), Value::Text((*name).to_owned())));
            }
            Value::Record(read_fields(reader, fields, parts)?)
        }
        Shape::Signature => return Err(UNKNOWN),
    })
}

const UNKNOWN: Refusal = Refusal::Malformed("a tag is unknown");

fn read_fields(
    reader: &mut Reader<'_>,
    fields: Fields,
    mut parts: Vec<(String, Value)>,
) -> Result<Vec<(String, Value)>, Refusal> {
    for (name, shape) in fields {
        match (*name, read_value(reader, shape)?) {
            ("", Value::Record(inner)) => parts.extend(inner),
            (_, value) => parts.push(((*name).to_owned(), value)),
        }
    }
    Ok(parts)
}

impl Value {
    /// A text.
    pub(crate) fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// A part of a record.
    pub fn part(&self, wanted: &str) -> Option<&Self> {
        let Self::Record(parts) = self else { return None };
        parts.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
    }

    /// The text that it is.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// As lines, each with `indent` before it; what is nothing is left out.
    pub fn to_lines(&self, indent: &str) -> String {
        match self {
            Self::Record(parts) => parts.iter().map(|(name, value)| value.named(indent, name)).collect(),
            Self::List(items) => items.iter().map(|item| item.named(indent, "-")).collect(),
            other => format!("{indent}{}\n", other.plain()),
        }
    }

    fn named(&self, indent: &str, name: &str) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Record(parts) if parts.is_empty() => String::new(),
            // A rule's or a grant's empty list restricts nothing, like a limit that is not given.
            Self::List(items) if items.is_empty() => String::new(),
            Self::Record(_) => format!("{indent}{name}\n{}", self.to_lines(&format!("{indent}  "))),
            Self::List(items) if items.iter().any(|item| matches!(item, Self::Record(_))) => {
                format!("{indent}{name}\n{}", self.to_lines(&format!("{indent}  ")))
            }
            other => format!("{indent}{name} {}\n", other.plain()),
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Nothing | Self::Record(_) => "-".to_owned(),
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            // A terminal must not take a certified text for commands.
            Self::Text(text) => printable(text),
            Self::List(items) if items.is_empty() => "none".to_owned(),
            Self::List(items) => items.iter().map(Self::plain).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A text without control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
