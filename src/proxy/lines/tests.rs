use std::sync::mpsc;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Takes what a script says, and tells what it got.
struct Scripted {
    answers: Vec<Result<usize, ErrorKind>>,
    got: mpsc::Sender<Vec<u8>>,
    priorities: Priorities,
}

impl Sink for Scripted {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let answer = if self.answers.is_empty() { Ok(usize::MAX) } else { self.answers.remove(0) };
        let written = answer?.min(bytes.len());
        self.got.send(bytes[..written].to_vec()).unwrap();
        Ok(written)
    }

    fn priorities(&self) -> Priorities {
        self.priorities
    }
}

fn lines() -> (Lines, IntCounter) {
    let dropped = IntCounter::new("dropped", "dropped").unwrap();
    (Lines::new(dropped.clone()), dropped)
}

fn sink(answers: Vec<Result<usize, ErrorKind>>) -> (Box<Scripted>, mpsc::Receiver<Vec<u8>>) {
    let (got, seen) = mpsc::channel();
    (Box::new(Scripted { answers, got, priorities: Priorities::Hidden }), seen)
}

fn write(lines: &Lines) {
    let lines = lines.clone();
    std::thread::spawn(move || lines.write(Duration::ZERO));
}

fn all(seen: &mpsc::Receiver<Vec<u8>>) -> String {
    String::from_utf8(seen.try_iter().flatten().collect()).unwrap()
}

#[test]
fn lines_are_taken_up_to_the_cap_and_not_beyond() {
    let (lines, dropped) = lines();
    lines.push(Priority::Info, &vec![b'x'; MAX_PENDING - 1]);
    lines.push(Priority::Info, b"xy");
    assert_eq!(dropped.get(), 1);
    lines.push(Priority::Info, b"x");
    assert_eq!(dropped.get(), 1);
    lines.push(Priority::Info, b"x");
    assert_eq!(dropped.get(), 2);
}

#[test]
fn a_flush_waits_for_the_writer_and_no_longer_than_it_is_told() {
    let (lines, _) = lines();
    lines.flush(SOON);
    lines.push(Priority::Info, b"line\n");
    // Nobody writes.
    lines.flush(Duration::from_millis(1));
    let (sink, seen) = sink(vec![]);
    lines.go_to(sink);
    lines.push(Priority::Info, b"more\n");
    write(&lines);
    lines.flush(SOON);
    assert_eq!(all(&seen), "more\n", "what came before the first sink had nowhere to go");
}

#[test]
fn what_cannot_be_written_is_counted_and_the_next_line_is_whole() {
    let (lines, dropped) = lines();
    let full = ErrorKind::StorageFull;
    let (sink, seen) = sink(vec![Ok(6), Err(full), Err(full), Err(ErrorKind::Interrupted), Ok(1)]);
    lines.go_to(sink);
    lines.push(Priority::Info, b"one\ntwo\nthree\n");
    write(&lines);
    lines.flush(SOON);
    assert_eq!(dropped.get(), 2);
    lines.push(Priority::Info, b"four\n");
    lines.flush(SOON);
    assert_eq!(dropped.get(), 3, "the line break did not fit either");
    lines.push(Priority::Info, b"late\n");
    lines.flush(SOON);
    lines.push(Priority::Info, b"five\n");
    lines.flush(SOON);
    assert_eq!(all(&seen), "one\ntw\nlate\nfive\n");
}

#[test]
fn a_reader_that_is_slow_while_a_torn_line_is_ended_loses_nothing() {
    let (lines, dropped) = lines();
    let slow = ErrorKind::WouldBlock;
    let (sink, seen) = sink(vec![Ok(2), Err(ErrorKind::StorageFull), Err(slow), Err(slow), Ok(1), Err(slow)]);
    lines.go_to(sink);
    lines.push(Priority::Info, b"one\n");
    write(&lines);
    lines.flush(SOON);
    lines.push(Priority::Info, b"two\n");
    lines.push(Priority::Info, b"three\n");
    lines.flush(SOON);
    assert_eq!((all(&seen).as_str(), dropped.get()), ("on\ntwo\nthree\n", 1));
}

#[test]
fn each_sink_gets_the_lines_of_its_time_with_priorities_where_it_wants_them() {
    let (lines, dropped) = lines();
    let (first, seen_first) = sink(vec![]);
    let (mut second, seen_second) = sink(vec![]);
    second.priorities = Priorities::Shown;
    lines.go_to(first);
    write(&lines);
    lines.flush(SOON);
    lines.push(Priority::Info, b"a\n");
    lines.flush(SOON);
    lines.go_to(second);
    lines.push(Priority::Error, b"b\n");
    lines.push(Priority::Warning, b"c\n");
    lines.push(Priority::Debug, b"d\n");
    lines.flush(SOON);
    assert_eq!(all(&seen_first), "a\n");
    assert_eq!(all(&seen_second), "<3>b\n<4>c\n<7>d\n");
    assert_eq!(dropped.get(), 0);
}

#[test]
fn a_reader_that_is_stuck_is_left_when_there_is_another() {
    let (lines, dropped) = lines();
    let (stuck, _) = sink(vec![Err(ErrorKind::WouldBlock); 1_000_000]);
    lines.go_to(stuck);
    write(&lines);
    lines.push(Priority::Info, b"a\n");
    lines.flush(Duration::from_millis(20));
    // Taken while the writer is stuck with the first.
    lines.push(Priority::Info, b"a\n");
    let (other, seen) = sink(vec![]);
    lines.go_to(other);
    lines.push(Priority::Info, b"b\n");
    lines.flush(SOON);
    assert_eq!((all(&seen).as_str(), dropped.get()), ("b\n", 2));
}
