//! The states that a session's file can be in before an operation, and the operations.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use sessiondir::repair::repair;
use sessiondir::session3::{ImportOptions, import};
use sessiondir::sweep::SweepOptions;
use sessiondir::{Durability, Error, Naming, Options, Result, Session, SessionId, SessionRef, SessionStore};

use crate::child::{Child, code};
use crate::site::{CREATED, NOW, Site, Snapshot, descriptors, id, options, time};

/// What is in the slot beside the current record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fellow {
    /// The record before, whole.
    Older,
    /// Nothing: nobody has saved in place since the file was made.
    Empty,
    /// A write of the next record that was cut off within its head, in its middle, or one byte before its end.
    TornHead,
    /// See [`Fellow::TornHead`].
    TornMiddle,
    /// See [`Fellow::TornHead`].
    TornEnd,
    /// No part of any record.
    Garbage,
}

/// A state of a store.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Of the store.
    pub durability: Durability,
    /// Of the store.
    pub naming: Naming,
    /// About how many bytes the session has.
    pub size: usize,
    /// The slot of the current record: 0 or 1.
    pub current: usize,
    /// What is in the other one.
    pub fellow: Fellow,
}

/// States: each of these with each of those.
#[derive(Clone, Copy, Debug)]
pub struct States<'a> {
    /// Of the stores.
    pub durabilities: &'a [Durability],
    /// Of the stores.
    pub namings: &'a [Naming],
    /// Of the sessions.
    pub sizes: &'a [usize],
    /// The slots of the current records.
    pub currents: &'a [usize],
    /// What is in the others.
    pub fellows: &'a [Fellow],
}

impl Default for States<'_> {
    /// Of both durabilities; else the simplest.
    fn default() -> Self {
        States {
            durabilities: &[Durability::Power, Durability::Process],
            namings: &[Naming::Plain],
            sizes: &[1],
            currents: &[0],
            fellows: &[Fellow::Older],
        }
    }
}

impl States<'_> {
    /// Every one.
    #[must_use]
    pub fn all(self) -> Vec<State> {
        let mut all = Vec::new();
        for &durability in self.durabilities {
            for &naming in self.namings {
                for &size in self.sizes {
                    for &current in self.currents {
                        let state = |&fellow| State { durability, naming, size, current, fellow };
                        all.extend(self.fellows.iter().map(state));
                    }
                }
            }
        }
        all
    }

    /// Every one, with each of the deeds that are of it.
    #[must_use]
    pub fn with(self, deeds: &[Deed]) -> Vec<(Deed, State)> {
        let states = self.all();
        let of = |&deed: &Deed| {
            states.iter().filter(move |state| deed.is_of(state)).map(move |state| (deed, *state))
        };
        deeds.iter().flat_map(of).collect()
    }
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A new session.
    Create,
    /// A session under a given ID, where there is nothing.
    Insert,
    /// The same where a power failure has left a file that holds nothing.
    InsertOverStillborn,
    /// A save in place, by a process that has not written before.
    Save,
    /// A save in place, by the process that has made the save before.
    SaveAgain,
    /// A save of a record that its slot has no room for: a replacement.
    SaveGrows,
    /// A save of a record that is far too small for its slot: a replacement.
    SaveShrinks,
    /// A save of a session whose file has a second hard link: a replacement.
    SaveLinked,
    /// Load, change and save under one lock.
    Update,
    /// A move of `accessed`.
    Touch,
    /// A logout.
    Delete,
    /// A new ID, as after a login.
    Rotate,
    /// An expired session, and a temp.
    Sweep,
    /// A corrupt session, a temp, a session whose other slot is damaged.
    Repair,
    /// Session3's sessions of the tests.
    Import,
}

impl Deed {
    /// Every one.
    pub const ALL: [Deed; 15] = [
        Deed::Create,
        Deed::Insert,
        Deed::InsertOverStillborn,
        Deed::Save,
        Deed::SaveAgain,
        Deed::SaveGrows,
        Deed::SaveShrinks,
        Deed::SaveLinked,
        Deed::Update,
        Deed::Touch,
        Deed::Delete,
        Deed::Rotate,
        Deed::Sweep,
        Deed::Repair,
        Deed::Import,
    ];

