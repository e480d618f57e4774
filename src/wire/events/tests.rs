use super::*;

/// The events of a stream fed in the given pieces, each as what it amounts to.
fn events(pieces: &[&[u8]], max: usize) -> Result<Vec<Event<'static>>, UpstreamFault> {
    let mut splitter = Splitter::new(max);
    let mut events = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while let Some(lines) = splitter.next(&mut rest)? {
            events.push(match Event::read(lines) {
                Event::Nothing => Event::Nothing,
                Event::Done => Event::Done,
                Event::Error(data) => Event::Error(Cow::Owned(data.into_owned())),
                Event::Data(data) => Event::Data(Cow::Owned(data.into_owned())),
            });
        }
    }
    Ok(events)
}

fn data(text: &str) -> Event<'_> {
    Event::Data(Cow::Borrowed(text.as_bytes()))
}

fn error(text: &str) -> Event<'_> {
    Event::Error(Cow::Borrowed(text.as_bytes()))
}

#[test]
fn an_event_that_arrives_whole_is_not_copied() {
    let mut splitter = Splitter::new(100);
    let mut rest: &[u8] = b"data: a\n\ndata: b\n\n";
    while splitter.next(&mut rest).unwrap().is_some() {}
    assert_eq!(splitter.carry.capacity(), 0);
}

#[test]
fn lines_become_events_as_the_whatwg_says() {
    let table: &[(&str, &[Event<'_>])] = &[
        ("data: a\n\n", &[data("a")]),
        ("data:a\n\n", &[data("a")]),
        ("data:  a \n\n", &[data(" a ")]),
        ("data: a\ndata:b\ndata\ndata: c\n\n", &[data("a\nb\n\nc")]),
        ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", &[data("a"), data("b"), data("c")]),
        ("data: a\r\n\n", &[data("a")]),
        ("data: a\n\r\ndata: b\n\r", &[data("a"), data("b")]),
        ("\n\n\r\n\r\n\rdata: a\n\n\n\n", &[data("a")]),
        (": a\n\n:\n\n", &[Event::Nothing, Event::Nothing]),
        ("event: ping\nid: 1\nretry: 2\nx\n\n", &[Event::Nothing]),
        ("event: error\n\n", &[Event::Nothing]),
        ("event: error\ndata: a\n\n", &[error("a")]),
        ("event:error\ndata\n\n", &[error("")]),
        ("event: error\nevent: message\ndata: a\n\n", &[data("a")]),
        ("data\n\n", &[Event::Nothing]),
        ("data: [DONE]\n\n", &[Event::Done]),
        ("data:[DONE] \t\n\n", &[Event::Done]),
        ("data: [DONE]\ndata: x\n\n", &[data("[DONE]\nx")]),
        (" data: a\n\n", &[Event::Nothing]),
        ("data : a\n\n", &[Event::Nothing]),
        ("Data: a\n\n", &[Event::Nothing]),
        ("\u{feff}data: a\n\n", &[data("a")]),
        ("\u{feff}\u{feff}data: a\n\n", &[Event::Nothing]),
        ("data: a\n\n\u{feff}data: b\n\n", &[data("a"), Event::Nothing]),
        ("data: a\n", &[]),
        ("data: a", &[]),
    ];
    for (stream, expected) in table {
        let stream = stream.as_bytes();
        assert_eq!(events(&[stream], 100).unwrap(), *expected, "{:?}", stream.escape_ascii().to_string());
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(events(&[head, b"", tail], 100).unwrap(), *expected, "{}", stream.escape_ascii());
        }
    }
}

#[test]
fn an_event_of_the_largest_size_passes_and_one_byte_more_does_not() {
    const MAX: usize = 20;
    let line = |size: usize| format!("data: {}", "x".repeat(size - "data: ".len()));
    let streams = |size: usize| {
        [
            // One line: its bytes and one for its end.
            format!("{}\n\n", line(size - 1)),
            // Comments count.
            format!(": 34\n{}\n\n", line(size - 6)),
            // A second line.
            format!("{}\ndata\n\n", line(size - 6)),
            // The size starts over with each event.
            format!("data: x\n\n\n{}\n\n", line(size - 1)),
            format!("\u{feff}{}\n\n", line(size - 1)),
        ]
    };
    for (size, verdict) in [(MAX - 1, Ok(())), (MAX, Ok(())), (MAX + 1, Err(UpstreamFault::EventTooLarge))] {
        for stream in streams(size) {
            for ending in ["\n", "\r\n", "\r"] {
                let stream = stream.replace('\n', ending).into_bytes();
                for at in 0..=stream.len() {
                    let (head, tail) = stream.split_at(at);
                    let result = events(&[head, tail], MAX).map(drop);
                    assert_eq!(result, verdict, "{size}, {at}: {}", stream.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn a_line_without_end_stops_at_the_cap_and_holds_no_more() {
    for start in ["data: ", ": ", "x"] {
        let mut splitter = Splitter::new(100);
        let mut pieces = std::iter::once(start).chain(std::iter::repeat("yy"));
        let fault = pieces.find_map(|piece| {
            let fault = splitter.next(&mut piece.as_bytes()).err();
            assert!(splitter.carry.len() <= 100);
            fault
        });
        assert_eq!(fault, Some(UpstreamFault::EventTooLarge));
    }
}
