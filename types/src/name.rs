//! Names: member `harlem`, account `alice@harlem`, node `node-1.harlem`, dataset `harlem/opt`, version `harlem/opt@3`.
//! Their parts are slugs, `[a-z0-9-]{1,63}`; account names are pseudonyms by policy.

use std::fmt;
use std::str::FromStr;

use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::{FromOne, encode_as_text, serde_as_text};

/// Text that is not a name of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct NameError {
    /// The text, cut to 80 characters.
    pub text: String,
    /// What it should look like, with an example.
    pub expected: &'static str,
}

impl NameError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// 1 to 63 of `a-z`, `0-9` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// Checks and wraps a text.
    ///
    /// # Errors
    /// [`NameError`] when the text is not a slug.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, "a name: 1 to 63 of a-z, 0-9 and -"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A column's name in a data file: 1 to 128 bytes of UTF-8 without control characters or outer blanks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnName(String);

impl ColumnName {
    /// Checks and wraps a text.
    ///
    /// # Errors
    /// [`NameError`] when the text is empty, longer than 128 bytes, padded, or holds control characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let sound = (1..=128).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control);
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, "a column name: 1 to 128 bytes, no outer blanks, no control characters"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_name {
    ($name:ident, $example:literal) => {
        encode_as_text!($name);
        serde_as_text!($name, stringify!($name), $example);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
    };
}
text_name!(Slug, "harlem");
text_name!(ColumnName, "Birthweight");

/// A member institution, e.g. `harlem`.
pub type MemberName = Slug;

/// Two slugs and what stands between them.
macro_rules! pair_name {
    ($(#[$doc:meta])* $name:ident { $first:ident, $second:ident }, $separator:literal, $expected:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
        pub struct $name {
            /// The part before the separator.
            pub $first: Slug,
            /// The part after the separator.
            pub $second: Slug,
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}{}{}", self.$first, $separator, self.$second)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let error = || NameError::new(text, $expected);
                let ($first, $second) = text.split_once($separator).ok_or_else(error)?;
                Ok(Self {
                    $first: Slug::parse($first).map_err(|_| error())?,
                    $second: Slug::parse($second).map_err(|_| error())?,
                })
            }
        }

        serde_as_text!($name, stringify!($name), $example);
    };
}

pair_name!(
    /// A person or program of a member, e.g. `alice@harlem`.
    AccountName { account, member }, '@', "an account, like alice@harlem", "alice@harlem"
);
pair_name!(
    /// A machine of a member, e.g. `node-1.harlem`.
    NodeName { node, member }, '.', "a node, like node-1.harlem", "node-1.harlem"
);
pair_name!(
    /// A dataset of a member, e.g. `harlem/opt`.
    DatasetName { member, dataset }, '/', "a dataset, like harlem/opt", "harlem/opt"
);

/// One version of a dataset, e.g. `harlem/opt@3`; the first is 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
pub struct VersionName {
    /// The dataset.
    pub dataset: DatasetName,
    /// The version's number, counted from 1.
    #[wincode(with = "FromOne")]
    pub version: u32,
}

impl fmt::Display for VersionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.dataset, self.version)
    }
}

impl fmt::Debug for VersionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for VersionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NameError::new(text, "a version of a dataset, like harlem/opt@3");
        let (dataset, version) = text.split_once('@').ok_or_else(error)?;
        let plain = !version.is_empty() && !version.starts_with('0') && version.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(error());
        }
        Ok(Self { dataset: dataset.parse().map_err(|_| error())?, version: version.parse().map_err(|_| error())? })
    }
}

serde_as_text!(VersionName, "VersionName", "harlem/opt@3");

/// Who signs a transaction: a member's account, or a member's node speaking for itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum Signer {
    /// A person or program.
    #[wincode(tag = 1)]
    Account(AccountName),
    /// A machine.
    #[wincode(tag = 2)]
    Node(NodeName),
}

impl Signer {
    /// The member that the signer belongs to.
    pub fn member(&self) -> &MemberName {
        match self {
            Self::Account(account) => &account.member,
            Self::Node(node) => &node.member,
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => fmt::Display::fmt(account, formatter),
            Self::Node(node) => fmt::Display::fmt(node, formatter),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Signer {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('@') { text.parse().map(Self::Account) } else { text.parse().map(Self::Node) }
            .map_err(|_| NameError::new(text, "an account or a node, like alice@harlem or node-1.harlem"))
    }
}

serde_as_text!(Signer, "Signer", "alice@harlem");
