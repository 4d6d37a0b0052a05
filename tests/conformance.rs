//! The kit: on the reference implementation, and on drivers that misbehave.

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

const SESSIONDIR: &str = env!("CARGO_BIN_EXE_sessiondir");

fn kit(options: &[&str], driver: &[&str]) -> Output {
    Command::new(SESSIONDIR)
        .arg("conformance")
        .args(options)
        .arg("--")
        .args(driver)
        .output()
        .expect("the kit runs")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn cases(report: &Value) -> &[Value] {
    report["cases"].as_array().expect("cases")
}

/// A driver that says hello, and then does what `then` says, in the words of a shell.
fn after_hello(then: &str) -> String {
    let hello = "{\"request\":1,\"ok\":{\"protocol\":1,\"implementation\":\"bad\",\"version\":\"0\",\
                 \"language\":\"sh\",\"classes\":[\"reader\"],\"features\":[\"decode\"],\"lock\":\"none\"}}";
    format!("read line; echo '{hello}'; {then}")
}

fn bad_driver(then: &str, options: &[&str]) -> (Output, Value) {
    let begun = Instant::now();
    let script = after_hello(then);
    let output = kit(&[&["--json"], options].concat(), &["sh", "-c", &script]);
    assert!(begun.elapsed() < Duration::from_secs(60), "it ends");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report = report(&output);
    assert!(cases(&report).len() >= 10, "a result for every case");
    (output, report)
}

fn all_are(report: &Value, grade: &str, message: &str) {
    for case in cases(report) {
        assert_eq!(case["result"], grade, "{case}");
        assert!(case["message"].as_str().is_some_and(|found| found.contains(message)), "{case}");
    }
}

#[test]
fn the_reference_conforms() {
    let output = kit(&["--json"], &[SESSIONDIR, "conformance-driver"]);
    let report = report(&output);
    let mut wrong = String::new();
    for case in cases(&report).iter().filter(|case| case["result"] != "passed") {
        let _ = writeln!(wrong, "{} {}: {}", case["result"], case["id"], case["message"]);
    }
    assert_eq!(wrong, "");
    assert_eq!(output.status.code(), Some(0));
    assert!(cases(&report).len() >= 300, "{} cases", cases(&report).len());
}

/// The cases of a class need nothing of the others.
#[test]
fn each_class_can_be_graded_alone() {
    for class in ["reader", "checker", "collector"] {
        let options = ["--json", "--class", class, "--only", "file/", "--only", "scenarios/sweep"];
        let output = kit(&options, &[SESSIONDIR, "conformance-driver"]);
        let report = report(&output);
        assert_eq!(
            (output.status.code(), report["as_expected"].as_bool()),
            (Some(0), Some(true)),
            "{report}"
        );
        assert!(cases(&report).len() >= 3, "{class}: {report}");
    }
}

#[test]
fn a_driver_that_hangs() {
    let (_, report) = bad_driver("exec sleep 1000", &["--timeout", "0.2", "--only", "record/int"]);
    all_are(&report, "HANG", "");
    let messages: Vec<_> = cases(&report).iter().filter_map(|case| case["message"].as_str()).collect();
    assert!(messages[0].contains("no answer to `decode` within 0.2 s"), "{}", messages[0]);
    assert!(messages[5].contains("not tried"), "{}", messages[5]);
}

#[test]
fn a_driver_that_does_not_read() {
    let (_, report) = bad_driver("exec sleep 1000 <&-", &["--timeout", "0.2", "--only", "record/int"]);
    all_are(&report, "HANG", "");
}

#[test]
fn a_driver_that_dies() {
    let (_, report) = bad_driver("echo 'out of luck' >&2; exit 3", &["--only", "record/int"]);
    all_are(&report, "errored", "it ended at `decode` (exit status: 3); on standard error: out of luck");
    let (_, report) = bad_driver("kill -9 $$", &["--only", "record/int"]);
    all_are(&report, "errored", "signal: 9");
}

#[test]
fn a_driver_that_prints_rubbish() {
    for (rubbish, message) in [
        ("echo Segmentation fault", "no JSON"),
        ("echo '{\"ok\": {}}'", "no `request`"),
        ("echo '{\"request\": 77, \"ok\": {}}'", "an answer to nothing that was asked"),
        ("echo '{\"request\": 2, \"ok\": {\"seq\": 2}}'", "no answer to `decode`"),
        ("echo '{\"request\": 2, \"error\": {\"class\": \"bad\"}}'", "no answer to `decode`"),
        ("yes rubbish", "no JSON"),
        ("printf '\\377\\376\\n'; sleep 1000", "no JSON"),
    ] {
        let (_, report) = bad_driver(&format!("read line; {rubbish}"), &["--only", "record/int"]);
        all_are(&report, "errored", message);
    }
}

/// Lines longer than the protocol allows are not kept: 100 MB take the kit no 100 MB.
#[test]
fn a_driver_that_prints_a_hundred_megabytes() {
    let much = "read line; head -c 100000000 /dev/zero | tr '\\0' x; echo";
    let (_, report) = bad_driver(much, &["--only", "record/int-"]);
    all_are(&report, "errored", "a line of more than 64 MiB");
}

#[test]
fn a_driver_that_cannot_be_run_or_says_no_hello() {
    for (driver, message) in [
        (&["/nonexistent/driver"][..], "cannot be started"),
        (&["true"], "it ended at `hello`"),
        (&["echo", "hello"], "no JSON"),
    ] {
        let output = kit(&["--timeout", "1"], driver);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(message), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
    let output = kit(&["--only", "no-such-case"], &[SESSIONDIR, "conformance-driver"]);
    assert_eq!(output.status.code(), Some(2), "a run of nothing is no success");
}

#[test]
fn what_is_skipped_or_refused_without_need_does_not_pass() {
    let answer =
        |what: &str| format!("n=1; while read line; do n=$((n+1)); echo '{{\"request\":'$n',{what}}}'; done");
    let skips = answer("\"skipped\":{\"reason\":\"not today\"}");
    let (_, report) = bad_driver(&skips, &["--only", "record/int"]);
    all_are(&report, "skipped", "not today");
    let refuses = answer("\"error\":{\"class\":\"io\",\"message\":\"no\"}");
    let (_, report) = bad_driver(&refuses, &["--only", "record/int"]);
    all_are(&report, "failed", "found an error of class io (no)");
}

#[test]
fn expected_failures_are_strict() {
    let list = tempfile::NamedTempFile::new().expect("a file");
    let path = list.path().to_str().expect("UTF-8");
    let options = ["--json", "--only", "record/int-24-in-1-byte", "--xfail", path];
    let reference = [SESSIONDIR, "conformance-driver"];
    std::fs::write(list.path(), "# none\n\n").expect("written");
    assert_eq!(kit(&options, &reference).status.code(), Some(0));
    std::fs::write(list.path(), "record/int-24-in-1-byte # it passes\n").expect("written");
    assert_eq!(kit(&options, &reference).status.code(), Some(1), "an unexpected pass");
    std::fs::write(list.path(), "record/int-24-in-1-bytes\n").expect("written");
    assert_eq!(kit(&options, &reference).status.code(), Some(1), "a name that no case has");
    std::fs::write(list.path(), "record/int-24-in-1-byte\n").expect("written");
    let script = after_hello("exit 1");
    let output = kit(&options, &["sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(0), "an expected failure: {}", report(&output));
}

#[test]
fn reports_for_machines() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let output = kit(&["--only", "lock/", "--junit", path], &[SESSIONDIR, "conformance-driver"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("9 Locks"), "{text}");
    assert!(text.contains(" passed, 0 failed, 0 skipped, 0 errored, 0 HANG"), "{text}");
    let junit = std::fs::read_to_string(file.path()).expect("written");
    assert_eq!(junit.matches("<testcase ").count(), 10, "{junit}");
    assert!(junit.contains("failures=\"0\" errors=\"0\""), "{junit}");
}

#[test]
fn the_cases_can_be_listed() {
    let output =
        Command::new(SESSIONDIR).args(["conformance", "--list", "--only", "lock/"]).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 10), "{text}");
    assert!(text.lines().all(|line| line.starts_with("lock/") && line.split('\t').count() == 3), "{text}");
}
