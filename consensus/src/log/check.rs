//! Checking a log that is in use: its files are read again beside the writer, in memory that does not grow with the log.
//!
//! The bytes on the disk may rot after they were written, and a running node never reads them again: it would learn only
//! at its next start that it forgot what it promised. Whoever owns the log publishes [`Log::extent`](super::Log::extent)
//! after each append; whoever checks reads the segments up to there and hands their bytes to a [`SegmentCheck`].

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::record::{self, Chain, HEADER_BYTES, Header, Record};
use super::{Identity, LogError, segment_name};

/// How far a log goes: what is durable and may be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The oldest segment's number.
    pub first: u64,
    /// The newest segment's number: it is being written.
    pub last: u64,
    /// Durable bytes of the newest segment; of the others the whole file.
    pub last_bytes: u64,
}

/// The file of a segment.
#[must_use]
pub fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(segment_name(segment))
}

/// What the first record of a segment must follow: the last one of the segment before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link(Chain);

/// Checks the records of one segment as its bytes come in.
#[derive(Debug)]
pub struct SegmentCheck {
    identity: Identity,
    segment: u64,
    previous: Option<Chain>,
    /// Where in the file the bytes begin that wait for the rest of their record.
    offset: u64,
    batch: u64,
    waiting: Vec<u8>,
    last_index: u64,
}

impl SegmentCheck {
    /// Begins a segment; `after` is what the segment before it ended with, where that was checked.
    #[must_use]
    pub fn new(identity: Identity, segment: u64, after: Option<Link>) -> Self {
        let previous = after.map(|Link(chain)| chain);
        Self { identity, segment, previous, offset: 0, batch: 0, waiting: Vec::new(), last_index: 0 }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`LogError::Damaged`] at the first record that is not the one that was written; [`LogError::WrongIdentity`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.waiting.extend_from_slice(bytes);
        let held = Bytes::from(std::mem::take(&mut self.waiting));
        let mut done = 0;
        while held.len() - done >= HEADER_BYTES {
            let rest = held.slice(done..);
            let header = Header::read(&rest).ok_or_else(|| self.damaged())?;
            if header.record_bytes() > rest.len() {
                break;
            }
            self.take(&header, &rest)?;
            done += header.record_bytes();
        }
        self.waiting = held.slice(done..).to_vec();
        Ok(())
    }

    fn take(&mut self, header: &Header, rest: &Bytes) -> Result<(), LogError> {
        let place = header.place;
        let placed = place.segment == self.segment
            && place.offset == self.offset
            && (place.batch == self.batch || place.batch == place.offset);
        if !placed || self.previous.is_some_and(|previous| previous != header.previous) {
            return Err(self.damaged());
        }
        let (record, chain) = record::read(header, rest).ok_or_else(|| self.damaged())?;
        match record {
            // Begins each segment, and stands nowhere else.
            Record::Segment(_) if self.offset != 0 => return Err(self.damaged()),
            Record::Segment(found) if found != self.identity => {
                return Err(super::recovery::wrong_identity(self.segment, found, self.identity));
            }
            Record::Segment(_) => {}
            _ if self.offset == 0 => return Err(self.damaged()),
            Record::Entry(entry) => self.last_index = entry.index,
            _ => {}
        }
        self.previous = Some(chain);
        self.batch = place.batch;
        self.offset += header.record_bytes() as u64;
        Ok(())
    }

    /// Ends the segment: everything that was durable has been given.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when the last record is cut short, or there is none.
    pub fn finish(self) -> Result<Link, LogError> {
        match self.previous {
            Some(chain) if self.waiting.is_empty() && self.offset > 0 => Ok(Link(chain)),
            _ => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> LogError {
        LogError::Damaged { segment: self.segment, offset: self.offset, index: self.last_index + 1 }
    }
}
