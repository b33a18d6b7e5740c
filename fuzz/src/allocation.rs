//! Counts what each thread allocates, so that an input that makes the code reserve more than it brings is a finding.
//!
//! Only the thread that judges is looked at: others of the process do not disturb the count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What is done when the system refuses memory, which ends the process: the input that asked for it must not be lost.
pub static LAST_WORDS: OnceLock<fn()> = OnceLock::new();

fn given(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null()
        && let Some(speak) = LAST_WORDS.get()
    {
        speak();
    }
    pointer
}

fn grow(bytes: i64) {
    // A thread that ends has no counters any more.
    let _ended = LIVE.try_with(|live| {
        let now = live.get() + bytes;
        live.set(now);
        let _ended = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain cells and allocate nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        given(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        given(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        grow(-signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(signed(size) - signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        given(unsafe { System.realloc(pointer, layout, size) })
    }
}

/// Runs something, and says by how many bytes the memory of this thread grew at most meanwhile.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let done = work();
    (done, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_and_given_back_counts_at_its_peak() {
        let ((), peak) = peak_of(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20))));
        assert!((1 << 20..1 << 21).contains(&peak), "{peak}");
        let ((), peak) = peak_of(|| {
            let other = std::thread::spawn(|| drop(std::hint::black_box(vec![1_u8; 1 << 20])));
            other.join().unwrap();
        });
        assert!(peak < 1 << 16, "another thread's {peak}");
    }
}
