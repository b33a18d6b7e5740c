//! Result documents, kept by the aggregator that made them.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use galen_types::hash::Context;
use galen_types::{Hash, JobId};

use super::error::JobsError;
use crate::files::documents::Documents;

/// Most bytes of a result document: what the network carries in one answer.
pub(crate) const RESULT_BYTES_MAX: usize = 8 << 20;

/// The digest of a document's bytes, as the chain holds it.
pub(crate) fn digest_of(document: &[u8]) -> Hash {
    Hash::of(Context::JobResult, document)
}

/// The documents.
#[derive(Debug)]
pub(crate) struct Results {
    documents: Documents,
}

impl Results {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, JobsError> {
        Ok(Self { documents: Documents::open(folder, RESULT_BYTES_MAX as u64)? })
    }

    /// Keeps a document durably.
    pub(crate) fn put(&self, job: JobId, document: &[u8]) -> io::Result<()> {
        self.documents.write(&document_name(job), document)
    }

    /// The document whose digest the chain holds. One with another digest is none: it was changed, or another aggregator
    /// ended the job with other answers.
    pub(crate) fn get(&self, job: JobId, digest: &Hash) -> io::Result<Option<Bytes>> {
        let document = self.documents.read(&document_name(job))?;
        let sound = document.filter(|document| digest_of(document) == *digest);
        Ok(sound.map(|document| Bytes::copy_from_slice(&document)))
    }

    pub(crate) fn remove(&self, job: JobId) -> io::Result<bool> {
        self.documents.remove(&document_name(job))
    }
}

fn document_name(job: JobId) -> String {
    format!("{job}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_document_that_the_chain_names_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        let job = JobId(Hash([1; 32]));
        let results = Results::open(path.clone()).unwrap();
        let digest = digest_of(b"{\"mean\":1}");
        assert_eq!(results.get(job, &digest).unwrap(), None);
        results.put(job, b"{\"mean\":1}").unwrap();
        let results = Results::open(path.clone()).unwrap();
        assert_eq!(results.get(job, &digest).unwrap().unwrap(), b"{\"mean\":1}".as_slice());
        assert_eq!(results.get(job, &digest_of(b"{}")).unwrap(), None);
        std::fs::write(path.join(document_name(job)), b"{\"mean\":2}").unwrap();
        assert_eq!(results.get(job, &digest).unwrap(), None);
        assert!(results.remove(job).unwrap());
    }
}
