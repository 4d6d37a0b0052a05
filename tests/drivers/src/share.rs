//! How much is tried, and by how many processes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Whether all of it is to be tried, and not only the share that `cargo test` has time for.
#[must_use]
pub fn is_all() -> bool {
    std::env::var_os("SESSIONDIR_FAULTS").is_some_and(|value| value == "all")
}

/// A directory in memory, or where there is none, of temporary files.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let fits = fs::metadata(memory).is_ok_and(|memory| memory.is_dir());
    let made = if fits { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

/// Does `work` for each of `items`, by as many processes as there are processors, each with a directory of its own;
/// returns the sums of what it returns. Who is through with one takes the next: some take a hundred times as long as
/// others.
///
/// # Panics
/// One of them failed: what it printed says why.
#[must_use]
pub fn among<T, const N: usize>(items: &[T], work: impl Fn(&Path, &T) -> [u64; N]) -> [u64; N] {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    let scratch = scratch();
    let queue = Queue::new(scratch.path(), items.len()).expect("a queue");
    let mut children = Vec::new();
    for number in 0..workers {
        let dir = scratch.path().join(number.to_string());
        fs::create_dir(&dir).expect("a directory");
        // SAFETY: this process has one thread, so the child is as whole as its parent.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Parent { child } => children.push(child),
            ForkResult::Child => {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let begun = Instant::now();
                    let (mut pieces, mut sums) = (0_u64, [0; N]);
                    while let Some(index) = queue.next().expect("the next one") {
                        pieces += 1;
                        for (sum, more) in sums.iter_mut().zip(work(&dir, &items[index])) {
                            *sum += more;
                        }
                    }
                    let millis = u64::try_from(begun.elapsed().as_millis()).expect("no such long time");
                    let numbers: Vec<String> =
                        [pieces, millis].iter().chain(&sums).map(u64::to_string).collect();
                    fs::write(sums_of(scratch.path(), number), numbers.join(" ")).expect("written");
                }));
                let _ = std::io::stderr().flush();
                let _ = std::io::stdout().flush();
                // SAFETY: it ends this process, without the destructors of what belongs to its parent.
                unsafe { libc::_exit(if done.is_ok() { 0 } else { 1 }) }
            }
        }
    }
    let ended: Vec<WaitStatus> =
        children.iter().map(|child| waitpid(*child, None).expect("waited")).collect();
    let failed = ended.iter().filter(|status| !matches!(status, WaitStatus::Exited(_, 0))).count();
    assert_eq!(failed, 0, "{failed} of {workers} processes failed: {ended:?}");
    let (mut shares, mut all, mut sums) = (Vec::new(), 0, [0; N]);
    for number in 0..workers {
        let text = fs::read_to_string(sums_of(scratch.path(), number)).expect("its sums");
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [pieces, millis, more @ ..] = &numbers[..] else { panic!("{text}: too few") };
        shares.push(format!("{pieces} in {:.1} s", *millis as f64 / 1000.0));
        all += pieces;
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum += more;
        }
    }
    assert_eq!(all, items.len() as u64, "each is done once");
    println!("{all} cases among {workers} processes: {}", shares.join(", "));
    sums
}

/// Numbers that are handed out, each once, to processes that have it from their parent: in a file whose offset they share,
/// which a read moves on at once with what it gives.
struct Queue(File);

impl Queue {
    /// The numbers below `end`.
    fn new(scratch: &Path, end: usize) -> io::Result<Self> {
        let path = scratch.join("queue");
        let numbers: Vec<u8> = (0..end).flat_map(usize::to_ne_bytes).collect();
        fs::write(&path, numbers)?;
        File::open(path).map(Queue)
    }

    fn next(&self) -> io::Result<Option<usize>> {
        let mut bytes = [0; size_of::<usize>()];
        match (&self.0).read(&mut bytes)? {
            0 => Ok(None),
            count if count == bytes.len() => Ok(Some(usize::from_ne_bytes(bytes))),
            count => Err(io::Error::other(format!("{count} bytes of a number"))),
        }
    }
}

fn sums_of(scratch: &Path, number: usize) -> PathBuf {
    scratch.join(format!("{number}.sums"))
}

/// Whether the test of that name is wanted: those whose names the program's arguments are within, or all.
#[must_use]
pub fn is_wanted(name: &str) -> bool {
    let mut words =
        std::env::args().skip(1).filter(|word| !word.starts_with('-') && !word.is_empty()).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}

/// Runs tests one after the other, as the test harness shows them.
///
/// # Panics
/// One of them does.
pub fn run(tests: &[(&str, fn())]) {
    let tests: Vec<_> = tests.iter().filter(|(name, _)| is_wanted(name)).collect();
    assert!(!tests.is_empty(), "no test of that name");
    println!("\nrunning {} tests", tests.len());
    for (name, test) in &tests {
        let begun = Instant::now();
        test();
        println!("test {name} ... ok ({:.1} s)", begun.elapsed().as_secs_f64());
    }
    println!("\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", tests.len());
}
