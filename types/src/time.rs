//! Points in time: milliseconds since the Unix epoch, UTC; RFC 3339 in text.

use std::fmt;
use std::str::FromStr;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use wincode::{SchemaRead, SchemaWrite};

/// Milliseconds since 1970-01-01T00:00:00Z. Prints as RFC 3339 with milliseconds, e.g. `2026-11-21T10:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
pub struct Timestamp(pub u64);

/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write.
const LAST_MS: u64 = 253_402_300_799_999;

impl Timestamp {
    /// What the system clock says now. Only edges (clients, nodes) ask; rules take the block's time.
    pub fn now() -> Self {
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(elapsed.as_millis()).unwrap_or(LAST_MS))
    }

    /// This time plus milliseconds, at most the greatest representable.
    pub const fn plus_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.min(LAST_MS);
        let seconds = i64::try_from(milliseconds / 1000).unwrap_or(0);
        let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        write!(
            formatter,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
            milliseconds % 1000
        )
    }
}

/// Text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write it like 2026-11-21T10:00:00Z")]
pub struct TimestampParseError(String);

impl FromStr for Timestamp {
    type Err = TimestampParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TimestampParseError(text.chars().take(80).collect());
        let date = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| error())?;
        let milliseconds = date.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(milliseconds).map(Self).map_err(|_| error())
    }
}

crate::encoding::serde_as_text!(Timestamp, "Timestamp", "2026-11-21T10:00:00.000Z");
