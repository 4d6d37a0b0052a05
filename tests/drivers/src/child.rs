//! A child process that is stopped at each of its system calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use sessiondir::Result;

/// What a child that panicked ends with.
pub const PANICKED: u8 = 101;

/// A system call that a child has made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// See [`is_of_std`].
    pub is_of_std: bool,
}

/// Whether the call, with that second argument, is one by which the standard library asks whether a descriptor is open
/// before it closes it, with debug assertions.
#[must_use]
pub fn is_of_std(call: i64, second: u64) -> bool {
    call == libc::SYS_fcntl && i32::try_from(second) == Ok(libc::F_GETFD)
}

/// What a child ends with to say what came of its deed: the number of the class of its error, or 0.
#[must_use]
pub fn code<T>(done: &Result<T>) -> u8 {
    done.as_ref().map_or_else(|error| error.class() as u8, |_| 0)
}

/// A child, stopped.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    ended: Option<WaitStatus>,
}

impl Child {
    /// Forks. The child runs `run` and ends with what that returns; it is stopped where `run` first calls what it is
    /// given. This process has to have one thread.
    ///
    /// # Panics
    /// The child ends before that.
    pub fn new(run: impl FnOnce(&dyn Fn()) -> u8) -> Self {
        // SAFETY: this process has one thread, so the child is as whole as its parent.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Child => {
                ptrace::traceme().expect("traced");
                let pid = getpid();
                // One system call, unlike raise(3).
                let stop = || kill(pid, Signal::SIGSTOP).expect("stopped");
                let code = catch_unwind(AssertUnwindSafe(|| run(&stop))).unwrap_or(PANICKED);
                // SAFETY: it ends this process, without the destructors of what belongs to its parent.
                unsafe { libc::_exit(code.into()) }
            }
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).expect("waited");
                assert_eq!(
                    status,
                    WaitStatus::Stopped(child, Signal::SIGSTOP),
                    "the child ended before its operation"
                );
                let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
                ptrace::setoptions(child, options).expect("set");
                Child { pid: child, ended: None }
            }
        }
    }

    /// Lets it go on to its next stop: the entry of a system call, or, from there, its exit. Returns whether there is one;
    /// else it has ended. A signal that it is to stop by is passed over.
    pub fn step(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        loop {
            ptrace::syscall(self.pid, None).expect("goes on");
            match waitpid(self.pid, None).expect("waited") {
                WaitStatus::PtraceSyscall(_) => return true,
                WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
                // Of RLIMIT_FSIZE: it gets it.
                WaitStatus::Stopped(_, signal) => {
                    ptrace::syscall(self.pid, signal).expect("goes on");
                    match waitpid(self.pid, None).expect("waited") {
                        WaitStatus::PtraceSyscall(_) => return true,
                        other => {
                            self.ended = Some(other);
                            return false;
                        }
                    }
                }
                other => {
                    self.ended = Some(other);
                    return false;
                }
            }
        }
    }

    /// Lets it go on to the entry of its system call number `n`, from 0; whether it came to that.
    pub fn go_to(&mut self, n: usize) -> bool {
        (0..2 * n).all(|_| self.step()) && self.step()
    }

    /// The call that it has stopped at.
    pub fn call(&self) -> i64 {
        self.entry().0
    }

    /// The call that it has stopped at, and its arguments.
    ///
    /// # Panics
    /// It has not stopped at the entry of a call.
    #[must_use]
    pub fn entry(&self) -> (i64, [u64; 6]) {
        let info = ptrace::syscall_info(self.pid).expect("told");
        assert_eq!(info.op, libc::PTRACE_SYSCALL_INFO_ENTRY, "at the entry of a call");
        // SAFETY: `op` says which part of the union is valid.
        let entry = unsafe { info.u.entry };
        (i64::try_from(entry.nr).expect("small"), entry.args)
    }

    /// Lets it go on to the entry of its next such call; whether it came to that.
    pub fn go_to_call(&mut self, call: i64) -> bool {
        while self.step() {
            if self.call() == call {
                return true;
            }
            self.step();
        }
        false
    }

    /// Lets it go on to its next kill(2), by which it says that its deed is done; returns the calls before that.
    ///
    /// # Panics
    /// It ends before.
    pub fn calls(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        loop {
            assert!(self.step(), "the child ended within its deed");
            let (number, [_, second, ..]) = self.entry();
            if number == libc::SYS_kill {
                return calls;
            }
            calls.push(Call { number, is_of_std: is_of_std(number, second) });
            assert!(self.step(), "a call that does not return");
        }
    }

    /// The eight bytes of its memory at that address.
    #[must_use]
    pub fn read_word(&self, at: u64) -> i64 {
        ptrace::read(self.pid, at as ptrace::AddressType).expect("its memory")
    }

    /// Changes them.
    pub fn write_word(&self, at: u64, word: i64) {
        ptrace::write(self.pid, at as ptrace::AddressType, word).expect("its memory");
    }

    /// Its registers.
    pub fn registers(&self) -> libc::user_regs_struct {
        ptrace::getregs(self.pid).expect("told")
    }

    /// Sets its registers.
    pub fn set_registers(&self, registers: libc::user_regs_struct) {
        ptrace::setregs(self.pid, registers).expect("set");
    }

    /// Lets it run, and no longer watches its calls.
    pub fn run(&self) {
        ptrace::cont(self.pid, None).expect("goes on");
    }

    /// Kills it where it is. A call at whose entry it has stopped is not made.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.ended.is_none() {
            kill(self.pid, Signal::SIGKILL).expect("killed");
            // Where it stopped before the kill reached it, it says so first.
            loop {
                let status = waitpid(self.pid, None).expect("waited");
                if matches!(status, WaitStatus::Signaled(..) | WaitStatus::Exited(..)) {
                    self.ended = Some(status);
                    return;
                }
            }
        }
    }

    /// Lets it run to its end, and returns what it ended with.
    ///
    /// # Panics
    /// A signal ended it.
    pub fn finish(mut self) -> u8 {
        while self.step() {}
        match self.ended {
            Some(WaitStatus::Exited(_, code)) => u8::try_from(code).expect("of 8 bits"),
            other => panic!("the child ended with {other:?}"),
        }
    }

    /// What it ended with, if it has ended.
    pub fn ended(&self) -> Option<WaitStatus> {
        self.ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// The name of a system call.
#[must_use]
pub fn name(call: i64) -> String {
    let known = [
        (libc::SYS_openat, "openat"),
        (libc::SYS_fstat, "fstat"),
        (libc::SYS_newfstatat, "fstatat"),
        (libc::SYS_statx, "statx"),
        (libc::SYS_fstatfs, "fstatfs"),
        (libc::SYS_read, "read"),
        (libc::SYS_pread64, "pread"),
        (libc::SYS_write, "write"),
        (libc::SYS_pwrite64, "pwrite"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_fdatasync, "fdatasync"),
        (libc::SYS_syncfs, "syncfs"),
        (libc::SYS_fcntl, "fcntl"),
        (libc::SYS_close, "close"),
        (libc::SYS_renameat, "renameat"),
        (libc::SYS_renameat2, "renameat2"),
        (libc::SYS_unlinkat, "unlinkat"),
        (libc::SYS_mkdirat, "mkdirat"),
        (libc::SYS_fchmod, "fchmod"),
        (libc::SYS_fchmodat, "fchmodat"),
        (libc::SYS_getdents64, "getdents"),
        (libc::SYS_lseek, "lseek"),
        (libc::SYS_flock, "flock"),
    ];
    let found = known.iter().find(|(number, _)| *number == call);
    found.map_or_else(|| format!("system call {call}"), |(_, name)| (*name).to_owned())
}

/// Whether it is a call to the file system, by its [name].
#[must_use]
pub fn is_of_files(call: i64) -> bool {
    !name(call).contains(' ')
}
