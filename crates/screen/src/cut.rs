//! Functions cut out of a file.

use std::ops::RangeInclusive;

use tree_sitter::Node;

use crate::Grammar;
use crate::tokens::of_node;

/// Lines of a function, from that of its name to that of its end, that can be asked for. Shorter ones follow from their
/// signature, longer ones nobody is expected to recite.
pub const LINES: RangeInclusive<usize> = 6..=60;
/// Tokens of a function's body that can be asked for.
pub const TOKENS: RangeInclusive<usize> = 30..=1_000;
/// Longest signature, in bytes.
const SIGNATURE: usize = 2_000;

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The file, relative to the source.
    pub path: String,
    /// Language of the file.
    pub grammar: Grammar,
    /// Its name, without what it belongs to.
    pub name: String,
    /// Heads of what it stands in, such as `impl Display for Thing`, from the outside in.
    pub within: Vec<String>,
    /// Everything before its body, as it is written.
    pub signature: String,
    /// The whole of it, as it is written.
    pub text: String,
    /// Its first line, from 1.
    pub line: usize,
    /// Its lines.
    pub lines: usize,
    /// Tokens of its body, braces among them.
    pub body: Vec<String>,
}

impl Function {
    /// Whether it can be asked for.
    pub fn fits(&self) -> bool {
        LINES.contains(&self.lines)
            && TOKENS.contains(&self.body.len())
            && self.signature.len() <= SIGNATURE
    }
}

/// The functions of a text in order, without those inside of other functions, in modules of tests, and with errors of
/// syntax.
pub fn cut(grammar: Grammar, path: &str, text: &str) -> Vec<Function> {
    let mut found = Vec::new();
    each(grammar, text, |node, within| {
        if node.has_error() || within.iter().any(|head| is_test(head)) {
            return;
        }
        if let Some((name, body)) = parts(node, text) {
            let signature = text.get(node.start_byte()..body.start_byte());
            found.push(Function {
                path: path.to_owned(),
                grammar,
                name,
                within: within.to_vec(),
                signature: signature.unwrap_or_default().trim_end().to_owned(),
                text: text.get(node.byte_range()).unwrap_or_default().to_owned(),
                line: node.start_position().row + 1,
                lines: node.end_position().row - node.start_position().row + 1,
                body: of_node(body, text),
            });
        }
    });
    found
}

/// The tokens of the body of the first function of this name, errors of syntax or not.
pub fn find(grammar: Grammar, name: &str, text: &str) -> Option<Vec<String>> {
    let mut found = None;
    each(grammar, text, |node, _| {
        if found.is_none()
            && let Some((its, body)) = parts(node, text)
            && its == name
        {
            found = Some(of_node(body, text));
        }
    });
    found
}

fn is_test(head: &str) -> bool {
    head.strip_prefix("mod ")
        .is_some_and(|name| matches!(name.trim(), "test" | "tests"))
}

