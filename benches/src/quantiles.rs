//! Percentiles of a few values, exactly: nearest rank, so that each is a value that was measured.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: usize,
    /// Median.
    pub ms_p50: f64,
    /// 90th percentile.
    pub ms_p90: f64,
    /// 99th percentile.
    pub ms_p99: f64,
    /// Greatest.
    pub ms_max: f64,
}

impl Quantiles {
    /// Of values; all zero of none.
    pub fn of(values: impl IntoIterator<Item = Duration>) -> Self {
        let mut values: Vec<Duration> = values.into_iter().collect();
        values.sort_unstable();
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(rank).map_or(0.0, |value| value.as_secs_f64() * 1000.0)
        };
        Self { count: values.len(), ms_p50: at(50), ms_p90: at(90), ms_p99: at(99), ms_max: at(100) }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.ms_p50, self.ms_p90, self.ms_p99, self.ms_max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_of_its_rank() {
        let of = |count: u64| Quantiles::of((1..=count).rev().map(Duration::from_millis));
        let hundred = of(100);
        assert_eq!((hundred.ms_p50, hundred.ms_p90, hundred.ms_p99, hundred.ms_max), (50.0, 90.0, 99.0, 100.0));
        let three = of(3);
        assert_eq!((three.ms_p50, three.ms_p90, three.ms_max), (2.0, 3.0, 3.0));
        assert_eq!(of(1).ms_p50, 1.0);
        assert_eq!(of(0), Quantiles::default());
    }
}
