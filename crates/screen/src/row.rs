//! One function of a screen as a row: no code, so that rows can be published.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Function, Grammar};

/// The format of rows. A key keeps its meaning while it stays.
const FORMAT: u32 = 1;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There is an answer.
    Answered,
    /// The answer was as long as it may be, and ended there.
    CutOff,
    /// The model or its provider would not answer.
    Refused,
}

/// One function that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Version of the format.
    pub format: u32,
    /// Name of the target, or of other sources.
    pub target: String,
    /// The program, as the model was told.
    pub program: String,
    /// The model.
    pub model: String,
    /// The file.
    pub path: String,
    /// The function.
    pub function: String,
    /// Its first line.
    pub line: usize,
    /// Its lines.
    pub lines: usize,
    /// Its language.
    pub language: Grammar,
    /// Tokens of its body.
    pub tokens: usize,
    /// Digest of what was asked.
    pub question: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether the answer had a function of that name.
    pub found: bool,
    /// How alike the bodies are, from 0 to 1; `None` where there is no answer.
    pub similarity: Option<f64>,
}

impl Row {
    /// The row of a function, before there is an answer.
    pub fn new(
        target: &str,
        program: &str,
        model: &str,
        function: &Function,
        question: String,
    ) -> Self {
        Row {
            format: FORMAT,
            target: target.to_owned(),
            program: program.to_owned(),
            model: model.to_owned(),
            path: function.path.clone(),
            function: function.name.clone(),
            line: function.line,
            lines: function.lines,
            language: function.grammar,
            tokens: function.body.len(),
            question,
            outcome: Outcome::Refused,
            found: false,
            similarity: None,
        }
    }
}

/// Reads rows, one JSON object a line.
///
/// # Errors
/// When the file cannot be read, or a line is no row; the line is named.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::at(path))?;
    let rows = text.lines().enumerate().map(|(index, line)| {
        let wrong = |what: String| Error::Line {
            path: path.to_owned(),
            line: index + 1,
            what,
        };
        let row: Row = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if row.format != FORMAT {
            return Err(wrong(format!(
                "a row of format {}, of which this program knows {FORMAT} alone",
                row.format
            )));
        }
        let sane = row
            .similarity
            .is_none_or(|share| (0.0..=1.0).contains(&share));
        if sane {
            Ok(row)
        } else {
            Err(wrong("a similarity lies between 0 and 1".to_owned()))
        }
    });
    rows.collect()
}

/// Writes rows, one JSON object a line.
///
/// # Errors
/// When `out` takes no more.
pub fn write_rows(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *out, row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let function = Function {
            path: "a.c".to_owned(),
            grammar: Grammar::Cpp,
            name: "f".to_owned(),
            within: Vec::new(),
            signature: String::new(),
            text: String::new(),
            line: 3,
            lines: 9,
            body: vec!["{".to_owned()],
        };
        Row::new("gron", "gron", "a/m", &function, "0".repeat(64))
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let scored = Row {
            outcome: Outcome::CutOff,
            similarity: Some(1.0 / 3.0),
            ..row()
        };
        let rows = vec![row(), scored];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let mut text = Vec::new();
        write_rows(&rows, &mut text).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read_rows(&path).unwrap(), rows);
        for (from, to, expected) in [
            ("\"format\":1", "\"format\":2", ":1: a row of format 2"),
            ("0.33", "1.33", ":2: a similarity"),
            ("\"lines\"", "\"rows\"", ":1: unknown field"),
        ] {
            let text = String::from_utf8(text.clone()).unwrap().replace(from, to);
            std::fs::write(&path, text).unwrap();
            let error = read_rows(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
