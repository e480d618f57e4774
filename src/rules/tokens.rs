//! How many tokens a text may be, when nobody has counted them.

mod learned;

pub use learned::{Counted, Learned, MOST_ANSWER};

use crate::wire::usage::Delivered;
use crate::wire::weigh::Weight;

/// What a picture, a sound or a file is taken to cost, in tokens.
pub const MEDIA_TOKENS: u64 = 1000;
/// What a message costs beyond its text, in tokens.
pub const MESSAGE_TOKENS: u64 = 4;

/// Every factor of [`prompt`] is a whole number of these parts of a token.
const PARTS: u128 = 2070;

/// An estimate of an answer by script: four ASCII characters a token, and one token for each character beyond, as
/// tokenizers do with Japanese and Chinese. Dividing all characters by four would count those 3.6 times too low.
pub fn estimate(text: Delivered) -> u64 {
    // Characters beyond ASCII take three bytes, nearly always.
    let beyond = text.bytes.saturating_sub(text.chars) / 2;
    beyond + text.chars.saturating_sub(beyond).div_ceil(4)
}

/// An estimate of a prompt, in tokens, by the kinds of its characters; rounded up.
///
/// The factors were fitted by hand to what a common tokenizer does with prose in several languages, code and
/// JSON. [`Learned`] knows how far they are off for one model's users.
pub fn prompt(weight: Weight) -> u64 {
    let Weight { letters, digits, marks, ideographs, packed, media, messages } = weight;
    let parts = [
        (letters, 450),     // 4.6 characters a token
        (digits, 1035),     // 2
        (marks, 1150),      // 1.8
        (ideographs, 1863), // 0.9 tokens a character
        (packed, 1380),     // 1.5 characters a token
        (messages, PARTS * u128::from(MESSAGE_TOKENS)),
        (media, PARTS * u128::from(MEDIA_TOKENS)),
    ];
    // Seven products of 64 bits and a few more are far from 128.
    let sum: u128 = parts.into_iter().map(|(count, each)| u128::from(count) * each).sum();
    u64::try_from(sum.div_ceil(PARTS)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
