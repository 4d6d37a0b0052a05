//! `sessiondir delete`, driven as a program.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use sessiondir::{Naming, Session, SessionId, SessionStore};
use support::{
    ID, KEY, OTHER, Ran, SHOWN, START, at, command, damage, done, finish, fixture, id, shown, snapshot,
};

/// Exercises DEL-2, NAME-8.
#[test]
fn delete_says_for_each_session_whether_it_was_there() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let f = fixture(naming);
        f.plain(ID, "ada");
        damage(&f, OTHER);
        f.plain("CCCCCCCCCCCCCCCCCCCCCC", "eve");
        let digits = &shown(OTHER)[..];
        let ran = run!("delete", f.dir, ID, digits, "DDDDDDDDDDDDDDDDDDDDDD", "#00000000");
        let gone = shown("DDDDDDDDDDDDDDDDDDDDDD");
        let expected = format!(
            "deleted: {SHOWN}\ndeleted: {digits}\nwas not there: {gone}\nwas not there: #00000000\n\
             2 sessions deleted, 2 not there, 0 failed\n"
        );
        assert_eq!(ran, done(&expected));
        assert!(!f.file(ID).exists() && !f.file(OTHER).exists());
        assert!(f.store.has(&id("CCCCCCCCCCCCCCCCCCCCCC")).expect("looked at"));

        let ran = run!("delete", f.dir, ID, "CCCCCCCCCCCCCCCCCCCCCC", "--json", "--full-ids");
        let (first, second) = match naming {
            Naming::Plain => (ID.to_owned(), "CCCCCCCCCCCCCCCCCCCCCC".to_owned()),
            Naming::Hashed => {
                (KEY.to_owned(), SessionId::new("CCCCCCCCCCCCCCCCCCCCCC").expect("an ID").key().to_hex())
            }
        };
        let expected = [
            serde_json::json!({"absent": first}),
            serde_json::json!({"deleted": second}),
            serde_json::json!({"summary": {"deleted": 1, "absent": 1, "failed": 0}}),
        ];
        assert_eq!((ran.status, &*ran.err, ran.json()), (0, "", expected.to_vec()));
    }
}

#[test]
fn delete_takes_sessions_from_standard_input() {
    let f = fixture(Naming::Plain);
    for id in [ID, OTHER, "-bcdefghijk", "--allow-remote"] {
        f.plain(id, "ada");
    }
    let input = format!("{ID}\n\n{}\n-bcdefghijk", shown(OTHER));
    let ran = finish(command(&[&"delete", &f.dir, &"-"]), Some(input.as_bytes()));
    assert_eq!(ran.out.lines().last(), Some("3 sessions deleted, 0 not there, 0 failed"));
    let ran = finish(command(&[&"delete", &f.dir, &"-", &"--json"]), Some(b""));
    assert_eq!(ran.json(), [serde_json::json!({"summary": {"deleted": 0, "absent": 0, "failed": 0}})]);
    // An option of all commands is one also behind an ID, except where `--` says that it is none.
    let ran = run!("delete", f.dir, ID, "--allow-remote");
    assert!(ran.status == 0 && ran.out.lines().count() == 2 && f.file("--allow-remote").exists(), "{ran:?}");
    let ran = run!("delete", f.dir, "--", "-----------", "--allow-remote");
    assert_eq!(ran.out.lines().last(), Some("1 session deleted, 1 not there, 0 failed"));
    assert_eq!(run!("list", f.dir).out.lines().last(), Some("0 sessions"));
}

/// Exercises NAME-1, NAME-2.
#[test]
fn delete_deletes_nothing_where_an_id_is_none() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    f.plain("collision-0000000048678", "ada");
    f.plain("collision-0000000086338", "bob");
    let before = snapshot(&f.dir);
    let none =
        "is no session ID (11 to 128 letters, digits, '-' or '_'), nor # and 8 to 64 hexadecimal digits";
    for bad in [&b""[..], b"../../etc/passwd", b"caf\xe9cafecafe", b"#8a5bdb4", b"-short", b"--help"] {
        let ran = run!("delete", f.dir, ID, std::ffi::OsStr::from_bytes(bad));
        assert_eq!((ran.status, &*ran.out), (2, ""), "{}", ran.err);
        assert!(ran.err.starts_with(&format!("sessiondir: invalid-id: an argument {none}")), "{}", ran.err);
    }
    for (input, line) in
        [(&b"AAAAAAAAAAAAAAAAAAAAAA\n\nx\n"[..], 3), (b"AAAAAAAAAAAAAAAAAAAAAA\r\n", 1), (b"-\n", 1)]
    {
        let ran = finish(command(&[&"delete", &f.dir, &ID, &"-"]), Some(input));
        assert_eq!((ran.status, &*ran.out), (2, ""), "{}", ran.err);
        assert!(
            ran.err.starts_with(&format!("sessiondir: invalid-id: line {line} of standard input {none}")),
            "{}",
            ran.err
        );
    }
    let ran = run!("delete", f.dir, ID, "#30f9c4b5");
    assert!(ran.status == 2 && ran.err.contains("several sessions start with these digits"), "{ran:?}");
    for usage in [&[][..], &[ID, "--user", "ada"], &["--user", "ada", ID]] {
        let mut command = command(&[&"delete", &f.dir]);
        command.args(usage);
        assert_eq!(finish(command, None).status, 2, "{usage:?}");
    }
    assert_eq!(snapshot(&f.dir), before);
}

