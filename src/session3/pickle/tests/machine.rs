//! Opcodes, calls, sharing and cycles.

use super::*;

#[test]
fn every_opcode_of_pickletools_is_known() {
    let mut known: Vec<String> =
        opcodes::ALL.iter().map(|(code, name)| format!("{code:02x} {name}")).collect();
    let listed = text("opcodes.txt");
    let mut listed: Vec<&str> = listed.lines().collect();
    assert_eq!(listed.len(), 68);
    known.sort();
    listed.sort_unstable();
    assert_eq!(known, listed);
    // And each byte is handled, or no opcode.
    for code in 0..=u8::MAX {
        let alone = [&[code][..], &[0; 20]].concat();
        let unknown = matches!(
            load_default(&alone),
            Err(PickleError { place: Place::Byte(0, None), kind: PickleErrorKind::UnknownOpcode(byte) })
                if byte == code
        );
        assert_eq!(unknown, opcodes::name(code).is_none(), "0x{code:02x}");
    }
}

#[test]
fn calls_are_refused_by_name() {
    let cases: &[(&[u8], &str)] = &[
        (b"cos\nsystem\n(S'ls'\ntR.", "byte 19 (REDUCE): calls os.system"),
        (b"(S'ls'\nios\nsystem\n.", "byte 7 (INST): calls os.system"),
        (b"(cos\nsystem\nS'ls'\no.", "byte 18 (OBJ): calls os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "byte 23 (REDUCE): calls builtins.eval"),
        (b"c__builtin__\neval\n(V1\ntR.", "byte 23 (REDUCE): calls __builtin__.eval"),
        (b"cposix\nsystem\n)R.", "byte 15 (REDUCE): calls posix.system"),
        (b"cbuiltins\ngetattr\n)R.", "byte 19 (REDUCE): calls builtins.getattr"),
        (b"cbuiltins\ncomplex\n)R.", "byte 19 (REDUCE): calls builtins.complex"),
        (b"capp\nSession\n)R.", "byte 14 (REDUCE): calls app.Session"),
        (b"cdatetime\ndatetime.now\n)R.", "byte 24 (REDUCE): calls datetime.datetime.now"),
        (b"ccopyreg\n__newobj__\ncos\nsystem\n\x85\x81.", "byte 32 (NEWOBJ): calls copyreg.__newobj__"),
        (b"cbuiltins\nlist\n)}(VK\nNu\x92.", "byte 23 (NEWOBJ_EX): calls builtins.list"),
        (b"cx\ny\x1b[31m\xe2\x80\xae\n)R.", "byte 14 (REDUCE): calls x.y\\u{1b}[31m\\u{202e}"),
    ];
    for (pickle, want) in cases {
        assert_eq!(refusal(pickle), format!("pickle refused at {want}"));
    }
    let long = [b"cm\n".as_slice(), &[b'x'; 5000], b"\n)R."].concat();
    assert_eq!(refusal(&long), format!("pickle refused at byte 5005 (REDUCE): calls m.{}…", "x".repeat(100)));
}

/// Each pickle is refused with this message.
fn refusals(cases: &[(&[u8], &str)]) {
    for (pickle, want) in cases {
        assert_eq!(refusal(pickle), format!("pickle refused {want}"), "{}", pickle.escape_ascii());
    }
}

#[test]
fn refusals_of_the_stack() {
    refusals(&[
        (b"", "at byte 0: ends before it is complete"),
        (b"N", "at byte 1: ends before it is complete"),
        (b"\xff.", "at byte 0: 0xff is no opcode"),
        (b"\x80\x06N.", "at byte 0 (PROTO): protocol 6 is newer than 5"),
        (b".", "at byte 0 (STOP): the stack has too few values"),
        (b"(.", "at byte 1 (STOP): the stack has too few values"),
        (b"NN.", "at byte 2 (STOP): values are left on the stack"),
        (b"(N.", "at byte 2 (STOP): values are left on the stack"),
        (b"0", "at byte 0 (POP): the stack has too few values"),
        (b"N(\x85", "at byte 2 (TUPLE1): the stack has too few values"),
        (b"(2", "at byte 1 (DUP): the stack has too few values"),
        (b"]Nt", "at byte 2 (TUPLE): no mark on the stack"),
        (b"1", "at byte 0 (POP_MARK): no mark on the stack"),
        (b"(o", "at byte 1 (OBJ): the stack has too few values"),
        (b"h\x07", "at byte 0 (BINGET): memo entry 7 was never made"),
        (b"g8\n", "at byte 0 (GET): memo entry 8 was never made"),
        (b"Np-1\n", "at byte 1 (PUT): not a number"),
        (b"N(q\0", "at byte 2 (BINPUT): the stack has too few values"),
        (b"NNa", "at byte 2 (APPEND): expected a list"),
        (b")Na", "at byte 2 (APPEND): expected a list"),
        (b"N(e", "at byte 2 (APPENDS): expected a list"),
        (b"]NNs", "at byte 3 (SETITEM): expected a map"),
        (b"}(Nu", "at byte 3 (SETITEMS): expected keys and values in pairs"),
        (b"(Nd", "at byte 2 (DICT): expected keys and values in pairs"),
        (b"](\x90", "at byte 2 (ADDITEMS): expected a set"),
        (b"cm\nC\n)\x81(Na", "at byte 9 (APPEND): the stack has too few values"),
        (b"cm\nC\n)\x81NaNNs", "at byte 11 (SETITEM): expected a map"),
        (b"NN\x93", "at byte 2 (STACK_GLOBAL): expected two texts"),
        (b"N)R", "at byte 2 (REDUCE): expected a class"),
        (b"cos\nsystem\n]\x81", "at byte 12 (NEWOBJ): expected a tuple"),
        (b"cm\nC\n)N\x92", "at byte 7 (NEWOBJ_EX): expected a map of keyword arguments"),
        (b"]}b", "at byte 2 (BUILD): expected an object"),
        (b"cm\nC\n)\x81]b", "at byte 8 (BUILD): the state of m.C is no map of attributes"),
        (b"cm\nC\n)\x81Nb", "at byte 8 (BUILD): the state of m.C is no map of attributes"),
        (b"cm\nC\n)\x81K\x01}\x86b", "at byte 11 (BUILD): the state of m.C is no map of attributes"),
    ]);
}

#[test]
fn refusals_of_text_and_numbers() {
    refusals(&[
        (b"c\xff\n", "at byte 0 (GLOBAL): text is not Unicode"),
        (b"X\x03\0\0\0\xed\xa0\x80.", "at byte 0 (BINUNICODE): text is not Unicode"),
        (b"\x8c\x03\xed\xa0\x80.", "at byte 0 (SHORT_BINUNICODE): text is not Unicode"),
        (b"V\\ud83d\n.", "at byte 0 (UNICODE): text is not Unicode"),
        (b"V\\u12\n.", "at byte 0 (UNICODE): text is not Unicode"),
        (b"V\\U00110000\n.", "at byte 0 (UNICODE): text is not Unicode"),
        (b"Sab\n", "at byte 0 (STRING): not a quoted string"),
        (b"S'\n", "at byte 0 (STRING): not a quoted string"),
        (b"S'\\x1'\n", "at byte 0 (STRING): not a quoted string"),
        (b"S'\\'\n", "at byte 0 (STRING): not a quoted string"),
        (b"S'\\777'\n", "at byte 0 (STRING): not a quoted string"),
        (b"T\xff\xff\xff\xff", "at byte 0 (BINSTRING): not a quoted string"),
        (b"I1_0\n", "at byte 0 (INT): not a number"),
        (b"I\n", "at byte 0 (INT): not a number"),
        (b"I-\n", "at byte 0 (INT): not a number"),
        (b"I007\n", "at byte 0 (INT): not a number"),
        (b"L0x1L\n", "at byte 0 (LONG): not a number"),
        (b"Fone\n", "at byte 0 (FLOAT): not a number"),
        (b"\x8b\xff\xff\xff\xff", "at byte 0 (LONG4): not a number"),
        (b"\x8b\xff\xff\xff\x7f", "at byte 0 (LONG4): ends before it is complete"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "at byte 0 (BINBYTES8): ends before it is complete"),
    ]);
}

#[test]
fn refusals_of_frames_and_what_lies_outside() {
    refusals(&[
        (b"\x95\x02\0\0\0\0\0\0\0N", "at byte 0 (FRAME): frame and contents disagree"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\xffN", "at byte 0 (FRAME): frame and contents disagree"),
        (b"\x95\x02\0\0\0\0\0\0\0M\0\0N.", "at byte 9 (BININT2): frame and contents disagree"),
        (
            b"\x95\x0b\0\0\0\0\0\0\0\x95\x01\0\0\0\0\0\0\0N..",
            "at byte 9 (FRAME): frame and contents disagree",
        ),
        (b"\x95\x03\0\0\0\0\0\0\0N.N", "at byte 10 (STOP): frame and contents disagree"),
        (b"Pid\n", "at byte 0 (PERSID): a persistent ID means something only to the program that wrote it"),
        (b"NQ", "at byte 1 (BINPERSID): a persistent ID means something only to the program that wrote it"),
        (
            b"\x82\x01",
            "at byte 0 (EXT1): an extension code means something only to the program that wrote it",
        ),
        (
            b"\x83\x01\0",
            "at byte 0 (EXT2): an extension code means something only to the program that wrote it",
        ),
        (
            b"\x84\x01\0\0\0",
            "at byte 0 (EXT4): an extension code means something only to the program that wrote it",
        ),
        (b"\x97", "at byte 0 (NEXT_BUFFER): a buffer outside of the file"),
        (b"\x98", "at byte 0 (READONLY_BUFFER): a buffer outside of the file"),
    ]);
}

#[test]
fn the_top_is_an_object_with_named_attributes() {
    let not_object = "pickle refused: not one object with attributes";
    for pickle in [
        b"N.".as_slice(),
        b"}.",
        b"}V1\nNs.",
        b"cm\nC\n.",
        b"cm\nC\n)\x81.",
        b"cm\nC\n)\x81}b.",
        b"ccollections\nOrderedDict\n)RV1\nNs.",
    ] {
        assert_eq!(refusal(pickle), not_object, "{}", pickle.escape_ascii());
    }
    assert_eq!(refusal(b"cm\nC\n)\x81}K\x01Nsb."), "pickle refused: an attribute's name is no text");
    assert_eq!(refusal(b"cm\nC\n)\x81}U\x01\xffNsb."), "pickle refused: an attribute's name is no text");
}

#[test]
fn bytes_after_the_end_are_noted() {
    let mut pickle = session(b"N");
    pickle.extend(b"rest of a longer one.");
    let loaded = load_default(&pickle).expect("a whole pickle");
    assert_eq!(loaded.notes, [Note { path: String::new(), kind: NoteKind::Trailing(21) }]);
}

#[test]
fn sharing_is_by_reference() {
    // Filled after it was memoized and referred to.
    assert_eq!(
        value(b"](]q\0h\0eh\0(K\x01K\x02e0"),
        list(&[list(&[Plain::Int(1), Plain::Int(2)]), list(&[Plain::Int(1), Plain::Int(2)])])
    );
    let one = map(&[("a", Plain::Int(1))]);
    assert_eq!(value(b"](}q\0h\0eh\0Va\nK\x01s0"), list(&[one.clone(), one.clone()]));
    assert_eq!(
        value(b"](\x8fq\0h\0eh\0(K\x01\x900"),
        list(&[list(&[Plain::Int(1)]), list(&[Plain::Int(1)])])
    );
    // BUILD of an object that is in a list already; a later change of the state is none of it.
    assert_eq!(
        value(b"](cm\nC\n)\x81q\0h\0eh\0}q\x01Va\nK\x01sb0h\x01Vb\nK\x02s0"),
        list(&[one.clone(), one])
    );
    // DUP is the same list.
    assert_eq!(value(b"]2K\x01a0"), list(&[Plain::Int(1)]));
    // A copy that a constructor makes is another list.
    assert_eq!(
        value(b"](]q\0cbuiltins\nlist\nh\0\x85Reh\0K\x01a0"),
        list(&[list(&[Plain::Int(1)]), list(&[])])
    );
}

#[test]
fn cycles_are_refused_with_their_path() {
    let cases: &[(&[u8], &str)] = &[
        (b"]q\0h\0a", "v[0]"),
        (b"}q\0Vk\nh\0s", "v.k"),
        (b"]q\0(h\0ta", "v[0][0]"),
        (b"cm\nC\n)\x81q\0}Vme\nh\0sb", "v.me"),
        (b"]q\0}Va key\n](NK\x01h\0esa", "v[0][\"a key\"][2]"),
        (b"ccollections\nUserList\n)\x81q\0}Vdata\nh\0sb", "v"),
        (b"\x8fq\0(h\0\x85\x90", "v{}[0]"),
    ];
    for (opcodes, path) in cases {
        assert_eq!(refusal(&session(opcodes)), format!("pickle refused at {path}: contains itself"));
    }
    // The session itself.
    assert_eq!(refusal(b"capp\nSession\n)\x81q\0}Vme\nh\0sb."), "pickle refused at me: contains itself");
    // The same value twice is no cycle.
    assert_eq!(value(b"](]q\0h\0h\0e"), list(&[list(&[]), list(&[]), list(&[])]));
}
