//! Code as tokens, and how alike two sequences of them are.

use std::collections::HashMap;

use tree_sitter::Node;

use crate::Grammar;

/// Longest sequence that is compared; what comes after counts as not matched.
const LONGEST: usize = 20_000;

/// String literals: one token each, as they are written.
fn is_string(kind: &str) -> bool {
    matches!(
        kind,
        "string"
            | "string_literal"
            | "raw_string_literal"
            | "interpreted_string_literal"
            | "char_literal"
            | "rune_literal"
            | "system_lib_string"
    )
}

/// The tokens of a node in order: the leaves of its tree as they are written, without comments, white space between
/// them, and what the parser made up. White space inside a leaf that is no string literal is one space.
pub(crate) fn of_node(node: Node<'_>, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = node.walk();
    loop {
        let here = cursor.node();
        let comment = here.kind().ends_with("comment");
        let leaf = here.child_count() == 0 || is_string(here.kind());
        if leaf && !comment {
            let written = text.get(here.byte_range()).unwrap_or_default();
            let token = if is_string(here.kind()) {
                written.to_owned()
            } else {
                written.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            if !token.is_empty() {
                found.push(token);
            }
        }
        if !leaf && !comment && cursor.goto_first_child() {
            continue;
        }
        // The cursor does not leave the node that it began at.
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

/// The tokens of a text, as a function's are taken.
pub fn tokens(grammar: Grammar, text: &str) -> Vec<String> {
    grammar
        .parse(text)
        .map_or_else(Vec::new, |tree| of_node(tree.root_node(), text))
}

/// How alike two sequences are, from 0 to 1: twice the length of their longest common subsequence over the sum of their
/// lengths. Two empty ones are alike.
pub fn similarity(one: &[String], other: &[String]) -> f64 {
    let sum = one.len() + other.len();
    if sum == 0 {
        return 1.0;
    }
    2.0 * common(
        &one[..one.len().min(LONGEST)],
        &other[..other.len().min(LONGEST)],
    ) as f64
        / sum as f64
}

/// Length of the longest common subsequence.
fn common(one: &[String], other: &[String]) -> usize {
    let (short, long) = if one.len() < other.len() {
        (one, other)
    } else {
        (other, one)
    };
    let mut numbers = HashMap::new();
    let mut numbered = |tokens: &[String]| -> Vec<usize> {
        tokens
            .iter()
            .map(|token| {
                let next = numbers.len();
                *numbers.entry(token.clone()).or_insert(next)
            })
            .collect()
    };
    let (short, long) = (numbered(short), numbered(long));
    let mut best = vec![0_usize; short.len() + 1];
    for token in long {
        let mut diagonal = 0;
        for (place, other) in short.iter().enumerate() {
            let above = best[place + 1];
            best[place + 1] = if token == *other {
                diagonal + 1
            } else {
                above.max(best[place])
            };
            diagonal = above;
        }
    }
    best[short.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(grammar: Grammar, text: &str, expected: &str) {
        assert_eq!(tokens(grammar, text).join(" "), expected);
    }

    #[test]
    fn comments_and_layout_are_no_tokens() {
        check(
            Grammar::C,
            "int f(void) /* why */\n{\n\treturn 1; // one\n}",
            "int f ( void ) { return 1 ; }",
        );
        check(
            Grammar::Go,
            "func f() string {\n\t// says a\n\treturn \"a  b\"\n}\n",
            "func f ( ) string { return \"a  b\" }",
        );
        check(
            Grammar::Rust,
            "/// Docs.\nfn f() -> char { 'x' /* a /* b */ */ }",
            "fn f ( ) -> char { 'x' }",
        );
        check(
            Grammar::Python,
            "def f(x):\n    # hm\n    return f\"{x} y\"\n",
            "def f ( x ) : return f\"{x} y\"",
        );
        check(
            Grammar::Cpp,
            "bool A::f() const { return true; }",
            "bool A :: f ( ) const { return true ; }",
        );
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn similarity_is_twice_the_common_part_over_both() {
        for (one, other, expected) in [
            ("", "", 1.0),
            ("a b c", "a b c", 1.0),
            ("a b c", "", 0.0),
            ("a b c d", "a c", 2.0 * 2.0 / 6.0),
            ("a b c d", "d c b a", 2.0 / 8.0),
            ("a a b", "a b b", 2.0 * 2.0 / 6.0),
        ] {
            assert_eq!(
                similarity(&words(one), &words(other)),
                expected,
                "{one} {other}"
            );
        }
    }

    proptest! {
        #[test]
        fn similarity_is_a_symmetric_share(one in "[ab ]{0,30}", other in "[abc ]{0,30}") {
            let (one, other) = (words(&one), words(&other));
            let found = similarity(&one, &other);
            prop_assert!((0.0..=1.0).contains(&found));
            prop_assert_eq!(found, similarity(&other, &one));
            prop_assert_eq!(found == 1.0, one == other);
        }

        #[test]
        fn any_text_has_tokens(text in ".{0,200}") {
            for grammar in Grammar::ALL {
                for token in tokens(grammar, &text) {
                    prop_assert!(!token.is_empty());
                }
            }
        }
    }
}