    /// Whether it writes in place, where the file allows that.
    fn is_in_place(self) -> bool {
        matches!(self, Deed::Save | Deed::SaveAgain | Deed::Update | Deed::Touch)
    }

    /// Whether it is done to several sessions, and goes on with the others where it fails with one.
    #[must_use]
    pub fn is_of_several(self) -> bool {
        matches!(self, Deed::Sweep | Deed::Repair | Deed::Import)
    }

    /// Whether the state of a session's file before makes a difference to it.
    fn depends_on_file(self) -> bool {
        !matches!(self, Deed::Create | Deed::Insert | Deed::InsertOverStillborn | Deed::Import)
    }

    /// Whether it can be done in that state, and is not the same as in another one.
    #[must_use]
    pub fn is_of(self, state: &State) -> bool {
        let simple = state.current == 0 && state.fellow == Fellow::Older;
        let stillborn = self == Deed::InsertOverStillborn;
        (self.depends_on_file() || simple) && (!stillborn || state.durability == Durability::Process)
    }
}

/// The session that is worked on.
pub const MAIN: char = 'A';
/// One that nobody works on.
pub const BYSTANDER: char = 'B';
/// One that is corrupt, for repairs.
const CORRUPT: char = 'C';

fn main_ref() -> SessionRef {
    id(MAIN).into()
}

/// A deed in a state, in a directory made for it.
#[derive(Debug)]
pub struct Case {
    /// Where.
    pub site: Site,
    /// How it is there before.
    pub before: Snapshot,
    /// What is done.
    pub deed: Deed,
    /// In which state.
    pub state: State,
}

/// The file of a session.
fn file(site: &Site, naming: Naming, id: &SessionId) -> PathBuf {
    site.dir.join(match naming {
        Naming::Plain => id.expose().to_owned(),
        Naming::Hashed => id.key().to_hex(),
    })
}

/// Text that does not repeat, so that a mixture of two is no third.
fn text(bytes: usize, salt: u64) -> String {
    let mut number = salt | 1;
    let mut next = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((number >> 33) % 26).expect("a letter"))
    };
    (0..bytes).map(|_| next()).collect()
}

/// Makes what is there before the deed.
fn make(site: &Site, deed: Deed, state: &State) {
    let store = site.open(CREATED);
    store.insert(&id(BYSTANDER), &mut session(1000, BYSTANDER)).expect("stored");
    let at = |letter| file(site, state.naming, &id(letter));
    match deed {
        Deed::Create | Deed::Insert | Deed::Import => return,
        Deed::InsertOverStillborn => return fs::write(at(MAIN), [0; 8192]).expect("written"),
        _ => {}
    }
    let mut main = session(state.size, MAIN);
    if deed == Deed::SaveShrinks {
        main.insert("big", &text(9 * state.size.max(4096), 7)).expect("fits");
    }
    if deed == Deed::Sweep {
        main.set_expires(Some(time(NOW - 1)));
    }
    store.insert(&id(MAIN), &mut main).expect("stored");
    let save = |n: u64| {
        store.update(&main_ref(), &mut |session| Ok(session.insert("n", &n)?)).expect("saved");
        fs::read(at(MAIN)).expect("readable")
    };
    let first = fs::read(at(MAIN)).expect("readable");
    let mut last = [save(1), save(2)];
    if changed_half(&last[0], &last[1]) != state.current {
        last = [last[1].clone(), save(3)];
    }
    let next = save(4);
    let [_, current] = last;
    assert_eq!(first.len(), current.len(), "all of it was in place");
    fs::write(at(MAIN), &current).expect("written");
    let sound = site.view();
    fs::write(at(MAIN), with_fellow(state, &current, &next)).expect("written");
    assert!(site.view() == sound, "what is in the other slot is taken for the session");
    if deed == Deed::Repair {
        fs::write(at(CORRUPT), &current[..current.len() - 4096]).expect("written");
    }
    if matches!(deed, Deed::Repair | Deed::Sweep) {
        let bystander = at(BYSTANDER);
        let name = bystander.file_name().expect("a name").to_str().expect("UTF-8");
        fs::write(site.dir.join(format!(".tmp.{name}")), &current[..1000]).expect("written");
    }
}

