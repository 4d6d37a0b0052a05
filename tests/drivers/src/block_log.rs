//! A log of the writes that reach a disk, and disks that some of them reached: what a power cut can leave that takes the
//! drive's cache with it.
//!
//! The log is of the format of Linux's dm-log-writes, and is written by qemu-storage-daemon (driver `blklogwrites`), which
//! exports the disk as a file (FUSE) that a loop device makes a disk again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::disk::{Disk, format, path, run};

const SECTOR: usize = 512;
const MAGIC: u64 = 0x6a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// A disk whose writes are logged, with a file system, mounted.
#[derive(Debug)]
pub struct Logged {
    /// It is unmounted before the daemon ends: fields are dropped in their order.
    disk: Disk,
    _daemon: Daemon,
    scratch: PathBuf,
    kind: &'static str,
}

/// What writes the log.
#[derive(Debug)]
struct Daemon(Pid);

/// The writes, and the disk before them.
#[derive(Debug)]
pub struct Log {
    base: PathBuf,
    kind: &'static str,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    sector: u64,
    flags: u64,
    data: Vec<u8>,
}

impl Logged {
    /// Makes one, with a file system that `prepare` has put files on before.
    ///
    /// # Errors
    /// The tools or the rights are missing: in words.
    ///
    /// # Panics
    /// The images cannot be made.
    pub fn new(scratch: &Path, kind: &'static str, prepare: impl FnOnce(&Path)) -> Result<Self, String> {
        let [image, base, log, export, at] =
            ["image", "base", "log", "export", "mounted"].map(|name| scratch.join(name));
        format(&image, kind)?;
        let prepared = Disk::of(&image, at.clone(), kind)?;
        prepare(&at);
        drop(prepared);
        copy(&image, &base)?;
        File::create(&log).and_then(|file| file.set_len(1 << 30)).expect("a log");
        File::create(&export).expect("a file to export to");
        let pid = scratch.join("pid");
        let node = |driver: &str, name: &str, file: &Path| {
            format!("driver={driver},node-name={name},filename={}", path(file))
        };
        run(
            "qemu-storage-daemon",
            &[
                "--daemonize",
                "--pidfile",
                path(&pid),
                "--blockdev",
                &node("file", "image", &image),
                "--blockdev",
                &node("file", "log", &log),
                "--blockdev",
                "driver=blklogwrites,node-name=logged,file=image,log=log,log-sector-size=512,log-super-update-interval=1",
                "--export",
                &format!("type=fuse,id=export,node-name=logged,mountpoint={},writable=on", path(&export)),
            ],
        )?;
        let number = fs::read_to_string(&pid).expect("its number").trim().parse().expect("a number");
        let daemon = Daemon(Pid::from_raw(number));
        Ok(Logged { disk: Disk::of(&export, at, kind)?, _daemon: daemon, scratch: scratch.to_owned(), kind })
    }

    /// How many writes have been logged.
    ///
    /// # Panics
    /// There is no log.
    #[must_use]
    pub fn position(&self) -> usize {
        let mut head = [0; 24];
        File::open(self.scratch.join("log")).and_then(|log| log.read_exact_at(&mut head, 0)).expect("a log");
        assert_eq!(number(&head, 0), MAGIC, "a log");
        usize::try_from(number(&head, 16)).expect("small")
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Ends, and gives the log.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    pub fn end(self) -> Log {
        let (base, kind, log) = (self.scratch.join("base"), self.kind, self.scratch.join("log"));
        let count = self.position();
        drop(self);
        let file = File::open(log).expect("the log");
        let mut at = SECTOR as u64;
        let mut entries = Vec::new();
        for _ in 0..count {
            let mut head = [0; 32];
            file.read_exact_at(&mut head, at).expect("an entry");
            let [sector, sectors, flags] = [0, 8, 16].map(|offset| number(&head, offset));
            at += SECTOR as u64;
            let length =
                if flags & DISCARD == 0 { usize::try_from(sectors).expect("small") * SECTOR } else { 0 };
            let mut data = vec![0; length];
            file.read_exact_at(&mut data, at).expect("its data");
            at += length as u64;
            entries.push(Entry { sector, flags, data });
        }
        Log { base, kind, entries }
    }
}

/// A copy without what is empty, which is most of it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let _ = fs::remove_file(to);
    run("cp", &["--sparse=auto", path(from), path(to)]).map(drop)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGTERM);
        // It is a daemon, so it is not ours to wait for.
        let begun = Instant::now();
        while kill(self.0, None).is_ok() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Log {
    /// How many writes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The disk as a power cut after the first `cut` writes can leave it, mounted at `at`: all that was flushed, and of what
    /// came after the last flush what `reaches` says, asked for each unit of `unit` bytes.
    ///
    /// # Panics
    /// It cannot be mounted.
    #[must_use]
    pub fn image(&self, scratch: &Path, cut: usize, unit: usize, mut reaches: impl FnMut() -> bool) -> Disk {
        let (image, at) = (scratch.join("cut"), scratch.join("cut.mounted"));
        copy(&self.base, &image).expect("copied");
        let file = File::options().write(true).open(&image).expect("the copy");
        let done = &self.entries[..cut];
        // A write that carries a flush comes after it.
        let flushed = done.iter().rposition(|entry| entry.flags & FLUSH != 0).unwrap_or(0);
        for (number, entry) in done.iter().enumerate() {
            let is_sure = number < flushed || entry.flags & FUA != 0;
            // The file system's own writes of less than a page are one or two sectors of its superblock.
            let unit = if entry.data.len() < 4096 { entry.data.len().max(1) } else { unit };
            for (part, bytes) in entry.data.chunks(unit).enumerate() {
                if is_sure || reaches() {
                    let offset = entry.sector * SECTOR as u64 + (part * unit) as u64;
                    file.write_all_at(bytes, offset).expect("written");
                }
            }
        }
        drop(file);
        Disk::of(&image, at, self.kind).unwrap_or_else(|why| panic!("cut after {cut}: {why}"))
    }
}
