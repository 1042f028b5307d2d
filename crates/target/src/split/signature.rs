//! Which cases are duals of each other.

use std::collections::{BTreeSet, HashSet};

use crate::case::{Case, Ending, Inputs};

/// What two cases must share to be duals. It depends on the case and its target's words alone, never on a seed.
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
    /// The shape of standard error: what comes from the input is masked, and so are numbers, quoted parts, parts in
    /// parentheses and words that stand for each other.
    pub stderr: String,
}

impl Signature {
    /// The signature of a case. `alike` are words of messages that stand for each other, such as names of types
    /// ([`crate::Spec::alike`]).
    pub fn of(case: &Case, alike: &[String]) -> Self {
        let text = String::from_utf8_lossy(&case.expect.stderr);
        let shape = masked(&without_echoes(&text, &case.inputs));
        Signature {
            family: case.family.clone(),
            template: case.template,
            ending: case.expect.ending,
            silent: case.expect.stdout.is_empty(),
            stderr: with_one_word_for(alike, &shape),
        }
    }
}

/// Stands for what the program repeats of its input.
const ECHO: &str = "''";

/// Text in which lines that are lines of the input are masked, and words that are whole arguments or names of files, or
/// that stand in an argument and are no plain words (`$x`, `sub/2`, `--flag`): a message that shows what it complains of
/// is the same message whatever that is.
fn without_echoes(text: &str, inputs: &Inputs) -> String {
    if text.is_empty() {
        return String::new();
    }
    let argv: Vec<_> = inputs
        .argv
        .iter()
        .map(|argument| String::from_utf8_lossy(argument))
        .collect();
    let mut whole: HashSet<&str> = argv.iter().map(AsRef::as_ref).collect();
    whole.extend(inputs.files.keys().map(String::as_str));
    let within = |name: &str| name.len() > 1 && argv.iter().any(|argument| argument.contains(name));
    let texts: Vec<_> = std::iter::once(&inputs.stdin)
        .chain(inputs.files.values())
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect();
    let lines: HashSet<&str> = argv
        .iter()
        .chain(&texts)
        .flat_map(|text| text.split('\n'))
        .map(str::trim)
        .collect();
    let word = |word: &str| {
        let name = word.trim_end_matches([':', ',', '.', ';']);
        let plain = name.chars().all(char::is_alphabetic);
        let before = name.rsplit_once('/').map_or("", |(before, _)| before);
        let echo = match () {
            () if name.is_empty() => 0,
            () if whole.contains(name) || (!plain && within(name)) => name.len(),
            () if within(before) || whole.contains(before) => before.len(),
            () => 0,
        };
        if echo > 0 {
            format!("{ECHO}{}", &word[echo..])
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| {
        let bare = line.trim();
        if !bare.is_empty() && lines.contains(bare) {
            ECHO.to_owned()
        } else if excerpt(bare).is_some_and(|shown| lines.contains(shown)) {
            format!("0 | {ECHO}")
        } else {
            line.split(' ').map(word).collect::<Vec<_>>().join(" ")
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// What a line shows of the input, if it is a line's number, a bar, and that line: `12 | int x;`.
fn excerpt(line: &str) -> Option<&str> {
    let (number, shown) = line.split_once('|')?;
    let number = number.trim();
    let shown = shown.trim();
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && !shown.is_empty()).then_some(shown)
}

/// Text in which each word that is one of `alike` is the first of them.
fn with_one_word_for(alike: &[String], text: &str) -> String {
    let Some(first) = alike.first() else {
        return text.to_owned();
    };
    text.split_inclusive(|next: char| !next.is_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|next: char| !next.is_alphanumeric());
            if alike.iter().any(|one| one == word) {
                format!("{first}{}", &part[word.len()..])
            } else {
                part.to_owned()
            }
        })
        .collect()
}

/// Text with each number as `0`, each quoted part as two quotes and each part in parentheses as two of these: programs
/// show values of the input in all three. A number may have a sign, and letters as hexadecimal ones do; numbers in a row
/// are one, since how many there are is often a value too, and so are spaces, which line figures up, and `^` and `~`,
/// which underline as much as is wrong.
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
        } else if first.is_alphanumeric() {
            let end = rest.find(|next: char| !next.is_alphanumeric());
            let word = &rest[..end.unwrap_or(rest.len())];
            if word.contains(|next: char| next.is_ascii_digit()) {
                push_number(&mut masked);
            } else {
                masked.push_str(word);
            }
            rest = &rest[word.len()..];
            before = '0';
        } else if matches!(first, ' ' | '^' | '~') && before == first && !masked.is_empty() {
            rest = after;
        } else {
            masked.push(first);
            rest = after;
            before = first;
        }
    }
    masked
}

