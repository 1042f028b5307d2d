//! Whether a submission is written in the task's language, and in nothing else.
//!
//! This looks at files alone, before anything is built. What a program could still do at run time (start another
//! program, load a library) the sandbox prevents, not this.

mod dune;
mod go;

use std::fmt;

use crate::language::Language;

/// One thing that breaks a rule of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file; `None` when the whole submission is meant.
    pub path: Option<String>,
    /// The rule it breaks: a lower-case fragment.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(formatter, "{}: {}", path.escape_debug(), self.what),
            None => formatter.write_str(&self.what),
        }
    }
}

/// Everything that breaks a rule, in the order of `files` (paths below the submission, with contents).
pub fn check<P: AsRef<str>, B: AsRef<[u8]>>(
    files: &[(P, B)],
    language: &Language,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, bytes) in files {
        let (path, bytes) = (path.as_ref(), bytes.as_ref());
        let found = file(path, bytes, language);
        violations.extend(found.map(|what| Violation {
            path: Some(path.to_owned()),
            what,
        }));
    }
    if !files
        .iter()
        .any(|(path, _)| language.is_source(path.as_ref()))
    {
        let what = format!(
            "there is no source file in {} ({})",
            language.name,
            language.sources.join(", ")
        );
        violations.push(Violation { path: None, what });
    }
    violations
}

fn file(path: &str, bytes: &[u8], language: &Language) -> Option<String> {
    if language.conformity.forbid_elf
        && let Some(kind) = compiled(bytes)
    {
        return Some(format!("{kind} cannot be submitted; submit source code"));
    }
    if !language.is_source(path) {
        if let Some(other) = other_language(path) {
            return Some(format!(
                "{other} source in {} submission",
                with_article(&language.name)
            ));
        }
        if bytes.starts_with(b"#!") {
            return Some(format!(
                "a script that is not named as {} source",
                language.name
            ));
        }
    }
    if !language.conformity.standard_library_only {
        return None;
    }
    // C and Ada have nothing to say it with: what is linked stands in the build command alone.
    match language.name.as_str() {
        "rust" => cargo(path, bytes),
        "go" => go::check(path, bytes),
        "ocaml" => dune::check(path, bytes),
        _ => None,
    }
}

/// The kind of compiled code or archive of it, by its first bytes; an ELF file also where it stands inside another.
fn compiled(bytes: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 11] = [
        (b"\x7fELF", "an ELF file"),
        (b"\xfe\xed\xfa\xce", "a Mach-O file"),
        (b"\xfe\xed\xfa\xcf", "a Mach-O file"),
        (b"\xce\xfa\xed\xfe", "a Mach-O file"),
        (b"\xcf\xfa\xed\xfe", "a Mach-O file"),
        (b"\xca\xfe\xba\xbe", "a Mach-O or class file"),
        (b"!<arch>\n", "an archive of object files"),
        (b"!<thin>\n", "an archive of object files"),
        (b"\0asm", "a WebAssembly module"),
        (b"BC\xc0\xde", "LLVM bitcode"),
        (b"PK\x03\x04", "a zip archive"),
    ];
    let by_magic = MAGIC
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, kind)| *kind);
    by_magic
        .or_else(|| is_pe(bytes).then_some("a PE file"))
        .or_else(|| is_pyc(bytes).then_some("Python bytecode"))
        .or_else(|| holds_elf(bytes).then_some("a file with an ELF file inside"))
}

/// `MZ` alone could start a text; the header it points to could not.
fn is_pe(bytes: &[u8]) -> bool {
    let header = bytes
        .get(0x3c..0x40)
        .and_then(|at| at.try_into().ok())
        .map(u32::from_le_bytes);
    let signature = header
        .and_then(|at| bytes.get(usize::try_from(at).ok()?..))
        .map(|rest| rest.starts_with(b"PE\0\0"));
    bytes.starts_with(b"MZ") && signature == Some(true)
}

