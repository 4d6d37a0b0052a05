//! Several processes on one directory, and processes that end.

use std::process::{Command, Output};
use std::thread;

use nix::sys::signal::Signal;

use crate::client::{Browser, Demo, program};

#[test]
fn two_processes_show_one_session() {
    let tmp = tempfile::tempdir().expect("a directory");
    let demos = [Demo::start(tmp.path()), Demo::start(tmp.path())];
    let mut browser = Browser::default();
    browser.login(&demos[0], "ada");
    let cookie = browser.cookie.clone();
    for count in 1..=10 {
        let (one, other) = (&demos[count % 2], &demos[(count + 1) % 2]);
        browser.click(one, "/increment");
        assert_eq!(browser.shown(other), (cookie.clone(), i64::try_from(count).expect("a few")));
        assert_eq!(browser.checked(other, "user"), "ada");
    }
    assert_eq!(browser.cookie, cookie);
    browser.click(&demos[0], "/logout");
    browser.cookie = cookie;
    assert_eq!(browser.shown(&demos[1]), (None, 0));
}

#[test]
fn no_increment_is_lost_between_them() {
    const BROWSERS: i64 = 6;
    const EACH: i64 = 15;
    let tmp = tempfile::tempdir().expect("a directory");
    let demos = [Demo::start(tmp.path()), Demo::start(tmp.path())];
    let mut browser = Browser::default();
    browser.click(&demos[0], "/keep");
    thread::scope(|scope| {
        for index in 0..BROWSERS {
            let (demo, cookie) = (&demos[usize::from(index % 2 == 0)], browser.cookie.clone());
            scope.spawn(move || {
                let mut browser = Browser { cookie };
                (0..EACH).for_each(|_| browser.click(demo, "/increment"));
            });
        }
    });
    assert_eq!(browser.shown(&demos[0]).1, BROWSERS * EACH);
}

#[test]
fn a_restart_between_two_requests_is_not_seen() {
    let tmp = tempfile::tempdir().expect("a directory");
    let mut browser = Browser::default();
    let demo = Demo::start(tmp.path());
    browser.login(&demo, "ada");
    let cookie = browser.cookie.clone();
    let mut running = demo;
    for (count, signal) in [(1, Signal::SIGTERM), (2, Signal::SIGKILL), (3, Signal::SIGINT)] {
        browser.click(&running, "/increment");
        let Demo { process, .. } = running;
        let ended = process.signal(signal);
        assert_eq!(ended.success(), signal != Signal::SIGKILL, "{signal}: {ended}");
        running = Demo::start(tmp.path());
        assert_eq!(browser.shown(&running), (cookie.clone(), count));
        assert_eq!(browser.checked(&running, "user"), "ada");
    }
}

fn refused(arguments: &[&str]) -> Output {
    let output = Command::new(program()).args(arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    output
}

#[test]
fn it_says_why_it_does_not_start() {
    let tmp = tempfile::tempdir().expect("a directory");
    let directory = tmp.path().join("sessions");
    let directory = directory.to_str().expect("text");
    let demo = Demo::start(directory.as_ref());
    let port = demo.address.port().to_string();
    for (arguments, words) in [
        (&[directory, "--port", "65536"][..], "--port"),
        (&[directory, "--admim"], "--admim"),
        (&[directory, "--host", "127.0.0.1", "--port", &port], "cannot listen"),
        (&[directory, "--host", "no such host", "--port", "0"], "--host"),
        (&[directory, "--host", "0.0.0.0", "--port", "0", "--admin"], "loopback"),
        (&["/proc", "--port", "0"], "not-a-store"),
    ] {
        let output = refused(arguments);
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(told.contains(words), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty());
    }
    let help = Command::new(program()).arg("--help").output().expect("it runs");
    let told = String::from_utf8(help.stdout).expect("text");
    assert!(help.status.success());
    for word in ["[DIR]", "--host", "--port", "--admin", "./sessions", "localhost", "8080"] {
        assert!(told.contains(word), "{word} in {told}");
    }
}
