//! How much text a request holds, by kinds of characters: what its tokens can be estimated from.
//!
//! One pass over the JSON as it was sent, up to 64 bytes at a time and without allocation. Names and
//! punctuation of the JSON count like the rest. Escapes count as the characters that they write. A body that
//! [`request::check`](super::request::check) has not accepted is weighed too, but nothing is promised of the
//! result.

mod block;
mod escape;

use self::block::{Block, SIZE, is_dense, low, span};
use self::escape::{Class, Escape};

/// What a body weighs. Every character is counted once, in one of the first five or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight {
    /// ASCII letters and white space, in characters.
    pub letters: u64,
    /// ASCII digits, in characters.
    pub digits: u64,
    /// Other characters below U+2E80: the rest of ASCII, Latin, Greek, Cyrillic, Arabic, Thai.
    pub marks: u64,
    /// Characters from U+2E80 on: Han, kana, Hangul, and what lies beyond the basic plane, emoji among it.
    pub ideographs: u64,
    /// Characters in runs of more than 64 in a string, none of them white space, a quote or beyond ASCII:
    /// base64, hashes, long addresses.
    pub packed: u64,
    /// Pictures, sounds and files that come with the request: `data:` URLs, and the data of `input_audio`.
    /// Their length does not count.
    pub media: u64,
    /// Members named `role`. Every message has one; a tool's schema may describe one more.
    pub messages: u64,
}

/// The longest run that is taken for words.
const LONGEST_WORDS: u64 = 64;

/// Between the name `input_audio` and its data, at most this many strings begin: `format`, its value, `data`
/// and the data themselves.
const AUDIO_STRINGS: u8 = 4;

/// Weighs the body of a chat request.
///
/// ```
/// # use byname::wire::weigh::{Weight, weigh};
/// let weight = weigh(r#""月次 report\n""#.as_bytes());
/// assert_eq!(weight, Weight { ideographs: 2, letters: 8, marks: 2, ..Weight::default() });
/// ```
pub fn weigh(body: &[u8]) -> Weight {
    let mut scale = Scale { body, weight: Weight::default(), run: Run::Outside, audio: 0 };
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        at = match rest.first_chunk::<SIZE>() {
            Some(bytes) if scale.is_blind() && is_dense(bytes) => scale.pass(at),
            Some(bytes) => scale.block(at, &Block::of(bytes, rest.get(SIZE)), low(SIZE)),
            None => {
                let mut bytes = [b' '; SIZE];
                bytes.iter_mut().zip(rest).for_each(|(byte, said)| *byte = *said);
                scale.block(at, &Block::of(&bytes, None), low(rest.len()))
            }
        };
    }
    scale.weight
}

/// Where we stand: outside of strings, or in a run of characters without white space.
#[derive(Clone, Copy)]
enum Run {
    Outside,
    /// Characters are counted by their class. Never longer than [`LONGEST_WORDS`].
    Words {
        from: usize,
        length: u64,
    },
    /// A run that has been found too long for words.
    Packed,
    /// A string that will not have counted if it turns out to be one run.
    Media {
        from: usize,
        length: u64,
    },
}

/// A weighing under way. Counts wrap where they are corrected before what they correct has been added.
struct Scale<'a> {
    body: &'a [u8],
    weight: Weight,
    run: Run,
    /// How many of the next strings may be the data of an `input_audio`.
    audio: u8,
}

