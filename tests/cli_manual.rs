//! `sessiondir completions` and `man`, driven as a program.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs;
use std::process::{Command, Stdio};

use support::{Ran, command, done, finish};

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
        let words: Vec<_> = name.split('-').skip(1).collect();
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
