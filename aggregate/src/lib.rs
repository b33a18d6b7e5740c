//! Statistics over many members' tables. A member's node turns its own table into a [`SiteSummary`] under the
//! disclosure rules; the aggregator combines summaries to a [`ResultTable`] that equals the computation over the
//! pooled rows. No row ever leaves a site, and this crate never sees the chain.
//!
//! ```text
//!   CSV bytes --TableReader--> rows --filter--> cohort --Cells--> disclosure rules 1-5 --> SiteSummary   (each site)
//!   SiteSummary, ... --decode and check again--> disclosure rule 6 --> ResultTable                       (aggregator)
//! ```
//!
//! - [`table`]: bounded reading of CSV, and which values count as missing.
//! - [`inspect`]: a table's columns and rows, for publishing it.
//! - [`request`]: what is to be computed.
//! - [`mod@summarise`]: one pass over a table.
//! - [`disclosure`]: the rules, what each of them is applied to, and their codes.
//! - [`summary`]: what a site sends, and how the receiver checks it.
//! - [`mod@combine`], [`result`]: the total over the sites.
//! - [`moments`], [`double_double`]: count, sum and squared deviations without loss.

pub mod combine;
pub mod disclosure;
pub mod document;
pub mod double_double;
pub mod inspect;
pub mod moments;
pub mod request;
pub mod result;
pub mod summarise;
pub mod summary;
pub mod table;

pub use combine::{CombineRefusal, combine};
pub use disclosure::Refusal;
pub use document::ResultDocument;
pub use inspect::{TableShape, inspect_csv};
pub use request::{RequestError, SummaryRequest};
pub use result::{ColumnResult, GroupResult, RefusedSite, ResultTable};
pub use summarise::summarise;
pub use summary::{Cell, ColumnSummary, SUMMARY_BYTES_MAX, SiteSummary, SummaryError};
pub use table::TableError;