/// The file with the current record, and in the other slot what is to be there.
fn with_fellow(state: &State, current: &[u8], next: &[u8]) -> Vec<u8> {
    let half = current.len() / 2;
    let at = (1 - state.current) * half;
    let (older, newer) = (&current[at..at + half], &next[at..at + half]);
    // The record ends where the zeros begin.
    let used = newer.iter().rposition(|byte| *byte != 0).expect("a record") + 1;
    let torn = |bytes: usize| [&newer[..bytes], &older[bytes..]].concat();
    let fellow = match state.fellow {
        Fellow::Older => older.to_vec(),
        Fellow::Empty => vec![0; half],
        Fellow::TornHead => torn(12),
        Fellow::TornMiddle => torn(used / 2),
        Fellow::TornEnd => torn(used - 1),
        Fellow::Garbage => vec![0xa5; half],
    };
    let mut bytes = current.to_vec();
    bytes[at..at + half].copy_from_slice(&fellow);
    bytes
}

impl Case {
    /// Whether it writes in place, and so leaves no temp wherever it ends.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        // WRITE-6: a slot that may have been torn by a power cut is not overwritten.
        let is_sound = matches!(self.state.fellow, Fellow::Older | Fellow::Empty);
        self.deed.is_in_place() && (is_sound || self.state.durability == Durability::Process)
    }

    /// In `scratch`, which has to be empty or another case's.
    ///
    /// # Panics
    /// It cannot be made there.
    #[must_use]
    pub fn new(scratch: &Path, deed: Deed, state: State) -> Self {
        let site = Site { dir: scratch.join("sessions"), known: [MAIN, BYSTANDER, CORRUPT].map(id).into() };
        let _ = fs::remove_dir_all(&site.dir);
        let made = Options::new().naming(state.naming).durability(state.durability);
        sessiondir::init(&site.dir, &made).expect("a store");
        make(&site, deed, &state);
        Case { before: site.snapshot(), site, deed, state }
    }

    /// Puts the directory back to how it is before the deed.
    pub fn restore(&self) {
        self.site.restore(&self.before);
        if self.deed == Deed::SaveLinked {
            let link = self.site.dir.with_file_name("link");
            let _ = fs::remove_file(&link);
            let main = file(&self.site, self.state.naming, &id(MAIN));
            fs::hard_link(main, link).expect("linked");
        }
    }

    /// Gets ready, calls `begin`, and does the deed.
    ///
    /// # Errors
    /// Those of the deed.
    ///
    /// # Panics
    /// It cannot get ready.
    pub fn run(&self, begin: &dyn Fn()) -> Result<()> {
        let store = self.site.open(NOW);
        let size = self.state.size;
        let load = || store.load(&main_ref()).expect("loads").expect("is there");
        let update =
            |n: u64| store.update(&main_ref(), &mut |session| Ok(session.insert("n", &n)?)).map(drop);
        match self.deed {
            Deed::Create => {
                let mut session = session(size, MAIN);
                begin();
                store.create(&mut session).map(drop)
            }
            Deed::Insert | Deed::InsertOverStillborn => {
                let mut session = session(size, MAIN);
                begin();
                store.insert(&id(MAIN), &mut session)
            }
            Deed::Save | Deed::SaveGrows | Deed::SaveShrinks | Deed::SaveLinked => {
                let mut session = load();
                session.insert("n", &7)?;
                match self.deed {
                    Deed::SaveGrows => session.insert("grown", &text(size.max(4096) * 3, 11))?,
                    Deed::SaveShrinks => drop(session.remove("big")),
                    _ => {}
                }
                begin();
                store.save(&mut session)
            }
            Deed::SaveAgain => {
                update(6).expect("saved");
                let mut session = load();
                session.insert("n", &7)?;
                begin();
                store.save(&mut session)
            }
            Deed::Update => {
                begin();
                update(7)
            }
            Deed::Touch => {
                begin();
                store.touch(&main_ref()).map(drop)
            }
            Deed::Delete => {
                begin();
                store.delete(&main_ref()).map(drop)
            }
            Deed::Rotate => {
                let mut session = load();
                session.set_user("ada")?;
                begin();
                store.rotate(&mut session).map(drop)
            }
            Deed::Sweep => {
                begin();
                all_done(store.sweep(&SweepOptions::default())?.failed)
            }
            Deed::Repair => {
                begin();
                let done = repair(&self.site.dir, &options(NOW), true, &mut |_| {})?;
                all_done(done.failed + done.left)
            }
            Deed::Import => {
                begin();
                let session3 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../session3/sessions");
                let done = import(&session3, &store, &ImportOptions::default(), &mut |_| {})?;
                all_done(done.refused + done.skipped)
            }
        }
    }

    /// A child that does the deed, stopped before it. It ends with the [`code`] of what came of it.
    #[must_use]
    pub fn child(&self) -> Child {
        Child::new(|begin| code(&self.run(begin)))
    }

    /// The same, stopped once more after it, by kill(2); it ends with [`LEAKED`] if it has left a descriptor open.
    #[must_use]
    pub fn watched_child(&self) -> Child {
        Child::new(|begin| {
            let before = RefCell::default();
            let done = self.run(&|| {
                before.replace(descriptors());
                begin();
            });
            begin();
            let left: Vec<_> = descriptors().difference(&before.take()).cloned().collect();
            if left.is_empty() {
                return code(&done);
            }
            eprintln!("{:?} {:?}: left open: {left:?}", self.deed, self.state);
            LEAKED
        })
    }
}

