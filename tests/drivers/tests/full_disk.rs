//! A full disk, one without inodes, and one that is read-only: what can be written in place is, everything else gives
//! its typed error, the old sessions stay, and nothing is left behind.
//!
//! On file systems of its own, mounted in a mount namespace of its own: tmpfs as any user who may have a user
//! namespace, ext4 as root. What cannot be mounted is skipped, and said.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use sessiondir::check::{Event, check};
use sessiondir::sweep::SweepOptions;
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Options, Result, Session, SessionId, SessionRef, SessionStore,
};
use sessiondir_drivers::disk::{own_namespace, path, run};
use sessiondir_drivers::site::descriptors;

fn main() {
    println!("\nrunning 2 tests");
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let mut passed = 0;
    let mut skipped = 0;
    let namespace = own_namespace();
    for (name, file_system) in [("tmpfs", tmpfs as fn(&Path) -> Mounted), ("ext4", ext4)] {
        let at = tmp.path().join(name);
        fs::create_dir(&at).expect("a mount point");
        let mounted = match &namespace {
            Ok(()) => file_system(&at),
            Err(why) => Err(why.clone()),
        };
        match mounted {
            Ok(inodes_run_out) => {
                let mut cases = 0;
                for durability in [Durability::Power, Durability::Process] {
                    cases += full(&at, durability);
                    cases += nearly_full(&at, durability);
                    if inodes_run_out {
                        cases += no_inodes(&at, durability);
                    }
                }
                cases += read_only(&at);
                println!("test full_disk_{name} ... ok ({cases} operations)");
                assert!(cases > 0);
                passed += 1;
                unmount(&at);
            }
            Err(why) => {
                eprintln!("SKIP full_disk_{name}: {why}");
                println!("test full_disk_{name} ... skipped ({why})");
                skipped += 1;
            }
        }
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {skipped} filtered out");
}

/// Whether inodes can run out there, or why it cannot be mounted.
type Mounted = std::result::Result<bool, String>;

fn tmpfs(at: &Path) -> Mounted {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("size=2m,nr_inodes=400,mode=700"))
        .map(|()| true)
        .map_err(|error| format!("tmpfs cannot be mounted: {error}"))
}

fn ext4(at: &Path) -> Mounted {
    let image = at.with_extension("img");
    let file = fs::File::create(&image).expect("an image");
    file.set_len(16 << 20).expect("its length");
    // No blocks are kept back for root.
    run("mkfs.ext4", &["-q", "-F", "-m", "0", "-N", "400", path(&image)])?;
    run("mount", &["-o", "loop", path(&image), path(at)])?;
    let _ = fs::remove_dir(at.join("lost+found"));
    Ok(true)
}

