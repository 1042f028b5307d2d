//! What is wrong with a file that a person wrote, and where.

use std::fmt;

/// One thing that is wrong, with its place. Shown as `families/foo.toml:7: what`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named by whoever asked to read it.
    pub file: String,
    /// Line, counted from 1; `None` when the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong and what to do about it: a lower-case fragment.
    pub what: String,
}

impl Problem {
    /// A problem at a line of a file.
    pub fn at(file: &str, line: usize, what: impl Into<String>) -> Self {
        Problem {
            file: file.to_owned(),
            line: Some(line),
            what: what.into(),
        }
    }

    /// A problem with a file as a whole.
    pub fn whole(file: &str, what: impl Into<String>) -> Self {
        Problem {
            file: file.to_owned(),
            line: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{}: {}", self.file, line, self.what),
            None => write!(formatter, "{}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for Problem {}

/// Everything wrong with a set of files, one line each; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(formatter, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}