/// What a child ends with if it has left a descriptor open.
pub const LEAKED: u8 = 200;

impl Site {
    /// What the next process does, which waits for no lock: to every session that there is a change, or, where it is
    /// corrupt, a deletion; where the session is not there it makes one; then it sweeps.
    ///
    /// # Errors
    /// One of that cannot be done.
    pub fn go_on(&self) -> Result<()> {
        let store = self.open(NOW);
        let sweep = || all_done(store.sweep(&SweepOptions::default())?.failed);
        let mut all: Vec<SessionRef> = self.known.iter().cloned().map(SessionRef::from).collect();
        for session in store.iter_sessions()?.flatten() {
            let reference = session.reference().expect("stored").clone();
            if !all.iter().any(|known| known.key() == reference.key()) {
                all.push(reference);
            }
        }
        for reference in all {
            match store.load(&reference) {
                Ok(Some(_)) => {
                    store.update(&reference, &mut |session| {
                        let n: u64 = session.get("next")?.unwrap_or(0);
                        Ok(session.insert("next", &(n + 1))?)
                    })?;
                }
                Ok(None) => {
                    let id = reference.id().expect("known");
                    match store.insert(id, &mut session(100, MAIN)) {
                        // It is there, expired.
                        Err(Error::Conflict { .. }) => {
                            sweep()?;
                            store.insert(id, &mut session(100, MAIN))?;
                        }
                        inserted => inserted?,
                    }
                }
                Err(_) => drop(store.delete(&reference)?),
            }
        }
        sweep()
    }
}

/// Which half of the file differs.
fn changed_half(one: &[u8], other: &[u8]) -> usize {
    let half = one.len() / 2;
    usize::from(one[..half] == other[..half])
}

fn session(size: usize, letter: char) -> Session {
    let mut session = Session::at(time(CREATED), time(CREATED));
    session.insert("n", &0).expect("fits");
    session.insert("pad", &text(size, u64::from(u32::from(letter)))).expect("fits");
    session
}

/// What goes on after what fails reports it in numbers.
fn all_done(failed: u64) -> Result<()> {
    if failed == 0 {
        return Ok(());
    }
    let source = std::io::Error::other(format!("{failed} failed"));
    Err(Error::Io { operation: "all of it", session: None, source })
}
