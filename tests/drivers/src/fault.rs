//! Making a child's system calls fail.

use nix::errno::Errno;
use nix::libc;

use crate::child::{Child, is_of_files, is_of_std};

/// A signal that comes at each call for ever would be a hang: it comes so often.
const INTERRUPTIONS: usize = 50;

/// What is to happen to the child's calls.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// This call fails.
    Once(Errno),
    /// This call fails, and every call of its kind after it.
    Forever(Errno),
    /// This call reads or writes so many bytes at most.
    Short(u64),
    /// And so does every one after it.
    AlwaysShort(u64),
}

/// Whether the fault is of calls like this one.
fn is_for(fault: Fault, call: i64) -> bool {
    match fault {
        Fault::Once(_) | Fault::Forever(_) => is_of_files(call),
        Fault::Short(_) | Fault::AlwaysShort(_) => {
            [libc::SYS_read, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_write].contains(&call)
        }
    }
}

/// Runs the child, with the fault at its call number `n`, as far as its first kill(2), which it makes after its deed;
/// returns which call failed. `None`: that one is none of the fault's.
///
/// # Panics
/// The child ends before that.
pub fn run(child: &mut Child, n: usize, fault: Fault) -> Option<i64> {
    let (mut at, mut number, mut times) = (None, 0, 0);
    while child.step() {
        let call = child.call();
        if call == libc::SYS_kill {
            return at;
        }
        if number == n && !is_for(fault, call) {
            return None;
        }
        let is_later = number > n
            && match fault {
                // As a disk is full, or a process has no more descriptors: of every call that can fail so.
                Fault::Forever(errno) => {
                    is_for(fault, call) && (errno != Errno::EINTR || times < INTERRUPTIONS)
                }
                Fault::AlwaysShort(_) => is_for(fault, call),
                _ => false,
            };
        let hit = number == n || is_later;
        number += 1;
        if !hit {
            assert!(child.step(), "a call that does not return");
            continue;
        }
        at = at.or(Some(call));
        times += 1;
        let mut registers = child.registers();
        if number == n + 1
            && matches!(fault, Fault::Once(_) | Fault::Forever(_))
            && !fails(call, registers.rsi)
        {
            return None;
        }
        match fault {
            Fault::Once(errno) | Fault::Forever(errno) if fails(call, registers.rsi) => fail(child, errno),
            Fault::Short(most) | Fault::AlwaysShort(most) if registers.rdx > most => {
                registers.rdx = most;
                child.set_registers(registers);
                assert!(child.step(), "a call that does not return");
                // The kernel leaves the registers as they were set: the program expects its own.
            }
            _ => assert!(child.step(), "a call that does not return"),
        }
    }
    panic!("the child ended within its deed");
}

/// Fails the call at whose entry the child has stopped, which is not made.
///
/// # Panics
/// The child ends.
pub fn fail(child: &mut Child, errno: Errno) {
    answer(child, (-(errno as i64)) as u64);
}

/// Answers the call at whose entry the child has stopped, which is not made.
///
/// # Panics
/// The child ends.
pub fn answer(child: &mut Child, value: u64) {
    let mut registers = child.registers();
    // No call has this number.
    registers.orig_rax = u64::MAX;
    child.set_registers(registers);
    assert!(child.step(), "a call that does not return");
    let mut registers = child.registers();
    registers.rax = value;
    child.set_registers(registers);
}

/// Whether the call can fail. A descriptor that is closed is closed, whatever close(2) returns (Linux); and the program
/// itself does not ask whether one is open.
fn fails(call: i64, second: u64) -> bool {
    call != libc::SYS_close && !is_of_std(call, second)
}
