//! What each kind of value becomes, from hand-written opcodes.

use super::*;

#[test]
fn integers() {
    let cases: &[(&[u8], Plain)] = &[
        (b"I00\n", Plain::Bool(false)),
        (b"I01\n", Plain::Bool(true)),
        (b"I0\n", Plain::Int(0)),
        (b"I-7\n", Plain::Int(-7)),
        (b"L5L\n", Plain::Int(5)),
        (b"L5\n", Plain::Int(5)),
        (b"L-9223372036854775808L\n", Plain::Int(i64::MIN)),
        (b"L9223372036854775808L\n", plain_text("9223372036854775808")),
        (b"J\xff\xff\xff\xff", Plain::Int(-1)),
        (b"M\xff\xff", Plain::Int(65535)),
        (b"\x8a\0", Plain::Int(0)),
        (b"\x8a\x01\xff", Plain::Int(-1)),
        (b"\x8a\x02\xff\0", Plain::Int(255)),
        (b"\x8a\x02\0\x80", Plain::Int(-32768)),
        (b"\x8a\x14\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Plain::Int(1)),
        (b"\x8b\x02\0\0\0\x00\x01", Plain::Int(256)),
        (
            b"\x8a\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80\0",
            plain_text("170141183460469231731687303715884105728"),
        ),
        (
            b"\x8a\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff",
            plain_text("-340282366920938463463374607431768211456"),
        ),
    ];
    for (opcodes, want) in cases {
        assert_eq!(value(opcodes), *want, "{}", opcodes.escape_ascii());
    }
}

#[test]
fn floats() {
    assert_eq!(value(b"F0.1\n"), Plain::Float(0.1));
    assert_eq!(value(b"F1e+16\n"), Plain::Float(1e16));
    assert_eq!(value(b"F-inf\n"), Plain::Float(f64::NEG_INFINITY));
    let nan = value(b"Fnan\n");
    assert!(matches!(nan, Plain::Float(value) if value.is_nan()));
    let nan = value(b"G\x7f\xf8\0\0\0\0\0\0");
    assert!(matches!(nan, Plain::Float(value) if value.is_nan()));
}

#[test]
fn float_keys_are_as_in_python() {
    let mut count = 0;
    for line in text("floats.txt").lines() {
        let (bits, want) = line.split_once(' ').expect("two columns");
        let bits = u64::from_str_radix(bits, 16).expect("hex");
        let key = [b"}G".as_slice(), &bits.to_be_bytes(), b"Ns"].concat();
        assert_eq!(value(&key), map(&[(want, Plain::Null)]));
        count += 1;
    }
    assert_eq!(count, 20);
}

#[test]
fn text_forms() {
    let cases: &[(&[u8], &str)] = &[
        (b"V\n", ""),
        (b"Vna\xefve\n", "naïve"),
        (b"V\\u2615\\U0001f600\n", "☕😀"),
        // Two backslashes are no escape; the pickler writes a backslash as an escape itself.
        (b"V\\\\u0041\\x\n", "\\\\u0041\\x"),
        (b"V\\u005cu0041\n", "\\u0041"),
        (b"Vend\\\n", "end\\"),
        (b"\x8d\x01\0\0\0\0\0\0\0a", "a"),
        (b"S'a\\n\\t\\'\\\"\\\\\\x41\\101\\0\\q'\n", "a\n\t'\"\\AA\0\\q"),
        (b"S\"it's\"\n", "it's"),
        (b"T\x02\0\0\0\xc3\xa9", "é"),
        (b"U\x02\xc3\xa9", "é"),
    ];
    for (opcodes, want) in cases {
        assert_eq!(value(opcodes), plain_text(want), "{}", opcodes.escape_ascii());
    }
    assert_eq!(value(b"U\x02\xc3("), Plain::Bytes(b"\xc3(".to_vec()));
    assert_eq!(value(b"S'\\xff\\a\\b\\f\\r\\v'\n"), Plain::Bytes(b"\xff\x07\x08\x0c\r\x0b".to_vec()));
    let loaded = load_default(&session(b"U\x01\xff")).expect("bytes");
    assert_eq!(loaded.notes[0].kind, NoteKind::NotUtf8);
}

#[test]
fn python_2() {
    // An old-style instance of protocol 0, as `cPickle.dumps` of Python 2.7 writes one.
    let pickle = b"(iapp\nSession\np1\n(dp2\nS'id'\np3\nS'abc'\np4\nsS'user'\np5\nVna\xefve\np6\ns\
        S'count'\np7\nL3L\nsS'raw'\np8\nS'\\xff\\x00'\np9\nsb.";
    let loaded = load_default(pickle).expect("old-style instance");
    assert_eq!(loaded.class, "app.Session");
    assert_eq!(
        Plain::Map(loaded.attributes),
        map(&[
            ("id", plain_text("abc")),
            ("user", plain_text("naïve")),
            ("count", Plain::Int(3)),
            ("raw", Plain::Bytes(b"\xff\0".to_vec())),
        ])
    );
    // OBJ of protocol 1 and 2.
    assert_eq!(value(b"(cm\nC\noq\x01}q\x02U\x01xK\x01sb"), map(&[("x", Plain::Int(1))]));
    // A datetime whose state is a `str`; the time, all ASCII, too.
    assert_eq!(
        value(b"cdatetime\ndatetime\n(U\x0a\x07\xe9\x0a\x0c\x09\x1e\x0f\x03\xd0\x90tR"),
        plain_text("2025-10-12T09:30:15.250000")
    );
    assert_eq!(value(b"cdatetime\ntime\n(S'\\x01\\x02\\x03\\x00\\x00\\x00'\ntR"), plain_text("01:02:03"));
    assert_eq!(value(b"cdecimal\nDecimal\n(S'1.50'\ntR"), plain_text("1.50"));
    assert_eq!(value(b"c__builtin__\nset\n((lS'b'\naS'a'\natR"), list(&[plain_text("a"), plain_text("b")]));
    assert_eq!(
        value(b"ccollections\nOrderedDict\n((l(lS'z'\naI1\naa(lS'a'\naI2\naatR"),
        map(&[("z", Plain::Int(1)), ("a", Plain::Int(2))])
    );
    assert_eq!(value(b"(iUserDict\nUserDict\n(dS'data'\n(dS'k'\nI1\nssb"), map(&[("k", Plain::Int(1))]));
}

#[test]
fn constructors_take_no_other_form() {
    let cases: &[(&[u8], &str)] = &[
        (b"cdatetime\ndatetime\n(M\xe8\x07K\x01K\x01tR", "datetime.datetime"),
        (b"cdatetime\ndatetime\nC\x03abc\x85R", "datetime.datetime"),
        // 30 February, fold in the hour of a datetime, a tzinfo of an unknown class.
        (b"cdatetime\ndatetime\nC\x0a\x07\xe9\x02\x1e\0\0\0\0\0\0\x85R", "datetime.datetime"),
        (b"cdatetime\ndatetime\nC\x0a\x07\xe9\x02\x01\x80\0\0\0\0\0\x85R", "datetime.datetime"),
        (b"cdatetime\ndatetime\nC\x0a\x07\xe9\x02\x01\0\0\0\0\0\0cm\nZone\n)\x81\x86R", "datetime.datetime"),
        (b"cdatetime\ndate\nC\x04\0\0\x01\x01\x85R", "datetime.date"),
        (b"cdatetime\ndate\nC\x04\x07\xe7\x02\x1d\x85R", "datetime.date"),
        (b"cdatetime\ntime\nC\x06\x18\0\0\0\0\0\x85R", "datetime.time"),
        (b"cdatetime\ntime\nC\x06\0\0\0\x0f\x42\x40\x85R", "datetime.time"),
        (b"cdatetime\ntimedelta\nG\0\0\0\0\0\0\0\0\x85R", "datetime.timedelta"),
        (b"cdatetime\ntimedelta\nJ\x00\xca\x9a\x3b\x85R", "datetime.timedelta"),
        (b"cdatetime\ntimezone\nN\x85R", "datetime.timezone"),
        (b"cdatetime\ntimezone\ncdatetime\ntimedelta\nK\x01\x85R\x85R", "datetime.timezone"),
        (b"cdecimal\nDecimal\nV1_0\n\x85R", "decimal.Decimal"),
        (b"cdecimal\nDecimal\nV\n\x85R", "decimal.Decimal"),
        (b"cdecimal\nDecimal\nV02.5\n\x85R", "decimal.Decimal"),
        (b"cdecimal\nDecimal\nV1E\n\x85R", "decimal.Decimal"),
        (b"cdecimal\nDecimal\nV.5\n\x85R", "decimal.Decimal"),
        (b"cdecimal\nDecimal\nK\x01\x85R", "decimal.Decimal"),
        (b"cbuiltins\nset\nK\x01\x85R", "builtins.set"),
        (b"cbuiltins\nset\n]]\x86R", "builtins.set"),
        (b"cbuiltins\ndict\n]K\x01a\x85R", "builtins.dict"),
        (b"cbuiltins\nbytes\nJ\0\0\0\x40\x85R", "builtins.bytes"),
        (b"cbuiltins\nbytearray\n](M\0\x01e\x85R", "builtins.bytearray"),
        (b"c_codecs\nencode\nV\\u2615\nVlatin1\n\x86R", "_codecs.encode"),
        (b"c_codecs\nencode\nVa\nVrot13\n\x86R", "_codecs.encode"),
        (b"c_codecs\nencode\n)R", "_codecs.encode"),
        (b"ccopyreg\n_reconstructor\ncm\nC\ncm\nBase\nN\x87R", "copyreg._reconstructor"),
        (b"ccopyreg\n_reconstructor\ncm\nC\ncbuiltins\ndict\nN\x87R", "copyreg._reconstructor"),
        (b"ccopyreg\n__newobj__\n)R", "copyreg.__newobj__"),
        (b"cbuiltins\nlist\n(NNNNtR", "builtins.list"),
    ];
    for (opcodes, name) in cases {
        assert_eq!(
            value_refusal(opcodes),
            format!("{name} has arguments of another form"),
            "{}",
            opcodes.escape_ascii()
        );
    }
}

#[test]
fn constructors_of_other_protocols() {
    // `copyreg.__newobj__`, `__newobj_ex__`, and instances by way of `_reconstructor`.
    assert_eq!(value(b"ccopy_reg\n__newobj__\n(cm\nC\ntR}Vx\nNsb"), map(&[("x", Plain::Null)]));
    assert_eq!(
        value(b"ccopyreg\n__newobj_ex__\n(cm\nC\n(K\x01t}Vk\nK\x02stR"),
        map(&[("__args__", list(&[Plain::Int(1)])), ("__kwargs__", map(&[("k", Plain::Int(2))])),])
    );
    assert_eq!(
        value(b"cm\nC\n(K\x01t}Vk\nK\x02s\x92"),
        map(&[("__args__", list(&[Plain::Int(1)])), ("__kwargs__", map(&[("k", Plain::Int(2))])),])
    );
    assert_eq!(
        value(b"ccopy_reg\n_reconstructor\n(cm\nName\nc__builtin__\nunicode\nVa\ntR"),
        map(&[("__args__", list(&[plain_text("a")]))])
    );
    assert_eq!(value(b"cbuiltins\nlist\n)\x81"), list(&[]));
    assert_eq!(value(b"cbuiltins\nlist\n)}\x92"), list(&[]));
    assert_eq!(value(b"cbuiltins\nbytes\n](K\x01K\xffe\x85R"), Plain::Bytes(vec![1, 255]));
    assert_eq!(value(b"cbuiltins\nbytearray\nV\xff\nVlatin-1\n\x86R"), Plain::Bytes(vec![255]));
    assert_eq!(value(b"cbuiltins\nbytearray\nC\x01\xff\x85R"), Plain::Bytes(vec![255]));
    assert_eq!(
        value(b"cbuiltins\ndict\n](VA\nN\x86](VB\nNee\x85R"),
        map(&[("A", Plain::Null), ("B", Plain::Null)])
    );
    assert_eq!(value(b"cbuiltins\ntuple\n]K\x01a\x85R"), list(&[Plain::Int(1)]));
}

#[test]
fn objects_keep_all_they_have() {
    // State and slots; None for no state.
    assert_eq!(
        value(b"cm\nC\n)\x81}Va\nK\x01s}Vb\nK\x02s\x86b"),
        map(&[("a", Plain::Int(1)), ("b", Plain::Int(2))])
    );
    assert_eq!(value(b"cm\nC\n)\x81N}Vb\nK\x02s\x86b"), map(&[("b", Plain::Int(2))]));
    // The last of two values of an attribute.
    assert_eq!(value(b"cm\nC\n)\x81}Va\nK\x01sb}U\x01aK\x02sb"), map(&[("a", Plain::Int(2))]));
    assert_eq!(value(b"cm\nL\n)\x81K\x01a"), list(&[Plain::Int(1)]));
    assert_eq!(value(b"cm\nD\n)\x81Va\nK\x01s"), map(&[("a", Plain::Int(1))]));
    assert_eq!(
        value(b"cm\nL\n)\x81K\x01a}Va\nNsb"),
        map(&[("a", Plain::Null), ("__items__", list(&[Plain::Int(1)]))])
    );
    assert_eq!(value_refusal(b"cm\nL\n)\x81K\x01a}V__items__\nNsb"), "two keys are the same text: __items__");
    // A UserDict with more than its contents is an object like any other.
    assert_eq!(
        value(b"ccollections\nUserDict\n)\x81}(Vdata\n}Vmore\nNub"),
        map(&[("data", map(&[])), ("more", Plain::Null)])
    );
    // A subclass of dict as the session.
    let loaded = load_default(b"cm\nS\n)\x81Vk\nK\x01s}Vid\nNsb.").expect("session");
    assert_eq!(
        Plain::Map(loaded.attributes),
        map(&[("id", Plain::Null), ("__items__", map(&[("k", Plain::Int(1))]))])
    );
    assert_eq!(value_refusal(b"cm\nC\n"), "refers to m.C, which is no data");
    assert_eq!(
        value_refusal(b"cuuid\nUUID\n)\x81}Vint\nJ\xff\xff\xff\xffsb"),
        "UUID is no number of 128 bits"
    );
    assert_eq!(value_refusal(b"cuuid\nUUID\n)\x81"), "UUID is no number of 128 bits");
}

#[test]
fn keys() {
    // Set twice, the last value counts, at the first place.
    assert_eq!(
        value(b"}(VA\nK\x01VB\nK\x02U\x01AK\x03K\x05K\x06K\x05K\x07u"),
        map(&[("A", Plain::Int(3)), ("B", Plain::Int(2)), ("5", Plain::Int(7))])
    );
    let collisions: &[(&[u8], &str)] = &[
        (b"}(V1\nNK\x01Nu", "1"),
        (b"}(K\x01NV1\nNu", "1"),
        (b"}(VNone\nNNNu", "None"),
        (b"}(\x88NVTrue\nNu", "True"),
        (b"}(Fnan\nNFnan\nNu", "nan"),
        (b"}(K\x01\x85NV(1,)\nNu", "(1,)"),
        (b"}(V\\u000a\nNV\\u000a\nNK\x01NV1\nNu", "1"),
    ];
    for (opcodes, key) in collisions {
        assert_eq!(
            refusal(&session(opcodes)),
            format!("pickle refused at v: two keys are the same text: {key}")
        );
    }
    for opcodes in [
        b"}(K\x01K\x02\x91Ns".as_slice(),
        b"}cm\nC\n)\x81Ns",
        b"}cm\nC\nNs",
        b"}cdatetime\ntimedelta\n)RNs",
        b"}]\x85Ns",
        b"}V\\u200b\n\x85Ns",
    ] {
        assert_eq!(
            refusal(&session(opcodes)),
            "pickle refused at v: a map key of a type that has no plain text",
            "{}",
            opcodes.escape_ascii()
        );
    }
    assert_eq!(
        value(b"}(Vit's \"q\"\\u000a\xe9\n\x85NC\x04'\"\n\xffN)Nu"),
        map(&[
            ("('it\\'s \"q\"\\né',)", Plain::Null),
            ("b'\\'\"\\n\\xff'", Plain::Null),
            ("()", Plain::Null),
        ])
    );
}

#[test]
fn sets_are_sorted_by_type_then_value() {
    assert_eq!(
        value(b"\x8f(Vb\nC\x01aG?\xf8\0\0\0\0\0\0K\x02J\xff\xff\xff\xff\x88NVa\nK\x02K\x03\x85K\x02\x85\x90"),
        list(&[
            Plain::Null,
            Plain::Bool(true),
            Plain::Int(-1),
            Plain::Int(2),
            Plain::Float(1.5),
            plain_text("a"),
            plain_text("b"),
            Plain::Bytes(b"a".to_vec()),
            list(&[Plain::Int(2)]),
            list(&[Plain::Int(3)]),
        ])
    );
}
