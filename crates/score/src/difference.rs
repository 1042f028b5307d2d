//! Where two byte strings first differ, with both sides in context.

use serde::{Deserialize, Serialize};

/// Bytes of context before the difference.
const BEFORE: usize = 24;
/// Bytes of context from the difference on.
const AFTER: usize = 48;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `stdout`, `stderr`, `exit`, or `files/<path>`.
    pub stream: String,
    /// Offset of the first differing byte; 0 for `exit`.
    pub offset: u64,
    /// Line of the first differing byte, counted from 1; 0 for `exit`.
    pub line: u64,
    /// Both sides around that place; absent where a hidden case would be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// Both sides of a difference as text, with what is not printable written as escapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// What the reference gave.
    pub expected: String,
    /// What the submission gave.
    pub actual: String,
}

fn excerpt(bytes: &[u8], offset: usize) -> String {
    let start = offset.saturating_sub(BEFORE);
    let end = bytes.len().min(offset + AFTER);
    let mut text = String::new();
    if start > 0 {
        text.push('…');
    }
    for chunk in bytes.get(start..end).unwrap_or_default().utf8_chunks() {
        text.push_str(
            &chunk
                .valid()
                .escape_debug()
                .to_string()
                .replace("\\'", "'")
                .replace("\\\"", "\""),
        );
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push_str(if end < bytes.len() { "…" } else { "⏹" });
    text
}

/// The first difference between two byte strings; `None` when they are equal.
pub fn first_difference(stream: &str, expected: &[u8], actual: &[u8]) -> Option<Difference> {
    if expected == actual {
        return None;
    }
    let offset = expected
        .iter()
        .zip(actual)
        .take_while(|(a, b)| a == b)
        .count();
    let line = 1 + expected[..offset]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count();
    Some(Difference {
        stream: stream.to_owned(),
        offset: offset as u64,
        line: line as u64,
        context: Some(Context {
            expected: excerpt(expected, offset),
            actual: excerpt(actual, offset),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_first_differing_byte() {
        assert_eq!(first_difference("stdout", b"same", b"same"), None);
        let found = first_difference("stdout", b"a\nbc\n", b"a\nbd\n").unwrap();
        assert_eq!((found.offset, found.line), (3, 2));
        let context = found.context.unwrap();
        assert_eq!(
            (&context.expected[..], &context.actual[..]),
            ("a\\nbc\\n⏹", "a\\nbd\\n⏹")
        );
    }

    #[test]
    fn shows_ends_and_bytes_that_are_no_text() {
        let found = first_difference("stderr", &[b'x'; 100], b"x\xff").unwrap();
        assert_eq!(found.offset, 1);
        let context = found.context.unwrap();
        assert!(context.expected.ends_with('…') && context.actual == "x\\xff⏹");
        let found = first_difference("stdout", b"ab", b"").unwrap();
        assert_eq!(
            (found.offset, found.context.unwrap().actual),
            (0, "⏹".to_owned())
        );
    }
}
