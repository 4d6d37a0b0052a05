//! The model of power cuts, explored to its end; and with each guard taken out, which has to be noticed.

use sessiondir_model::power::Protocol;
use stateright::{Checker, HasDiscoveries, Model};

/// What has to hold in every state.
const CORRUPT: &str = "there is a whole record";
const OTHER: &str = "what was saved stays, and what was taken back does not return";

/// Explores all of it: what has to hold always does, and what has to happen sometimes happens.
fn explore(what: &str, protocol: Protocol, at_least: usize) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("{what}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    assert!(checker.is_done() && checker.unique_state_count() > at_least);
    checker.assert_properties();
}

#[test]
fn three_saves_two_kills_and_two_cuts() {
    explore("three saves, two kills, two cuts", Protocol::whole(3, 2, 2, 0), 100_000);
}

#[test]
fn three_saves_a_kill_two_cuts_and_a_failed_sync() {
    explore("three saves, a kill, two cuts, a failed sync", Protocol::whole(3, 1, 2, 1), 1_000_000);
}

/// The guard is taken out, and the property does not hold any more.
fn without(what: &str, property: &'static str, mut protocol: Protocol, take_out: fn(&mut Protocol)) {
    take_out(&mut protocol);
    let wanted = HasDiscoveries::AllOf([property].into());
    let checker = protocol.checker().threads(2).finish_when(wanted).spawn_bfs().join();
    let Some(path) = checker.discovery(property) else {
        panic!("{what}: nobody notices, in {} states", checker.unique_state_count());
    };
    println!("{what}: not \u{ab}{property}\u{bb}, by {:?}", path.into_actions());
}

#[test]
fn without_the_sync_before() {
    let protocol = Protocol::whole(2, 1, 1, 0);
    without("no sync of what another wrote", CORRUPT, protocol, |protocol| protocol.sync_before = false);
}

#[test]
fn without_the_entry_before() {
    let protocol = Protocol::whole(2, 1, 1, 1);
    without("no sync of the name that another made", OTHER, protocol, |protocol| {
        protocol.entry_before = false
    });
}

#[test]
fn without_the_sync_after() {
    let protocol = Protocol::whole(1, 0, 1, 0);
    without("no sync of what was written", OTHER, protocol, |protocol| protocol.sync_after = false);
}

#[test]
fn with_torn_slots_in_place() {
    let protocol = Protocol::whole(2, 0, 2, 0);
    without("a torn slot is written in place", OTHER, protocol, |protocol| protocol.torn_slot = false);
}

#[test]
fn with_stray_bytes_in_place() {
    let protocol = Protocol::whole(4, 0, 2, 0);
    without("stray bytes are written over in place", OTHER, protocol, |protocol| {
        protocol.stray_bytes = false
    });
}

#[test]
fn without_the_sync_of_nothing() {
    let protocol = Protocol::whole(2, 1, 1, 0);
    without("a save of what is there syncs nothing", OTHER, protocol, |protocol| {
        protocol.sync_of_nothing = false
    });
}

#[test]
fn with_a_sync_that_is_taken_for_a_write() {
    let protocol = Protocol::whole(3, 0, 2, 0);
    without("a sync is taken for a write", OTHER, protocol, |protocol| protocol.sound_to_know = false);
}

#[test]
fn with_the_end_written_first() {
    let protocol = Protocol::whole(3, 1, 1, 0);
    without("a slot is written from its end", OTHER, protocol, |protocol| protocol.in_order = false);
}

#[test]
fn without_replacement_after_a_failure() {
    let protocol = Protocol::whole(2, 0, 1, 1);
    without("no new file after a failed sync", CORRUPT, protocol, |protocol| {
        protocol.replace_after_failure = false;
    });
}

#[test]
fn without_the_sync_of_a_new_file() {
    let protocol = Protocol::whole(2, 0, 2, 1);
    without("no sync of a new file", CORRUPT, protocol, |protocol| protocol.sync_new_file = false);
}

#[test]
fn without_the_sync_of_its_name() {
    let protocol = Protocol::whole(2, 0, 2, 1);
    without("no sync of its name", OTHER, protocol, |protocol| protocol.sync_entry = false);
}

/// What section 12.1 says of such a kill.
#[test]
fn with_a_kill_after_a_failure() {
    let protocol = Protocol::whole(2, 1, 1, 1);
    without("killed before it has replaced the file", CORRUPT, protocol, |protocol| {
        protocol.kills_after_failure = true;
    });
}