impl Scale<'_> {
    /// Whether classes do not matter just now, so long as the run goes on.
    fn is_blind(&self) -> bool {
        match self.run {
            Run::Outside | Run::Words { .. } => false,
            Run::Packed | Run::Media { .. } => true,
        }
    }

    /// Takes a whole block that only prolongs the run. Returns where the next one begins.
    fn pass(&mut self, at: usize) -> usize {
        self.grow(SIZE, at + SIZE);
        at + SIZE
    }

    /// Weighs the block at `at`, of which `inside` has the bits that belong to the body. Returns where the next
    /// one begins.
    #[inline]
    fn block(&mut self, at: usize, block: &Block, inside: u64) -> usize {
        let mut counted = inside;
        let mut specials = block.specials & inside;
        // Everything before is done. Behind the end of the block when an escape goes on there.
        let mut done = 0;
        while specials != 0 {
            let next = specials.trailing_zeros() as usize;
            counted &= !self.plain(at, block, done, next);
            if block.quotes >> next & 1 == 1 {
                self.quote(at + next);
                done = next + 1;
            } else {
                let escape = Escape::read(self.body.get(at + next..).unwrap_or_default());
                self.escape(at + next, escape);
                done = next + escape.length;
                counted &= !span(next, done);
            }
            specials &= !low(done);
        }
        counted &= !self.plain(at, block, done, SIZE);
        self.count(block, counted);
        at + SIZE.max(done)
    }

    /// Takes the bytes of a block from `from` to `to`, among which are no quotes and no escapes. Returns the
    /// bits of those that do not count by their class.
    #[inline]
    fn plain(&mut self, at: usize, block: &Block, from: usize, to: usize) -> u64 {
        if from >= to || matches!(self.run, Run::Outside) {
            return 0;
        }
        let breaks = block.breaks & span(from, to);
        if breaks == 0 {
            return if self.grow(to - from, at + to) { 0 } else { span(from, to) };
        }
        let first = breaks.trailing_zeros() as usize;
        let blind = if self.grow(first - from, at + first) { 0 } else { span(from, first) };
        self.settle(at + first);
        let last = breaks.ilog2() as usize;
        self.run = Run::Words { from: at + last + 1, length: (to - last - 1) as u64 };
        blind
    }

    /// Adds characters to the run, which then ends at `end`. Returns whether they count by their class.
    #[inline]
    fn grow(&mut self, by: usize, end: usize) -> bool {
        match &mut self.run {
            Run::Outside => true,
            Run::Words { from, length } => {
                let from = *from;
                *length += by as u64;
                if *length > LONGEST_WORDS {
                    self.weight.packed += *length;
                    self.run = Run::Packed;
                    self.uncount(from, end);
                }
                true
            }
            Run::Packed => {
                self.weight.packed += by as u64;
                false
            }
            Run::Media { length, .. } => {
                *length += by as u64;
                false
            }
        }
    }

    /// A run has ended before `end`, within its string: so it was no medium, and counts.
    fn settle(&mut self, end: usize) {
        if let Run::Media { from, length } = self.run {
            if length > LONGEST_WORDS {
                self.weight.packed += length;
            } else {
                self.recount(from, end, u64::wrapping_add);
            }
        }
    }

    /// Takes back the classes of a run.
    #[cold]
    fn uncount(&mut self, from: usize, end: usize) {
        self.recount(from, end, u64::wrapping_sub);
    }

    fn recount(&mut self, from: usize, end: usize, change: impl Fn(u64, u64) -> u64) {
        let mut rest = self.body.get(from..end).unwrap_or_default();
        while let [first, ..] = rest {
            let (class, length) = if *first == b'\\' {
                let escape = Escape::read(rest);
                (escape.class, escape.length)
            } else {
                (Class::of(u32::from(*first)), 1)
            };
            let count = self.weight.of(class);
            *count = change(*count, 1);
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    /// Takes an escape that stands at `at`.
    fn escape(&mut self, at: usize, escape: Escape) {
        let end = at + escape.length;
        let counts = if escape.breaks() && !matches!(self.run, Run::Outside) {
            self.settle(at);
            self.run = Run::Words { from: end, length: 0 };
            true
        } else {
            self.grow(1, end)
        };
        if counts {
            let count = self.weight.of(escape.class);
            *count = count.wrapping_add(1);
        }
    }

    /// Takes the quote at `at`, which begins or ends a string.
    fn quote(&mut self, at: usize) {
        self.run = match self.run {
            Run::Outside => {
                let (from, length) = (at + 1, 0);
                if self.begins_medium(at) { Run::Media { from, length } } else { Run::Words { from, length } }
            }
            Run::Words { .. } | Run::Packed => Run::Outside,
            Run::Media { .. } => {
                self.weight.media += 1;
                Run::Outside
            }
        };
    }

    /// Looks at the string whose opening quote stands at `at`: whether it may be a medium. Takes note of names.
    fn begins_medium(&mut self, at: usize) -> bool {
        let text = self.body.get(at + 1..).unwrap_or_default();
        if self.audio > 0 {
            self.audio -= 1;
            if self.is_value_of(at, b"data") {
                self.audio = 0;
                return true;
            }
        }
        match text.first() {
            Some(b'd') if text.starts_with(b"data:") => {
                return self.is_value_of(at, b"url") || self.is_value_of(at, b"file_data");
            }
            Some(b'r') if is_name(text, b"role\"") => self.weight.messages += 1,
            Some(b'i') if is_name(text, b"input_audio\"") => self.audio = AUDIO_STRINGS,
            Some(_) | None => {}
        }
        false
    }

    /// Whether the string at `at` is the value of a member of this name, when it is written without escapes.
    fn is_value_of(&self, at: usize, name: &[u8]) -> bool {
        let before = |text: &[u8]| -> Option<bool> {
            let text = text.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"")?;
            let text = text.strip_suffix(name)?.strip_suffix(b"\"")?;
            Some(!text.ends_with(b"\\"))
        };
        self.body.get(..at).and_then(before).unwrap_or(false)
    }

    /// Adds the characters of a block that have a bit in `counted`.
    #[inline]
    fn count(&mut self, block: &Block, counted: u64) {
        let size = |bits: u64| u64::from((bits & counted).count_ones());
        let letters = size(block.letters);
        let digits = if block.digits == 0 { 0 } else { size(block.digits) };
        let (starts, ideographs) = match block.beyond {
            None if counted == u64::MAX => (SIZE as u64, 0),
            None => (size(u64::MAX), 0),
            Some(beyond) => (size(beyond.starts), size(beyond.ideographs)),
        };
        let weight = &mut self.weight;
        weight.letters = weight.letters.wrapping_add(letters);
        weight.digits = weight.digits.wrapping_add(digits);
        weight.ideographs = weight.ideographs.wrapping_add(ideographs);
        weight.marks = weight.marks.wrapping_add(starts - letters - digits - ideographs);
    }
}

impl Weight {
    fn of(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::Letter | Class::Space => &mut self.letters,
            Class::Digit => &mut self.digits,
            Class::Mark | Class::Beyond => &mut self.marks,
            Class::Ideograph => &mut self.ideographs,
        }
    }
}

/// Whether a string's text begins with this word and its quote, and names a member.
fn is_name(text: &[u8], quoted: &[u8]) -> bool {
    text.strip_prefix(quoted).is_some_and(|behind| behind.trim_ascii_start().first() == Some(&b':'))
}

#[cfg(test)]
mod tests;
