//! Source code of references, and what a model writes when it is asked for some.

use std::path::Path;
use std::sync::OnceLock;

use screen::{Function, Grammar, cut, find, score, similarity, tokens};

use super::one_in;

/// A language by the first byte, and the text after it.
fn told(input: &[u8]) -> Option<(Grammar, String)> {
    let (&first, text) = input.split_first()?;
    let grammar = Grammar::ALL[usize::from(first) % Grammar::ALL.len()];
    Some((grammar, String::from_utf8_lossy(text).into_owned()))
}

pub(super) fn functions(input: &[u8], _: &Path) {
    let Some((grammar, text)) = told(input) else {
        return;
    };
    let functions = cut(grammar, "file", &text);
    if one_in(8, input) {
        assert_eq!(cut(grammar, "file", &text), functions, "the same again");
    }
    for function in functions.iter().take(3) {
        assert!(text.contains(&function.text));
        assert!(function.text.starts_with(&function.signature));
        assert!(function.lines > 0 && function.line + function.lines <= text.lines().count() + 2);
        assert!(function.body.iter().all(|token| !token.is_empty()));
        assert_eq!(similarity(&function.body, &function.body), 1.0);
        let _ = function.fits();
    }
    if let Some(function) = functions.last() {
        assert!(find(grammar, &function.name, &text).is_some());
    }
}

/// An answer to a function of each language.
pub(super) fn answer(input: &[u8], _: &Path) {
    const ORIGINALS: [(Grammar, &str); 5] = [
        (Grammar::C, "int f(int a)\n{\n  return a + 1;\n}\n"),
        (Grammar::Cpp, "int A::f() const { return a[0]->b; }\n"),
        (Grammar::Go, "func (s *S) f() int {\n\treturn s.a\n}\n"),
        (Grammar::Python, "def f(a):\n    return \"a\" + a\n"),
        (Grammar::Rust, "fn f<'a>(a: &'a str) -> u8 { a[0] }\n"),
    ];
    static FUNCTIONS: OnceLock<[Function; 5]> = OnceLock::new();
    let Some((grammar, text)) = told(input) else {
        return;
    };
    let functions = FUNCTIONS.get_or_init(|| {
        let cut = ORIGINALS.map(|(grammar, code)| cut(grammar, "file", code).pop());
        cut.map(|function| function.expect("an original is a function"))
    });
    let function = functions
        .iter()
        .find(|function| function.grammar == grammar)
        .expect("there is an original in every language");
    let found = score(function, &text);
    assert!((0.0..=1.0).contains(&found.similarity));
    if found.similarity == 1.0 && !found.found {
        assert!(!tokens(grammar, &text).is_empty());
    }
    if one_in(8, input) {
        assert_eq!(score(function, &text), found, "the same again");
    }
}
