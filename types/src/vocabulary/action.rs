use crate::vocabulary::text_enum;

text_enum! {
    /// What is done with a dataset.
    pub enum Action {
        /// See that it exists and what it holds (names of columns, number of rows, terms).
        Discover = 1 "discover",
        /// Have statistics computed over it, among others', where it lies.
        Compute = 2 "compute",
        /// Get the file itself.
        Download = 3 "download",
    }
}
