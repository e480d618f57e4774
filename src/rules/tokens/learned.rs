//! What an alias's own traffic has taught: how far estimates are off, and how long answers are.
//!
//! Requests read it and tell it without waiting for one another. It belongs behind an `Arc` that outlives a
//! configuration.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::prompt;
use crate::wire::weigh::Weight;

/// The longest answer that is reserved or believed, in tokens.
pub const MOST_ANSWER: u64 = 1_000_000;

/// What one request counts, against all that came before.
const NEWS: f64 = 0.1;
/// Estimates of fewer tokens than this teach nothing: what a backing model adds to a prompt outweighs them.
const LEAST_PROMPT: u64 = 8;
const LEAST_CORRECTION: f64 = 0.25;
const MOST_CORRECTION: f64 = 4.0;
/// How long an answer is taken to be before there was one, in tokens.
const FIRST_ANSWER: f64 = 500.0;

/// Moving averages over the requests of one alias.
#[derive(Debug)]
pub struct Learned {
    correction: Average,
    answer: Average,
    /// Whether the last answer came without a count.
    uncounted: AtomicBool,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            correction: Average::new(1.0),
            answer: Average::new(FIRST_ANSWER),
            uncounted: AtomicBool::new(false),
        }
    }
}

impl Learned {
    /// How many tokens a prompt has for each that [`prompt`] estimates; 0.25 to 4.
    pub fn correction(&self) -> f64 {
        self.correction.get()
    }

    /// How many tokens an answer has, all of a request's choices together; at least 1.
    pub fn answer(&self) -> u64 {
        (self.answer.get().round() as u64).max(1)
    }

    /// Takes in what one request cost, in tokens. `estimated_prompt` is what [`prompt`] said, not corrected; the
    /// other two are what the backing model counted. It counts no prompt as nothing, so that a 0 is no news.
    pub fn observe(&self, estimated_prompt: u64, actual_prompt: u64, actual_completion: u64) {
        if estimated_prompt >= LEAST_PROMPT && actual_prompt > 0 {
            let ratio = actual_prompt as f64 / estimated_prompt as f64;
            self.correction.add(ratio.clamp(LEAST_CORRECTION, MOST_CORRECTION));
        }
        self.answer.add(actual_completion.min(MOST_ANSWER) as f64);
    }

    /// Takes in whether an answer came with a backing model's own count of tokens.
    pub fn counted(&self, by: Counted) {
        let uncounted = by == Counted::Nobody;
        // It hardly ever changes, and is read by all.
        if self.uncounted.load(Relaxed) != uncounted {
            self.uncounted.store(uncounted, Relaxed);
        }
    }

    /// Who counted the last answer's tokens.
    pub fn counter(&self) -> Counted {
        if self.uncounted.load(Relaxed) { Counted::Nobody } else { Counted::Model }
    }

    /// How many tokens to set aside for a request before it is sent. `answer_cap` is the most that the client
    /// allows for all of its choices together; without one, the usual answer is set aside.
    pub fn reserve(&self, weight: Weight, answer_cap: Option<u64>) -> u64 {
        let prompt = (prompt(weight) as f64 * self.correction()).ceil() as u64;
        prompt.saturating_add(answer_cap.map_or_else(|| self.answer(), |cap| cap.min(MOST_ANSWER)))
    }
}

/// Who counted the tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The backing model, as far as is known.
    Model,
    /// Nobody: only an estimate can be had.
    Nobody,
}

/// An exponential moving average: the bits of an `f64`.
#[derive(Debug)]
struct Average(AtomicU64);

impl Average {
    fn new(first: f64) -> Self {
        Self(AtomicU64::new(first.to_bits()))
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn add(&self, news: f64) {
        let moved = |bits| {
            let average = f64::from_bits(bits);
            Some((average + (news - average) * NEWS).to_bits())
        };
        // It never fails: `moved` always has an answer.
        let _ = self.0.fetch_update(Relaxed, Relaxed, moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_counts_is_who_counted_last() {
        let learned = Learned::default();
        assert_eq!(learned.counter(), Counted::Model);
        for last in [Counted::Nobody, Counted::Nobody, Counted::Model] {
            learned.counted(last);
            assert_eq!(learned.counter(), last);
        }
    }

    fn words(letters: u64) -> Weight {
        Weight { letters, ..Weight::default() }
    }

    #[test]
    fn nothing_is_corrected_before_there_was_an_answer() {
        let learned = Learned::default();
        assert_eq!((learned.correction(), learned.answer()), (1.0, 500));
        assert_eq!(learned.reserve(words(46), None), 510);
        assert_eq!(learned.reserve(words(46), Some(100)), 110);
        assert_eq!(learned.reserve(words(46), Some(0)), 10);
        assert_eq!(learned.reserve(words(46), Some(u64::MAX)), 1_000_010);
    }

    #[test]
    fn the_averages_follow_what_is_counted() {
        let learned = Learned::default();
        learned.observe(100, 200, 1500);
        assert!((learned.correction() - 1.1).abs() < 1e-9, "{}", learned.correction());
        assert_eq!(learned.answer(), 600);
        for _ in 0..60 {
            learned.observe(100, 200, 20);
        }
        assert!((1.99..=2.0).contains(&learned.correction()), "{}", learned.correction());
        assert!((20..=22).contains(&learned.answer()), "{}", learned.answer());
        assert_eq!(learned.reserve(words(460), Some(7)), 207);
    }

    #[test]
    fn a_correction_stays_within_a_factor_of_four() {
        let learned = Learned::default();
        for _ in 0..200 {
            learned.observe(100, u64::MAX, 0);
        }
        assert!((3.99..=4.0).contains(&learned.correction()), "{}", learned.correction());
        for _ in 0..200 {
            learned.observe(u64::MAX, 1, 0);
        }
        assert!((0.25..=0.26).contains(&learned.correction()), "{}", learned.correction());
    }

    #[test]
    fn short_prompts_and_prompts_of_nothing_teach_no_correction() {
        let learned = Learned::default();
        learned.observe(7, 70, 500);
        learned.observe(0, 70, 500);
        learned.observe(100, 0, 500);
        assert_eq!((learned.correction(), learned.answer()), (1.0, 500));
    }

    #[test]
    fn an_answer_is_at_least_one_token_and_never_absurd() {
        let learned = Learned::default();
        for _ in 0..300 {
            learned.observe(0, 0, 0);
        }
        assert_eq!(learned.answer(), 1);
        for _ in 0..300 {
            learned.observe(0, 0, u64::MAX);
        }
        assert!((999_000..=MOST_ANSWER).contains(&learned.answer()), "{}", learned.answer());
    }

    #[test]
    fn threads_lose_no_news() {
        let learned = Learned::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| learned.observe(100, 200, 1500)));
            }
        });
        let expected = 2.0 - 0.9_f64.powi(40);
        assert!((learned.correction() - expected).abs() < 1e-9, "{}", learned.correction());
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        let learned = Learned::default();
        learned.observe(u64::MAX, u64::MAX, u64::MAX);
        assert!(learned.reserve(words(u64::MAX), Some(u64::MAX)) > MOST_ANSWER);
        let heavy = Weight { ideographs: u64::MAX, media: u64::MAX, ..Weight::default() };
        assert_eq!(learned.reserve(heavy, None), u64::MAX);
    }
}
