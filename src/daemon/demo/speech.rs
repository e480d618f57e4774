//! What the demo model says, in which pieces and with which pauses. Pure: a name and a question in, a speech out.
//!
//! The model's name decides its manner, so that a newcomer can watch each kind of trouble.

use std::time::Duration;

/// Everything that the demo model is going to do with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speech {
    /// Silence before the first piece.
    pub(super) before: Duration,
    /// In order. Each counts as one token.
    pub(super) pieces: Vec<Piece>,
    /// What follows the last piece.
    pub(super) ending: Ending,
}

/// A few letters, and the silence before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) pause: Duration,
}

/// How a speech ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is told as complete.
    Finished(Finish),
    /// The connection is closed without a word.
    Cut,
}

/// Why a complete speech is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// All was said.
    Stop,
    /// The caller wanted no more tokens.
    Length,
}

/// How a model of this name behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Ordinary,
    Slow,
    Terse,
    Failing,
    Cutting,
}

/// The beginnings of names that mean something. All others are ordinary.
const MANNERS: [(&str, Manner); 4] = [
    ("demo-slow-", Manner::Slow),
    ("demo-secure-", Manner::Terse),
    ("demo-fail-", Manner::Failing),
    ("demo-cut-", Manner::Cutting),
];

impl Manner {
    fn of(model: &str) -> Self {
        MANNERS
            .iter()
            .find(|(beginning, _)| model.starts_with(beginning))
            .map_or(Self::Ordinary, |(_, manner)| *manner)
    }
}

/// The silence in which an ordinary model reads the question.
const THOUGHT: Duration = Duration::from_millis(350);
/// The same for a slow one: long enough to reach for the logs.
const LONG_THOUGHT: Duration = Duration::from_secs(5);

impl Speech {
    /// The answer of `model` to someone whose last words were `words`, in at most `cap` tokens.
    /// `None` when this model fails.
    pub(super) fn to(model: &str, words: &str, cap: Option<usize>) -> Option<Self> {
        let manner = Manner::of(model);
        let (text, before, pace) = match manner {
            Manner::Failing => return None,
            Manner::Ordinary | Manner::Cutting => (long(&excerpt(words)), THOUGHT, 1),
            Manner::Terse => (short(&excerpt(words)), THOUGHT, 1),
            Manner::Slow => (long(&excerpt(words)), LONG_THOUGHT, 3),
        };
        let mut pieces: Vec<Piece> = tokens(&text)
            .into_iter()
            .enumerate()
            .map(|(place, token)| Piece { text: token.to_owned(), pause: pause(place) * pace })
            .collect();
        let ending = match (manner, cap) {
            (Manner::Cutting, _) => {
                pieces.truncate(pieces.len() / 2);
                Ending::Cut
            }
            (_, Some(cap)) if cap < pieces.len() => {
                pieces.truncate(cap);
                Ending::Finished(Finish::Length)
            }
            (Manner::Ordinary | Manner::Slow | Manner::Terse | Manner::Failing, _) => {
                Ending::Finished(Finish::Stop)
            }
        };
        Some(Self { before, pieces, ending })
    }

    /// The whole text at once.
    pub(super) fn text(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }
}

/// 20 to 30 tokens a second, uneven as a real model is, and the same every time.
fn pause(place: usize) -> Duration {
    const UNEVEN: [u64; 7] = [40, 34, 47, 36, 50, 38, 43];
    Duration::from_millis(UNEVEN.get(place % UNEVEN.len()).copied().unwrap_or_default())
}

fn long(excerpt: &str) -> String {
    let (asked, asked_en) = match excerpt {
        "" => ("ご連絡ありがとうございます。".to_owned(), "Thank you for your message.".to_owned()),
        words => (format!("「{words}」ですね。承りました。"), format!("You wrote: “{words}”. Gladly.")),
    };
    format!(
        "{asked}要点は次の3つです。\n\
         1. ご依頼は別名あてに届き、実際に答えるモデルの名前は表に出ません。\n\
         2. 返答はできた分から順に届きます。いまご覧の文章もその一つです。\n\
         3. 私はお試し用の組み込みモデルなので、いつも同じことを申し上げます。\n\n\
         {asked_en} Three things matter here.\n\
         1. You asked for an alias, and the name of the model that answers stays hidden.\n\
         2. The answer reaches you as it is made, like the words you are reading now.\n\
         3. I am the built-in model for trying things out, so I always say the same."
    )
}

fn short(excerpt: &str) -> String {
    match excerpt {
        "" => "承知しました。\nUnderstood.".to_owned(),
        words => format!("「{words}」の件、承知しました。\nUnderstood: “{words}”."),
    }
}

/// The beginning of what was asked, on one line.
fn excerpt(words: &str) -> String {
    const LETTERS: usize = 40;
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut letters = line.chars();
    let start: String = letters.by_ref().take(LETTERS).filter(|c| !c.is_control()).collect();
    match letters.next() {
        Some(_) => format!("{}…", start.trim_end()),
        None => start,
    }
}

