//! `target.toml`: what a target is.

use std::collections::BTreeMap;

use crate::case::check_variable;
use crate::code::{self, Code};
use crate::family::is_name;
use crate::near::did_you_mean;
use crate::places::{Node, Source, Table};
use crate::problem::Problem;
use crate::source::{self, PackageSource};

/// A target as its `target.toml` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name, which is also its directory's.
    pub name: String,
    /// What the program does, in one line.
    pub about: String,
    /// The kind of program, such as `compression`.
    pub domain: String,
    /// How large it is.
    pub size: Size,
    /// Lines of the original's source code, where known.
    pub lines: Option<u32>,
    /// Executables, by name, that must not exist in images of agents and scorers.
    pub absent: Vec<String>,
    /// Words of messages on standard error that stand for each other, such as names of types: messages that differ in
    /// nothing else are of the same shape.
    pub alike: Vec<String>,
    /// What a rebuild needs that neither its documentation nor the program tells, so that only who knows it already can
    /// write it: one reason each.
    pub recall: Vec<String>,
    /// The original program.
    pub reference: Reference,
    /// Where its source code is, where that is known.
    pub code: Option<Code>,
    /// Where its documentation comes from.
    pub docs: Docs,
    /// The languages it can be rebuilt in, in the order given.
    pub languages: Vec<String>,
    /// Languages that it cannot be rebuilt in, with the reason.
    pub excluded: BTreeMap<String, String>,
    /// Environment of every case, and of the agent.
    pub environment: BTreeMap<String, String>,
    /// Limits of each case.
    pub limits: Limits,
}

/// How large a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// Small.
    S,
    /// Medium.
    M,
    /// Large.
    L,
}

impl Size {
    /// `S`, `M` or `L`.
    pub fn as_str(self) -> &'static str {
        match self {
            Size::S => "S",
            Size::M => "M",
            Size::L => "L",
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The original program. What it was made from stands in the lock, with versions and checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it comes from.
    pub from: Provenance,
    /// Debian packages that must be there too when it runs, though it does not depend on them, such as those with
    /// locales. Their programs are removed.
    pub with: Vec<String>,
    /// The program's absolute path where it runs; for a Debian package, its path in there.
    pub program: String,
    /// The name it is called by: the last part of `program` unless the file says otherwise.
    pub command: String,
    /// How it is linked, which decides how its bytes are kept from readers.
    pub kind: Kind,
    /// Absolute paths that a dynamic program may still read while it runs.
    pub readable: Vec<String>,
}

/// What a reference comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// A Debian package, by name. The lock has its version.
    Package(String),
    /// A package of source code, or one that holds a finished program.
    Source {
        /// The package and how it is built.
        source: PackageSource,
        /// Debian packages that the program runs with.
        runtime_packages: Vec<String>,
    },
}

impl Reference {
    /// The name of the package that it comes from.
    pub fn package(&self) -> &str {
        match &self.from {
            Provenance::Package(name) => name,
            Provenance::Source { source, .. } => &source.origin.name,
        }
    }
}

/// How a program is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One file that needs no libraries.
    Static,
    /// With shared libraries.
    Dynamic,
}

/// Where documentation comes from. It is extracted when the target is built and never committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Docs {
    /// Man pages in the package, by absolute path.
    pub man: Vec<String>,
    /// Arguments with which the reference prints help.
    pub help: Vec<Vec<String>>,
    /// Other files in the package, by absolute path.
    pub files: Vec<String>,
    /// Files that stand in the target's own directory, by path relative to it.
    pub ours: Vec<String>,
    /// Pages that the reference prints, such as tables that nothing in its package holds as text.
    pub printed: Vec<Printed>,
    /// Headings of the sections of man pages to keep; empty means all.
    pub keep: Vec<String>,
    /// Headings of the sections of man pages to cut.
    pub cut: Vec<String>,
}

/// A page that the reference prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The page's file name.
    pub page: String,
    /// With which arguments.
    pub argv: Vec<String>,
    /// What it reads: a file of the target's own directory, by path relative to it.
    pub stdin: String,
}

/// Limits of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds on the clock.
    pub wall_seconds: u32,
    /// Seconds of processor time.
    pub cpu_seconds: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Bytes of standard output, of standard error and of each file written, in MiB.
    pub output_mib: u32,
}

impl Spec {
    /// Reads a `target.toml`. `file` is its name in messages, `name` the target's directory.
    ///
    /// # Errors
    /// A [`Problem`] with the line: not TOML, a key that is unknown, missing or not sane, a name that is not the
    /// directory's.
    pub fn parse(file: &str, name: &str, bytes: &[u8]) -> Result<Self, Problem> {
        Source::new(file, bytes)?.read(|root| read(name, &root))
    }

    /// The name that the program is called by.
    pub fn command(&self) -> &str {
        &self.reference.command
    }
}

