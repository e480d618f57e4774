//! Sixty-four bytes at once: which of them are letters, digits, quotes and so on.

use wide::u8x16;

/// How many bytes a block has: one for each bit of a word.
pub(super) const SIZE: usize = 64;
/// How many bytes a vector register holds on every machine.
const LANE: usize = 16;

/// What the bytes of a block are. In every word the lowest bit stands for the first byte.
pub(super) struct Block {
    /// ASCII letters and white space. Control characters count as white space; JSON has no others unescaped.
    pub(super) letters: u64,
    /// ASCII digits.
    pub(super) digits: u64,
    /// What ends a run: white space, and all that is not ASCII.
    pub(super) breaks: u64,
    /// Quotes.
    pub(super) quotes: u64,
    /// Quotes and backslashes.
    pub(super) specials: u64,
    /// Only if the block has bytes that are not ASCII.
    pub(super) beyond: Option<Beyond>,
}

/// What is known of a block that is not all ASCII.
#[derive(Clone, Copy)]
pub(super) struct Beyond {
    /// The first byte of every character, ASCII included.
    pub(super) starts: u64,
    /// Those of them that begin a character from U+2E80 on.
    pub(super) ideographs: u64,
}

impl Block {
    /// Sorts the bytes of a block. `next` is the one behind it.
    #[inline]
    pub(super) fn of(bytes: &[u8; SIZE], next: Option<&u8>) -> Self {
        let lanes = lanes(bytes);
        let spaces = mask(lanes, |lane| at_most(lane, b' '));
        let outside_ascii = mask(lanes, |lane| lane);
        let quotes = mask(lanes, |lane| lane.simd_eq(u8x16::splat(b'"')));
        Self {
            letters: spaces | mask(lanes, is_letter),
            digits: mask(lanes, |lane| at_most(lane - u8x16::splat(b'0'), 9)),
            breaks: spaces | outside_ascii,
            quotes,
            specials: quotes | mask(lanes, |lane| lane.simd_eq(u8x16::splat(b'\\'))),
            beyond: (outside_ascii != 0).then(|| Beyond::of(lanes, outside_ascii, next)),
        }
    }
}

impl Beyond {
    /// In UTF-8, U+2E80 is E2 BA 80. What begins with a larger byte is beyond it, and of what begins with E2, that
    /// which goes on with BA or more.
    #[inline]
    fn of(lanes: [u8x16; 4], outside_ascii: u64, next: Option<&u8>) -> Self {
        let at_least = |least: u8| mask(lanes, move |lane| lane.max(u8x16::splat(least)).simd_eq(lane));
        let mut ideographs = at_least(0xE3);
        let border = mask(lanes, |lane| lane.simd_eq(u8x16::splat(0xE2)));
        if border != 0 {
            let next = next.is_some_and(|next| *next >= 0xBA);
            ideographs |= border & (at_least(0xBA) >> 1 | u64::from(next) << (SIZE - 1));
        }
        Self { starts: !outside_ascii | at_least(0xC0), ideographs }
    }
}

/// Whether all bytes of a block are ASCII beyond the space, without quotes and backslashes.
#[inline]
pub(super) fn is_dense(bytes: &[u8; SIZE]) -> bool {
    let other = |lane: u8x16| {
        let special = lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\'));
        lane | special | at_most(lane, b' ')
    };
    let [a, b, c, d] = lanes(bytes);
    (other(a) | other(b) | other(c) | other(d)).to_bitmask() == 0
}

/// The `count` lowest bits; all of them from 64 on.
#[inline]
pub(super) fn low(count: usize) -> u64 {
    if count < SIZE { (1 << count) - 1 } else { u64::MAX }
}

/// The bits from `from` up to, and without, `to`.
#[inline]
pub(super) fn span(from: usize, to: usize) -> u64 {
    low(to) & !low(from)
}

#[inline]
fn lanes(bytes: &[u8; SIZE]) -> [u8x16; 4] {
    match bytes.as_chunks::<LANE>().0 {
        [a, b, c, d] => [u8x16::new(*a), u8x16::new(*b), u8x16::new(*c), u8x16::new(*d)],
        // Sixty-four bytes are four times sixteen.
        _ => [u8x16::ZERO; 4],
    }
}

/// The highest bit of every byte that `test` makes of a byte.
#[inline]
fn mask(lanes: [u8x16; 4], test: impl Fn(u8x16) -> u8x16) -> u64 {
    let [a, b, c, d] = lanes.map(|lane| u64::from(test(lane).to_bitmask()));
    a | b << LANE | c << (2 * LANE) | d << (3 * LANE)
}

#[inline]
fn at_most(lane: u8x16, most: u8) -> u8x16 {
    lane.min(u8x16::splat(most)).simd_eq(lane)
}

#[inline]
fn is_letter(lane: u8x16) -> u8x16 {
    let lower_case = lane | u8x16::splat(0x20);
    at_most(lower_case - u8x16::splat(b'a'), 25)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(bits: u64, at: usize) -> bool {
        bits >> at & 1 == 1
    }

    #[test]
    fn every_byte_is_sorted_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..SIZE {
                let mut bytes = [b'-'; SIZE];
                bytes[at] = byte;
                let block = Block::of(&bytes, None);
                let space = byte <= b' ';
                let special = byte == b'"' || byte == b'\\';
                assert_eq!(has(block.letters, at), space || byte.is_ascii_alphabetic(), "{byte} at {at}");
                assert_eq!(has(block.digits, at), byte.is_ascii_digit(), "{byte} at {at}");
                assert_eq!(has(block.breaks, at), space || !byte.is_ascii(), "{byte} at {at}");
                assert_eq!(has(block.quotes, at), byte == b'"', "{byte} at {at}");
                assert_eq!(has(block.specials, at), special, "{byte} at {at}");
                assert_eq!(is_dense(&bytes), byte.is_ascii() && !space && !special, "{byte} at {at}");
                let others = [block.letters, block.digits, block.breaks, block.specials];
                assert!(others.iter().all(|bits| bits & !(1 << at) == 0), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn characters_begin_and_are_ideographs_at_every_place() {
        for (letter, ideograph) in [
            ('é', false),
            ('ж', false),
            ('€', false),
            ('\u{2e7f}', false),
            ('\u{2e80}', true),
            ('\u{2fff}', true),
            ('\u{3000}', true),
            ('月', true),
            ('한', true),
            ('\u{ffff}', true),
            ('😀', true),
        ] {
            for at in 0..SIZE {
                let text = format!("{}{letter}{}", "-".repeat(at), "-".repeat(SIZE));
                let (bytes, rest) = text.as_bytes().split_first_chunk::<SIZE>().unwrap();
                let beyond = Block::of(bytes, rest.first()).beyond.unwrap();
                assert!(has(beyond.starts, at));
                assert_eq!(beyond.ideographs, u64::from(ideograph) << at, "{letter} at {at}");
                let behind = span(at + 1, at + letter.len_utf8());
                assert_eq!(beyond.starts, !behind, "{letter} at {at}");
            }
        }
    }

    #[test]
    fn bits_are_counted_from_the_lowest() {
        assert_eq!((low(0), low(3), low(63), low(64), low(70)), (0, 7, u64::MAX >> 1, u64::MAX, u64::MAX));
        assert_eq!((span(1, 3), span(2, 2), span(3, 1), span(60, 99)), (6, 0, 0, 15 << 60));
    }
}
