//! What is wrong with a configuration: where, what, and how to mend it.
//!
//! A complaint is one line. It shows names and kinds of values; it never shows a value that could
//! be a secret, and it never breaks a terminal, since what it quotes is escaped and cut.

use std::fmt;

/// How many complaints are shown.
const SHOWN: usize = 100;
/// How many complaints are kept; the rest is counted, so that a hostile file cannot fill the memory.
const KEPT: usize = 1000;
/// How much of a quoted text is shown, in characters.
const QUOTED: usize = 64;

/// A place in a text; both numbers start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Mark {
    /// Where a text starts.
    pub(super) const TOP: Self = Self { line: 1, column: 1 };
}

/// A file that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'a> {
    /// Its place among the files of one configuration.
    pub(super) order: usize,
    /// What it is called in complaints.
    pub(super) name: &'a str,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    order: usize,
    file: String,
    mark: Mark,
    path: String,
    wrong: String,
    mend: String,
}

impl Complaint {
    /// The file's name, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The way to the field, such as `pools.demo.backends[0].url`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order: _, file, mark: Mark { line, column }, path, wrong, mend } = self;
        write!(f, "{file}:{line}:{column}: {path}: {wrong}; {mend}")
    }
}

/// Proof that a complaint was made: whoever fails to read a value can only say so with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told(());

/// Everything that is wrong. `Display` shows one complaint per line, the first hundred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints {
    list: Vec<Complaint>,
    /// How many were made that are not in `list`.
    more: usize,
}

impl Complaints {
    /// The complaints that were kept, in order of file, line and column.
    pub fn iter(&self) -> impl Iterator<Item = &Complaint> {
        self.list.iter()
    }

    /// How many there are, those included that were only counted.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Notes that something is wrong.
    pub(super) fn add(
        &mut self,
        file: File<'_>,
        mark: Mark,
        path: &dyn fmt::Display,
        wrong: impl Into<String>,
        mend: impl Into<String>,
    ) -> Told {
        if self.list.len() < KEPT {
            self.list.push(Complaint {
                order: file.order,
                file: file.name.to_owned(),
                mark,
                path: path.to_string(),
                wrong: wrong.into(),
                mend: mend.into(),
            });
        } else {
            self.more += 1;
        }
        Told(())
    }

    pub(super) fn sorted(mut self) -> Self {
        self.list.sort_by_key(|complaint| (complaint.order, complaint.mark));
        self
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, complaint) in self.list.iter().take(SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{complaint}")?;
        }
        match self.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

impl std::error::Error for Complaints {}

/// A text in single quotes, on one line, cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(readable).collect();
    if text.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

/// The candidate that was probably meant, if one is at most two slips away, and in a short word one.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SLIPS: usize = 2;
    let length = text.chars().take(QUOTED + SLIPS).count();
    let close = |candidate: &&str| candidate.chars().take(QUOTED).count().abs_diff(length) <= SLIPS;
    // Half the letters of a word say what it is: two slips make `dns` of `tls`.
    let alike = |slips: usize, candidate: &str| slips * 2 <= candidate.chars().count().min(length);
    candidates
        .into_iter()
        .filter(close)
        .map(|candidate| (strsim::osa_distance(text, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= SLIPS && alike(*slips, candidate))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Characters that steer a terminal or hide others are shown by their number.
fn readable(c: char) -> impl Iterator<Item = char> {
    let hidden = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escape = hidden.then(|| c.escape_unicode());
    let plain = if hidden { None } else { Some(c) };
    escape.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File<'static> {
        File { order: 0, name: "a.yaml" }
    }

    #[test]
    fn a_complaint_is_one_line_with_place_path_fault_and_mend() {
        let mut out = Complaints::default();
        out.add(file(), Mark { line: 12, column: 7 }, &"pools.demo", "is odd", "mend it");
        assert_eq!(out.to_string(), "a.yaml:12:7: pools.demo: is odd; mend it");
    }

    #[test]
    fn complaints_are_sorted_and_only_the_first_hundred_are_shown() {
        let mut out = Complaints::default();
        for line in (1..=KEPT + 5).rev() {
            out.add(file(), Mark { line, column: 1 }, &"x", "w", "m");
        }
        let out = out.sorted();
        assert_eq!(out.len(), KEPT + 5);
        let shown = out.to_string();
        assert_eq!(shown.lines().count(), SHOWN + 1);
        assert!(shown.ends_with("\n… and 905 more"), "{shown}");
        assert!(out.iter().map(Complaint::mark).is_sorted());
    }

    #[test]
    fn exactly_a_hundred_are_all_shown() {
        let mut out = Complaints::default();
        for line in 1..=SHOWN {
            out.add(file(), Mark { line, column: 1 }, &"x", "w", "m");
        }
        assert_eq!(out.to_string().lines().count(), SHOWN);
    }

    #[test]
    fn what_is_quoted_is_escaped_and_cut() {
        assert_eq!(quoted("de\u{1b}[31mmo\n"), "'de\\u{1b}[31mmo\\u{a}'");
        assert_eq!(quoted("日本"), "'日本'");
        assert_eq!(quoted(&"x".repeat(1 << 20)).chars().count(), QUOTED + 3);
    }

    #[test]
    fn the_nearest_name_is_at_most_two_slips_away() {
        let pools = ["demo", "prod", "ab"];
        assert_eq!(nearest("dmeo", pools), Some("demo"));
        assert_eq!(nearest("demmmo", pools), Some("demo"));
        assert_eq!(nearest("domino", pools), None);
        assert_eq!(nearest("xy", pools), None);
        assert_eq!(nearest("tls", ["dns"]), None);
        assert_eq!(nearest("dsn", ["dns"]), Some("dns"));
        assert_eq!(nearest("", pools), None);
        assert_eq!(nearest(&"d".repeat(1 << 20), pools), None);
    }
}