fn read(name: &str, root: &Table<'_>) -> Result<Spec, Problem> {
    root.only(&[
        "name",
        "about",
        "domain",
        "size",
        "lines",
        "absent",
        "alike",
        "recall",
        "reference",
        "source",
        "docs",
        "languages",
        "environment",
        "limits",
    ])?;
    let named = root.need("name")?;
    if named.words()? != name {
        return Err(named.problem(format!(
            "\"name\" must be \"{name}\", as its directory is called"
        )));
    }
    if !is_name(name) {
        return Err(
            named.problem("a target's name has lower-case letters, digits, -, _, + and . only")
        );
    }
    let (languages, excluded) = languages(&root.need("languages")?.table()?)?;
    let reference = reference(&root.need("reference")?.table()?)?;
    let source = root.get("source").map(|node| node.table()).transpose()?;
    Ok(Spec {
        name: name.to_owned(),
        about: root.need("about")?.words()?.to_owned(),
        domain: root.need("domain")?.words()?.to_owned(),
        size: root
            .need("size")?
            .one_of(&[("S", Size::S), ("M", Size::M), ("L", Size::L)])?,
        lines: root
            .get("lines")
            .map(|node| node.size(1..=100_000_000))
            .transpose()?,
        absent: root
            .get("absent")
            .map_or(Ok(Vec::new()), |node| executables(&node))?,
        alike: root
            .get("alike")
            .map_or(Ok(Vec::new()), |node| plain_words(&node))?,
        recall: root
            .get("recall")
            .map_or(Ok(Vec::new()), |node| node.some_strings())?,
        code: code::read(source.as_ref(), &reference)?,
        reference,
        docs: docs(&root.need("docs")?.table()?)?,
        languages,
        excluded,
        environment: root
            .get("environment")
            .map_or(Ok(BTreeMap::new()), |node| environment(&node))?,
        limits: limits(&root.need("limits")?.table()?)?,
    })
}

fn executables(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    let names = node.strings()?;
    match names.iter().find(|name| name.contains('/')) {
        Some(name) => Err(node.problem(format!(
            "\"absent\" lists names, not paths such as \"{name}\""
        ))),
        None => Ok(names),
    }
}

fn plain_words(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    let words = node.strings()?;
    let plain = |word: &&String| !word.is_empty() && word.chars().all(char::is_alphanumeric);
    match words.iter().find(|word| !plain(word)) {
        Some(word) => Err(node.problem(format!(
            "\"alike\" lists words of letters and digits, not \"{word}\""
        ))),
        None => Ok(words),
    }
}

fn reference(table: &Table<'_>) -> Result<Reference, Problem> {
    table.only(&[
        "package",
        "with",
        "source",
        "runtime-packages",
        "program",
        "command",
        "kind",
        "readable",
    ])?;
    let kind = table
        .need("kind")?
        .one_of(&[("static", Kind::Static), ("dynamic", Kind::Dynamic)])?;
    let readable = table
        .get("readable")
        .map_or(Ok(Vec::new()), |node| absolute_paths(&node))?;
    if let (Kind::Static, Some(node), false) = (kind, table.get("readable"), readable.is_empty()) {
        return Err(node.problem("\"reference.readable\" is for dynamic programs only"));
    }
    let program = absolute_path(&table.need("program")?)?;
    let command = match table.get("command") {
        Some(node) if node.words()?.contains('/') => {
            return Err(node.problem("\"reference.command\" is a name, not a path"));
        }
        Some(node) => node.words()?.to_owned(),
        None => program.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    Ok(Reference {
        from: provenance(table, &command)?,
        with: table.get("with").map_or(Ok(Vec::new()), |node| {
            node.list()?.iter().map(package).collect()
        })?,
        program,
        command,
        kind,
        readable,
    })
}

fn provenance(table: &Table<'_>, command: &str) -> Result<Provenance, Problem> {
    let runtime = table.get("runtime-packages");
    match (table.get("source"), table.get("package"), &runtime) {
        (Some(node), Some(_), _) => Err(node.problem(
            "the reference comes from \"package\" or from \"source\", not from both",
        )),
        (None, _, Some(node)) => Err(node.problem(
            "\"reference.runtime-packages\" goes with \"source\": a Debian package names what it needs",
        )),
        (None, _, None) => Ok(Provenance::Package(package(&table.need("package")?)?)),
        (Some(node), None, _) => Ok(Provenance::Source {
            source: source::read(&node.table()?, command)?,
            runtime_packages: match runtime {
                Some(node) if node.list()?.is_empty() => {
                    return Err(node.problem("name one package at least, such as \"libc6\""));
                }
                Some(node) => node.list()?.iter().map(package).collect::<Result<_, _>>()?,
                // What compilers of most languages link to.
                None => ["libc6", "libgcc-s1"].map(str::to_owned).to_vec(),
            },
        }),
    }
}

/// The name of a Debian package.
pub(crate) fn package(node: &Node<'_>) -> Result<String, Problem> {
    let name = node.words()?;
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b':');
    if name.len() < 2
        || !name.bytes().all(fits)
        || !name.starts_with(|first: char| first.is_ascii_alphanumeric())
    {
        return Err(node.problem(format!("\"{name}\" cannot be the name of a Debian package")));
    }
    Ok(name.to_owned())
}

