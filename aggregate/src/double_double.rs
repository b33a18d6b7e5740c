//! Double-double numbers: an unevaluated sum of two floats, about 106 bits of precision. Sums of values and of squares
//! kept so lose nothing that a result in 53 bits could show, whatever the order of the rows.
//!
//! Sources: Dekker, "A floating-point technique for extending the available precision" (1971); Knuth, The Art of
//! Computer Programming 2, 4.2.2 (two-sum).

/// `high + low`, where `low` is at most half a unit in the last place of `high`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DoubleDouble {
    high: f64,
    low: f64,
}

/// The exact sum of two floats.
fn two_sum(left: f64, right: f64) -> DoubleDouble {
    let high = left + right;
    let right_part = high - left;
    let low = (left - (high - right_part)) + (right - right_part);
    DoubleDouble { high, low }
}

/// The exact sum of two floats of which the first is the greater in magnitude.
fn quick_two_sum(greater: f64, lesser: f64) -> DoubleDouble {
    let high = greater + lesser;
    let low = lesser - (high - greater);
    DoubleDouble { high, low }
}

impl DoubleDouble {
    /// The exact product of two floats.
    pub fn product(left: f64, right: f64) -> Self {
        let high = left * right;
        let low = left.mul_add(right, -high);
        Self { high, low }
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let high = two_sum(self.high, other.high);
        let low = two_sum(self.low, other.low);
        let sum = quick_two_sum(high.high, high.low + low.high);
        quick_two_sum(sum.high, sum.low + low.low)
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self { high: -other.high, low: -other.low })
    }

    /// The product.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        quick_two_sum(product.high, product.low + (self.high * other.low + self.low * other.high))
    }

    /// The quotient by a float.
    #[must_use]
    pub fn divided_by(self, divisor: f64) -> Self {
        let first = self.high / divisor;
        let rest = self.minus(Self::product(first, divisor));
        quick_two_sum(first, rest.high / divisor)
    }

    /// The nearest float; not finite when the number left the range of floats.
    pub fn to_f64(self) -> f64 {
        self.high + self.low
    }
}

impl From<f64> for DoubleDouble {
    fn from(value: f64) -> Self {
        Self { high: value, low: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::DoubleDouble;

    #[test]
    fn what_cancels_in_53_bits_does_not_cancel_here() {
        let sum =
            [1e16, 1.0, -1e16, 1e-9].into_iter().fold(DoubleDouble::default(), |sum, value| sum.plus(value.into()));
        assert_eq!(sum.to_f64(), 1.0 + 1e-9);
    }

    #[test]
    fn a_quotient_times_its_divisor_is_the_dividend() {
        let third = DoubleDouble::from(1.0).divided_by(3.0);
        let one = third.times(DoubleDouble::from(3.0));
        assert!(one.minus(DoubleDouble::from(1.0)).to_f64().abs() < 1e-31);
    }

    #[test]
    fn squares_are_exact() {
        let value = 1.0 + f64::EPSILON;
        let rest = DoubleDouble::product(value, value).minus(DoubleDouble::from(1.0 + 2.0 * f64::EPSILON));
        assert_eq!(rest.to_f64(), f64::EPSILON * f64::EPSILON);
    }
}
