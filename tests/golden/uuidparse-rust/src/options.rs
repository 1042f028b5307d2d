//! The command line, read as getopt does.

use crate::print::COLUMNS;
use crate::{Ending, failed};

const HELP: &str = "
Usage:
 uuidparse [options] <uuid ...>

Options:
 -J, --json             use JSON output format
 -n, --noheadings       don't print headings
 -o, --output <list>    COLUMNS to display (see below)
 -r, --raw              use the raw output format
 -h, --help             display this help
 -V, --version          display version

Available output columns:
     UUID  unique identifier
  VARIANT  variant name
     TYPE  type name
     TIME  timestamp

For more details see uuidparse(1).
";

const MOST_COLUMNS: usize = 8;

const LONG: [(&str, u8); 6] =
    [("json", b'J'), ("noheadings", b'n'), ("output", b'o'), ("raw", b'r'), ("version", b'V'), ("help", b'h')];

#[derive(Default)]
pub struct Settings {
    pub json: bool,
    pub raw: bool,
    pub no_headings: bool,
    pub list: Option<Vec<u8>>,
    pub operands: Vec<Vec<u8>>,
}

fn hinted(parts: &[&[u8]]) -> Ending {
    let mut parts = parts.to_vec();
    parts.push(b"\nTry 'uuidparse --help' for more information.");
    failed(&parts)
}

fn find(word: &[u8]) -> Result<(&'static str, u8), Ending> {
    let prefix = word.split(|&byte| byte == b'=').next().unwrap_or(b"");
    if let Some(exact) = LONG.iter().find(|(name, _)| name.as_bytes() == prefix) {
        return Ok(*exact);
    }
    let matches: Vec<_> = LONG.iter().filter(|(name, _)| name.as_bytes().starts_with(prefix)).collect();
    match matches[..] {
        [] => Err(hinted(&[b"unrecognized option '--", word, b"'"])),
        [only] => Ok(*only),
        _ => {
            let names: String = matches.iter().map(|(name, _)| format!(" '--{name}'")).collect();
            Err(hinted(&[b"option '--", word, b"' is ambiguous; possibilities:", names.as_bytes()]))
        }
    }
}

impl Settings {
    fn take(&mut self, letter: u8, value: Option<Vec<u8>>) -> Result<(), Ending> {
        match letter {
            b'J' => self.json = true,
            b'r' => self.raw = true,
            b'n' => self.no_headings = true,
            b'o' => self.list = value,
            b'h' => return Err(Ending::Told(HELP)),
            _ => return Err(Ending::Told("uuidparse from util-linux 2.41.5\n")),
        }
        if self.json && self.raw {
            return Err(failed(&[b"mutually exclusive arguments: --json --raw"]));
        }
        Ok(())
    }
}

pub fn read(words: Vec<Vec<u8>>) -> Result<Settings, Ending> {
    let mut settings = Settings::default();
    let posix = std::env::var_os("POSIXLY_CORRECT").is_some();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == b"--" {
            settings.operands.extend(words);
            break;
        } else if let Some(rest) = word.strip_prefix(b"--") {
            let (name, letter) = find(rest)?;
            let equals = rest.iter().position(|&byte| byte == b'=');
            let value = match (equals, letter) {
                (Some(at), b'o') => Some(rest[at + 1..].to_vec()),
                (Some(_), _) => return Err(hinted(&[b"option '--", name.as_bytes(), b"' doesn't allow an argument"])),
                (None, b'o') => match words.next() {
                    None => return Err(hinted(&[b"option '--", name.as_bytes(), b"' requires an argument"])),
                    value => value,
                },
                (None, _) => None,
            };
            settings.take(letter, value)?;
        } else if word.len() > 1 && word[0] == b'-' {
            for (at, &letter) in word.iter().enumerate().skip(1) {
                if !b"JnorVh".contains(&letter) {
                    return Err(hinted(&[b"invalid option -- '", &[letter], b"'"]));
                }
                if letter != b'o' {
                    settings.take(letter, None)?;
                    continue;
                }
                let value = match &word[at + 1..] {
                    [] => words.next().ok_or_else(|| hinted(&[b"option requires an argument -- 'o'"]))?,
                    value => value.to_vec(),
                };
                settings.take(letter, Some(value))?;
                break;
            }
        } else {
            settings.operands.push(word);
            if posix {
                settings.operands.extend(words);
                break;
            }
        }
    }
    Ok(settings)
}

/// The columns of a list. An empty name and too many columns end the program without a word.
pub fn columns(list: &[u8]) -> Result<Vec<usize>, Ending> {
    let (mut chosen, list) = match list.strip_prefix(b"+") {
        Some(rest) => (vec![0, 1, 2, 3], rest),
        None => (Vec::new(), list),
    };
    let silent = || Ending::Failed(Vec::new());
    if list.is_empty() {
        return Err(silent());
    }
    let mut begin = None;
    for (at, &byte) in list.iter().enumerate() {
        if chosen.len() >= MOST_COLUMNS {
            return Err(silent());
        }
        let from = *begin.get_or_insert(at);
        // A comma that ends the list belongs to the last name.
        let end = match (byte, at + 1 == list.len()) {
            (_, true) => at + 1,
            (b',', false) => at,
            _ => continue,
        };
        if end == from {
            return Err(silent());
        }
        let found = COLUMNS.iter().position(|(name, _)| name.as_bytes().eq_ignore_ascii_case(&list[from..end]));
        chosen.push(found.ok_or_else(|| failed(&[b"unknown column: ", &list[from..]]))?);
        begin = None;
    }
    Ok(chosen)
}
