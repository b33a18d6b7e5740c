//! One input, judged: no panic, bounded memory, bounded time, and what the target itself demands.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use crate::allocation::peak_of;
use crate::target::{Target, Trace};

/// Why an input is a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The code panicked.
    Panic(String),
    /// It held more memory than the input is worth.
    Memory {
        /// At its peak.
        bytes: usize,
        /// Accepted for an input of this size.
        limit: usize,
    },
    /// It took too long, each of three times.
    Time(Duration),
    /// A claim of the target does not hold.
    Claim(String),
}

impl Cause {
    /// A stable name of the kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Panic(_) => "panic",
            Self::Memory { .. } => "memory",
            Self::Time(_) => "time",
            Self::Claim(_) => "claim",
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic(text) => write!(formatter, "panic: {text}"),
            Self::Memory { bytes, limit } => write!(formatter, "memory: {bytes} bytes, {limit} are accepted"),
            Self::Time(time) => write!(formatter, "time: {time:?} of processor time"),
            Self::Claim(text) => write!(formatter, "claim: {text}"),
        }
    }
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static JUDGING: RefCell<bool> = const { RefCell::new(false) };
}

/// Keeps panics of judged code off the terminal: they are reported with their input.
fn hook_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let judging = JUDGING.try_with(|judging| *judging.borrow()).unwrap_or(false);
            if judging {
                let _ended = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some(info.to_string()));
            } else {
                usual(info);
            }
        }));
    });
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let known = LAST_PANIC.with(|last| last.borrow_mut().take());
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    known.or(text).or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// Processor time of this thread: what others do on the machine does not count.
fn time_of_thread() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread has a usage");
    let of =
        |time: nix::sys::time::TimeVal| Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64);
    of(usage.user_time()) + of(usage.system_time())
}

/// Runs a target on an input.
///
/// # Errors
/// The [`Cause`] that makes it a finding.
pub fn judge(target: &mut dyn Target, input: &[u8]) -> Result<Trace, Cause> {
    let trace = once(target, input);
    if !matches!(trace, Err(Cause::Time(_))) {
        return trace;
    }
    // A machine that was busy is no finding.
    for _ in 0..2 {
        let again = once(target, input);
        if !matches!(again, Err(Cause::Time(_))) {
            return again;
        }
    }
    trace
}

fn once(target: &mut dyn Target, input: &[u8]) -> Result<Trace, Cause> {
    hook_panics();
    let limits = target.limits();
    target.renew();
    let started = time_of_thread();
    let mut trace = Trace::default();
    JUDGING.with(|judging| *judging.borrow_mut() = true);
    let (outcome, peak) = peak_of(|| catch_unwind(AssertUnwindSafe(|| target.run(input, &mut trace))));
    JUDGING.with(|judging| *judging.borrow_mut() = false);
    let time = time_of_thread() - started;
    match outcome {
        Err(panic) => return Err(Cause::Panic(text_of(&*panic))),
        Ok(Err(claim)) => return Err(Cause::Claim(claim)),
        Ok(Ok(())) => {}
    }
    let limit = limits.memory(input.len());
    if peak > limit {
        return Err(Cause::Memory { bytes: peak, limit });
    }
    if time > limits.time_here() {
        return Err(Cause::Time(time));
    }
    Ok(trace)
}
