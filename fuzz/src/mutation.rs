//! Mutation of bytes that know nothing of their meaning.

use crate::random::Random;

/// Numbers at the edges of fields and ranges.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Changes an input in one to eight ways; `other` is spliced in.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&str], bytes_max: usize, random: &mut Random) {
    let changes = 1 << random.below(4);
    for _ in 0..changes {
        change(input, other, words, random);
    }
    input.truncate(bytes_max);
}

fn change(input: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    if input.is_empty() {
        input.extend_from_slice(&random.draw().to_le_bytes());
        return;
    }
    let at = random.below(input.len());
    match random.below(if words.is_empty() { 12 } else { 14 }) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.draw() as u8,
        2 => {
            let by = 1 + random.below(16) as u8;
            input[at] = if random.chance(500) { input[at].wrapping_add(by) } else { input[at].wrapping_sub(by) };
        }
        3 | 4 => {
            let number = EDGES[random.below(EDGES.len())].wrapping_add(random.below(3) as u64).wrapping_sub(1);
            let width = 1 << random.below(4);
            overwrite(input, at, &number.to_le_bytes()[..width]);
        }
        5 => {
            let end = (at + 1 + random.below(16)).min(input.len());
            input.drain(at..end);
        }
        6 => input.truncate(at),
        7 => {
            let (start, end) = range(input.len(), random);
            let part = input[start..end].to_vec();
            input.splice(at..at, part);
        }
        8 => {
            let count = 1 + random.below(32);
            let byte = if random.chance(500) { 0 } else { random.draw() as u8 };
            input.splice(at..at, std::iter::repeat_n(byte, count));
        }
        9 if !other.is_empty() => {
            let (start, end) = range(other.len(), random);
            overwrite(input, at, &other[start..end]);
        }
        10 if !other.is_empty() => {
            // The rest of another.
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        11 => {
            let (start, end) = range(input.len(), random);
            let part = input[start..end].to_vec();
            overwrite(input, at, &part);
        }
        12 => {
            let word = random.pick(words).as_bytes();
            input.splice(at..at, word.iter().copied());
        }
        13 => {
            let word = random.pick(words).as_bytes();
            let end = (at + 1 + random.below(12)).min(input.len());
            input.splice(at..end, word.iter().copied());
        }
        _ => input.extend_from_slice(&random.draw().to_le_bytes()[..1 + random.below(8)]),
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in input[at..].iter_mut().zip(bytes) {
        *place = *byte;
    }
}

fn range(length: usize, random: &mut Random) -> (usize, usize) {
    let start = random.below(length);
    let longest = if random.chance(800) { 64 } else { length };
    (start, (start + 1 + random.below(longest)).min(length))
}
