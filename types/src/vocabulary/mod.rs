//! Closed vocabularies that rules, requests and jobs are written in, after the standards of the field.

mod action;
mod data_use;
mod filter;
mod purpose;
mod reason;
mod statistic;

pub use action::Action;
pub use data_use::{DataUse, DataUseTerm};
pub use filter::{Comparison, Condition, Filter, FilterError, Value};
pub use purpose::Purpose;
pub use reason::ReasonCode;
pub use statistic::Statistic;

/// Text that is none of a vocabulary's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of: {words}")]
pub struct UnknownWord {
    /// The text, cut to 80 characters.
    pub text: String,
    /// The words that are known.
    pub words: String,
}

/// An enum whose variants each have a stable one-byte tag and a word; encodes as the tag, reads and prints as the
/// word.
macro_rules! text_enum {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $tag:literal $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, wincode::SchemaWrite, wincode::SchemaRead,
            utoipa::ToSchema, serde::Serialize,
        )]
        #[wincode(tag_encoding = "u8")]
        pub enum $name {
            $($(#[$variant_doc])* #[wincode(tag = $tag)] #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in order of tags.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::vocabulary::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::vocabulary::UnknownWord {
                        text: text.chars().take(80).collect(),
                        words: Self::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", "),
                    }),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_enum;
