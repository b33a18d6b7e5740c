//! The calls of the load. Published contents are made up, of the size and shape of a real hospital file: what the chain
//! does with them is what it does with those of `data add`, since it never sees the file.

use galen_types::access::AccessTerms;
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::hash::Context;
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, Statistic};
use galen_types::{Call, ColumnName, DatasetName, Hash, MemberName};

use crate::accounts::slug;
use crate::error::BenchError;
use crate::options::Workload;

/// Columns of a published table.
const COLUMNS: usize = 12;

/// The calls of one client.
pub struct Calls {
    member: MemberName,
    /// Makes this client's names its own.
    prefix: String,
    target: DatasetName,
    columns: Vec<Column>,
    workload: Workload,
    next: u64,
}

impl Calls {
    /// The calls of a client of a member. `run` sets measurements apart, `target` is what access is asked to.
    ///
    /// # Errors
    /// [`BenchError::Options`] when a column has no name.
    pub fn new(
        member: MemberName,
        run: u64,
        client: usize,
        target: DatasetName,
        workload: Workload,
    ) -> Result<Self, BenchError> {
        let column = |number: usize| {
            let name = ColumnName::parse(&format!("measure_{number}"));
            let name = name.map_err(|error| BenchError::Options(error.to_string()))?;
            Ok::<_, BenchError>(Column { name, kind: ColumnKind::Number })
        };
        let columns = (0..COLUMNS).map(column).collect::<Result<_, _>>()?;
        Ok(Self { member, prefix: format!("bench-{run:x}-{client}"), target, columns, workload, next: 0 })
    }

    /// The next call.
    ///
    /// # Errors
    /// [`BenchError::Options`] when the name becomes too long.
    pub fn next_call(&mut self) -> Result<Call, BenchError> {
        self.next += 1;
        let publish = match self.workload {
            Workload::Publish => true,
            Workload::Access => false,
            Workload::Mixed => self.next % 2 == 1,
        };
        if publish { self.publish() } else { self.request() }
    }

    fn publish(&self) -> Result<Call, BenchError> {
        let dataset = slug(&format!("{}-{}", self.prefix, self.next))?;
        let unique = |what: &str| Hash::of(Context::Commitment, format!("{what} {}/{dataset}", self.member).as_bytes());
        let content = VersionContent {
            commitment: unique("commitment"),
            ciphertext: unique("ciphertext"),
            ciphertext_sha256: unique("sha256"),
            ciphertext_bytes: 155_600,
            plaintext_bytes: 155_528,
            format: FileFormat::Csv,
            rows: 211,
            columns: self.columns.clone(),
            data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
            card: None,
        };
        Ok(Call::PublishDataset { dataset, content, discoverable: true })
    }

    fn request(&self) -> Result<Call, BenchError> {
        let terms = AccessTerms {
            action: Action::Compute,
            purpose: Purpose::HealthcareResearch,
            columns: vec![self.columns[0].name.clone()],
            statistics: vec![Statistic::Count, Statistic::Mean],
            data_use: vec![],
        };
        Ok(Call::RequestAccess { dataset: self.target.clone(), terms, draft: false })
    }

    /// A dataset that access is asked to, published by this client.
    ///
    /// # Errors
    /// [`BenchError::Options`] when the name becomes too long.
    pub fn target(&mut self) -> Result<(DatasetName, Call), BenchError> {
        self.next += 1;
        let dataset =
            DatasetName { member: self.member.clone(), dataset: slug(&format!("{}-{}", self.prefix, self.next))? };
        Ok((dataset, self.publish()?))
    }
}