/// Writes `0` in place of a number, of its sign, and of the number before it.
fn push_number(masked: &mut String) {
    if masked.ends_with(" -") {
        masked.pop();
    }
    if !masked.ends_with("0 ") {
        masked.push('0');
    } else {
        masked.pop();
    }
}

/// The visible cases that a hidden one is a dual of, by id.
pub fn duals(hidden: &Case, visible: &[Case], alike: &[String]) -> Vec<String> {
    let signature = Signature::of(hidden, alike);
    let of_family = visible.iter().filter(|case| case.family == hidden.family);
    of_family
        .filter(|case| Signature::of(case, alike) == signature)
        .map(|case| case.id.clone())
        .collect()
}

/// The hidden cases, by id, that are duals of no visible one. In a sound target there are none.
pub fn unpaired(hidden: &[Case], visible: &[Case], alike: &[String]) -> Vec<String> {
    let shown: BTreeSet<Signature> = visible
        .iter()
        .map(|case| Signature::of(case, alike))
        .collect();
    hidden
        .iter()
        .filter(|case| !shown.contains(&Signature::of(case, alike)))
        .map(|case| case.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{masked, with_one_word_for, without_echoes};
    use crate::bytes::Bytes;
    use crate::case::Inputs;

    #[test]
    fn what_the_program_repeats_of_its_input_does_not_count() {
        let inputs = Inputs {
            argv: vec![
                Bytes::from("-n"),
                Bytes::from(".a | }\n.b"),
                Bytes::from("no.json"),
            ],
            stdin: Bytes::from("{\"a\":1}\n  [2\n"),
            ..Inputs::default()
        };
        for (text, expected) in [
            ("", ""),
            (
                "unexpected }:\n  .a | }\n1 error\n",
                "unexpected }:\n''\n1 error\n",
            ),
            ("open no.json: no such file\n", "open '': no such file\n"),
            ("bad line\n[2\n\n", "bad line\n''\n\n"),
            ("known.json: -no", "known.json: -no"),
            (
                "bad:\n  12 | {\"a\":1}\n3 | [2\n4 | [3\n",
                "bad:\n0 | ''\n0 | ''\n4 | [3\n",
            ),
            ("$x, f/0, json/1, .b: n\n", "$x, f/0, ''/1, '': n\n"),
        ] {
            assert_eq!(without_echoes(text, &inputs), expected, "{text}");
        }
    }

    #[test]
    fn words_that_stand_for_each_other_are_one() {
        let alike = ["null", "number", "object"].map(str::to_owned);
        for (text, expected) in [
            (
                "number (0) and object (): numbers\n",
                "null (0) and null (): numbers\n",
            ),
            ("", ""),
            ("é-object", "é-null"),
        ] {
            assert_eq!(with_one_word_for(&alike, text), expected);
            assert_eq!(with_one_word_for(&[], text), text);
        }
    }

    #[test]
    fn masks_what_differs_between_like_messages() {
        for (text, expected) in [
            ("", ""),
            ("line 12, column 345\n", "line 0, column 0\n"),
            ("open \"a b\": can't 'x'", "open '': can't ''"),
            ("jq: error: `x' and ‘é’", "jq: error: '' and ''"),
            ("object ({\"a\":1}) and (open", "object () and (open"),
            (
                "crc  DF8A7C3B,   18 out, -1.5% of 0x1E",
                "crc 0, 0 out, 0.0% of 0",
            ),
            ("bytes = 74 6C 20 'tl '\n", "bytes = 0 ''\n"),
            ("unclosed \" 7\nnext \" 8", "unclosed \" 0\nnext \" 0"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }
}