/// Cuts a text roughly where a model's tokenizer would: words with the blank before them, Japanese in twos.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some((token, more)) = rest.split_at_checked(token_length(rest)) {
        if token.is_empty() {
            break;
        }
        tokens.push(token);
        rest = more;
    }
    tokens
}

/// The length of the first token in bytes; 0 only for an empty text.
fn token_length(text: &str) -> usize {
    const WIDE: usize = 2;
    let blank = text.chars().next().filter(|c| c.is_whitespace()).map_or(0, char::len_utf8);
    let after = text.get(blank..).unwrap_or_default();
    let word: usize = after.chars().take_while(char::is_ascii_alphanumeric).map(char::len_utf8).sum();
    let wide: usize = after.chars().take(WIDE).take_while(|c| !c.is_ascii()).map(char::len_utf8).sum();
    match (word, wide) {
        (0, 0) if blank > 0 => blank,
        (0, 0) => after.chars().next().map_or(0, char::len_utf8),
        (word, wide) => blank + word.max(wide),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: &str = "demo-large-2026-01";

    #[test]
    fn the_pieces_make_the_text_and_echo_what_was_asked() {
        let speech = Speech::to(ORDINARY, "月次レポートの\n要点を  教えて", None).unwrap();
        assert!(speech.text().starts_with("「月次レポートの 要点を 教えて」ですね。"));
        assert!(speech.text().contains("You wrote: “月次レポートの 要点を 教えて”."));
        assert_eq!(speech.ending, Ending::Finished(Finish::Stop));
    }

    #[test]
    fn no_token_is_empty_and_none_is_lost() {
        for text in
            ["", " ", "a", "  two  blanks", "要点は、次の3つです。\n\n1. A-b", "絵文字😀と é", "\u{3000}全角"]
        {
            let tokens = tokens(text);
            assert_eq!(tokens.concat(), text);
            assert!(tokens.iter().all(|token| !token.is_empty()), "{tokens:?}");
        }
        assert_eq!(tokens("Hello big world."), ["Hello", " big", " world", "."]);
        assert_eq!(tokens("要点は次の3つ"), ["要点", "は次", "の", "3", "つ"]);
    }

    #[test]
    fn an_ordinary_model_speaks_twenty_to_thirty_tokens_a_second() {
        let speech = Speech::to(ORDINARY, "Hello", None).unwrap();
        let slowest = speech.pieces.iter().map(|piece| piece.pause).max().unwrap();
        let fastest = speech.pieces.iter().map(|piece| piece.pause).min().unwrap();
        assert!(fastest >= Duration::from_millis(33) && slowest <= Duration::from_millis(50));
    }

    #[test]
    fn a_slow_model_thinks_for_five_seconds_and_takes_three_times_as_long() {
        let ordinary = Speech::to(ORDINARY, "Hello", None).unwrap();
        let slow = Speech::to("demo-slow-2026-01", "Hello", None).unwrap();
        assert_eq!(slow.before, Duration::from_secs(5));
        assert_eq!(slow.text(), ordinary.text());
        assert!(slow.pieces.iter().zip(&ordinary.pieces).all(|(s, o)| s.pause == o.pause * 3));
    }

    #[test]
    fn a_secure_model_says_less() {
        let secure = Speech::to("demo-secure-2026-01", "契約", None).unwrap();
        assert_eq!(secure.text(), "「契約」の件、承知しました。\nUnderstood: “契約”.");
    }

    #[test]
    fn a_failing_model_says_nothing_and_a_cutting_one_stops_half_way() {
        assert_eq!(Speech::to("demo-fail-2026-01", "Hello", None), None);
        let cut = Speech::to("demo-cut-2026-01", "Hello", None).unwrap();
        assert_eq!(cut.ending, Ending::Cut);
        assert!(!cut.pieces.is_empty());
        assert!(Speech::to(ORDINARY, "Hello", None).unwrap().text().starts_with(&cut.text()));
    }

    #[test]
    fn a_cap_on_tokens_is_kept_and_told() {
        let whole = Speech::to(ORDINARY, "Hello", None).unwrap().pieces.len();
        let capped = |cap| {
            let speech = Speech::to(ORDINARY, "Hello", Some(cap)).unwrap();
            (speech.pieces.len(), speech.ending)
        };
        assert_eq!(capped(whole - 1), (whole - 1, Ending::Finished(Finish::Length)));
        assert_eq!(capped(whole), (whole, Ending::Finished(Finish::Stop)));
        assert_eq!(capped(0), (0, Ending::Finished(Finish::Length)));
    }

    #[test]
    fn a_long_question_is_echoed_by_its_beginning() {
        assert_eq!(excerpt(&"あ".repeat(41)), format!("{}…", "あ".repeat(40)));
        assert_eq!(excerpt(&"あ".repeat(40)), "あ".repeat(40));
        assert_eq!(excerpt(" \n"), "");
    }
}
