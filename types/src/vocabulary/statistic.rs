use crate::vocabulary::text_enum;

text_enum! {
    /// The closed list of what can be computed over several members' datasets.
    pub enum Statistic {
        /// Non-null values.
        Count = 1 "count",
        /// Null values, as one pooled count, never by group.
        Missing = 2 "missing",
        /// The sum of the values.
        Sum = 3 "sum",
        /// The arithmetic mean.
        Mean = 4 "mean",
        /// The sample variance (divisor n - 1).
        Variance = 5 "variance",
    }
}
