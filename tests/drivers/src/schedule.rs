//! Every order in which a few processes can make their system calls, up to a number of preemptions: a process that could
//! go on and does not. One that waits for a lock, or has ended, is none.
//!
//! Only calls to the file system are told apart; what a process does between two of them, nobody else sees.

use std::fs::File;
use std::io::Read;

use nix::libc;

use crate::chance::Chance;
use crate::child::{Child, is_of_files, is_of_std, name};
use crate::fault::answer;

/// By this call, which nothing else makes, an actor says that it begins or ends an operation.
const MARK: i64 = libc::SYS_getppid;

/// Says so, from within an actor.
pub fn mark() {
    let _ = nix::unistd::getppid();
}

/// Which actor is the next to make a call.
#[derive(Debug)]
pub struct Plan {
    /// How many preemptions there may be.
    limit: usize,
    /// What has been chosen so far, of how many: the path through the tree of all schedules. It is walked depth first.
    path: Vec<(usize, usize)>,
    at: usize,
    preemptions: usize,
    /// Chooses what is not on the path; else the first.
    chance: Option<Chance>,
}

impl Plan {
    /// All schedules with so many preemptions at most, one after the other.
    #[must_use]
    pub fn all(limit: usize) -> Self {
        Plan { limit, path: Vec::new(), at: 0, preemptions: 0, chance: None }
    }

    /// One schedule by chance, with any number of preemptions.
    #[must_use]
    pub fn by_chance(chance: Chance) -> Self {
        Plan { chance: Some(chance), ..Plan::all(usize::MAX) }
    }

    /// Goes on to the next schedule; whether there is one.
    pub fn advance(&mut self) -> bool {
        (self.at, self.preemptions) = (0, 0);
        while let Some((chosen, of)) = self.path.pop() {
            if chosen + 1 < of {
                self.path.push((chosen + 1, of));
                return true;
            }
        }
        false
    }

    fn choose(&mut self, current: Option<usize>, runnable: &[usize]) -> usize {
        let goes_on = current.filter(|actor| runnable.contains(actor));
        let others = runnable.iter().copied().filter(|actor| Some(*actor) != goes_on);
        let may_change = goes_on.is_none() || self.preemptions < self.limit;
        let options: Vec<usize> = goes_on.into_iter().chain(others.filter(|_| may_change)).collect();
        if self.at == self.path.len() {
            let chosen = match &mut self.chance {
                // Rather on than to another: else hardly an operation would get far by itself.
                Some(chance) => {
                    let stays = goes_on.is_some() && chance.below(3) > 0;
                    if stays { 0 } else { chance.below(options.len()) }
                }
                None => 0,
            };
            self.path.push((chosen, options.len()));
        }
        let (chosen, of) = self.path[self.at];
        assert_eq!(of, options.len(), "the same choices lead to another place: a run cannot be repeated");
        self.at += 1;
        self.preemptions += usize::from(goes_on.is_some_and(|actor| actor != options[chosen]));
        options[chosen]
    }
}

/// Where an actor has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Before all.
    Start,
    /// In front of its next operation.
    Operation,
    /// In front of a call.
    Call(i64),
    /// It has been denied a lock, and asks again when somebody has released one.
    Denied,
    Ended,
}

/// When an operation began and ended: between which marks of all actors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The number of its first mark.
    pub begin: u64,
    /// The number of its second one.
    pub end: u64,
}

/// A process that does operations, [mark]ing each, and writes down what came of them.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    /// What it writes.
    told: File,
    stop: Stop,
    spans: Vec<Span>,
    /// Whether an operation is under way.
    is_within: bool,
    /// What it has been given for random bytes.
    random: i64,
}

impl Actor {
    /// A child that has stopped in front of its first operation, and the end of the pipe that it writes to.
    #[must_use]
    pub fn new(number: usize, child: Child, told: File) -> Self {
        let random = (i64::try_from(number).expect("few") + 1) << 32;
        Actor { child, told, stop: Stop::Start, spans: Vec::new(), is_within: false, random }
    }