/// Calls `with` for each outermost function, with the heads of what it stands in.
fn each(grammar: Grammar, text: &str, mut with: impl FnMut(Node<'_>, &[String])) {
    let Some(tree) = grammar.parse(text) else {
        return;
    };
    let mut cursor = tree.walk();
    // One entry for each level that was gone down, which says whether it added a head.
    let mut levels = Vec::new();
    let mut within = Vec::new();
    loop {
        let node = cursor.node();
        let function = grammar.is_function(node.kind());
        if function {
            with(node, &within);
        }
        if !function && cursor.goto_first_child() {
            let head = grammar.is_around(node.kind()).then(|| head(node, text));
            levels.push(head.is_some());
            within.extend(head);
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
            if levels.pop() == Some(true) {
                within.pop();
            }
        }
    }
}

/// A class or a module up to its body, on one line.
fn head(node: Node<'_>, text: &str) -> String {
    let end = node
        .child_by_field_name("body")
        .map_or(node.end_byte(), |body| body.start_byte());
    let words = text.get(node.start_byte()..end).unwrap_or_default();
    let mut line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > 200 {
        line = line.chars().take(200).collect();
    }
    line
}

/// A function's name and body.
fn parts<'tree>(node: Node<'tree>, text: &str) -> Option<(String, Node<'tree>)> {
    let body = node.child_by_field_name("body")?;
    let name = match node.child_by_field_name("name") {
        Some(name) => name,
        // C: pointers, functions and brackets around the name.
        None => {
            let mut inner = node.child_by_field_name("declarator")?;
            while let Some(next) = inner
                .child_by_field_name("declarator")
                .or_else(|| inner.child_by_field_name("name"))
                .or_else(|| match inner.kind() {
                    "parenthesized_declarator" | "reference_declarator" => inner.named_child(0),
                    _ => None,
                })
            {
                inner = next;
            }
            inner
        }
    };
    let name = text.get(name.byte_range())?.trim().to_owned();
    (!name.is_empty()).then_some((name, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(grammar: Grammar, text: &str, expected: &[(&str, &str, &str)]) {
        let found = cut(grammar, "f", text);
        let found: Vec<_> = found
            .iter()
            .map(|function| {
                (
                    function.within.join(" / "),
                    function.name.as_str(),
                    function.signature.as_str(),
                )
            })
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(within, name, signature)| (within.as_str(), *name, *signature))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn functions_have_names_and_signatures() {
        check(
            Grammar::C,
            "static char **f(int a)\n{ return 0; }\nint g;\nint (*h(void))(int) { return 0; }\nint old(a)\nint a;\n{ return a; }\n",
            &[
                ("", "f", "static char **f(int a)"),
                ("", "h", "int (*h(void))(int)"),
                ("", "old", "int old(a)\nint a;"),
            ],
        );
        check(
            Grammar::Cpp,
            "namespace n { class A { int f() { return 1; } }; }\nint A::g() const { return 2; }\nint & r() { return x; }\n",
            &[
                ("namespace n / class A", "f", "int f()"),
                ("", "g", "int A::g() const"),
                ("", "r", "int & r()"),
            ],
        );
        check(
            Grammar::Go,
            "package p\nfunc f() {}\nfunc (s *S) Len() int { g := func() {}; g(); return 1 }\n",
            &[("", "f", "func f()"), ("", "Len", "func (s *S) Len() int")],
        );
        check(
            Grammar::Python,
            "class A(B):\n    def f(self):\n        def inner():\n            pass\n        return inner\n\nasync def g(): pass\n",
            &[
                ("class A(B):", "f", "def f(self):"),
                ("", "g", "async def g():"),
            ],
        );
        check(
            Grammar::Rust,
            "impl Display for A {\n    fn fmt(&self) -> R { fn inner() {} inner() }\n}\nmod m { pub fn f() {} }\n#[cfg(test)]\nmod tests { fn t() {} }\n",
            &[
                ("impl Display for A", "fmt", "fn fmt(&self) -> R"),
                ("mod m", "f", "pub fn f()"),
            ],
        );
    }

    #[test]
    fn broken_functions_are_left_out_and_still_found() {
        let text = "int f(void) { return 1 +; }\nint g(void) { return 1; }\n";
        let names: Vec<_> = cut(Grammar::C, "f", text)
            .into_iter()
            .map(|function| function.name)
            .collect();
        assert_eq!(names, ["g"]);
        assert!(find(Grammar::C, "f", text).is_some());
        assert_eq!(
            find(Grammar::C, "g", text).unwrap().join(" "),
            "{ return 1 ; }"
        );
        assert_eq!(find(Grammar::C, "h", text), None);
    }

    #[test]
    fn a_function_that_can_be_asked_for_is_neither_short_nor_long() {
        let of = |lines: usize| {
            let body = "    a = b + c * d;\n".repeat(lines - 2);
            let found = cut(Grammar::C, "f", &format!("int f(void) {{\n{body}}}\n"));
            found[0].fits()
        };
        assert!(!of(5));
        assert!(of(7) && of(60));
        assert!(!of(61));
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let text = format!(
            "int f(void) {{ return {}1{}; }}",
            "(".repeat(20_000),
            ")".repeat(20_000)
        );
        cut(Grammar::C, "f", &text);
        let text = "namespace a { ".repeat(5_000);
        cut(Grammar::Cpp, "f", &text);
    }
}
