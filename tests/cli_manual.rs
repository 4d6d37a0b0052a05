//! What comes with the command: completions, the manual, and the files for systemd.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sessiondir::Naming;
use support::{ID, Ran, command, done, finish, fixture, is_root};

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run!("completions", shell);
        assert_eq!((ran.status, &*ran.err), (0, ""), "{shell}");
        for word in ["sweep", "delete", "--durability", "--full-ids"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let script = tmp.path().join("completions");
        fs::write(&script, &ran.out).expect("written");
        match Command::new(shell).arg("-n").arg(&script).stdin(Stdio::null()).output() {
            Ok(parsed) => {
                assert!(parsed.status.success(), "{shell}: {}", String::from_utf8_lossy(&parsed.stderr));
            }
            Err(_) => eprintln!("SKIPPED: that the completions parse; there is no {shell}"),
        }
    }
    assert_eq!(run!("completions", "csh").status, 2);
    assert_eq!(run!("completions").status, 2);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let ran = run!("man", "--dir", tmp.path());
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let mut pages: Vec<_> = fs::read_dir(tmp.path())
        .expect("listed")
        .map(|entry| entry.expect("listed").file_name().into_string().expect("text"))
        .collect();
    pages.sort();
    let mut commands: Vec<_> = run!("--help")
        .out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(|name| format!("sessiondir-{name}.1"))
        .chain(["sessiondir.1", "sessiondir-import-session3.1"].map(str::to_owned))
        .collect();
    commands.sort();
    assert_eq!(pages, commands);
    assert_eq!(ran.out.lines().count(), pages.len());
    for page in &pages {
        let text = fs::read_to_string(tmp.path().join(page)).expect("written");
        let name = page.strip_suffix(".1").expect("section 1");
        assert!(text.contains(&format!(".TH {name} 1 ")) && text.contains(".SH OPTIONS\n"), "{text}");
        // Every page but that of `import`, which does nothing itself.
        assert_eq!(name != "sessiondir-import", text.contains(".SH \"EXIT STATUS\"\n"), "{text}");
        // A hyphen is between a command and its subcommand, but for the one that has a hyphen itself.
        let words: Vec<_> = match name {
            "sessiondir-conformance-driver" => vec!["conformance-driver"],
            name => name.split('-').skip(1).collect(),
        };
        let mut command = command(&[&"man"]);
        command.args(words);
        assert_eq!(finish(command, None), done(&text), "{name}");
        if let Ok(set) = Command::new("groff").args(["-man", "-ww", "-z"]).arg(tmp.path().join(page)).output()
        {
            let said = String::from_utf8_lossy(&set.stderr);
            assert!(set.status.success() && said.is_empty(), "{name}: {said}");
        } else {
            eprintln!("SKIPPED: that the manual can be set; there is no groff");
        }
    }
    let ran = run!("man", "--json", "--dir", tmp.path());
    assert_eq!(ran.json()[0], serde_json::json!({"written": tmp.path().join("sessiondir.1")}));
    let ran = run!("man", "--dir", tmp.path().join("none"));
    assert!(ran.status == 2 && ran.err.contains("none/sessiondir.1: No such file or directory"), "{ran:?}");
    let ran = run!("man", "frobnicate");
    let expected = "sessiondir: invalid-value: there is no such subcommand; `sessiondir help` shows all\n";
    assert_eq!(ran, Ran { status: 2, out: String::new(), err: expected.into() });
}

// ------------------------------------------------------------------------------------------- files for systemd

fn docs(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_units_are_sound() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let service = docs("systemd/sessiondir-sweep.service");
    let line = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!((words[0], words.last()), ("/usr/local/bin/sessiondir", Some(&"/srv/shop/sessions")));
    assert!(service.contains("\nReadWritePaths=/srv/shop/sessions\n"), "it may not write there");
    let f = fixture(Naming::Hashed);
    f.plain(ID, "ada");
    let mut command = command(&[]);
    command.args(&words[1..words.len() - 1]).arg(&f.dir);
    assert_eq!(
        finish(command, None),
        done("0 sessions removed, 1 left, 0 failed; 0 temps and 0 in quarantine removed\n")
    );
    // The program has to be there.
    let service = service.replace(words[0], env!("CARGO_BIN_EXE_sessiondir"));
    let units = [
        ("sessiondir-sweep.service", service),
        ("sessiondir-sweep.timer", docs("systemd/sessiondir-sweep.timer")),
    ];
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no"]);
    for (name, text) in units {
        fs::write(tmp.path().join(name), text).expect("written");
        analyze.arg(tmp.path().join(name));
    }
    match analyze.output() {
        Ok(said) => {
            let complaints = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.success() && complaints.is_empty(), "{complaints}");
        }
        Err(_) => eprintln!("SKIPPED: that systemd takes the units; there is no systemd-analyze"),
    }
}

/// With a rule that ages everything else in the same place.
#[test]
fn tmpfiles_keeps_a_store() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let is_there = Command::new("systemd-tmpfiles").arg("--version").output().is_ok();
    if !is_there || !is_root(tmp.path()) {
        eprintln!(
            "SKIPPED: that systemd-tmpfiles keeps a store; there is none, or the tests do not run as root"
        );
        return;
    }
    let path = |name: &str| tmp.path().join(name);
    fs::create_dir_all(path("etc/tmpfiles.d")).expect("made");
    fs::create_dir_all(path("srv/shop")).expect("made");
    fs::set_permissions(tmp.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(path("etc/passwd"), "shop:x:4242:4242::/:/bin/sh\n").expect("written");
    fs::write(path("etc/group"), "shop:x:4242:\n").expect("written");
    fs::write(path("etc/tmpfiles.d/sessiondir.conf"), docs("sessiondir.conf")).expect("written");
    fs::write(path("etc/tmpfiles.d/all.conf"), "d /srv/shop 0755 - - 1s\n").expect("written");
    let run = |what: &str| {
        let mut command = Command::new("systemd-tmpfiles");
        command.arg(what).arg("--root").arg(tmp.path()).args(["sessiondir.conf", "all.conf"]);
        let ran = finish(command, None);
        assert_eq!(ran.status, 0, "{}", ran.err);
    };
    run("--create");
    let store = path("srv/shop/sessions");
    assert_eq!(support::owners(&store), std::collections::BTreeSet::from([(4242, 4242)]));
    assert_eq!(fs::metadata(&store).expect("made").permissions().mode() & 0o7777, 0o700);
    assert_eq!(run!("init", store).status, 0);
    fs::write(path("srv/shop/rubbish"), "old").expect("written");
    // Older than that rule's second.
    std::thread::sleep(Duration::from_millis(2100));
    run("--clean");
    assert!(!path("srv/shop/rubbish").exists());
    assert_eq!(run!("check", "--deny", "warnings", store).status, 0);
    assert_eq!(fs::read_dir(store.join(".lock")).expect("listed").count(), 64);
}
