//! The floor: the system calls that an operation cannot do without, on files of the same size, with nothing around them.
//! And the floor with the looks that rules of SPEC.md demand: at the lock file's path after locking (LOCK-6), at what a
//! deletion unlinks (NAME-10, NAME-11, DEL-1), at a new file's mode (DIR-6), and a temp of each session's own (NAME-9).
//! And, beside those, the digests (REC-7): of a record that is read, and of one that is written.

use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use sessiondir::Durability;
use sha2::{Digest, Sha256};

use crate::Result;
use crate::contender::{Contender, Op, Watch, attributes, pool};

/// What is done beside the bare system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Beside {
    Nothing,
    /// What the rules demand.
    Rules,
    /// And the digests.
    Digests,
}

pub struct Floor {
    dir: OwnedFd,
    locks: Vec<OwnedFd>,
    durable: bool,
    beside: Beside,
    /// How long a record is.
    record: usize,
    slot: Vec<u8>,
    file: Vec<u8>,
    buffer: Vec<u8>,
    turn: usize,
    pool: usize,
    made: Vec<String>,
}

fn name(n: usize) -> String {
    format!("AAAAAAAAAAAAAA{n:08}")
}

impl Floor {
    pub fn new(path: &Path, durability: Durability, size: usize, beside: Beside) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        std::fs::create_dir_all(path.join(".lock"))?;
        let dir = fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let locks = (0..64)
            .map(|n| fs::openat(&dir, format!(".lock/{n:02x}"), flags, Mode::from_raw_mode(0o600)))
            .collect::<std::result::Result<_, _>>()?;
        // As large as sessiondir's: the attributes with their keys, and what a record has beside them.
        let record: usize = attributes(size).iter().map(|(key, value)| key.len() + value.len() + 6).sum();
        let slot = (record + 200).next_power_of_two().max(4096);
        let mut bytes = vec![0; slot];
        bytes[..record].fill(b'x');
        for n in 0..pool(size) {
            std::fs::write(path.join(name(n)), [&bytes[..], &bytes[..]].concat())?;
        }
        Ok(Floor {
            dir,
            locks,
            durable: durability == Durability::Power,
            beside,
            record,
            file: [&bytes[..], &bytes[..]].concat(),
            buffer: vec![0; 2 * slot],
            slot: bytes,
            turn: 0,
            pool: pool(size),
            made: Vec::new(),
        })
    }

    fn has(&self, what: Beside) -> bool {
        self.beside >= what
    }

    /// So many of a record, with those of what names its session.
    fn digest(&self, times: usize, name: &str) {
        if self.has(Beside::Digests) {
            for _ in 0..times {
                black_box(Sha256::digest(black_box(&self.slot[..self.record])));
            }
            // Of the session's ID: which lock file. A load need not know.
            if !name.is_empty() {
                black_box(Sha256::digest(black_box(name)));
            }
        }
    }

    fn load(&mut self, name: &str) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = fs::openat(&self.dir, name, flags, Mode::empty())?;
        fs::fstat(&file)?;
        rustix::io::read(&file, &mut self.buffer[..])?;
        self.digest(1, "");
        Ok(())
    }

    fn lock(&self, n: usize, how: FlockOperation) -> Result<()> {
        fs::fcntl_lock(self.locks[n % 64].as_fd(), how)?;
        if self.has(Beside::Rules) && matches!(how, FlockOperation::NonBlockingLockExclusive) {
            let path =
                [b'.', b'l', b'o', b'c', b'k', b'/', b"0123"[n % 64 / 16], b"0123456789abcdef"[n % 16]];
            fs::statat(&self.dir, &path[..], AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// With so many digests: one where the bytes that are there are known, else two.
    fn save(&mut self, n: usize, name: &str, digests: usize) -> Result<()> {
        self.lock(n, FlockOperation::NonBlockingLockExclusive)?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = fs::openat(&self.dir, name, flags, Mode::empty())?;
        fs::fstat(&file)?;
        rustix::io::read(&file, &mut self.buffer[..])?;
        self.digest(digests, name);
        let at = if n.is_multiple_of(2) { 0 } else { self.slot.len() as u64 };
        rustix::io::pwrite(&file, &self.slot, at)?;
        if self.durable {
            fs::fdatasync(&file)?;
        }
        drop(file);
        self.lock(n, FlockOperation::NonBlockingUnlock)
    }

    fn create(&mut self, n: usize, name: &str) -> Result<()> {
        // For an ID that nobody can guess.
        rustix::rand::getrandom(&mut [0; 16], rustix::rand::GetRandomFlags::empty())?;
        self.lock(n, FlockOperation::NonBlockingLockExclusive)?;
        self.digest(1, name);
        let temp = if self.has(Beside::Rules) { &[".tmp.", name].concat() } else { ".tmp" };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.dir, temp, flags, Mode::from_raw_mode(0o600))?;
        if self.has(Beside::Rules) {
            fs::fstat(&file)?;
        }
        rustix::io::pwrite(&file, &self.file, 0)?;
        if self.durable {
            fs::fdatasync(&file)?;
        }
        drop(file);
        fs::renameat_with(&self.dir, temp, &self.dir, name, RenameFlags::NOREPLACE)?;
        if self.durable {
            fs::fsync(&self.dir)?;
        }
        self.lock(n, FlockOperation::NonBlockingUnlock)
    }

    fn delete(&mut self, n: usize, name: &str) -> Result<()> {
        self.lock(n, FlockOperation::NonBlockingLockExclusive)?;
        if self.has(Beside::Rules) {
            fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let temp = [".tmp.", name].concat();
            assert!(fs::statat(&self.dir, temp, AtFlags::SYMLINK_NOFOLLOW).is_err(), "nobody makes one");
        }
        fs::unlinkat(&self.dir, name, AtFlags::empty())?;
        if self.durable {
            fs::fsync(&self.dir)?;
        }
        self.lock(n, FlockOperation::NonBlockingUnlock)
    }
}

impl Contender for Floor {
    fn name(&self) -> String {
        match self.beside {
            Beside::Nothing => "floor",
            Beside::Rules => "floor + rules",
            Beside::Digests => "floor + rules + digests",
        }
        .to_owned()
    }

    fn run(&mut self, op: Op, count: usize) -> Result<Option<f64>> {
        let mut watch = Watch::default();
        for _ in 0..count {
            self.turn += 1;
            let n = self.turn;
            let of_pool = name(n % self.pool);
            match op {
                Op::Load => watch.time(|| self.load(&of_pool))?,
                Op::Save | Op::SaveOther => watch.time(|| self.save(n, &of_pool, 1))?,
                Op::Update | Op::Touch => watch.time(|| self.save(n, &of_pool, 2))?,
                Op::Create => {
                    let fresh = format!("{}x", name(n));
                    watch.time(|| self.create(n, &fresh))?;
                    self.made.push(fresh);
                }
                Op::Delete => {
                    let Some(made) = self.made.pop() else { break };
                    watch.time(|| self.delete(n, &made))?;
                }
            }
        }
        Ok(watch.each())
    }
}
