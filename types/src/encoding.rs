//! The canonical encoding: bincode's fixed-width little-endian layout (enum tags are one byte), by `wincode`.
//!
//! Every value has exactly one encoding. [`Encoding::decode`] holds that by encoding what it decoded and comparing: an
//! input that decodes to a value but is not that value's encoding is refused, as are trailing bytes and oversize.

use std::cell::Cell;

use wincode::config::{ConfigCore, Configuration, DefaultConfig};
use wincode::io::{Reader, Writer};
use wincode::len::{SeqLen, UseIntLen};
use wincode::{ReadError, ReadResult, SchemaReadOwned, SchemaWrite, WriteResult};

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the reader accepts.
    #[error("{size} bytes are more than the {limit} accepted here; split or shrink the content")]
    Oversize {
        /// Bytes given.
        size: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// Not a value of the type: cut short, unknown tag, invalid text, trailing bytes.
    #[error("the bytes are malformed: {0}")]
    Malformed(String),
    /// A value, but not in its one encoding.
    #[error("the bytes are not the canonical encoding of their value")]
    NotCanonical,
}

impl DecodeError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Oversize { .. } => "encoding-oversize",
            Self::Malformed(_) => "encoding-malformed",
            Self::NotCanonical => "encoding-not-canonical",
        }
    }
}

/// Lengths of lists and texts: 64 bits. Reading, a length above the input's own is refused before anything is reserved:
/// every element takes a byte at least. Else nine bytes that announce a long list would reserve megabytes.
pub struct Length;

/// The lengths themselves.
type Number = UseIntLen<u64>;

thread_local! {
    /// Bytes of the input that this thread decodes.
    static INPUT_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: sizes and bytes are those of `Number`.
#[expect(unsafe_code, reason = "wincode's trait for lengths is unsafe to implement")]
unsafe impl<C: ConfigCore> SeqLen<C> for Length
where
    Number: SeqLen<C>,
{
    fn read<'de>(reader: impl Reader<'de>) -> ReadResult<usize> {
        let length = <Number as SeqLen<C>>::read(reader)?;
        if length > INPUT_BYTES.get() {
            return Err(ReadError::Custom("a length reaches beyond the end"));
        }
        Ok(length)
    }

    fn write(writer: impl Writer, length: usize) -> WriteResult<()> {
        <Number as SeqLen<C>>::write(writer, length)
    }

    fn write_bytes_needed(length: usize) -> WriteResult<usize> {
        <Number as SeqLen<C>>::write_bytes_needed(length)
    }
}

/// Memory reserved before content is read is bounded by the input's size, and by 32 MiB, which covers every wire type.
type Config = Configuration<true, { 32 << 20 }, Length>;

/// The configuration all encodings share.
const CONFIG: Config =
    DefaultConfig::default().with_preallocation_size_limit::<{ 32 << 20 }>().with_length_encoding::<Length>();

/// Canonical encoding and exact, bounded decoding; implemented for every type that derives `wincode`'s schemas.
pub trait Encoding: Sized {
    /// The value's one encoding.
    fn encode(&self) -> Vec<u8>;

    /// Reads a value that takes up all of `bytes`, at most `limit` of them.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are too many, malformed, followed by others, or not canonical.
    fn decode(bytes: &[u8], limit: usize) -> Result<Self, DecodeError>;
}

impl<T> Encoding for T
where
    T: SchemaWrite<Config, Src = T> + SchemaReadOwned<Config, Dst = T>,
{
    #[expect(
        clippy::expect_used,
        reason = "writing to a vector fails only above the 32 MiB preallocation limit, far above every size limit on what is built"
    )]
    fn encode(&self) -> Vec<u8> {
        wincode::config::serialize(self, CONFIG).expect("a value in memory has an encoding")
    }

    fn decode(bytes: &[u8], limit: usize) -> Result<Self, DecodeError> {
        if bytes.len() > limit {
            return Err(DecodeError::Oversize { size: bytes.len(), limit });
        }
        INPUT_BYTES.set(bytes.len());
        let value: T = wincode::config::deserialize_exact(bytes, CONFIG)
            .map_err(|error| DecodeError::Malformed(error.to_string()))?;
        if value.encode() == bytes { Ok(value) } else { Err(DecodeError::NotCanonical) }
    }
}

/// The encoding of a number that is counted from 1: reading refuses 0, which the number's text cannot say.
pub(crate) struct FromOne;

// SAFETY: size and bytes are those of the number's own schema.
#[expect(unsafe_code, reason = "wincode's schema traits are unsafe to implement")]
unsafe impl<C: wincode::config::Config> SchemaWrite<C> for FromOne {
    type Src = u32;

    fn size_of(source: &u32) -> WriteResult<usize> {
        <u32 as SchemaWrite<C>>::size_of(source)
    }

    fn write(writer: impl Writer, source: &u32) -> WriteResult<()> {
        <u32 as SchemaWrite<C>>::write(writer, source)
    }
}

// SAFETY: the destination is written if and only if a number was read and is not 0.
#[expect(unsafe_code, reason = "wincode's schema traits are unsafe to implement")]
unsafe impl<'de, C: wincode::config::Config> wincode::SchemaRead<'de, C> for FromOne {
    type Dst = u32;

    fn read(reader: impl Reader<'de>, destination: &mut core::mem::MaybeUninit<u32>) -> ReadResult<()> {
        let number = <u32 as wincode::SchemaRead<'de, C>>::get(reader)?;
        if number == 0 {
            return Err(ReadError::Custom("a number that is counted from 1 is 0"));
        }
        destination.write(number);
        Ok(())
    }
}

/// Gives a validated text newtype (`struct Name(String)` with `Name::parse`) the encoding of its text; reading
/// validates, so no invalid name exists in memory.
macro_rules! encode_as_text {
    ($name:ty) => {
        // SAFETY: size and bytes are those of the inner text's own schema.
        #[expect(unsafe_code, reason = "wincode's schema traits are unsafe to implement")]
        unsafe impl<C: wincode::config::Config> wincode::SchemaWrite<C> for $name {
            type Src = $name;

            fn size_of(source: &Self::Src) -> wincode::WriteResult<usize> {
                <str as wincode::SchemaWrite<C>>::size_of(&source.0)
            }

            fn write(writer: impl wincode::io::Writer, source: &Self::Src) -> wincode::WriteResult<()> {
                <str as wincode::SchemaWrite<C>>::write(writer, &source.0)
            }
        }

        // SAFETY: the destination is written if and only if the text was read and is valid.
        #[expect(unsafe_code, reason = "wincode's schema traits are unsafe to implement")]
        unsafe impl<'de, C: wincode::config::Config> wincode::SchemaRead<'de, C> for $name {
            type Dst = $name;

            fn read(
                reader: impl wincode::io::Reader<'de>,
                destination: &mut core::mem::MaybeUninit<Self::Dst>,
            ) -> wincode::ReadResult<()> {
                let text = <&'de str as wincode::SchemaRead<'de, C>>::get(reader)?;
                let value = <$name>::parse(text)
                    .map_err(|_| wincode::ReadError::Custom("a name breaks the rules for names"))?;
                destination.write(value);
                Ok(())
            }
        }
    };
}
pub(crate) use encode_as_text;

/// Serde as text through `Display` and `FromStr`, and the matching OpenAPI schema.
macro_rules! serde_as_text {
    ($name:ty, $title:expr, $example:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .examples([$example])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($title)
            }
        }
    };
}
pub(crate) use serde_as_text;
