//! Files of cases: one JSON object a line.

use std::collections::HashMap;

use crate::bytes::Digest;
use crate::case::Case;
use crate::fixtures::Fixtures;
use crate::json::Json;
use crate::problem::Problem;

/// Writes cases, one line each, in the order given. The same cases give the same bytes.
pub fn write_cases(cases: &[Case], fixtures: &Fixtures) -> String {
    cases
        .iter()
        .map(|case| format!("{}\n", case.to_json(fixtures)))
        .collect()
}

/// Reads a file of cases. `file` is its name in messages.
///
/// # Errors
/// A [`Problem`] with the line: not UTF-8, a last line that is cut off, not JSON, a key that is unknown, missing,
/// given twice or of the wrong type, a path that leaves the working directory, an id or inputs that came before.
pub fn read_cases(file: &str, bytes: &[u8], fixtures: &Fixtures) -> Result<Vec<Case>, Problem> {
    let mut cases = Vec::new();
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut inputs: HashMap<Digest, usize> = HashMap::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let number = index + 1;
        let problem = |what: String| Problem::at(file, number, what);
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(problem(
                "the last line is cut off: it does not end in a newline".to_owned(),
            ));
        };
        let text = std::str::from_utf8(line).map_err(|error| {
            problem(format!(
                "not valid UTF-8 after byte {} of the line",
                error.valid_up_to()
            ))
        })?;
        if text.trim().is_empty() {
            return Err(problem(
                "the line is empty; each line must be one case".to_owned(),
            ));
        }
        let json: Json = serde_json::from_str(text).map_err(|error| problem(explain(&error)))?;
        let case = Case::from_json(json, fixtures).map_err(|wrong| problem(wrong.to_string()))?;
        if let Some(earlier) = ids.insert(case.id.clone(), number) {
            return Err(problem(format!(
                "id \"{}\" was on line {earlier} already",
                case.id
            )));
        }
        if let Some(earlier) = inputs.insert(case.inputs.digest(), number) {
            return Err(problem(format!(
                "\"{}\" has the same inputs as the case on line {earlier}",
                case.id
            )));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// The JSON reader's message without its own idea of the line, which is always 1 here.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(what, _)| what);
    let cut = if error.is_eof() {
        "; the line is cut off"
    } else {
        ""
    };
    format!("not a case: {what} at column {}{cut}", error.column())
}
