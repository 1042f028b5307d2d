//! What a model is told about a tool call: put together from text and from what a command printed.

use std::ops::Range;

use crate::event::{Content, Piece, RecordError};
use crate::ledger::Ledger;

/// Longest output that is told whole, in bytes; of longer output, half of it from the beginning and half from the end.
pub(crate) const LONGEST: usize = 16_000;

/// An answer to a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// As it is recorded.
    pub pieces: Vec<Piece>,
    /// As it is sent.
    pub text: String,
    /// Whether the call went wrong.
    pub failed: bool,
}

impl Told {
    /// An answer of text alone.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn say(ledger: &Ledger, text: &str) -> Result<Self, RecordError> {
        let mut told = Told::default();
        told.add(ledger, text)?;
        Ok(told)
    }

    /// The answer to a call that went wrong.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn fail(ledger: &Ledger, text: &str) -> Result<Self, RecordError> {
        Ok(Told {
            failed: true,
            ..Told::say(ledger, text)?
        })
    }

    /// Adds text.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn add(&mut self, ledger: &Ledger, text: &str) -> Result<(), RecordError> {
        self.text.push_str(text);
        // What stands in the journal anyway needs no second piece.
        if let Some(Piece::Text(Content::Inline(last))) = self.pieces.last_mut()
            && last.len() + text.len() <= crate::event::INLINE
        {
            last.push_str(text);
            return Ok(());
        }
        self.pieces
            .push(Piece::Text(ledger.content(text.as_bytes())?));
        Ok(())
    }

    /// Adds a stretch of what a command printed.
    pub fn output(&mut self, command: u64, printed: &[u8], range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.pieces.push(Piece::Output {
            command,
            from: range.start as u64,
            bytes: range.len() as u64,
        });
        self.text.push_str(&slice(printed, &range));
    }

    /// Puts pieces together again; `bytes` gives a content, `printed` what a command printed.
    ///
    /// # Errors
    /// What the two say.
    pub(crate) fn again<E>(
        pieces: &[Piece],
        mut bytes: impl FnMut(&Content) -> Result<Vec<u8>, E>,
        mut printed: impl FnMut(u64) -> Result<Vec<u8>, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(content) => {
                    text.push_str(&String::from_utf8_lossy(&bytes(content)?));
                }
                Piece::Output {
                    command,
                    from,
                    bytes,
                } => {
                    let printed = printed(*command)?;
                    let end = from.saturating_add(*bytes).min(printed.len() as u64);
                    let start = (*from).min(end);
                    text.push_str(&slice(&printed, &(start as usize..end as usize)));
                }
            }
        }
        Ok(text)
    }
}

fn slice(printed: &[u8], range: &Range<usize>) -> String {
    String::from_utf8_lossy(&printed[range.clone()]).into_owned()
}

/// The stretches of an output that are told: all of it, or beginning and end.
pub(crate) fn stretches(printed: &[u8]) -> (Range<usize>, Option<Range<usize>>) {
    if printed.len() <= LONGEST {
        return (0..printed.len(), None);
    }
    let whole = |mut at: usize| {
        // Not within a character, as far as there are characters.
        let mut steps = 0;
        while steps < 3 && at > 0 && printed.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
            at -= 1;
            steps += 1;
        }
        at
    };
    let (head, tail) = (whole(LONGEST / 2), whole(printed.len() - LONGEST / 2));
    (0..head, Some(tail..printed.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_is_cut_in_the_middle_between_characters() {
        assert_eq!(stretches(b"abc"), (0..3, None));
        let text = "ä".repeat(LONGEST);
        let (head, tail) = stretches(text.as_bytes());
        let tail = tail.unwrap();
        assert!(text.is_char_boundary(head.end) && text.is_char_boundary(tail.start));
        assert!(head.len() + tail.len() <= LONGEST + 4);
        let bytes = vec![0x80; 3 * LONGEST];
        let (head, tail) = stretches(&bytes);
        assert!(head.len() > LONGEST / 2 - 4 && tail.unwrap().len() < LONGEST / 2 + 4);
    }

    #[test]
    fn pieces_give_the_same_text_again() {
        let pieces = [
            Piece::Text(Content::Inline("a".into())),
            Piece::Output {
                command: 3,
                from: 1,
                bytes: 2,
            },
            Piece::Output {
                command: 3,
                from: 9,
                bytes: 2,
            },
        ];
        let text = Told::again(
            &pieces,
            |content| match content {
                Content::Inline(text) => Ok(text.clone().into_bytes()),
                Content::Blob { .. } => Err("none"),
            },
            |command| {
                assert_eq!(command, 3);
                Ok(b"x\xffz".to_vec())
            },
        );
        assert_eq!(text.unwrap(), "a\u{fffd}z");
    }
}