/// A version of Python 3, carriage return, newline, then flags that are a small number.
fn is_pyc(bytes: &[u8]) -> bool {
    matches!(bytes, [_, 0x0c..=0x0f, b'\r', b'\n', 0..=3, 0, 0, 0, ..])
}

/// An identification that no source text holds: magic, class, byte order, version.
fn holds_elf(bytes: &[u8]) -> bool {
    bytes
        .windows(7)
        .any(|window| matches!(window, [0x7f, b'E', b'L', b'F', 1..=2, 1..=2, 1]))
}

/// Extensions of source and object files, by language.
const EXTENSIONS: [(&str, &[&str]); 25] = [
    ("Ada", &["adb", "ads", "ada"]),
    ("assembly", &["s", "asm", "nasm"]),
    ("awk", &["awk"]),
    ("C", &["c", "h", "i"]),
    (
        "C++",
        &["cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "ii"],
    ),
    ("compiled Python", &["pyc", "pyo", "pyd"]),
    ("Fortran", &["f", "for", "f90", "f95"]),
    ("Go", &["go"]),
    ("Haskell", &["hs", "lhs"]),
    ("Java", &["java", "class", "jar", "kt", "scala"]),
    ("JavaScript", &["js", "mjs", "cjs", "ts", "jsx", "tsx"]),
    ("Lisp", &["lisp", "cl", "el", "scm", "rkt"]),
    ("Lua", &["lua"]),
    ("Nim", &["nim"]),
    (
        "object",
        &[
            "o", "obj", "a", "so", "dylib", "dll", "exe", "rlib", "rmeta", "wasm", "ll", "bc",
            "ali", "cma", "cmi", "cmo", "cmx", "cmxa", "cmxs", "cmt",
        ],
    ),
    ("OCaml", &["ml", "mli", "mll", "mly"]),
    ("Pascal", &["pas", "pp"]),
    ("Perl", &["pl", "pm"]),
    ("PHP", &["php"]),
    ("Python", &["py", "pyw", "pyx"]),
    ("Ruby", &["rb"]),
    ("Rust", &["rs"]),
    ("shell", &["sh", "bash", "zsh", "ksh", "dash"]),
    ("Tcl", &["tcl"]),
    ("Zig", &["zig"]),
];

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {word}")
}

fn other_language(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (_, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    EXTENSIONS
        .iter()
        .find(|(_, known)| known.contains(&extension.as_str()))
        .map(|(language, _)| *language)
}

/// What Cargo could bring in besides the submission's own Rust.
fn cargo(path: &str, bytes: &[u8]) -> Option<String> {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    if parts.any(|part| part == ".cargo") {
        return Some("settings of Cargo cannot be submitted".to_owned());
    }
    match name {
        "build.rs" => {
            Some("build scripts cannot be submitted: they can compile other languages".to_owned())
        }
        "Cargo.toml" => manifest(bytes).err(),
        _ => None,
    }
}

fn manifest(bytes: &[u8]) -> Result<(), String> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| "the manifest is not valid UTF-8".to_owned())?;
    let manifest: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        format!("the manifest is not TOML: {}", error.message())
    })?;
    let package = manifest.get("package").and_then(toml::Value::as_table);
    if package
        .and_then(|package| package.get("build"))
        .is_some_and(|build| build.as_bool() != Some(false))
    {
        return Err(
            "build scripts cannot be submitted: they can compile other languages".to_owned(),
        );
    }
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = std::iter::once(&manifest)
        .chain(manifest.get("workspace").and_then(toml::Value::as_table))
        .chain(
            targets
                .into_iter()
                .flat_map(|targets| targets.values().filter_map(toml::Value::as_table)),
        );
    for table in tables {
        for (key, value) in table {
            let brings_in =
                matches!(key.as_str(), "replace" | "patch") || key.ends_with("dependencies");
            if brings_in && value.as_table().is_none_or(|entries| !entries.is_empty()) {
                return Err(format!(
                    "\"{key}\" must be empty: only the standard library may be used"
                ));
            }
        }
    }
    Ok(())
}
