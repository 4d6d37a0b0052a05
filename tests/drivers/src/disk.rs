//! File systems of a test's own, in a mount namespace of its own, and power cuts.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};
use nix::sched::{CloneFlags, unshare};

/// A mount namespace, so that nobody else sees what is mounted; without privileges in a user namespace.
///
/// # Errors
/// This user may have none: in words.
pub fn own_namespace() -> Result<(), String> {
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
            .map_err(|error| format!("no mount namespace for this user: {error}"))?;
        // This user becomes root in there.
        fs::write("/proc/self/setgroups", "deny").map_err(|error| error.to_string())?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(|error| error.to_string())?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(|error| error.to_string())?;
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|error| format!("mounts cannot be made private: {error}"))
}

/// The same, for what only root may mount.
///
/// # Errors
/// This user is not root: in words.
pub fn roots_namespace() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() { own_namespace() } else { Err("it takes root".to_owned()) }
}

/// Runs a program, and returns what it prints.
///
/// # Errors
/// It is not there, or fails: in words.
pub fn run(program: &str, args: &[&str]) -> Result<String, String> {
    // Not every user's path leads to what is for administrators.
    let search = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    match Command::new(program).args(args).env("PATH", search).output() {
        Ok(done) if done.status.success() => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
        Ok(done) => Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// A path as text.
///
/// # Panics
/// It is no UTF-8.
#[must_use]
pub fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// With what a file system is mounted: with its default ext4 hides the want of a sync before a rename.
fn options_of(kind: &str) -> &'static str {
    if kind == "ext4" { "noauto_da_alloc" } else { "" }
}

/// Makes an image of a disk with a file system on it.
///
/// # Errors
/// The tool is missing: in words.
///
/// # Panics
/// The image cannot be made.
pub fn format(image: &Path, kind: &str) -> Result<(), String> {
    let (megabytes, args): (_, &[&str]) = match kind {
        "ext4" => (64, &["-q", "-F"]),
        "xfs" => (320, &["-q", "-f"]),
        "btrfs" => (512, &["-q", "-f"]),
        _ => panic!("no file system {kind}"),
    };
    fs::File::create(image).and_then(|file| file.set_len(megabytes << 20)).expect("an image");
    run(&format!("mkfs.{kind}"), &[args, &[path(image)]].concat()).map(drop)
}

/// An image of a disk with a file system on it, mounted.
#[derive(Debug)]
pub struct Disk {
    /// Where it is mounted.
    pub at: PathBuf,
    kind: &'static str,
    device: String,
}

nix::ioctl_read!(
    /// Takes no write any more, and forgets those that have not reached the disk: 2 is without the journal's.
    fs_ioc_shutdown,
    b'X',
    125,
    u32
);

/// Without flushing the log.
const NO_LOG_FLUSH: u32 = 2;

impl Disk {
    /// Makes one, with an image in `scratch`, and mounts it there.
    ///
    /// # Errors
    /// The tools or the rights are missing: in words.
    ///
    /// # Panics
    /// The image cannot be made.
    pub fn new(scratch: &Path, kind: &'static str) -> Result<Self, String> {
        let image = scratch.join(format!("{kind}.img"));
        format(&image, kind)?;
        Disk::of(&image, scratch.join(kind), kind)
    }

    /// The one in `image`, mounted at `at`, which is made if need be.
    ///
    /// # Errors
    /// The tools or the rights are missing, or it is no such file system: in words.
    pub fn of(image: &Path, at: PathBuf, kind: &'static str) -> Result<Self, String> {
        fs::create_dir_all(&at).map_err(|error| format!("{}: {error}", at.display()))?;
        let device = run("losetup", &["--find", "--show", path(image)])?;
        let disk = Disk { at, kind, device };
        disk.mount().map_err(|error| format!("{kind} cannot be mounted: {error}"))?;
        Ok(disk)
    }

    fn mount(&self) -> nix::Result<()> {
        mount(
            Some(self.device.as_str()),
            &self.at,
            Some(self.kind),
            MsFlags::empty(),
            Some(options_of(self.kind)),
        )
    }

    /// The device goes when this is unmounted, and be it because its last process was killed: for a disk that is not to be
    /// mounted again.
    pub fn once(&self) {
        let _ = run("losetup", &["--detach", &self.device]);
    }

    fn dir(&self) -> fs::File {
        fs::File::open(&self.at).expect("a directory")
    }

    /// What has been written is on the disk.
    ///
    /// # Panics
    /// It cannot be.
    pub fn sync(&self) {
        nix::unistd::syncfs(self.dir()).expect("synced");
    }

    /// Cuts the power. From now on nothing reaches the disk; whoever has a file open there has to end before
    /// [`Disk::restart`].
    ///
    /// # Panics
    /// It cannot be.
    pub fn cut(&self) {
        let mut how = NO_LOG_FLUSH;
        // SAFETY: the call reads a number of that size.
        unsafe { fs_ioc_shutdown(self.dir().as_raw_fd(), &raw mut how) }.expect("shut down");
    }

    /// The power is back.
    ///
    /// # Panics
    /// The file system cannot be mounted.
    pub fn restart(&self) {
        umount(&self.at).unwrap_or_else(|error| panic!("{}: {error}", self.at.display()));
        self.mount().unwrap_or_else(|error| panic!("{}: {error}", self.at.display()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // After a panic somebody may have a file open there.
        if umount(&self.at).is_err() {
            let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        }
        let _ = run("losetup", &["--detach", &self.device]);
    }
}

/// A directory over another one, which stays as it is: what is changed is copied first.
#[derive(Debug)]
pub struct Overlay {
    /// Where it is mounted.
    pub at: PathBuf,
}

impl Overlay {
    /// Makes one in `base`, over what `fill` puts into the directory that it is given.
    ///
    /// # Errors
    /// The rights are missing, or a file system that has it: in words.
    pub fn new(base: &Path, fill: impl Fn(&Path)) -> Result<Self, String> {
        let [lower, upper, work, at] = ["lower", "upper", "work", "at"].map(|name| base.join(name));
        for dir in [&lower, &upper, &work, &at] {
            fs::create_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        fill(&lower);
        let options = format!("lowerdir={},upperdir={},workdir={}", path(&lower), path(&upper), path(&work));
        mount(Some("overlay"), &at, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .map_err(|error| format!("an overlay cannot be mounted: {error}"))?;
        Ok(Overlay { at })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        if umount(&self.at).is_err() {
            let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        }
    }
}