#[test]
fn an_endless_list_of_sessions_is_refused() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    let endless = fs::File::open("/dev/zero").expect("it is there");
    let mut delete = command(&[&"delete", &f.dir, &ID, &"-"]);
    let done = delete.stdin(endless).output().expect("ends");
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("more than 16777216 bytes on standard input"));
    assert!(f.file(ID).exists());
}

/// Exercises NAME-11.
#[test]
fn what_cannot_be_deleted_does_not_keep_the_rest() {
    let f = fixture(Naming::Plain);
    let (link, dir, fifo) = ("EEEEEEEEEEEEEEEEEEEEEE", "FFFFFFFFFFFFFFFFFFFFFF", "GGGGGGGGGGGGGGGGGGGGGG");
    symlink("/etc/passwd", f.file(link)).expect("made");
    fs::create_dir(f.file(dir)).expect("made");
    nix::unistd::mkfifo(&f.file(fifo), nix::sys::stat::Mode::S_IRUSR).expect("made");
    let before = snapshot(&f.dir);
    f.plain(ID, "ada");
    let ran = run!("delete", f.dir, link, dir, fifo, ID);
    assert_eq!((ran.status, ran.err.lines().count()), (1, 3));
    assert_eq!(ran.out, format!("deleted: {SHOWN}\n1 session deleted, 0 not there, 3 failed\n"));
    for (name, line) in [link, dir, fifo].iter().zip(ran.err.lines()) {
        assert!(line.contains(&format!("corrupt: session {} breaks rule NAME-11", shown(name))), "{line}");
    }
    let ran = run!("delete", f.dir, "--json", link);
    assert_eq!((ran.status, &ran.json()[0]["error"]), (1, &"corrupt".into()));
    // The directory's own times have changed.
    assert_eq!(snapshot(&f.dir)[1..], before[1..]);
}

/// Exercises NAME-8.
#[test]
fn delete_can_log_a_user_out() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    f.plain(OTHER, "ada");
    f.plain("CCCCCCCCCCCCCCCCCCCCCC", "bob");
    let mut number = Session::at(at(START), at(START));
    number.set_user(&42).expect("fits");
    f.insert("DDDDDDDDDDDDDDDDDDDDDD", &mut number);
    f.insert("EEEEEEEEEEEEEEEEEEEEEE", &mut Session::at(at(START), at(START)));
    assert_eq!(run!("delete", f.dir, "--user", "eve"), done("0 sessions deleted, 5 left\n"));
    assert_eq!(run!("delete", f.dir, "--user", "\"ada\""), done("0 sessions deleted, 5 left\n"));
    assert_eq!(run!("delete", f.dir, "--user", "ada"), done("2 sessions deleted, 3 left\n"));
    let ran = run!("delete", "--json", f.dir, "--user", "42");
    let expected = serde_json::json!({"summary": {"deleted": 1, "remaining": 2, "failed": 0}});
    assert_eq!((ran.status, ran.json()), (0, vec![expected]));
    damage(&f, "GGGGGGGGGGGGGGGGGGGGGG");
    let ran = run!("delete", f.dir, "--user", "bob");
    let expected = "1 session deleted, 1 left, 1 that cannot be read or deleted and may be this user's; `sessiondir \
                    check` shows them\n";
    assert_eq!(ran, Ran { status: 1, out: expected.into(), err: String::new() });
    let ran = run!("list", f.dir, "--json");
    assert_eq!(ran.json().iter().filter(|line| line["id"] == shown("EEEEEEEEEEEEEEEEEEEEEE")).count(), 1);
}
