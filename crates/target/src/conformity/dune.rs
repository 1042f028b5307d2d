//! What dune could do besides compiling the submission's own OCaml.
//!
//! A `dune` file can run any command while it builds, compile C and hand options to the linker, so only the stanzas
//! and fields that cannot are allowed. Which libraries there are needs no rule: the image holds the compiler's own.

/// Stanzas of a `dune` file, with the fields that may stand in them.
const STANZAS: [(&str, &[&str]); 7] = [
    ("executable", EXECUTABLE),
    ("executables", EXECUTABLE),
    ("library", EXECUTABLE),
    ("ocamllex", &["modules"]),
    ("ocamlyacc", &["modules"]),
    ("include_subdirs", &[]),
    ("dirs", &[]),
];
const EXECUTABLE: &[&str] = &[
    "name",
    "names",
    "modules",
    "libraries",
    "flags",
    "ocamlopt_flags",
    "ocamlc_flags",
    "wrapped",
    "private_modules",
    "modules_without_implementation",
    "modes",
    "optional",
];
/// What may stand in `dune-project`.
const PROJECT: [&str; 10] = [
    "lang",
    "name",
    "version",
    "authors",
    "maintainers",
    "license",
    "formatting",
    "wrapped_executables",
    "executables_implicit_empty_intf",
    "implicit_transitive_deps",
];
/// Fields that hold options of the compilers.
const FLAGS: [&str; 3] = ["flags", "ocamlopt_flags", "ocamlc_flags"];
/// Options of the compilers that neither run a program nor hand anything to the C compiler or the linker; those that
/// a value follows.
const VALUED: [&str; 4] = ["-w", "-warn-error", "-inline", "-open"];
/// The others.
const PLAIN: [&str; 14] = [
    ":standard",
    "-g",
    "-O2",
    "-O3",
    "-unsafe",
    "-noassert",
    "-nolabels",
    "-principal",
    "-rectypes",
    "-strict-sequence",
    "-strict-formats",
    "-short-paths",
    "-function-sections",
    "-unboxed-types",
];
/// Deepest nesting that is looked at.
const DEEPEST: usize = 50;

/// What breaks the rules in a file of this path.
pub(super) fn check(path: &str, bytes: &[u8]) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "dune" => dune(bytes).err(),
        "dune-project" => project(bytes).err(),
        "dune-workspace" | "dune-file" | "jbuild" => Some(format!(
            "{name} cannot be submitted: write dune and dune-project"
        )),
        _ => None,
    }
}

fn dune(bytes: &[u8]) -> Result<(), String> {
    for stanza in parse(bytes)? {
        let Some((head, fields)) = stanza.call() else {
            return Err("dune: a stanza is no list that starts with a word".to_owned());
        };
        let Some((_, allowed)) = STANZAS.iter().find(|(known, _)| known == &head) else {
            return Err(format!("\"{head}\" must not stand in a dune file"));
        };
        for field in fields {
            allowed_field(head, field, allowed)?;
        }
        if let Some(atom) = stanza.atoms().iter().find(|atom| atom.contains("%{")) {
            return Err(format!(
                "variables such as \"{atom}\" must not stand in a dune file"
            ));
        }
    }
    Ok(())
}

fn allowed_field(stanza: &str, field: &Item, allowed: &[&str]) -> Result<(), String> {
    // Words alone: the modules of ocamllex, the mode of include_subdirs.
    let Item::List(_) = field else { return Ok(()) };
    let head = field.call().map_or("()", |(head, _)| head);
    if !allowed.contains(&head) {
        return Err(format!(
            "\"{head}\" must not stand in \"{stanza}\" in a dune file"
        ));
    }
    if FLAGS.contains(&head) {
        options(&field.atoms()[1..])?;
    }
    Ok(())
}

fn options(words: &[&str]) -> Result<(), String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if VALUED.contains(word) {
            words.next();
        } else if !PLAIN.contains(word) {
            return Err(format!(
                "the option \"{word}\" must not stand in a dune file; these may: {} {}",
                VALUED.join(" "),
                PLAIN.join(" ")
            ));
        }
    }
    Ok(())
}

fn project(bytes: &[u8]) -> Result<(), String> {
    for stanza in parse(bytes)? {
        match stanza.call() {
            Some((head, _)) if PROJECT.contains(&head) => {}
            Some((head, _)) => return Err(format!("\"{head}\" must not stand in dune-project")),
            None => {
                return Err("dune-project: a stanza is no list that starts with a word".to_owned());
            }
        }
    }
    Ok(())
}

/// A part of dune's files: a word or a list.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Word(String),
    List(Vec<Item>),
}

