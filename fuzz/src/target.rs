//! What is fuzzed: a target takes bytes and says whether everything about them held.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::random::Random;

/// Something that takes bytes from outside.
pub trait Target {
    /// Valid values in their real encodings, to start from; each is expected to be accepted. They come out the same at
    /// every start.
    fn seeds(&mut self) -> Vec<Vec<u8>>;

    /// Another input made from this one by rules of its own: a field changed and signed again, a checksum made right.
    /// `other` is a second input of the corpus. `None` where this input does not lend itself to that.
    fn reshape(&mut self, _input: &[u8], _other: &[u8], _random: &mut Random) -> Option<Vec<u8>> {
        None
    }

    /// Whether every seed is accepted; where not, seeds may also ask for what is not there.
    fn accepts_seeds(&self) -> bool {
        true
    }

    /// Called before each input, outside of what is measured: a target that grows begins anew here.
    fn renew(&mut self) {}

    /// Takes the input and judges what came of it.
    ///
    /// # Errors
    /// What did not hold.
    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String>;

    /// Words that inputs are made of; mutation strews them in.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }

    /// What an input may cost.
    fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// What an input may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory at any moment, whatever the input's size.
    pub memory_bytes: usize,
    /// Bytes of memory more for each byte of input.
    pub memory_bytes_per_byte: usize,
    /// Processor time in a build with optimisation; in one without it is ten times this.
    pub time: Duration,
    /// Longest input that mutation makes.
    pub input_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 10,
            memory_bytes_per_byte: 64,
            time: Duration::from_millis(50),
            input_bytes_max: 16 << 10,
        }
    }
}

impl Limits {
    /// Memory for an input of this length.
    pub fn memory(&self, input_bytes: usize) -> usize {
        self.memory_bytes + self.memory_bytes_per_byte * input_bytes
    }

    /// Processor time in this build.
    pub fn time_here(&self) -> Duration {
        if cfg!(debug_assertions) { self.time * 10 } else { self.time }
    }
}

/// What an input reached: its labels together tell inputs that are worth keeping from others.
#[derive(Debug, Default)]
pub struct Trace {
    hasher: DefaultHasher,
    accepted: bool,
}

impl Trace {
    /// Something was reached: an error's code, a state's name.
    pub fn reach(&mut self, label: impl Hash) {
        label.hash(&mut self.hasher);
    }

    /// The input was taken as a valid one.
    pub fn accept(&mut self) {
        self.accepted = true;
    }

    /// Whether it was.
    pub fn accepted(&self) -> bool {
        self.accepted
    }

    /// One number for all labels.
    pub fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }
}

/// Says what did not hold, unless it holds.
#[macro_export]
macro_rules! hold {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
