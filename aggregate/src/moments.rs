//! Count, sum and sum of squared deviations of the values of a cell, and how those of several cells join.

use crate::double_double::DoubleDouble;

/// Accumulates values. Sums and sums of squares are kept in double-double, so the squared deviations keep 1e-9 relative
/// precision up to a mean of about 1e11 standard deviations, and the order of rows does not show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    count: u64,
    sum: DoubleDouble,
    squares: DoubleDouble,
}

impl Moments {
    /// Takes a finite value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum = self.sum.plus(value.into());
        self.squares = self.squares.plus(DoubleDouble::product(value, value));
    }

    /// Takes a value of which only the presence counts.
    pub fn add_presence(&mut self) {
        self.count += 1;
    }

    /// Values taken.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum; not finite on overflow.
    pub fn sum(&self) -> f64 {
        self.sum.to_f64()
    }

    /// The sum of the squared deviations from their mean; 0 without values, not finite on overflow.
    pub fn squared_deviations(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let correction = self.sum.times(self.sum).divided_by(as_f64(self.count));
        not_negative(self.squares.minus(correction).to_f64())
    }
}

/// What is known of one cell at one site: enough to join it with others.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squared deviations from their own mean.
    pub squared_deviations: f64,
}

/// Joins cells: the sum, and the squared deviations from the common mean.
///
/// Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979),
/// in its form for any number of parts: each part's own deviations, plus count times squared distance of its mean from
/// the common mean.
pub fn join(parts: &[Part]) -> Part {
    let count = parts.iter().fold(0_u64, |count, part| count.saturating_add(part.count));
    let sum = parts.iter().fold(DoubleDouble::default(), |sum, part| sum.plus(part.sum.into()));
    let mut deviations = DoubleDouble::default();
    if count > 0 {
        let mean = sum.divided_by(as_f64(count));
        for part in parts.iter().filter(|part| part.count > 0) {
            let own_mean = DoubleDouble::from(part.sum).divided_by(as_f64(part.count));
            let distance = own_mean.minus(mean);
            let between = distance.times(distance).times(as_f64(part.count).into());
            deviations = deviations.plus(part.squared_deviations.into()).plus(between);
        }
    }
    Part { count, sum: sum.to_f64(), squared_deviations: not_negative(deviations.to_f64()) }
}

/// A count as a float: exact up to 2^53, far above the rows of any table.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53: a table of that many rows cannot be stored")]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Rounding may leave a sum of squares a trifle below zero; NaN stays.
fn not_negative(value: f64) -> f64 {
    if value < 0.0 { 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::{Moments, Part, join};

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.add(*value));
        moments
    }

    fn part(values: &[f64]) -> Part {
        let moments = of(values);
        Part { count: moments.count(), sum: moments.sum(), squared_deviations: moments.squared_deviations() }
    }

    #[test]
    fn a_small_spread_around_a_large_mean_survives() {
        // The naive formula in 53 bits gives 0 or nonsense here: 1e18 has no room for the spread.
        let moments = of(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        assert_eq!(moments.squared_deviations(), 90.0);
    }

    #[test]
    fn joined_parts_equal_the_whole() {
        let (left, right) = ([1.5, 2.5, 1e6], [-3.0, 0.25]);
        let joined = join(&[part(&left), part(&right), part(&[])]);
        let whole = of(&[1.5, 2.5, 1e6, -3.0, 0.25]);
        assert_eq!(joined.count, 5);
        assert_eq!(joined.sum, whole.sum());
        let error = joined.squared_deviations / whole.squared_deviations() - 1.0;
        assert!(error.abs() < 1e-15, "{error}");
    }

    #[test]
    fn overflow_shows_as_not_finite() {
        assert!(!of(&[1e200, 1.0]).squared_deviations().is_finite());
        assert!(!of(&[f64::MAX, f64::MAX]).sum().is_finite());
    }
}
