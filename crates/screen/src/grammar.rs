//! Languages that functions can be cut out of.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

/// Longest time for one text. A file of a hundred thousand lines takes a second.
const LONGEST: Duration = Duration::from_secs(10);

/// A language of source code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grammar {
    /// C.
    C,
    /// C++.
    Cpp,
    /// Go.
    Go,
    /// Python.
    Python,
    /// Rust.
    Rust,
}

impl Grammar {
    /// All of them.
    pub const ALL: [Grammar; 5] = [
        Grammar::C,
        Grammar::Cpp,
        Grammar::Go,
        Grammar::Python,
        Grammar::Rust,
    ];

    /// The language of a file, by the ending of its name. Headers count as C.
    pub fn of(path: &Path) -> Option<Grammar> {
        Some(match path.extension()?.to_str()? {
            "c" | "h" => Grammar::C,
            "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" => Grammar::Cpp,
            "go" => Grammar::Go,
            "py" => Grammar::Python,
            "rs" => Grammar::Rust,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Grammar::C => "C",
            Grammar::Cpp => "C++",
            Grammar::Go => "Go",
            Grammar::Python => "Python",
            Grammar::Rust => "Rust",
        }
    }

    /// The word after the fence of a block of code.
    pub(crate) fn fence(self) -> &'static str {
        match self {
            Grammar::C => "c",
            Grammar::Cpp => "cpp",
            Grammar::Go => "go",
            Grammar::Python => "python",
            Grammar::Rust => "rust",
        }
    }

    /// Nodes that are functions.
    pub(crate) fn is_function(self, kind: &str) -> bool {
        match self {
            Grammar::C | Grammar::Cpp | Grammar::Python => kind == "function_definition",
            Grammar::Go => matches!(kind, "function_declaration" | "method_declaration"),
            Grammar::Rust => kind == "function_item",
        }
    }

    /// Nodes that functions belong to, and which a reader has to know to know which function is meant.
    pub(crate) fn is_around(self, kind: &str) -> bool {
        match self {
            Grammar::C | Grammar::Go => false,
            Grammar::Cpp => matches!(
                kind,
                "class_specifier" | "struct_specifier" | "namespace_definition"
            ),
            Grammar::Python => kind == "class_definition",
            Grammar::Rust => matches!(kind, "impl_item" | "trait_item" | "mod_item"),
        }
    }

    /// Parses a text; `None` when that takes too long.
    pub(crate) fn parse(self, text: &str) -> Option<Tree> {
        let language = match self {
            Grammar::C => tree_sitter_c::LANGUAGE,
            Grammar::Cpp => tree_sitter_cpp::LANGUAGE,
            Grammar::Go => tree_sitter_go::LANGUAGE,
            Grammar::Python => tree_sitter_python::LANGUAGE,
            Grammar::Rust => tree_sitter_rust::LANGUAGE,
        };
        let mut parser = Parser::new();
        parser.set_language(&language.into()).ok()?;
        let end = Instant::now() + LONGEST;
        let mut look = |_: &ParseState| {
            if Instant::now() > end {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let options = ParseOptions::new().progress_callback(&mut look);
        let bytes = text.as_bytes();
        let mut read = |at: usize, _| bytes.get(at..).unwrap_or_default();
        parser.parse_with_options(&mut read, None, Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grammar_loads() {
        for grammar in Grammar::ALL {
            assert!(grammar.parse("x").is_some(), "{}", grammar.name());
        }
    }
}
