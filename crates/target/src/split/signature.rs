//! Which cases are duals of each other.

use std::collections::BTreeSet;

use crate::case::{Case, Ending};

/// What two cases must share to be duals. It depends on the case alone, never on a seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// The family.
    pub family: String,
    /// Which of its templates.
    pub template: Option<u32>,
    /// How the program ends.
    pub ending: Ending,
    /// Whether nothing is written to standard output.
    pub silent: bool,
    /// Standard error with numbers and quoted parts and parts in parentheses masked.
    pub stderr: String,
}

impl Signature {
    /// The signature of a case.
    pub fn of(case: &Case) -> Self {
        Signature {
            family: case.family.clone(),
            template: case.template,
            ending: case.expect.ending,
            silent: case.expect.stdout.is_empty(),
            stderr: masked(&String::from_utf8_lossy(&case.expect.stderr)),
        }
    }
}

/// Text with each run of digits as `0`, each quoted part as two quotes and each part in parentheses as two
/// of these: programs show values of the input in all three.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let close = match first {
            '"' | '`' => Some(first),
            // Not the apostrophe of a word.
            '\'' if !before.is_alphanumeric() => Some(first),
            '‘' => Some('’'),
            '“' => Some('”'),
            '(' => Some(')'),
            _ => None,
        };
        let line = after.split('\n').next().unwrap_or_default();
        let closed =
            close.and_then(|close| line.find([close, if first == '`' { '\'' } else { close }]));
        if let Some(at) = closed {
            masked.push_str(if first == '(' { "()" } else { "''" });
            let close = after[at..].chars().next().map_or(1, char::len_utf8);
            rest = &after[at + close..];
            before = '\'';
        } else if first.is_ascii_digit() {
            masked.push('0');
            rest = after.trim_start_matches(|next: char| next.is_ascii_digit());
            before = '0';
        } else {
            masked.push(first);
            rest = after;
            before = first;
        }
    }
    masked
}

/// The visible cases that a hidden one is a dual of, by id.
pub fn duals(hidden: &Case, visible: &[Case]) -> Vec<String> {
    let signature = Signature::of(hidden);
    let of_family = visible.iter().filter(|case| case.family == hidden.family);
    of_family
        .filter(|case| Signature::of(case) == signature)
        .map(|case| case.id.clone())
        .collect()
}

/// The hidden cases, by id, that are duals of no visible one. In a sound target there are none.
pub fn unpaired(hidden: &[Case], visible: &[Case]) -> Vec<String> {
    let shown: BTreeSet<Signature> = visible.iter().map(Signature::of).collect();
    hidden
        .iter()
        .filter(|case| !shown.contains(&Signature::of(case)))
        .map(|case| case.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn masks_what_differs_between_like_messages() {
        for (text, expected) in [
            ("", ""),
            ("line 12, column 345\n", "line 0, column 0\n"),
            ("open \"a b\": can't 'x'", "open '': can't ''"),
            ("jq: error: `x' and ‘é’", "jq: error: '' and ''"),
            ("object ({\"a\":1}) and (open", "object () and (open"),
            ("unclosed \" 7\nnext \" 8", "unclosed \" 0\nnext \" 0"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }
}
