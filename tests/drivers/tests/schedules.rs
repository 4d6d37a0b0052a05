//! Every order in which two processes can make their system calls, with two preemptions, and three processes with three:
//! what comes of it could have come of the operations one after the other. So no update is lost, nothing comes back after a
//! deletion, no reader goes back in time, and a sweep takes nothing that was just touched. SPEC.md section 12.1.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use nix::unistd::pipe;
use sessiondir::{Durability, Options};
use sessiondir_drivers::chance::Chance;
use sessiondir_drivers::child::Child;
use sessiondir_drivers::history::Op::{
    Check, Create, Delete, Grow, Insert, List, Load, Rotate, Save, Shrink, Sweep, Touch, Update,
};
use sessiondir_drivers::history::{End, Event, Hand, Op, Outcome, is_linearizable, prepare};
use sessiondir_drivers::schedule::{Actor, Plan, Run, mark, run};
use sessiondir_drivers::share;
use sessiondir_drivers::site::{Site, Snapshot, id};

fn main() {
    share::run(&[
        ("pairs_of_operations", pairs_of_operations),
        ("three_processes", three_processes),
        ("schedules_by_chance", schedules_by_chance),
    ]);
}

/// What each process does.
#[derive(Clone, Debug)]
struct Scene {
    actors: Vec<Vec<Op>>,
    durability: Durability,
}

impl Scene {
    fn words(&self) -> String {
        format!("{:?} ({:?})", self.actors, self.durability)
    }
}

/// The scene's directory, and how it is there before.
struct Stage<'a> {
    scene: &'a Scene,
    site: Site,
    before: Snapshot,
    end_before: End,
}

impl<'a> Stage<'a> {
    fn new(scratch: &Path, scene: &'a Scene) -> Self {
        let known = [sessiondir_drivers::case::MAIN, sessiondir_drivers::case::BYSTANDER].map(id).into();
        let site = Site { dir: scratch.join("sessions"), known };
        let _ = fs::remove_dir_all(&site.dir);
        sessiondir::init(&site.dir, &Options::new().durability(scene.durability)).expect("a store");
        prepare(&site);
        Stage { scene, before: site.snapshot(), end_before: End::of(&site), site }
    }

    fn actor(&self, number: usize) -> Actor {
        let (told, tell) = pipe().expect("a pipe");
        let child = Child::new(|begin| {
            let mut hand = Hand::new(&self.site, number);
            begin();
            let mut lines = String::new();
            for (index, op) in self.scene.actors[number].iter().enumerate() {
                mark();
                let outcome = hand.perform(*op, index);
                mark();
                lines.push_str(&format!("{outcome}\n"));
            }
            File::from(tell.try_clone().expect("a descriptor")).write_all(lines.as_bytes()).expect("written");
            0
        });
        Actor::new(number, child, File::from(told))
    }

    /// Plays one schedule, and judges it.
    fn play(&self, plan: &mut Plan) {
        self.site.restore(&self.before);
        let Run { spans, told, trail } =
            run((0..self.scene.actors.len()).map(|n| self.actor(n)).collect(), plan);
        let mut events = Vec::new();
        for (actor, ops) in self.scene.actors.iter().enumerate() {
            let outcomes: Vec<_> = told[actor].lines().map(Outcome::parse).collect();
            assert_eq!((outcomes.len(), spans[actor].len()), (ops.len(), ops.len()), "{trail}");
            for (index, op) in ops.iter().enumerate() {
                let (span, outcome) = (spans[actor][index], outcomes[index]);
                events.push(Event { actor, index, op: *op, span, outcome });
            }
        }
        let end = End::of(&self.site);
        let at = || format!("{}:{trail}\n{events:#?}\n{end:?}", self.scene.words());
        assert!(is_linearizable(&events, self.end_before, end), "no order explains this: {}", at());
        assert_eq!(self.site.temps(), 0, "a temp is left: {}", at());
        let found = self.site.findings();
        assert!(found.is_empty(), "{found:?}: {}", at());
    }

    /// All schedules with so many preemptions.
    fn play_all(&self, preemptions: usize) -> u64 {
        let mut plan = Plan::all(preemptions);
        let mut count = 0;
        loop {
            self.play(&mut plan);
            count += 1;
            if !plan.advance() {
                return count;
            }
        }
    }
}

