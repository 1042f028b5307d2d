//! `languages/<name>.toml`: how programs in a language are built and started, and what a submission may hold.

use std::collections::BTreeSet;

use crate::family::is_name;
use crate::places::{Node, Source, Table};
use crate::problem::Problem;
use crate::spec::{absolute_path, absolute_paths, package};

/// A language as its file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name, which is also the stem of its file.
    pub name: String,
    /// Language, version and rule in one line.
    pub about: String,
    /// A page for whoever writes the program: how it is built and started, what is there and what is not.
    pub guide: String,
    /// Debian packages of the agent's image.
    pub agent_packages: Vec<String>,
    /// Debian packages of the image that builds.
    pub build_packages: Vec<String>,
    /// Commands that complete the images of agents and builds.
    pub build_finish: Vec<Vec<String>>,
    /// Debian packages of the image that runs the cases.
    pub runtime_packages: Vec<String>,
    /// Executables, by absolute path, that stay in the image that runs the cases; all others are removed from it.
    pub runtime_executables: Vec<String>,
    /// Commands that complete the image that runs the cases, before it is pruned.
    pub runtime_finish: Vec<Vec<String>>,
    /// The build command, run in `/submission`; empty when there is nothing to build.
    pub build: Vec<String>,
    /// Paths below `/submission` that the cases need; `.` is all of it.
    pub artifacts: Vec<String>,
    /// The command that starts the program, to which a case's arguments are added.
    pub start: Vec<String>,
    /// Patterns of file names that are source in this language; `*` stands for any text.
    pub sources: Vec<String>,
    /// Patterns of names that are left out of a submission, at any depth.
    pub ignore: Vec<String>,
    /// What a submission must conform to.
    pub conformity: Conformity,
    /// Limits.
    pub limits: BuildLimits,
}

/// What a submission must conform to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conformity {
    /// No compiled code, whether program, library, object or bytecode.
    pub forbid_elf: bool,
    /// Nothing beyond the language's standard library.
    pub standard_library_only: bool,
}

/// Limits of building and starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// Seconds on the clock for the build.
    pub build_wall_seconds: u32,
    /// Memory for the build, in MiB.
    pub build_memory_mib: u32,
    /// Time added to each case's limits for the start of an interpreter or runtime, in milliseconds.
    pub start_allowance_ms: u32,
}

const KEYS: [&str; 16] = [
    "name",
    "about",
    "guide",
    "agent-packages",
    "build-packages",
    "build-finish",
    "runtime-packages",
    "runtime-executables",
    "runtime-finish",
    "build",
    "artifacts",
    "start",
    "sources",
    "ignore",
    "conformity",
    "limits",
];

impl Language {
    /// Reads a language's file. `file` is its name in messages; its stem is the language's name.
    ///
    /// # Errors
    /// A [`Problem`] with the line: not TOML, a key that is unknown, missing or not sane.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let stem = file
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".toml"))
            .unwrap_or_default();
        Source::new(file, bytes)?.read(|root| read(stem, &root))
    }

    /// Whether the file at a path is source in this language.
    pub fn is_source(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.sources.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any text.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        // The first place is as good as any: what follows may match any later text.
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn read(stem: &str, root: &Table<'_>) -> Result<Language, Problem> {
    root.only(&KEYS)?;
    let name = root.need("name")?;
    if name.words()? != stem || !is_name(stem) {
        return Err(name.problem(format!(
            "\"name\" must be \"{stem}\", as its file is called"
        )));
    }
    let agent_packages = packages(&root.need("agent-packages")?)?;
    Ok(Language {
        name: stem.to_owned(),
        about: root.need("about")?.words()?.to_owned(),
        guide: root.need("guide")?.words()?.to_owned(),
        build_packages: root
            .get("build-packages")
            .map_or(Ok(agent_packages.clone()), |node| packages(&node))?,
        agent_packages,
        runtime_packages: packages(&root.need("runtime-packages")?)?,
        runtime_executables: absolute_paths(&root.need("runtime-executables")?)?,
        runtime_finish: commands(root, "runtime-finish")?,
        build_finish: commands(root, "build-finish")?,
        build: root
            .get("build")
            .map_or(Ok(Vec::new()), |node| node.strings())?,
        artifacts: root
            .need("artifacts")?
            .list()?
            .iter()
            .map(artifact)
            .collect::<Result<_, _>>()?,
        start: start(&root.need("start")?)?,
        sources: patterns(&root.need("sources")?)?,
        ignore: root
            .get("ignore")
            .map_or(Ok(Vec::new()), |node| patterns(&node))?,
        conformity: conformity(&root.need("conformity")?.table()?)?,
        limits: limits(&root.need("limits")?.table()?)?,
    })
}

fn packages(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for item in node.list()? {
        let name = package(&item)?;
        if !seen.insert(name.clone()) {
            return Err(item.problem(format!("\"{}\" lists \"{name}\" twice", node.name())));
        }
        names.push(name);
    }
    Ok(names)
}

fn commands(root: &Table<'_>, key: &str) -> Result<Vec<Vec<String>>, Problem> {
    root.get(key).map_or(Ok(Vec::new()), |node| {
        node.list()?
            .iter()
            .map(|command| command.strings())
            .collect()
    })
}

fn artifact(node: &Node<'_>) -> Result<String, Problem> {
    let path = node.words()?;
    if path != "." {
        crate::case::check_path(path).map_err(|what| node.problem(what))?;
    }
    Ok(path.to_owned())
}

fn start(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    let command = node.some_strings()?;
    absolute_path(&node.list()?[0])?;
    Ok(command)
}

fn patterns(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    let patterns = node.some_strings()?;
    match patterns.iter().find(|pattern| pattern.contains('/')) {
        Some(pattern) => Err(node.problem(format!(
            "\"{}\" matches names, not paths such as \"{pattern}\"",
            node.name()
        ))),
        None => Ok(patterns),
    }
}

fn conformity(table: &Table<'_>) -> Result<Conformity, Problem> {
    table.only(&["forbid-elf", "standard-library-only"])?;
    Ok(Conformity {
        forbid_elf: table.need("forbid-elf")?.boolean()?,
        standard_library_only: table.need("standard-library-only")?.boolean()?,
    })
}

fn limits(table: &Table<'_>) -> Result<BuildLimits, Problem> {
    table.only(&[
        "build-wall-seconds",
        "build-memory-mib",
        "start-allowance-ms",
    ])?;
    Ok(BuildLimits {
        build_wall_seconds: table.need("build-wall-seconds")?.size(1..=86_400)?,
        build_memory_mib: table.need("build-memory-mib")?.size(16..=262_144)?,
        start_allowance_ms: table
            .get("start-allowance-ms")
            .map_or(Ok(0), |node| node.size(0..=60_000))?,
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.py", "main.py", true),
            ("*.py", "main.pyc", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("*", "é", true),
            ("x", "xy", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