/// A path from the root, written in the one way there is.
pub(crate) fn absolute_path(node: &Node<'_>) -> Result<String, Problem> {
    let path = node.words()?;
    let below = path.strip_prefix('/').map(crate::case::check_path);
    match below {
        Some(Ok(())) => Ok(path.to_owned()),
        _ => Err(node.problem(format!(
            "\"{}\" must be a plain absolute path, not \"{path}\"",
            node.name()
        ))),
    }
}

pub(crate) fn absolute_paths(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    node.list()?.iter().map(absolute_path).collect()
}

fn relative(node: &Node<'_>) -> Result<String, Problem> {
    match crate::case::check_path(node.words()?) {
        Ok(()) => Ok(node.words()?.to_owned()),
        Err(what) => Err(node.problem(what)),
    }
}

fn printed(node: &Node<'_>) -> Result<Printed, Problem> {
    let table = node.table()?;
    table.only(&["page", "argv", "stdin"])?;
    let page = table.need("page")?;
    let name = relative(&page)?;
    if name.contains('/') {
        return Err(page.problem("\"page\" is a file name, not a path"));
    }
    Ok(Printed {
        page: name,
        argv: table.need("argv")?.strings()?,
        stdin: relative(&table.need("stdin")?)?,
    })
}

fn docs(table: &Table<'_>) -> Result<Docs, Problem> {
    table.only(&["man", "help", "files", "ours", "printed", "keep", "cut"])?;
    let paths = |key: &str| {
        table
            .get(key)
            .map_or(Ok(Vec::new()), |node| absolute_paths(&node))
    };
    let headings = |key: &str| {
        table
            .get(key)
            .map_or(Ok(Vec::new()), |node| node.some_strings())
    };
    let arguments = |node: Node<'_>| {
        node.list()?
            .iter()
            .map(Node::strings)
            .collect::<Result<Vec<_>, _>>()
    };
    let docs = Docs {
        man: paths("man")?,
        help: table.get("help").map_or(Ok(Vec::new()), arguments)?,
        files: paths("files")?,
        ours: table.get("ours").map_or(Ok(Vec::new()), |node| {
            node.list()?.iter().map(relative).collect::<Result<_, _>>()
        })?,
        printed: table.get("printed").map_or(Ok(Vec::new()), |node| {
            node.list()?.iter().map(printed).collect::<Result<_, _>>()
        })?,
        keep: headings("keep")?,
        cut: headings("cut")?,
    };
    if docs.man.is_empty() && docs.help.is_empty() && docs.files.is_empty() && docs.ours.is_empty()
    {
        return Err(table.problem(
            "\"docs\" names no documentation: give \"man\", \"help\", \"files\" or \"ours\"",
        ));
    }
    Ok(docs)
}

fn languages(table: &Table<'_>) -> Result<(Vec<String>, BTreeMap<String, String>), Problem> {
    table.only(&["all", "excluded"])?;
    let all = table.need("all")?;
    let names = all.some_strings()?;
    for (index, name) in names.iter().enumerate() {
        if !is_name(name) || names[..index].contains(name) {
            return Err(all.problem(format!(
                "\"languages.all\" lists \"{name}\" twice, or it is no language's name"
            )));
        }
    }
    let mut excluded = BTreeMap::new();
    for (name, node) in table
        .get("excluded")
        .map(|node| node.table())
        .transpose()?
        .iter()
        .flat_map(Table::entries)
    {
        if !names.iter().any(|known| known == name) {
            let near = did_you_mean(name, names.iter().map(String::as_str));
            return Err(node.key_problem(format!("\"{name}\" is not in \"languages.all\"{near}")));
        }
        excluded.insert(name.to_owned(), node.words()?.to_owned());
    }
    let kept: Vec<_> = names
        .into_iter()
        .filter(|name| !excluded.contains_key(name))
        .collect();
    if kept.is_empty() {
        return Err(all.problem("every language is excluded"));
    }
    Ok((kept, excluded))
}

fn environment(node: &Node<'_>) -> Result<BTreeMap<String, String>, Problem> {
    let mut variables = BTreeMap::new();
    for (name, node) in node.table()?.entries() {
        check_variable(name).map_err(|what| node.key_problem(what))?;
        let value = node.string()?;
        if value.contains('\0') {
            return Err(node.problem("a NUL byte cannot be passed to a program"));
        }
        variables.insert(name.to_owned(), value.to_owned());
    }
    Ok(variables)
}

fn limits(table: &Table<'_>) -> Result<Limits, Problem> {
    table.only(&["wall-seconds", "cpu-seconds", "memory-mib", "output-mib"])?;
    Ok(Limits {
        wall_seconds: table.need("wall-seconds")?.size(1..=3_600)?,
        cpu_seconds: table.need("cpu-seconds")?.size(1..=3_600)?,
        memory_mib: table.need("memory-mib")?.size(1..=262_144)?,
        output_mib: table.need("output-mib")?.size(1..=1_024)?,
    })
}
