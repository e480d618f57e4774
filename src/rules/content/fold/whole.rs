//! Folds whole texts, many characters at a time where they are of a kind.

use super::letters::{is_itself, is_open_hangul, is_voiceable};
use super::quick::{ASCII, NOTHING};
use super::{Folder, Last};

/// So many bytes of ASCII are folded at once.
const BLOCK: usize = 64;

/// Folds a whole text and adds it to `out`.
pub(in crate::rules::content) fn fold_into(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len());
    let mut folder = Folder::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let done = if c.is_ascii() && !folder.is_open() {
            ascii(rest, &mut folder.last, out)
        } else if is_itself(c) {
            themselves(rest, &mut folder, out)
        } else {
            folder.letter(c, out);
            c.len_utf8()
        };
        rest = rest.get(done..).unwrap_or_default();
    }
    folder.finish(out);
}

/// A text, folded.
pub(in crate::rules::content) fn fold(text: &str) -> String {
    let mut out = Vec::new();
    fold_into(text, &mut out);
    // Whole characters were written.
    String::from_utf8(out).unwrap_or_default()
}

/// Folds the ASCII that a text begins with. Returns how long it is.
fn ascii(text: &str, last: &mut Last, out: &mut Vec<u8>) -> usize {
    let mut done = 0;
    let mut blank = *last == Last::Blank;
    for block in text.as_bytes().chunks(BLOCK) {
        let (mut folded, mut length) = ([0; BLOCK], 0);
        let mut read = 0;
        for byte in block {
            let Some(now) = ASCII.get(usize::from(*byte)) else { break };
            // Written over by the next one if it does not count.
            if let Some(slot) = folded.get_mut(length) {
                *slot = *now;
            }
            let nothing = *now == NOTHING;
            let is_blank = *now == b' ';
            length += usize::from(!(nothing | (is_blank & blank)));
            blank = is_blank | (nothing & blank);
            read += 1;
        }
        out.extend_from_slice(folded.get(..length).unwrap_or_default());
        done += read;
        if read < block.len() {
            break;
        }
    }
    *last = if blank { Last::Blank } else { Last::Other };
    done
}

/// Writes the characters that a text begins with and that mean themselves. Returns how long they are.
fn themselves(text: &str, folder: &mut Folder, out: &mut Vec<u8>) -> usize {
    let mut end = 0;
    let mut last = None;
    for c in text.chars().take_while(|c| is_itself(*c)) {
        end += c.len_utf8();
        last = Some(c);
    }
    // What follows the last one may belong to it.
    let open = last.filter(|c| is_voiceable(*c) || is_open_hangul(*c));
    let sure = end - open.map_or(0, char::len_utf8);
    if sure > 0 {
        folder.close(out);
        folder.last = Last::Other;
        out.extend_from_slice(text.as_bytes().get(..sure).unwrap_or_default());
    }
    if let Some(c) = open {
        folder.take_itself(c, out);
    }
    end
}