/// What a process does in a pair. A reader looks twice, to see whether it goes back in time.
const PAIRED: [&[Op]; 12] = [
    &[Load, Load],
    &[List, List],
    &[Check],
    &[Save],
    &[Grow],
    &[Update],
    &[Touch],
    &[Delete],
    &[Insert],
    &[Rotate],
    &[Sweep],
    &[Create],
];

/// Exercises LOCK-1, LOCK-11, READ-4, READ-5, WRITE-1, WRITE-3, WRITE-16, DEL-1, ROT-1, COLL-1, CHK-2.
fn pairs_of_operations() {
    let durabilities: &[Durability] =
        if share::is_all() { &[Durability::Process, Durability::Power] } else { &[Durability::Process] };
    let mut scenes = Vec::new();
    for &durability in durabilities {
        for (at, one) in PAIRED.iter().enumerate() {
            for other in &PAIRED[at..] {
                scenes.push(Scene { actors: vec![one.to_vec(), other.to_vec()], durability });
            }
        }
    }
    // A checker looks at every lock file: it makes many times as many calls as any other.
    let preemptions = |scene: &Scene| {
        let is_long = scene.actors.iter().any(|ops| ops.contains(&Check));
        if share::is_all() || !is_long { 2 } else { 1 }
    };
    let [schedules] =
        share::among(&scenes, |scratch, scene| [Stage::new(scratch, scene).play_all(preemptions(scene))]);
    println!("{schedules} schedules of {} pairs of operations, with up to two preemptions", scenes.len());
    assert!(schedules > 10_000, "{schedules}");
}

/// In each of them a process does two operations.
fn named() -> Vec<Scene> {
    let scene = |actors: [&[Op]; 3]| Scene {
        actors: actors.map(<[Op]>::to_vec).into(),
        durability: Durability::Process,
    };
    vec![
        scene([&[Save, Save], &[Load], &[Save]]),
        scene([&[Grow, Shrink], &[Load, Load], &[Update]]),
        scene([&[Delete, Insert], &[Save], &[Load]]),
        scene([&[Sweep], &[Touch, Load], &[Update]]),
        scene([&[Load, Rotate], &[Save], &[Touch]]),
        scene([&[Grow], &[Grow], &[Load, Load]]),
    ]
}

/// Exercises LOCK-1, READ-4, WRITE-1, WRITE-13, ROT-1, COLL-1.
fn three_processes() {
    // With three preemptions there are ten to thirty thousand of each.
    let preemptions = if share::is_all() { 3 } else { 1 };
    let scenes = named();
    let [schedules] = share::among(&scenes, |scratch, scene| {
        let schedules = Stage::new(scratch, scene).play_all(preemptions);
        println!("{}: {schedules} schedules", scene.words());
        [schedules]
    });
    println!(
        "{schedules} schedules of {} scenes of three processes, with up to {preemptions} preemptions",
        scenes.len()
    );
    assert!(schedules > 500, "{schedules}");
}

/// What is left: any three, any number of preemptions. `SESSIONDIR_SEED` begins with another seed.
fn schedules_by_chance() {
    let first: u64 =
        std::env::var("SESSIONDIR_SEED").map_or(1, |seed| seed.parse().expect("SESSIONDIR_SEED is a number"));
    let (seeds, each) = if share::is_all() { (400, 100) } else { (60, 20) };
    let ops = [Load, List, Save, Grow, Shrink, Update, Touch, Delete, Insert, Rotate, Sweep, Create];
    let seeds: Vec<u64> = (first..first + seeds).collect();
    let [schedules] = share::among(&seeds, |scratch, seed| {
        let mut chance = Chance::new(*seed);
        let actors = (0..3).map(|_| (0..=chance.below(2)).map(|_| *chance.pick(&ops)).collect()).collect();
        let durability = if chance.one_in(2) { Durability::Power } else { Durability::Process };
        let scene = Scene { actors, durability };
        let stage = Stage::new(scratch, &scene);
        for schedule in 0..each {
            let plan = Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(schedule));
            stage.play(&mut Plan::by_chance(plan));
        }
        [each]
    });
    println!("{schedules} schedules by chance, from seed {first} on");
    assert!(schedules >= 1_000, "{schedules}");
}
