//! Pickles that ask for too much.

use super::*;

/// Runs a pickle that asks for too much: it must be refused soon.
fn bomb(pickle: &[u8], want: &str) {
    let start = Instant::now();
    let message = refusal(pickle);
    let took = start.elapsed();
    assert!(message.ends_with(want), "{message}");
    // Milliseconds when optimised. Without the limits it would be hours, so a slow machine gets leave.
    assert!(took < Duration::from_secs(60), "{took:?}");
}

const TOO_MANY: &str = "more than 1000000 values in the result";

/// Opcodes of a container that holds ten times the one before, `levels` times over.
fn nested(levels: u8, open: &[u8], close: &[u8]) -> Vec<u8> {
    let mut opcodes = b"Nq\0".to_vec();
    for level in 1..=levels {
        opcodes.extend(open);
        opcodes.extend([b'h', level - 1].repeat(10));
        opcodes.extend(close);
        opcodes.extend([b'q', level]);
    }
    // All but the last are left on the stack below.
    opcodes
}

#[test]
fn expansion_is_refused() {
    // Three leaves, in a list of five, in a list of five: 3 * 5^12 leaves.
    let mut small = b"cm\nC\n)\x81}U\x01v(NNNlq\0".to_vec();
    for level in 1..=12 {
        small.extend(b"0(");
        small.extend([b'h', level - 1].repeat(5));
        small.extend([b'l', b'q', level]);
    }
    small.extend(b"sb.");
    assert!(small.len() <= 203, "{}", small.len());
    bomb(&small, TOO_MANY);
    // Shorter still, without the memo.
    bomb(&session(&[b"N".as_slice(), &b"22\x87".repeat(29)].concat()), TOO_MANY);

    for (open, close) in
        [(b"0(".as_slice(), b"l".as_slice()), (b"0(", b"t"), (b"0(", b"\x91"), (b"0\x8f(", b"\x90")]
    {
        bomb(&session(&nested(9, open, close)), TOO_MANY);
    }

    // One key set again and again, in a map that is referred to again and again: the result
    // would be small.
    let entries = b"h\0N".repeat(5000);
    let pickle = [b"Vk\nq\x000}(", entries.as_slice(), b"uq\x010(", &b"h\x01".repeat(5000), b"l"];
    bomb(&session(&pickle.concat()), TOO_MANY);

    // The same with the elements of a set.
    let pickle = [b"\x8f(".as_slice(), &b"N".repeat(5000), b"\x90q\x010(", &b"h\x01".repeat(5000), b"l"];
    bomb(&session(&pickle.concat()), TOO_MANY);

    // Long text, repeated as value, as key, and within a key.
    let long = [unicode(&"x".repeat(1 << 20)), b"q\x000".to_vec()].concat();
    let too_long = "more than 16777216 bytes in the result";
    let values = [long.as_slice(), b"(", &b"h\0".repeat(100), b"l"].concat();
    bomb(&session(&values), too_long);
    let keys = [long.as_slice(), b"(", &b"}h\0Ns".repeat(100), b"l"].concat();
    bomb(&session(&keys), too_long);
    let key = [long.as_slice(), b"}(", &b"h\0".repeat(100), b"tNs"].concat();
    bomb(&session(&key), too_long);

    // Notes with long paths.
    let key = unicode(&"k".repeat(40));
    let mut opcodes = b"\x8a\x09\0\0\0\0\0\0\0\0\x01q\x000(".to_vec();
    opcodes.extend(b"h\0".repeat(100_000));
    opcodes.push(b'l');
    for _ in 0..20 {
        opcodes = [b"}".as_slice(), &key, &opcodes, b"s"].concat();
    }
    bomb(&session(&opcodes), too_long);
}

