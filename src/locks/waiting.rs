//! How long who waits for a lock waits, and how often he asks; and when a process leaves one free to others.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// The first pause of someone who waits, and the longest. To ask takes some microseconds, so who waits for long takes
/// less than a hundredth of a processor; and the sooner he asks, the less he is behind those who have just begun.
const PAUSE_FIRST: Duration = Duration::from_micros(40);
const PAUSE_LONGEST: Duration = Duration::from_millis(1);

/// For how long a lock is left free to those who wait in other processes: longer than any of their pauses.
pub(super) const BREAK: Duration = Duration::from_millis(2);
/// Where it was free for less than that in as long as this, it is time.
const BREAK_DUE: Duration = Duration::from_millis(100);

/// How much of a lock this process leaves to others, who have no queue and are found out by nobody (SPEC.md, after
/// LOCK-10).
#[derive(Debug)]
pub(super) struct Breaks {
    /// When the lock had last been free for long enough, all in all.
    last: Instant,
    /// For how long it has been free since.
    free: Duration,
    /// When it was last released.
    released: Instant,
}

impl Breaks {
    /// Of a lock that another process has had until `now`, or nobody.
    pub(super) fn new(now: Instant) -> Self {
        Breaks { last: now, free: Duration::ZERO, released: now }
    }

    pub(super) fn released(&mut self, now: Instant) {
        self.released = now;
    }

    /// Whether who wants the lock at `now` has to leave it free first, for [`BREAK`]; never where he has no time.
    pub(super) fn due(&mut self, now: Instant, has_time: bool) -> bool {
        // Who has waited for another thread wanted it before that one released it.
        let now = now.max(self.released);
        self.free += now.duration_since(self.released);
        let enough = self.free >= BREAK;
        let due = !enough && has_time && now.duration_since(self.last) >= BREAK_DUE;
        if enough || due {
            self.last = now;
            self.free = Duration::ZERO;
        }
        due
    }
}

/// For how long somebody waits.
pub(super) struct Wait {
    pub(super) begun: Instant,
    end: Instant,
    pub(super) patience: Duration,
}

impl Wait {
    /// A patience that no clock can hold ends in 30 years.
    pub(super) fn new(patience: Duration) -> Self {
        const LONG: Duration = Duration::from_secs(30 * 365 * 86_400);
        let begun = Instant::now();
        Wait { begun, end: begun.checked_add(patience).unwrap_or(begun + LONG), patience }
    }

    /// What is left of it; none where it is over.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// The pauses between the attempts of someone who waits.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Pauses(PAUSE_FIRST)
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = jittered(self.0);
        self.0 = (self.0 * 2).min(PAUSE_LONGEST);
        pause
    }
}

/// Half to one and a half of `pause`, so that those who wait do not march in step.
fn jittered(pause: Duration) -> Duration {
    // Not for secrets: the hasher's keys differ from call to call, and that is all that is asked.
    let random = RandomState::new().hash_one(0u8) % 1024;
    let percent = u32::try_from(50 + random * 100 / 1024).unwrap_or(100);
    pause * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_has_a_lock_for_long_leaves_it_free_now_and_then() {
        let begun = Instant::now();
        // Held for 10 ms each time, and free for 10 us.
        let mut breaks = Breaks::new(begun);
        let (mut now, mut due) = (begun, vec![]);
        for n in 0..30 {
            // Now and then somebody comes who does not wait: it is for the next one.
            if breaks.due(now, n % 7 != 6) {
                due.push(n);
            }
            now += 10 * MS;
            breaks.released(now);
            now += MS / 100;
        }
        assert_eq!(due, [10, 21], "after 100 ms each");
        // Held for 1 ms, and free for 50 us: who asks once in a millisecond gets it soon.
        let mut breaks = Breaks::new(begun);
        let mut now = begun;
        for n in 0..1000 {
            assert!(!breaks.due(now, true), "{n}");
            now += MS;
            breaks.released(now);
            now += MS / 20;
        }
        // Held once for long, and then not for long enough, or for exactly as long as a break.
        for (free, due) in [(199 * MS / 100, true), (2 * MS, false)] {
            let mut breaks = Breaks::new(begun);
            assert!(!breaks.due(begun, true));
            breaks.released(begun + 100 * MS);
            assert_eq!(breaks.due(begun + 100 * MS + free, true), due, "{free:?}");
            assert!(!breaks.due(begun + 100 * MS + free, true), "it begins anew");
        }
        // A thread that waited for another of this process leaves nobody time by that.
        let mut breaks = Breaks::new(begun);
        assert!(!breaks.due(begun, true));
        breaks.released(begun + 99 * MS);
        assert!(!breaks.due(begun + 50 * MS, true));
        breaks.released(begun + 100 * MS);
        assert!(breaks.due(begun + 50 * MS, true));
        // Where others had time enough, whoever came afterwards need not leave more.
        let mut breaks = Breaks::new(begun);
        for ms in [50, 100, 150] {
            assert!(!breaks.due(begun + ms * MS, ms == 150), "{ms}");
            breaks.released(begun + ms * MS + MS);
        }
    }

    #[test]
    fn jitter_is_half_of_the_pause_to_either_side() {
        let pause = Duration::from_millis(1);
        let pauses: Vec<_> = (0..1000).map(|_| jittered(pause)).collect();
        let (least, most) = (pauses.iter().min().expect("some"), pauses.iter().max().expect("some"));
        assert!(*least >= pause / 2 && *most < pause * 3 / 2, "{least:?} to {most:?}");
        // Of a thousand draws of a hundred values one is in either tenth, but for one time in 10^45.
        assert!(*least < pause * 6 / 10 && *most > pause * 14 / 10, "{least:?} to {most:?}");
    }
}