impl Item {
    /// A list's first word and the rest.
    fn call(&self) -> Option<(&str, &[Item])> {
        match self {
            Item::List(items) => match items.split_first() {
                Some((Item::Word(head), rest)) => Some((head, rest)),
                _ => None,
            },
            Item::Word(_) => None,
        }
    }

    fn atoms(&self) -> Vec<&str> {
        match self {
            Item::Word(word) => vec![word],
            Item::List(items) => items.iter().flat_map(Item::atoms).collect(),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Item>, String> {
    let bad = |what: &str| Err(format!("the dune file cannot be read: {what}"));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bad("it is not valid UTF-8");
    };
    let mut open: Vec<Vec<Item>> = vec![Vec::new()];
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        let item = match letter {
            ';' => {
                while rest.next_if(|&letter| letter != '\n').is_some() {}
                continue;
            }
            '(' if open.len() > DEEPEST => return bad("it is nested too deep"),
            '(' => {
                open.push(Vec::new());
                continue;
            }
            ')' => match (open.pop(), open.is_empty()) {
                (Some(items), false) => Item::List(items),
                _ => return bad("a ) too many"),
            },
            '"' => {
                let mut word = String::new();
                loop {
                    match rest.next() {
                        // What an escape stands for could be anything, and no name needs one.
                        Some('\\') => return bad("it has an escape in quotes"),
                        Some('"') => break,
                        Some(letter) => word.push(letter),
                        None => return bad("a quote has no end"),
                    }
                }
                Item::Word(word)
            }
            // `#|` and `#;` are comments of older languages: refused rather than understood.
            '#' if matches!(rest.peek(), Some('|' | ';')) => return bad("it has a comment with #"),
            letter if letter.is_whitespace() => continue,
            letter => {
                let mut word = String::from(letter);
                while let Some(letter) = rest.next_if(|letter| {
                    !letter.is_whitespace() && !matches!(letter, '(' | ')' | '"' | ';')
                }) {
                    word.push(letter);
                }
                Item::Word(word)
            }
        };
        match open.last_mut() {
            Some(items) => items.push(item),
            None => return bad("a ) too many"),
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(items), true) => Ok(items),
        _ => bad("a ( has no end"),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn compiling_is_allowed() {
        for (path, text) in [
            (
                "dune-project",
                "(lang dune 3.0)\n; a comment (\n(name program)",
            ),
            (
                "dune",
                "(executable\n (name main)\n (libraries str unix)\n (ocamlopt_flags (:standard -O3 -unsafe)))",
            ),
            (
                "lib/dune",
                "(library (name parse) (wrapped false))\n(ocamllex lexer)\n(ocamlyacc parser)",
            ),
            (
                "dune",
                "(include_subdirs unqualified)(executable (name \"main\"))",
            ),
            ("dune", "(library (name x) (flags (:standard -w -a)))"),
            ("dune", ""),
            ("src/x.ml", "(rule)"),
        ] {
            assert_eq!(check(path, text.as_bytes()), None, "{path} {text}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for (path, text, word) in [
            (
                "dune",
                "(rule (targets x.ml) (action (run cc x.txt)))",
                "rule",
            ),
            (
                "dune",
                "(executable (name main) (foreign_stubs (language c)))",
                "foreign_stubs",
            ),
            (
                "dune",
                "(executable (name main) (link_flags (-ccopt x)))",
                "link_flags",
            ),
            (
                "dune",
                "(executable (name main) (preprocess (action (run x))))",
                "preprocess",
            ),
            (
                "dune",
                "(executable (name main) (ocamlopt_flags (-pp sh)))",
                "-pp",
            ),
            (
                "dune",
                "(executable (name main) (flags (%{read:x})))",
                "%{read:x}",
            ),
            (
                "dune",
                "(executable (name main) (flags (\"-cc\\108ib\")))",
                "escape",
            ),
            ("dune", "(* -*- tuareg -*- *)\nlet () = ()", "*"),
            ("dune", "(env (_ (binaries x)))", "env"),
            (
                "dune",
                "(executable (name x) (flags (:include f)))",
                ":include",
            ),
            ("dune", "(executable (name x) (flags (-args f)))", "-args"),
            ("dune", "(executable", "no end"),
            ("dune", "(executable))", "too many"),
            ("dune", "executable", "stanza"),
            ("x/dune", "(include other)", "include"),
            ("dune-project", "(lang dune 3.0)(using ctypes 0.3)", "using"),
            ("dune-workspace", "", "dune-workspace"),
        ] {
            let found = check(path, text.as_bytes()).unwrap_or_default();
            assert!(found.contains(word), "{text}: {found}");
        }
        let deep = "(".repeat(100_000);
        assert!(check("dune", deep.as_bytes()).is_some());
        assert!(check("dune", b"\xff").is_some());
    }
}
