//! The hospitals' files. They ship inside the program, so that it works wherever it lies.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use galen_types::Slug;

use crate::error::TestnetError;
use crate::plan::MEMBERS;

/// What one hospital publishes.
#[derive(Debug, Clone)]
pub struct SiteFile {
    /// The hospital.
    pub member: Slug,
    /// A table with the columns of the trial.
    pub bytes: Cow<'static, [u8]>,
}

const OPT: [&[u8]; MEMBERS.len()] = [
    include_bytes!("../../data/opt/harlem.csv"),
    include_bytes!("../../data/opt/hennepin.csv"),
    include_bytes!("../../data/opt/kentucky.csv"),
    include_bytes!("../../data/opt/mississippi.csv"),
];

impl SiteFile {
    /// The files of the Obstetrics and Periodontal Therapy trial, one a hospital.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when a built-in name is no name.
    pub fn shipped() -> Result<Vec<Self>, TestnetError> {
        MEMBERS
            .iter()
            .zip(OPT)
            .map(|(member, bytes)| {
                let member = Slug::parse(member).map_err(|error| TestnetError::Plan(error.to_string()))?;
                Ok(Self { member, bytes: Cow::Borrowed(bytes) })
            })
            .collect()
    }

    /// Where the file lies under the main job's folder.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.csv", self.member))
    }
}
