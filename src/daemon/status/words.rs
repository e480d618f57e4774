//! Numbers and times as people read them.

use std::time::Duration;

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut words = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

/// With three digits at most: `0.42`, `12.3`, `4,200`.
pub fn rate(per_second: f32) -> String {
    match per_second {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 0.005 => "<0.01".to_owned(),
        rate if rate < 10.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 100, rounded")]
        rate => count(rate.round() as u64),
    }
}

/// `340 ms`, `1.2 s`.
pub fn millis(millis: f64) -> String {
    match millis {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// The two largest parts: `3 d 4 h`, `2 min 5 s`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut words = Vec::new();
    for (size, name) in parts {
        let (whole, rest) = (left / size, left % size);
        left = rest;
        if whole > 0 || !words.is_empty() || size == 1 {
            words.push((whole, name));
        }
    }
    words.truncate(2);
    let words: Vec<_> = words
        .iter()
        .enumerate()
        .filter(|(place, (n, _))| *place == 0 || *n > 0)
        .map(|(_, part)| part)
        .collect();
    words.iter().map(|(n, name)| format!("{n} {name}")).collect::<Vec<_>>().join(" ")
}

/// `48.2 MiB`.
pub fn bytes(n: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
    let kib = n as f64 / 1024.0;
    match kib {
        kib if kib < 1024.0 => format!("{kib:.0} KiB"),
        kib if kib < 1024.0 * 1024.0 => format!("{:.1} MiB", kib / 1024.0),
        kib => format!("{:.1} GiB", kib / (1024.0 * 1024.0)),
    }
}

/// `requests_per_minute` as people say it.
pub fn spaced(label: &str) -> String {
    label.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.001, 0.416, 12.34, 4199.7].map(rate),
            ["0", "<0.01", "0.42", "12.3", "4,200"].map(str::to_owned)
        );
        assert_eq!([0.32, 340.4, 1234.0].map(millis), ["0.3 ms", "340 ms", "1.2 s"].map(str::to_owned));
        let spans = [0, 59, 60, 3725, 273_600, 86_400].map(|s| span(Duration::from_secs(s)));
        assert_eq!(spans, ["0 s", "59 s", "1 min", "1 h 2 min", "3 d 4 h", "1 d"]);
        assert_eq!([500_000, 50_500_000].map(bytes), ["488 KiB", "48.2 MiB"]);
    }
}
