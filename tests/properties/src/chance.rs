//! Pseudo-random numbers, and what they make of bytes.

/// xorshift64*: the same on every machine.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The generator of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 48 bits.
    pub fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next_number()).unwrap_or(0) % bound.max(1)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.next_number().to_be_bytes()[7]
    }

    /// True once in `odds` times.
    pub fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    /// One of `of`, which is not empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Data items at and beyond the edges of what a body may hold (section 7.2).
pub const EDGES: &[&[u8]] = &[
    &[0x00],
    &[0x17],
    &[0x18, 0x18],
    &[0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0xf4],
    &[0xf5],
    &[0xf6],
    &[0xf7],
    &[0xf8, 0x14],
    &[0xf8, 0xff],
    &[0xf9, 0x7e, 0x00],
    &[0xf9, 0x7e, 0x01],
    &[0xf9, 0xfe, 0x00],
    &[0xf9, 0x80, 0x00],
    &[0xf9, 0x00, 0x01],
    &[0xfa, 0x7f, 0xc0, 0, 0],
    &[0xfa, 0x3f, 0xc0, 0, 0],
    &[0xfa, 0x47, 0x80, 0, 0],
    &[0xfa, 0, 0, 0, 1],
    &[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
    &[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
    &[0xfb, 0, 0, 0, 0, 0, 0, 0, 1],
    &[0x60],
    &[0x62, 0xc3, 0xa9],
    &[0x61, 0xff],
    &[0x40],
    &[0x80],
    &[0xa0],
    &[0x9f, 0xff],
    &[0xbf, 0xff],
    &[0x5f, 0xff],
    &[0x7f, 0xff],
    &[0xc1, 0x00],
    &[0xc2, 0x41, 0x01],
    &[0xd9, 0xd9, 0xf7, 0x00],
    &[0x1c],
    &[0xff],
    &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// The indices of those that a body may hold.
pub const SOUND: &[usize] = &[0, 1, 2, 3, 4, 7, 8, 9, 13, 16, 17, 20, 21, 22, 24, 25, 26, 28, 29, 30];

/// A few changes of bytes, `other` being where what is inserted may come from.
pub fn spoil(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len());
        match chance.below(7) {
            _ if bytes.is_empty() => bytes.push(chance.byte()),
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = chance.byte(),
            2 => bytes.insert(at, chance.byte()),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..at, chance.pick(EDGES).iter().copied())),
            _ => {
                let end = at + chance.below(bytes.len() - at);
                let from = chance.below(other.len());
                let to = from + chance.below(other.len() - from);
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
}