fn unmount(at: &Path) {
    nix::mount::umount(at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
}

/// Each session's revision and number.
type Values = BTreeMap<String, (u64, Option<u64>)>;

/// A store with a few sessions.
struct Site {
    dir: PathBuf,
    store: DirectoryStore,
    ids: Vec<SessionRef>,
}

impl Site {
    fn new(at: &Path, durability: Durability) -> Self {
        let dir = at.join("sessions");
        let store = Options::new()
            .create(true)
            .durability(durability)
            .resolution(std::time::Duration::ZERO)
            .open(&dir)
            .expect("a store");
        let ids = (0..3).map(|_| store.create(&mut with(&[("n", 0)])).expect("created").into()).collect();
        Site { dir, store, ids }
    }

    fn load(&self, n: usize) -> Session {
        self.store.load(&self.ids[n]).expect("loads").expect("is there")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).expect("lists");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Every session's value and every file's name: what a failed operation may not change.
    fn state(&self) -> (Vec<String>, Values) {
        let sessions = self.store.iter_sessions().expect("lists").map(|session| {
            let session = session.expect("loads");
            let id = session.id().expect("plain").expose().to_owned();
            (id, (session.rev(), session.get::<u64>("n").expect("a number")))
        });
        (self.names(), sessions.collect())
    }

    fn assert_clean(&self) {
        check(&self.dir, &Options::new(), &mut |event| {
            assert!(!matches!(event, Event::Finding(_)), "{event:?}");
        })
        .expect("checked");
    }

    /// The operation fails with that class, and nothing has changed.
    fn refused<T: std::fmt::Debug>(
        &self,
        what: &str,
        class: ErrorClass,
        operation: impl FnOnce() -> Result<T>,
    ) {
        let (before, open) = (self.state(), descriptors());
        let error = operation().expect_err(what);
        assert_eq!(error.class(), class, "{what}: {error}");
        assert_eq!(self.state(), before, "{what} has changed something");
        assert_eq!(descriptors(), open, "{what} has left a descriptor open");
        self.assert_clean();
    }
}

fn with(attributes: &[(&str, u64)]) -> Session {
    let mut session = Session::new();
    for (key, value) in attributes {
        session.insert(key, value).expect("fits");
    }
    session
}

/// A file that takes all the room that there is, to the last byte.
fn fill(at: &Path) -> PathBuf {
    let filler = at.join("filler");
    let mut file = fs::File::create(&filler).expect("a file");
    let mut block = 1 << 16;
    while block > 0 {
        match file.write_all(&vec![1; block]).and_then(|()| file.sync_all()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOSPC) => block /= 2,
            Err(error) => panic!("{error}"),
        }
    }
    filler
}

/// What an ordinary save is.
fn saves_in_place(site: &Site) -> usize {
    let count = 50;
    for n in 1..=count {
        let mut session = site.load(0);
        session.insert("n", &n).expect("fits");
        site.store.save(&mut session).expect("an ordinary save");
        site.store.update(&site.ids[1], &mut |session| Ok(session.insert("n", &n)?)).expect("an update");
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(site.store.touch(&site.ids[2]).expect("a touch"), "it moves");
    }
    assert_eq!(site.load(0).get::<usize>("n").expect("a number"), Some(count));
    assert_eq!(site.load(1).get::<usize>("n").expect("a number"), Some(count));
    3 * count
}

fn full(at: &Path, durability: Durability) -> usize {
    let site = Site::new(at, durability);
    // Each has both its slots written once, as after the first minutes of a site.
    saves_in_place(&site);
    // A second store, to convert into; and something for a repair to do.
    let other = at.join("other");
    let target = Options::new().create(true).durability(durability).open(&other).expect("a store");
    let filler = fill(at);
    let mut cases = saves_in_place(&site);
    let no_space = ErrorClass::NoSpace;
    let big = "x".repeat(100_000);
    site.refused("create", no_space, || site.store.create(&mut with(&[("n", 1)])));
    site.refused("a save that grows", no_space, || {
        let mut session = site.load(0);
        session.insert("big", &big)?;
        site.store.save(&mut session)
    });
    site.refused("an update that grows", no_space, || {
        site.store.update(&site.ids[1], &mut |session| Ok(session.insert("big", &big)?))
    });
    site.refused("rotate", no_space, || {
        let mut session = site.load(2);
        session.set_user("ada")?;
        site.store.rotate(&mut session)
    });
    site.refused("insert", no_space, || site.store.insert(&SessionId::generate()?, &mut with(&[("n", 1)])));
    site.refused("convert", no_space, || sessiondir::convert::convert(&site.store, &target, &mut |_| {}));
    assert_eq!(fs::read_dir(&other).expect("lists").count(), 2, "no debris there either");
    cases += 6;
    // What only removes works, and makes room.
    assert!(site.store.delete(&site.ids[2]).expect("deleted"));
    let swept = site.store.sweep(&SweepOptions::default()).expect("swept");
    assert_eq!((swept.removed, swept.remaining, swept.failed), (0, 2, 0));
    cases += 2;
    fs::remove_file(filler).expect("removed");
    let mut session = site.load(0);
    session.insert("big", &big).expect("fits");
    site.store.save(&mut session).expect("there is room again");
    site.assert_clean();
    clear(at);
    cases + 1
}