    /// Lets it make the call that it has stopped at, or its next one, and go on to the stop after that. Says whether it has
    /// released a lock.
    fn go_on(&mut self, marks: &mut u64) -> bool {
        let (mut made, mut releases) = (false, false);
        match self.stop {
            Stop::Start | Stop::Denied => {}
            Stop::Operation => self.begin(marks),
            Stop::Call(_) => {
                releases = self.is_release();
                self.past();
                made = true;
            }
            Stop::Ended => unreachable!("it is not runnable"),
        }
        loop {
            if !self.child.step() {
                self.stop = Stop::Ended;
                return releases;
            }
            let (call, arguments) = self.child.entry();
            let is_of_store = is_of_files(call) && call != libc::SYS_write && !is_of_std(call, arguments[1]);
            match call {
                MARK if self.is_within => self.end(marks),
                // What comes next is for its next turn.
                MARK if made => {
                    self.stop = Stop::Operation;
                    return releases;
                }
                MARK => self.begin(marks),
                libc::SYS_clock_nanosleep | libc::SYS_nanosleep => {
                    answer(&mut self.child, 0);
                    self.stop = Stop::Denied;
                    return releases;
                }
                // The same in each run, and others for each actor. (With less it only asks whether there is such a call.)
                libc::SYS_getrandom if arguments[1] >= 8 => {
                    self.random += 1;
                    self.child.write_word(arguments[0], self.random);
                    answer(&mut self.child, arguments[1]);
                }
                _ if is_of_store && self.is_within && made => {
                    self.stop = Stop::Call(call);
                    return releases;
                }
                _ if is_of_store && self.is_within => {
                    releases = self.is_release();
                    self.past();
                    made = true;
                }
                // Which does not return.
                libc::SYS_exit_group => {}
                _ => self.past(),
            }
        }
    }

    fn begin(&mut self, marks: &mut u64) {
        *marks += 1;
        self.spans.push(Span { begin: *marks, end: u64::MAX });
        self.is_within = true;
        self.past();
    }

    fn end(&mut self, marks: &mut u64) {
        *marks += 1;
        self.spans.last_mut().expect("begun").end = *marks;
        self.is_within = false;
        self.past();
    }

    fn past(&mut self) {
        assert!(self.child.step(), "a call that does not return");
    }

    /// Whether it has stopped in front of a call that releases a lock.
    fn is_release(&self) -> bool {
        let (call, [_, command, flock, ..]) = self.child.entry();
        // The type of the lock is the first of its two bytes.
        call == libc::SYS_fcntl
            && i32::try_from(command) == Ok(libc::F_SETLK)
            && self.child.read_word(flock) & 0xffff == i64::from(libc::F_UNLCK)
    }
}

/// What came of a schedule.
#[derive(Debug)]
pub struct Run {
    /// Of each actor, of each of its operations.
    pub spans: Vec<Vec<Span>>,
    /// What each actor has written.
    pub told: Vec<String>,
    /// Which actor made which call, in words.
    pub trail: String,
}

/// Runs the actors as the plan says.
///
/// # Panics
/// All wait for a lock, or one of them fails.
pub fn run(mut actors: Vec<Actor>, plan: &mut Plan) -> Run {
    let (mut current, mut marks, mut trail) = (None, 0, String::new());
    let mut awake = vec![true; actors.len()];
    loop {
        let can_go_on = |number: &usize| match actors[*number].stop {
            Stop::Ended => false,
            Stop::Denied => awake[*number],
            _ => true,
        };
        let runnable: Vec<usize> = (0..actors.len()).filter(can_go_on).collect();
        if runnable.is_empty() {
            let waits = actors.iter().any(|actor| actor.stop != Stop::Ended);
            assert!(!waits, "all wait for a lock: {trail}");
            break;
        }
        let number = plan.choose(current, &runnable);
        current = Some(number);
        let actor = &mut actors[number];
        let what = match actor.stop {
            Stop::Call(call) => name(call),
            Stop::Denied => "asks again".to_owned(),
            _ => "begins".to_owned(),
        };
        trail.push_str(&format!(" {number}:{what}"));
        awake[number] = false;
        if actor.go_on(&mut marks) {
            awake.fill(true);
        }
    }
    let told = |actor: Actor| {
        assert_eq!(actor.child.finish(), 0, "an actor failed");
        let (mut told, mut text) = (actor.told, String::new());
        told.read_to_string(&mut text).expect("readable");
        (actor.spans, text)
    };
    let (spans, told) = actors.into_iter().map(told).unzip();
    Run { spans, told, trail }
}