#[test]
fn work_within_the_machine_is_bounded() {
    let numbers = b"N".repeat(100_000);
    let listed = [b"(".as_slice(), &numbers, b"lq\x000"].concat();
    let copied = "more than 16777216 bytes copied";
    for call in [
        b"cbuiltins\nlist\nh\0\x85R0".as_slice(),
        b"cbuiltins\nset\nh\0\x85R0",
        b"ccollections\ndeque\nh\0\x85R0",
    ] {
        bomb(&session(&[listed.as_slice(), &call.repeat(100), b"N"].concat()), copied);
    }
    let text = [unicode(&"x".repeat(1 << 20)), b"q\x000".to_vec()].concat();
    let call = b"c_codecs\nencode\nh\0Vlatin1\n\x86R0";
    bomb(&session(&[text.as_slice(), &call.repeat(100), b"N"].concat()), copied);
    bomb(&session(&[text.as_slice(), &b"h\0h\0\x930".repeat(100), b"N"].concat()), copied);

    // A map of attributes, given again and again.
    let state = [b"(".as_slice(), &b"Vk\nN".repeat(50_000), b"dq\x000cm\nC\n)\x81"].concat();
    bomb(&session(&[state.as_slice(), &b"h\0b".repeat(100)].concat()), copied);

    // Large integers below the cap.
    let long = [b"\x8b\x00\x07\0\0".as_slice(), &[0x7f; 1700], &[0; 92], b"0"].concat();
    bomb(&session(&[long.repeat(3000).as_slice(), b"N"].concat()), copied);

    bomb(&b"N".repeat(1_000_001), "more than 1000000 values");
    bomb(&b"N0".repeat(1_000_001), "more than 1000000 values");
    bomb(&b"(".repeat(1_000_001), "more than 1000000 stack entries");
    bomb(&[b"N".as_slice(), &b"2".repeat(1_000_001)].concat(), "more than 1000000 stack entries");
    bomb(&[b"N".as_slice(), &b"\x94".repeat(1_000_001)].concat(), "more than 1000000 memo entries");
    bomb(&vec![b'N'; (16 << 20) + 1], "longer than 16777216 bytes");
    // A deep value, made without recursion and dropped without it.
    bomb(&session(&[b"N".as_slice(), &b"\x85".repeat(500_000)].concat()), "nested deeper than 30");
}

#[test]
fn depth_is_counted_from_the_attribute() {
    let tuples = |count| [b"N".as_slice(), &b"\x85".repeat(count)].concat();
    value(&tuples(30));
    let path = format!("v{}", "[0]".repeat(30));
    assert_eq!(refusal(&session(&tuples(31))), format!("pickle refused at {path}: nested deeper than 30"));
    let shallow = Limits { depth: 0, ..Limits::default() };
    assert!(load(&session(b"N"), &shallow).is_ok());
    assert!(load(&session(b"]"), &shallow).is_err());
    // A key's tuples count apart.
    assert_eq!(value_refusal(&[b"}", tuples(32).as_slice(), b"Ns"].concat()), "nested deeper than 30");
}

#[test]
fn the_limits_are_exact() {
    // A key and its value; the attribute's own name is counted twice.
    let pickle = session(b"(K\x01K\x02K\x03l");
    let limits = |output_values, output_bytes| Limits { output_values, output_bytes, ..Limits::default() };
    assert!(load(&pickle, &limits(6, 9 * 6 + 1)).is_ok());
    assert!(load(&pickle, &limits(5, 1000)).is_err());
    assert!(load(&pickle, &limits(6, 9 * 6)).is_err());
}

#[test]
fn integers_stop_at_4300_digits() {
    let ones = "1".repeat(4300);
    assert_eq!(value(format!("L{ones}L\n").as_bytes()), plain_text(&ones));
    assert_eq!(value(format!("I-{ones}\n").as_bytes()), plain_text(&format!("-{ones}")));
    assert_eq!(value_refusal(format!("L{ones}1L\n").as_bytes()), "more than 4300 digits");
    // 2^14284 has 4300 digits, 2^14285 has 4301.
    let power = |bit: usize| {
        let mut bytes = vec![0; bit / 8 + 2];
        bytes[bit / 8] = 1 << (bit % 8);
        let length = u32::try_from(bytes.len()).expect("short");
        [b"\x8b", length.to_le_bytes().as_slice(), &bytes].concat()
    };
    let Plain::Text(digits) = value(&power(14_284)) else {
        panic!("text expected");
    };
    assert_eq!(digits.len(), 4300);
    assert_eq!(value_refusal(&power(14_285)), "more than 4300 digits");
    bomb(&session(&power(8_000_000)), "more than 4300 digits");
}