/// As the room that is left grows by a page of 4 KiB at a time, each operation comes to have enough of it, once and for all;
/// until then it changes nothing.
fn nearly_full(at: &Path, durability: Durability) -> usize {
    let text = "x".repeat(20_000);
    let (mut done, mut refused) = (0, 0);
    for pages in 0..=24 {
        for number in 0..4 {
            let site = Site::new(at, durability);
            let filler = fill(at);
            let room = pages * 4096;
            let file = fs::File::options().write(true).open(&filler).expect("the filler");
            let length = file.metadata().expect("its length").len();
            file.set_len(length - room).and_then(|()| file.sync_all()).expect("shorter");
            let before = site.state();
            let big = || {
                let mut session = with(&[("n", 1)]);
                session.insert("big", &text).expect("fits");
                session
            };
            let result = match number {
                0 => site.store.create(&mut with(&[("n", 1)])).map(drop),
                1 => site.store.create(&mut big()).map(drop),
                2 => site
                    .store
                    .update(&site.ids[0], &mut |session| Ok(session.insert("big", &text)?))
                    .map(drop),
                _ => site.store.rotate(&mut site.load(1)).map(drop),
            };
            match result {
                Ok(()) => done += 1,
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.class(), ErrorClass::NoSpace, "{number}, {pages} pages free: {error}");
                    assert_eq!(site.state(), before, "{number}, {pages} pages free");
                }
            }
            site.assert_clean();
            clear(at);
        }
    }
    assert!(done > 10 && refused > 10, "{done} done, {refused} refused");
    done + refused
}

fn no_inodes(at: &Path, durability: Durability) -> usize {
    let site = Site::new(at, durability);
    let mut made = Vec::new();
    loop {
        let name = at.join(format!("file-{}", made.len()));
        match fs::File::create(&name) {
            Ok(_) => made.push(name),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOSPC) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!made.is_empty());
    let cases = saves_in_place(&site);
    site.refused("create", ErrorClass::NoSpace, || site.store.create(&mut with(&[("n", 1)])));
    site.refused("rotate", ErrorClass::NoSpace, || site.store.rotate(&mut site.load(0)));
    clear(at);
    cases + 2
}

fn read_only(at: &Path) -> usize {
    let Site { dir, store, ids } = Site::new(at, Durability::Power);
    // A file system does not become read-only while lock files are open for writing.
    drop(store);
    let open = || Options::new().resolution(std::time::Duration::ZERO).open(&dir).expect("opens");
    let remount = |flags| mount(None::<&str>, at, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>);
    remount(MsFlags::MS_RDONLY).expect("read-only");
    let site = Site { store: open(), dir: dir.clone(), ids };
    let io = ErrorClass::Io;
    let id = &site.ids[0];
    assert!(site.store.has(id).expect("loads"));
    site.refused("create", io, || site.store.create(&mut with(&[("n", 1)])));
    site.refused("save", io, || {
        let mut session = site.load(0);
        session.insert("n", &1)?;
        site.store.save(&mut session)
    });
    site.refused("update", io, || site.store.update(id, &mut |session| Ok(session.insert("n", &1)?)));
    std::thread::sleep(std::time::Duration::from_millis(2));
    site.refused("touch", io, || site.store.touch(id));
    site.refused("delete", io, || site.store.delete(id));
    site.refused("rotate", io, || site.store.rotate(&mut site.load(0)));
    site.refused("a new store", io, || sessiondir::init(at.join("new"), &Options::new()));
    let swept =
        site.store.sweep(&SweepOptions { idle: Some(std::time::Duration::ZERO), ..SweepOptions::default() });
    let swept = swept.expect("it goes on");
    assert_eq!((swept.removed, swept.failed), (0, 3));
    assert_eq!(site.store.stats(&mut || {}).expect("counted").live, 3);
    remount(MsFlags::empty()).expect("writable again");
    saves_in_place(&site);
    site.assert_clean();
    11
}

fn clear(at: &Path) {
    for entry in fs::read_dir(at).expect("lists") {
        let path = entry.expect("an entry").path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("removed");
    }
}
