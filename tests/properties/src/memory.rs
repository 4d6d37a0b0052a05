//! How much memory something takes at most: an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// What this thread has taken and not given back, in bytes; below zero where it gave back another's.
    static NOW: Cell<isize> = const { Cell::new(0) };
    /// The most that it was.
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(more: isize) {
    // At the end of a thread there is nothing left to count with.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + more);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: each call is passed on to the system's allocator as it came.
#[allow(unsafe_code, reason = "there is no other way to count; the library itself has none")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while one is copied to the other.
        count(signed(size));
        let moved = unsafe { System.realloc(pointer, layout, size) };
        count(-signed(layout.size()));
        moved
    }
}

/// Runs `run`, and says how many bytes it held at most at any moment, beyond what was held before.
pub(crate) fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let done = run();
    (done, usize::try_from(MOST.get() - before).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts() {
        let (kept, peak) = peak_of(|| {
            drop(vec![0u8; 50_000]);
            vec![0u8; 20_000]
        });
        assert_eq!((kept.len(), peak), (20_000, 50_000));
        let (_, peak) = peak_of(|| (0..10_000u32).collect::<Vec<_>>().iter().map(|n| n + 1).max());
        assert_eq!(peak, 40_000);
        let (_, peak) = peak_of(|| 1 + 1);
        assert_eq!(peak, 0);
    }
}
