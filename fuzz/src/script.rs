//! Scripts: inputs that are a row of steps, so that mutation also reorders, doubles and drops them.

/// Reads the parts of steps; `None` at the end.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    /// Bytes behind their length; what is missing is not there.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes([self.byte()?, self.byte()?]));
        let length = length.min(self.0.len());
        self.0.split_off(..length)
    }

    /// A node's number, also of one that nobody knows.
    pub(crate) fn peer(&mut self) -> Option<u64> {
        Some(u64::from(self.byte()? % 8))
    }
}

/// Writes scripts.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    /// A step's code, and short parts.
    pub(crate) fn op(&mut self, code: u8, parts: &[u8]) {
        self.0.push(code);
        self.0.extend_from_slice(parts);
    }

    /// A step with bytes behind its short parts.
    pub(crate) fn op_with(&mut self, code: u8, parts: &[u8], bytes: &[u8]) {
        self.op(code, parts);
        self.0.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }
}
