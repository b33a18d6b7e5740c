//! Times and durations as people type them: `2026-11-21T10:00:00Z`, `2026-11-21`, `2h` (ago), `7d`.

use std::str::FromStr;
use std::time::Duration;

use galen_types::Timestamp;

/// Text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it like {0}")]
pub(crate) struct TimeTextError(&'static str);

/// A length of time: a whole number and s, m, h, d or w.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Duration);

impl FromStr for Length {
    type Err = TimeTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = TimeTextError("30s, 10m, 2h, 7d or 4w");
        let unit = text.chars().last().ok_or(error.clone())?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(error),
        };
        let number = &text[..text.len() - unit.len_utf8()];
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error);
        }
        let number: u64 = number.parse().map_err(|_| error.clone())?;
        number.checked_mul(seconds).map(|seconds| Self(Duration::from_secs(seconds))).ok_or(error)
    }
}

impl Length {
    fn milliseconds(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A point in time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    At(Timestamp),
    Ago(Length),
}

impl Past {
    pub(crate) fn relative_to(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(length) => Timestamp(now.0.saturating_sub(length.milliseconds())),
        }
    }
}

impl FromStr for Past {
    type Err = TimeTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        point(text)
            .map(Self::At)
            .or_else(|| text.parse().ok().map(Self::Ago))
            .ok_or(TimeTextError("2026-11-21T10:00:00Z, 2026-11-21, or 2h, 7d for how long ago"))
    }
}

/// A point in time, or how far it lies ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Future {
    At(Timestamp),
    In(Length),
}

impl Future {
    pub(crate) fn relative_to(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::In(length) => now.plus_ms(length.milliseconds()),
        }
    }
}

impl FromStr for Future {
    type Err = TimeTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        point(text)
            .map(Self::At)
            .or_else(|| text.parse().ok().map(Self::In))
            .ok_or(TimeTextError("2026-11-21T10:00:00Z, 2026-11-21, or 2h, 7d for how far ahead"))
    }
}

fn point(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{text}T00:00:00Z").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn times_are_points_or_lengths() {
        let past = |text: &str| text.parse::<Past>().map(|past| past.relative_to(NOW).0);
        assert_eq!(past("2h"), Ok(1_000_000_000 - 7_200_000));
        assert_eq!(past("1970-01-02T00:00:00Z"), Ok(86_400_000));
        assert_eq!(past("1970-01-02"), Ok(86_400_000));
        assert_eq!(past("9999w"), Ok(0), "never before the epoch");
        assert_eq!("7d".parse::<Future>().map(|future| future.relative_to(NOW).0), Ok(1_000_000_000 + 604_800_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "h", "2", "-2h", "2 h", "2y", "yesterday", "2026-13-01", "99999999999999999999d", "2é"] {
            assert!(text.parse::<Past>().is_err(), "{text}");
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
