//! The model, explored to its end; and with each guard taken out, which has to be noticed.

use sessiondir_model::readers::Protocol;
use stateright::{Checker, HasDiscoveries, Model};

/// What has to hold in every state.
const ALWAYS: [&str; 4] = [RUBBISH, OLDER, NEWER, ENDLESS];
const RUBBISH: &str = "a load returns what a writer wrote";
const OLDER: &str = "a load that began later returns nothing older";
const NEWER: &str = "a load returns nothing that is yet to come";
const ENDLESS: &str = "a load ends with an answer";

#[test]
fn four_changes_and_a_reader() {
    let checker = Protocol::whole(4, 1).checker().threads(2).spawn_bfs().join();
    println!(
        "four changes, one reader: {} states, depth {}",
        checker.unique_state_count(),
        checker.max_depth()
    );
    assert!(checker.is_done() && checker.unique_state_count() > 1_000_000);
    // Those that have to hold always, and what has to happen sometimes: newer records, second looks, locks.
    checker.assert_properties();
}

/// What one reader returns no later one goes back behind: that is why a load counts as begun when any other has
/// returned.
#[test]
fn two_readers_see_no_step_back() {
    let protocol = Protocol { other_files: false, rounds: 1, ..Protocol::whole(1, 2) };
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("one save, two readers: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    assert!(checker.is_done() && checker.unique_state_count() > 100_000);
    ALWAYS.into_iter().for_each(|property| checker.assert_no_discovery(property));
}

/// The guard is taken out, and one of these properties does not hold any more.
fn without(what: &str, properties: &[&'static str], take_out: impl FnOnce(&mut Protocol)) {
    let mut protocol = Protocol::whole(4, 1);
    take_out(&mut protocol);
    let wanted = HasDiscoveries::AnyOf(properties.iter().copied().collect());
    let checker = protocol.checker().threads(2).finish_when(wanted).spawn_bfs().join();
    let broken: Vec<&str> =
        properties.iter().copied().filter(|property| checker.discovery(property).is_some()).collect();
    assert!(!broken.is_empty(), "{what}: nobody notices, in {} states", checker.unique_state_count());
    println!("{what}: not \u{ab}{}\u{bb}", broken.join("\u{bb}, not \u{ab}"));
}

#[test]
fn without_the_second_read() {
    without("no second read", &[OLDER], |protocol| protocol.second_read = false);
}

#[test]
fn without_the_digest() {
    without("no digest", &[RUBBISH], |protocol| protocol.digest = false);
}

#[test]
fn without_parity() {
    without("no parity", &[OLDER, RUBBISH, ENDLESS], |protocol| protocol.parity = false);
}

#[test]
fn without_the_lock() {
    without("no lock", &[OLDER, RUBBISH, ENDLESS], |protocol| protocol.lock = false);
}

#[test]
fn without_a_look_at_the_seq_before() {
    without("any fellow slot will do", &[OLDER], |protocol| protocol.seq_before = false);
}
