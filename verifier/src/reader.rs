//! Reading bytes that anybody may have written: nothing is read beyond the end, and nothing is reserved for a length that
//! is only claimed.

use crate::refusal::Refusal;

/// What is left of the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Reader<'bytes> {
    pub(crate) fn new(bytes: &'bytes [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'bytes [u8], Refusal> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Refusal::Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Refusal> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Refusal::Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Refusal> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Refusal> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// How many items or bytes follow. Each item has one byte at least, so more than there are bytes is a lie.
    pub(crate) fn count(&mut self) -> Result<usize, Refusal> {
        let count = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        if count > self.rest.len() { Err(Refusal::Malformed("a length goes beyond the end")) } else { Ok(count) }
    }

    /// Bytes after their count.
    pub(crate) fn bytes(&mut self) -> Result<&'bytes [u8], Refusal> {
        let count = self.count()?;
        self.take(count)
    }

    /// UTF-8 after its count of bytes.
    pub(crate) fn text(&mut self) -> Result<&'bytes str, Refusal> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Refusal::Malformed("a text is not UTF-8"))
    }

    /// A name's part: 1 to 63 of `a-z`, `0-9` and `-`.
    pub(crate) fn slug(&mut self) -> Result<&'bytes str, Refusal> {
        let text = self.text()?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(text)
        } else {
            Err(Refusal::Malformed("a name is none"))
        }
    }

    /// Items after their count.
    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
        let count = self.count()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// 0, or 1 and an item.
    pub(crate) fn maybe<T>(
        &mut self,
        item: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        match self.byte()? {
            0 => Ok(None),
            1 => item(self).map(Some),
            _ => Err(Refusal::Malformed("a byte is neither 0 nor 1")),
        }
    }

    /// What `read` reads, and the bytes it took.
    pub(crate) fn with_bytes<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<(T, &'bytes [u8]), Refusal> {
        let before = self.rest;
        let item = read(self)?;
        Ok((item, before.get(..before.len() - self.rest.len()).unwrap_or_default()))
    }

    /// That nothing is left.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        if self.rest.is_empty() { Ok(()) } else { Err(Refusal::Malformed("bytes are left over")) }
    }
}
