//! A site's final replies, kept until their jobs end: asked twice, a site gives the same bytes, also after a restart. A
//! reply is written here before it is recorded on the chain, because an answer is recorded once.

use std::io;
use std::path::PathBuf;

use galen_types::{DatasetName, Encoding as _, JobId};
use wincode::{SchemaRead, SchemaWrite};

use super::error::JobsError;
use super::protocol::{REPLY_BYTES_MAX, SiteReply};
use crate::files::documents::Documents;

/// Most bytes of a kept reply.
const DOCUMENT_BYTES_MAX: usize = REPLY_BYTES_MAX + 1024;

#[derive(SchemaWrite, SchemaRead)]
struct Entry {
    job: JobId,
    dataset: DatasetName,
    reply: SiteReply,
}

/// The replies.
#[derive(Debug)]
pub(crate) struct Answers {
    documents: Documents,
}

impl Answers {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, JobsError> {
        Ok(Self { documents: Documents::open(folder, DOCUMENT_BYTES_MAX as u64)? })
    }

    pub(crate) fn put(&self, job: JobId, dataset: &DatasetName, reply: &SiteReply) -> io::Result<()> {
        let entry = Entry { job, dataset: dataset.clone(), reply: reply.clone() };
        self.documents.write(&document_name(job, dataset), &entry.encode())
    }

    /// The reply kept for a job and dataset. One that is damaged is none.
    pub(crate) fn get(&self, job: JobId, dataset: &DatasetName) -> io::Result<Option<SiteReply>> {
        let Some(document) = self.documents.read(&document_name(job, dataset))? else { return Ok(None) };
        match Entry::decode(&document, DOCUMENT_BYTES_MAX) {
            Ok(entry) if entry.job == job && entry.dataset == *dataset => Ok(Some(entry.reply)),
            _ => {
                tracing::warn!(%job, %dataset, "a kept reply is damaged");
                Ok(None)
            }
        }
    }

    pub(crate) fn remove(&self, job: JobId, dataset: &DatasetName) -> io::Result<bool> {
        self.documents.remove(&document_name(job, dataset))
    }

    /// The jobs that there are replies for.
    pub(crate) fn jobs(&self) -> io::Result<Vec<JobId>> {
        let names = self.documents.names()?;
        let mut jobs: Vec<JobId> = names.iter().filter_map(|name| job_of(name)).collect();
        jobs.sort();
        jobs.dedup();
        Ok(jobs)
    }

    /// Deletes the replies of ended jobs.
    pub(crate) fn sweep(&self, ended: &[JobId]) -> io::Result<()> {
        for name in self.documents.names()? {
            if job_of(&name).is_some_and(|job| ended.contains(&job)) {
                self.documents.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// The dataset's member is the node's own, so its slug tells datasets apart.
fn document_name(job: JobId, dataset: &DatasetName) -> String {
    format!("{job}-{}", dataset.dataset)
}

fn job_of(name: &str) -> Option<JobId> {
    name.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use galen_types::Hash;

    use super::*;

    #[test]
    fn a_reply_is_the_same_until_its_job_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        let (job, other) = (JobId(Hash([1; 32])), JobId(Hash([2; 32])));
        let (opt, long) = ("harlem/opt".parse().unwrap(), format!("harlem/{}", "x".repeat(63)).parse().unwrap());
        let reply = SiteReply::Summary { bytes: vec![7; 100], salt: [1; 32] };
        let refused = SiteReply::Refused { rule: "rows-below-minimum".parse().unwrap() };
        let answers = Answers::open(path.clone()).unwrap();
        answers.put(job, &opt, &reply).unwrap();
        answers.put(other, &long, &refused).unwrap();

        let answers = Answers::open(path.clone()).unwrap();
        assert_eq!(answers.get(job, &opt).unwrap(), Some(reply));
        assert_eq!(answers.get(other, &long).unwrap(), Some(refused));
        assert_eq!(answers.get(other, &opt).unwrap(), None);
        assert_eq!(answers.jobs().unwrap(), [job, other]);

        std::fs::copy(path.join(document_name(other, &long)), path.join(document_name(other, &opt))).unwrap();
        assert_eq!(answers.get(other, &opt).unwrap(), None, "another dataset's reply is none of this one's");
        answers.sweep(&[other]).unwrap();
        assert_eq!(answers.jobs().unwrap(), [job]);
    }
}
