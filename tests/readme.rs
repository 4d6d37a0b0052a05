//! The README's tour of the command, run: each `$` line of its `console` blocks, in order, in one directory. So is
//! what docs/operations.md has of them.
//!
//! In the expected output `[..]` stands for anything within a line, a line `...` for any lines, and a line `? N`
//! says the exit status, which is 0 where none is given. The tour of the library is that of the crate's documentation, which runs
//! as a test of its own.

use std::path::Path;
use std::process::Command;

/// A command of the tour, what it is to print, and its exit status.
struct Step {
    command: String,
    output: Vec<String>,
    status: i32,
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut indent) = (false, 0);
    for line in readme.lines() {
        // A block may be part of a list.
        let is_margin = |width: &usize| line.get(..*width).is_some_and(|margin| margin.trim().is_empty());
        let line = if inside && is_margin(&indent) { &line[indent..] } else { line };
        let unindented = line.trim_start();
        match unindented.strip_prefix("```") {
            Some(info) => {
                inside = info == "console";
                indent = line.len() - unindented.len();
            }
            None if !inside => {}
            None => {
                if let Some(command) = line.strip_prefix("$ ") {
                    steps.push(Step { command: command.to_owned(), output: Vec::new(), status: 0 });
                } else {
                    let step = steps.last_mut().expect("a block starts with a command");
                    match line.strip_prefix("? ") {
                        Some(status) => step.status = status.parse().expect("a number"),
                        None => step.output.push(line.to_owned()),
                    }
                }
            }
        }
    }
    steps
}

/// Whether `line` is what `pattern` says, `[..]` standing for anything.
fn line_fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn fits(patterns: &[String], lines: &[&str]) -> bool {
    match patterns {
        [] => lines.is_empty(),
        [first, rest @ ..] if first == "..." => (0..=lines.len()).any(|skip| fits(rest, &lines[skip..])),
        [first, rest @ ..] => {
            lines.first().is_some_and(|line| line_fits(first, line)) && fits(rest, &lines[1..])
        }
    }
}

/// Runs the commands of a document in `directory`.
fn run(document: &str, directory: &Path) -> usize {
    let binary = Path::new(env!("CARGO_BIN_EXE_sessiondir")).parent().expect("its directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("a PATH"));
    let steps = steps(document);
    let count = steps.len();
    for Step { command, output, status } in steps {
        let done = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(directory)
            .env("PATH", &path)
            .output()
            .expect("a shell");
        let printed = String::from_utf8(done.stdout).expect("UTF-8");
        let lines: Vec<&str> = printed.lines().collect();
        assert!(fits(&output, &lines), "$ {command}\n{printed}\nis not\n{}", output.join("\n"));
        assert_eq!(done.status.code(), Some(status), "$ {command}");
    }
    count
}

#[test]
fn the_tour_of_the_command_is_true() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(here.join("README.md")).expect("the README");
    let tmp = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::symlink(here.join("tests"), tmp.path().join("tests")).expect("a link");
    let count = run(&readme, tmp.path());
    assert!(count >= 10, "{count} commands");
}

/// Where the examples have a site's directory, a directory of the test's stands.
#[test]
fn what_operators_are_told_is_true() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let operations = std::fs::read_to_string(here.join("docs/operations.md")).expect("the document");
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let count = run(&operations.replace("/srv/shop", &tmp.path().to_string_lossy()), tmp.path());
    assert!(count >= 10, "{count} commands");
}

/// The README cannot hide the lines that lead the program into a directory of the test's; the crate's documentation can.
#[test]
fn the_tour_of_the_library_is_the_one_that_runs() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path| std::fs::read_to_string(here.join(path)).expect(path);
    let (readme, documentation) = (read("README.md"), read("src/lib.rs"));
    let program = |text: &str, start: &str, end: &str| {
        let (_, after) = text.split_once(start).expect("a program");
        after.split_once(end).expect("its end").0.to_owned()
    };
    let shown = program(&readme, "```rust,no_run\n", "```\n");
    let run = program(&documentation, "//! ```standalone_crate\n", "//! ```\n");
    let run: Vec<&str> = run
        .lines()
        .map(|line| line.trim_start_matches("//!").trim_start_matches(' '))
        .filter(|line| !line.starts_with("# "))
        .collect();
    let shown: Vec<&str> = shown.lines().map(str::trim_start).collect();
    assert!(shown.len() > 20 && shown == run, "the README's program is not that of src/lib.rs");
}

#[test]
fn patterns_mean_what_they_say() {
    let fits = |patterns: &str, lines: &str| {
        let patterns: Vec<String> = patterns.lines().map(str::to_owned).collect();
        fits(&patterns, &lines.lines().collect::<Vec<_>>())
    };
    assert!(fits("a[..]c\n...\nz", "abc\nx\ny\nz") && fits("a[..]c\n...\nz", "ac\nz"));
    assert!(!fits("a[..]c", "abd") && !fits("a", "a\nb") && !fits("a\nb", "a") && !fits("abc", "ab"));
}
