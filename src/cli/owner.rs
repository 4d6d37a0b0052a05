//! Root works on another user's store as that user.
//!
//! A file that root makes in a store, be it a lock file, keeps the store's owner from his sessions. So the command
//! never works as root on what belongs to somebody else: it becomes that user, with no way back, or does nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;
use sessiondir::ErrorClass;

use super::output::Failure;

/// Becomes the owner of what is at `dir`, if this is root and that is another user's; returns who that is. To be called
/// while the process has one thread: on Linux each has its own user.
pub(super) fn become_owner(dir: &Path) -> Result<Option<u32>, Failure> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    // A link leads to the store. Where there is nothing, what the command does is to say so, or to make it.
    let Ok(stat) = fs::metadata(dir) else { return Ok(None) };
    let user = stat.uid();
    if user == 0 {
        return Ok(None);
    }
    let refuse = |why: String| {
        let message =
            format!("io: {}: it belongs to user {user}, as whom root works on it, but {why}", dir.display());
        Err(Failure::Own(ErrorClass::Io, message))
    };
    if let Err(error) = change_user(user, stat.gid()) {
        return refuse(format!("it was not possible to become that user: {error}; run this as that user"));
    }
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refuse(
            "that user cannot get to it by this path; give one from / on, through directories that he may enter"
                .to_owned(),
        ),
        _ => Ok(Some(user)),
    }
}

/// Gives up root's rights: groups, group and user, the real, the effective and the saved ones.
#[cfg(target_os = "linux")]
fn change_user(user: u32, group: u32) -> io::Result<()> {
    use rustix::process::{Gid, Uid, getegid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    let no_id = || io::Error::other("that is no user");
    if user == u32::MAX || group == u32::MAX {
        return Err(no_id());
    }
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(group));
    set_thread_groups(&[gid])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // With some security bits set the rights would outlive the change.
    let is_final = set_thread_res_uid(None, Uid::ROOT, None).is_err();
    if is_final && geteuid() == uid && getegid() == gid {
        Ok(())
    } else {
        Err(io::Error::other("root's rights would have stayed"))
    }
}

#[cfg(not(target_os = "linux"))]
fn change_user(_: u32, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
