//! Tells variant, type and time of UUIDs, as a table, raw or as JSON.

mod options;
mod print;
mod uuid;
mod zone;

use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

/// An early end, with what it prints: help and version to standard output, complaints to standard error.
pub enum Ending {
    Told(&'static str),
    Failed(Vec<u8>),
}

/// A complaint under the program's name, made of text and bytes of the command line.
pub fn failed(parts: &[&[u8]]) -> Ending {
    let mut text = b"uuidparse: ".to_vec();
    parts.iter().for_each(|part| text.extend_from_slice(part));
    text.push(b'\n');
    Ending::Failed(text)
}

fn run() -> Result<Vec<u8>, Ending> {
    let words = std::env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    let settings = options::read(words)?;
    let columns = match &settings.list {
        Some(list) => options::columns(list)?,
        None => vec![0, 1, 2, 3],
    };
    let words = if settings.operands.is_empty() {
        let mut input = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut input);
        uuid::words(&input)
    } else {
        settings.operands.clone()
    };
    let zone = zone::Zone::of_environment();
    let rows: Vec<_> = words.into_iter().map(|word| uuid::describe(word, &zone)).collect();
    Ok(if settings.json {
        print::json(&rows, &columns)
    } else {
        print::lines(&rows, &columns, !settings.no_headings, settings.raw)
    })
}

fn main() -> ExitCode {
    let (text, status) = match run() {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(Ending::Told(text)) => (text.as_bytes().to_vec(), ExitCode::SUCCESS),
        Err(Ending::Failed(text)) => {
            let _ = std::io::stderr().write_all(&text);
            return ExitCode::FAILURE;
        }
    };
    match std::io::stdout().write_all(&text) {
        Ok(()) => status,
        Err(_) => ExitCode::FAILURE,
    }
}
