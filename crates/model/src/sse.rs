//! Server-sent events, taken from a stream piece by piece.

/// An event, as the server named it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// Its name; empty where the server gave none.
    pub name: String,
    /// Its data; lines are joined by line feeds.
    pub data: String,
}

/// The largest event that is taken, in bytes; a reply is far smaller.
const LARGEST: usize = 64 << 20;

/// Takes events from a stream, however it is cut into pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The beginning of a line that has not ended.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return: a line feed after it ends no line.
    returned: bool,
    /// Whether a line has ended.
    begun: bool,
    name: String,
    data: String,
    /// Whether the event has data, which may be empty.
    has_data: bool,
}

/// An event that is larger than [`LARGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Parser {
    /// Takes a piece and gives every event that it completes.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Vec<ServerEvent>, TooLarge> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.returned) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            match rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                None => {
                    self.line.extend_from_slice(rest);
                    rest = &[];
                }
                Some(end) => {
                    self.line.extend_from_slice(&rest[..end]);
                    self.returned = rest[end] == b'\r';
                    rest = &rest[end + 1..];
                    events.extend(self.end_line());
                }
            }
            if self.line.len() + self.data.len() > LARGEST {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<ServerEvent> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let mut line: &str = &line;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = ServerEvent {
                name: std::mem::take(&mut self.name),
                data: std::mem::take(&mut self.data),
            };
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // A comment has no name; other fields are for reconnecting.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(stream: &[u8]) -> Vec<(String, String)> {
        let events = Parser::default().feed(stream).unwrap();
        events
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect()
    }

    #[track_caller]
    fn check(stream: &str, expected: &[(&str, &str)]) {
        let owned = |(name, data): &(&str, &str)| ((*name).to_owned(), (*data).to_owned());
        let expected: Vec<_> = expected.iter().map(owned).collect();
        assert_eq!(all(stream.as_bytes()), expected, "{stream:?}");
    }

    #[test]
    fn events_are_taken() {
        check("event: a\ndata: 1\n\ndata: 2\n\n", &[("a", "1"), ("", "2")]);
        check(
            "data: 1\r\n\r\ndata:2\r\rdata:  3\n\n",
            &[("", "1"), ("", "2"), ("", " 3")],
        );
        check(
            ": ping\n\ndata: a\ndata\ndata: b\nid: 7\nretry: 3\n\n",
            &[("", "a\n\nb")],
        );
        check("\u{feff}data: x\n\n", &[("", "x")]);
        check("event: only\n\ndata:\n\n", &[("", "")]);
    }

    #[test]
    fn an_event_without_its_end_is_none() {
        check("data: 1\n\ndata: 2\n", &[("", "1")]);
        check("data: 1\n\ndata: {\"a", &[("", "1")]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let fed = (0..65).try_for_each(|_| parser.feed(&piece).map(drop));
        assert_eq!(fed, Err(TooLarge));
    }

    proptest! {
        /// However a stream is cut, the same events come out.
        #[test]
        fn pieces_do_not_matter(
            lines in prop::collection::vec("(data|event|id|x|)(:| |é|: )[ a:{}é\u{feff}]{0,6}(\r|\n|\r\n|\n\n|\r\n\r\n)", 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let stream = lines.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for ends in cuts.windows(2) {
                events.extend(parser.feed(&stream[ends[0]..ends[1]]).unwrap());
            }
            let events: Vec<_> = events.into_iter().map(|event| (event.name, event.data)).collect();
            prop_assert_eq!(events, all(&stream));
        }

        /// Any bytes at all are taken without a panic.
        #[test]
        fn any_bytes_are_taken(stream in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Parser::default().feed(&stream).unwrap();
        }

        /// What is written as an event comes out as that event.
        #[test]
        fn what_is_sent_arrives(name in "[a-z_.]{0,12}", data in "[^\r\n\0]{0,40}(\n[^\r\n\0]{0,9}){0,2}") {
            let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
            prop_assert_eq!(all(format!("event: {name}\n{lines}\n").as_bytes()), vec![(name, data)]);
        }
    }
}
