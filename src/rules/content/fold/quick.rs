//! What the letters of most texts fold to, looked up.

use once_cell::sync::Lazy;
use unicode_normalization::char::is_combining_mark;

use super::Folder;
use super::letters::is_invisible;

/// What stands for nothing in [`ascii`].
pub(super) const NOTHING: u8 = 0;

/// What an ASCII character becomes.
#[expect(clippy::indexing_slicing, reason = "done when this is compiled")]
pub(super) const ASCII: [u8; 128] = {
    let mut table = [NOTHING; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'\t'..=b'\r' | b' ' => b' ',
            0..=0x1f | 0x7f => NOTHING,
            other => other.to_ascii_lowercase(),
        };
        byte += 1;
    }
    table
};

/// What a character becomes if it is ASCII: itself, small; a blank; or [`NOTHING`].
pub(in crate::rules::content) fn ascii(c: char) -> Option<u8> {
    ASCII.get(c as usize).copied()
}

/// Latin, Greek, Cyrillic and Armenian, and the first two with their marks.
const BLOCKS: [std::ops::Range<u32>; 2] = [0x80..0x590, 0x1e00..0x2000];
/// No letter of these becomes longer, in bytes of UTF-8.
const LONGEST: usize = 6;

/// A short text; an empty one stands for a character that is not looked up.
#[derive(Debug, Clone, Copy, Default)]
struct Short {
    length: u8,
    bytes: [u8; LONGEST],
}

static LETTERS: Lazy<Vec<Short>> = Lazy::new(|| BLOCKS.into_iter().flatten().map(short).collect());

/// What a letter of these scripts becomes, whatever follows it. `None` for others, and for marks and blanks.
pub(super) fn letter(c: char) -> Option<&'static [u8]> {
    let [low, high] = &BLOCKS;
    let code = u32::from(c);
    let at = if low.contains(&code) {
        code - low.start
    } else if high.contains(&code) {
        code - high.start + low.end - low.start
    } else {
        return None;
    };
    let short = LETTERS.get(at as usize)?;
    short.bytes.get(..usize::from(short.length)).filter(|folded| !folded.is_empty())
}

fn short(code: u32) -> Short {
    let Some(c) = char::from_u32(code) else { return Short::default() };
    let (mut folder, mut out) = (Folder::default(), Vec::new());
    folder.slow(c, &mut out);
    let special = is_combining_mark(c) || is_invisible(c) || folder.is_open() || out.contains(&b' ');
    let mut short = Short::default();
    if !special && out.len() <= LONGEST {
        short.bytes.iter_mut().zip(&out).for_each(|(slot, byte)| *slot = *byte);
        // At most LONGEST.
        short.length = out.len() as u8;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_is_what_would_be_found() {
        let mut known = 0;
        for c in '\0'..=char::MAX {
            let (mut folder, mut out) = (Folder::default(), Vec::new());
            folder.slow(c, &mut out);
            if let Some(folded) = letter(c) {
                known += 1;
                assert_eq!(folded, out, "{c:?}");
                assert!(!folder.is_open(), "{c:?}");
            }
            match ascii(c) {
                Some(NOTHING) => assert!(out.is_empty(), "{c:?}"),
                Some(folded) => assert_eq!(out, [folded], "{c:?}"),
                None => assert!(!c.is_ascii(), "{c:?}"),
            }
        }
        assert!(known > 1400, "only {known}");
    }
}
