//! `target.lock`: what a target was built from and what came of it.

use image::{Origin, Registry};
use serde::Serialize;

use crate::bytes::Digest;
use crate::draw::Retired;
use crate::places::{Node, Source, Table};
use crate::problem::Problem;
use crate::spec::{Provenance, Reference};

/// Version of the lock's format.
pub const FORMAT: u32 = 1;

/// A target's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Seed of the first draw and of the visible cases.
    pub seed: u64,
    /// Seed of the hidden cases; the same as `seed` until they are drawn afresh.
    pub hidden_seed: u64,
    /// Digest of the reference program's bytes.
    pub program: Digest,
    /// The package of source code that the reference was built from, where it was.
    pub source: Option<Origin>,
    /// The packages that the reference runs from.
    pub packages: Vec<LockedPackage>,
    /// The packages that built the reference, of those that target.toml names.
    pub toolchain: Vec<LockedPackage>,
    /// How many there are.
    pub counts: Counts,
    /// Digest of `tests/visible.jsonl`.
    pub visible: Digest,
    /// Digest of `tests/hidden.jsonl`.
    pub hidden: Digest,
    /// Drawn cases that do not count.
    pub dropped: Vec<Dropped>,
    /// Cases that were hidden once and must not come again.
    pub retired: Vec<Retired>,
}

/// A package, pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Digest of the package file.
    pub sha256: Digest,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Visible cases.
    pub visible: u32,
    /// Hidden cases.
    pub hidden: u32,
    /// Families.
    pub families: u32,
}

/// A drawn case that does not count, for instance because the reference answers differently each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its family.
    pub family: String,
    /// Digest of its inputs.
    pub inputs: Digest,
    /// Why.
    pub reason: String,
}

// What is written, in the order in which it is written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    format: u32,
    seed: u64,
    hidden_seed: u64,
    program_sha256: String,
    counts: Counts,
    digests: Digests,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<WrittenSource<'a>>,
    #[serde(rename = "package")]
    packages: Vec<WrittenPackage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    toolchain: Vec<WrittenPackage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<WrittenDropped<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retired: Vec<WrittenRetired<'a>>,
}

#[derive(Serialize)]
struct Digests {
    visible: String,
    hidden: String,
}

#[derive(Serialize)]
struct WrittenSource<'a> {
    kind: &'a str,
    name: &'a str,
    version: &'a str,
    checksum: &'a str,
}

#[derive(Serialize)]
struct WrittenPackage<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    sha256: String,
}

#[derive(Serialize)]
struct WrittenDropped<'a> {
    family: &'a str,
    inputs: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct WrittenRetired<'a> {
    id: &'a str,
    inputs: String,
}

fn written_package(package: &LockedPackage) -> WrittenPackage<'_> {
    WrittenPackage {
        name: &package.name,
        version: &package.version,
        architecture: &package.architecture,
        sha256: package.sha256.to_string(),
    }
}

const HEADER: &str = "# Written by `mirrorcode target build`; not meant to be edited.\n";

impl Lock {
    /// The Debian package that the reference comes from, where it comes from one.
    pub fn reference_package(&self, reference: &Reference) -> Option<&LockedPackage> {
        match &reference.from {
            Provenance::Package(name) => self.packages.iter().find(|package| package.name == *name),
            Provenance::Source { .. } => None,
        }
    }

    /// The version of the package that the reference comes from.
    pub fn reference_version(&self, reference: &Reference) -> Option<&str> {
        match &reference.from {
            Provenance::Package(_) => self
                .reference_package(reference)
                .map(|package| package.version.as_str()),
            Provenance::Source { .. } => self.source.as_ref().map(|source| source.version.as_str()),
        }
    }

    /// The lock as text. The same lock gives the same bytes.
    ///
    /// # Errors
    /// What TOML cannot hold, as a message; no lock that was built or read is refused.
    pub fn to_toml(&self) -> Result<String, String> {
        let written = Written {
            format: FORMAT,
            seed: self.seed,
            hidden_seed: self.hidden_seed,
            program_sha256: self.program.to_string(),
            counts: self.counts,
            digests: Digests {
                visible: self.visible.to_string(),
                hidden: self.hidden.to_string(),
            },
            source: self.source.as_ref().map(|origin| WrittenSource {
                kind: origin.registry.as_str(),
                name: &origin.name,
                version: &origin.version,
                checksum: &origin.checksum,
            }),
            packages: self.packages.iter().map(written_package).collect(),
            toolchain: self.toolchain.iter().map(written_package).collect(),
            dropped: self
                .dropped
                .iter()
                .map(|case| WrittenDropped {
                    family: &case.family,
                    inputs: case.inputs.to_string(),
                    reason: &case.reason,
                })
                .collect(),
            retired: self
                .retired
                .iter()
                .map(|case| WrittenRetired {
                    id: &case.id,
                    inputs: case.inputs.to_string(),
                })
                .collect(),
        };
        toml::to_string(&written)
            .map(|text| format!("{HEADER}{text}"))
            .map_err(|error| error.to_string())
    }

    /// Reads a lock. `file` is its name in messages.
    ///
    /// # Errors
    /// A [`Problem`] with the line: not TOML, another format, a key that is unknown, missing or of the wrong type.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Problem> {
        Source::new(file, bytes)?.read(|root| read(&root))
    }
}

fn read(root: &Table<'_>) -> Result<Lock, Problem> {
    let format = root.need("format")?;
    let found = format.integer(0..=i64::MAX)?;
    if found != i64::from(FORMAT) {
        return Err(format.problem(format!(
            "the lock has format {found}, and this program reads format {FORMAT}: build the target again"
        )));
    }
    root.only(&[
        "format",
        "seed",
        "hidden-seed",
        "program-sha256",
        "counts",
        "digests",
        "source",
        "package",
        "toolchain",
        "dropped",
        "retired",
    ])?;
    let digests = root.need("digests")?.table()?;
    digests.only(&["visible", "hidden"])?;
    Ok(Lock {
        seed: root.need("seed")?.seed()?,
        hidden_seed: root.need("hidden-seed")?.seed()?,
        program: digest(&root.need("program-sha256")?)?,
        source: root
            .get("source")
            .map(|node| source(&node.table()?))
            .transpose()?,
        packages: each(root, "package", locked_package)?,
        toolchain: each(root, "toolchain", locked_package)?,
        counts: counts(&root.need("counts")?.table()?)?,
        visible: digest(&digests.need("visible")?)?,
        hidden: digest(&digests.need("hidden")?)?,
        dropped: each(root, "dropped", dropped)?,
        retired: each(root, "retired", retired)?,
    })
}

fn each<T>(
    root: &Table<'_>,
    key: &str,
    read: fn(&Table<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    match root.get(key) {
        Some(node) => node
            .list()?
            .iter()
            .map(|node| read(&node.table()?))
            .collect(),
        None => Ok(Vec::new()),
    }
}

fn digest(node: &Node<'_>) -> Result<Digest, Problem> {
    Digest::parse(node.string()?).ok_or_else(|| {
        node.problem(format!(
            "\"{}\" must be a SHA-256 digest in 64 lower-case hexadecimal digits",
            node.name()
        ))
    })
}

fn words(table: &Table<'_>, key: &str) -> Result<String, Problem> {
    table.need(key)?.words().map(str::to_owned)
}

fn counts(table: &Table<'_>) -> Result<Counts, Problem> {
    table.only(&["visible", "hidden", "families"])?;
    let count = |key: &str| table.need(key)?.size(0..=u32::MAX);
    Ok(Counts {
        visible: count("visible")?,
        hidden: count("hidden")?,
        families: count("families")?,
    })
}

fn source(table: &Table<'_>) -> Result<Origin, Problem> {
    table.only(&["kind", "name", "version", "checksum"])?;
    Ok(Origin {
        registry: table.need("kind")?.one_of(&Registry::ALL)?,
        name: words(table, "name")?,
        version: words(table, "version")?,
        checksum: words(table, "checksum")?,
    })
}

fn locked_package(table: &Table<'_>) -> Result<LockedPackage, Problem> {
    table.only(&["name", "version", "architecture", "sha256"])?;
    Ok(LockedPackage {
        name: words(table, "name")?,
        version: words(table, "version")?,
        architecture: words(table, "architecture")?,
        sha256: digest(&table.need("sha256")?)?,
    })
}

fn dropped(table: &Table<'_>) -> Result<Dropped, Problem> {
    table.only(&["family", "inputs", "reason"])?;
    Ok(Dropped {
        family: words(table, "family")?,
        inputs: digest(&table.need("inputs")?)?,
        reason: words(table, "reason")?,
    })
}

fn retired(table: &Table<'_>) -> Result<Retired, Problem> {
    table.only(&["id", "inputs"])?;
    Ok(Retired {
        id: words(table, "id")?,
        inputs: digest(&table.need("inputs")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        Lock {
            seed: 1,
            hidden_seed: u64::MAX,
            program: Digest::of(b"program"),
            source: Some(Origin {
                registry: Registry::Go,
                name: "example.org/gron".to_owned(),
                version: "v0.7.1".to_owned(),
                checksum: format!("h1:{}=", "a".repeat(43)),
            }),
            toolchain: vec![LockedPackage {
                name: "golang-go".to_owned(),
                version: "2:1.24~2".to_owned(),
                architecture: "amd64".to_owned(),
                sha256: Digest::of(b"toolchain"),
            }],
            packages: vec![LockedPackage {
                name: "gron".to_owned(),
                version: "0.7.1-1+b3".to_owned(),
                architecture: "amd64".to_owned(),
                sha256: Digest::of(b"package"),
            }],
            counts: Counts {
                visible: 400,
                hidden: 201,
                families: 40,
            },
            visible: Digest::of(b"visible"),
            hidden: Digest::of(b"hidden"),
            dropped: vec![Dropped {
                family: "a".to_owned(),
                inputs: Digest::of(b"inputs"),
                reason: "stdout: \"varies\"\nwith the date".to_owned(),
            }],
            retired: vec![Retired {
                id: "gron/a/001".to_owned(),
                inputs: Digest::of(b"old"),
            }],
        }
    }

    #[test]
    fn round_trips() {
        let full = lock();
        let bare = Lock {
            dropped: Vec::new(),
            retired: Vec::new(),
            packages: Vec::new(),
            ..lock()
        };
        for lock in [full, bare] {
            let text = lock.to_toml().unwrap();
            assert_eq!(
                Lock::parse("target.lock", text.as_bytes()).unwrap(),
                lock,
                "{text}"
            );
            assert_eq!(lock.to_toml().unwrap(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let text = lock().to_toml().unwrap();
        for (from, to, expected) in [
            (
                "format = 1",
                "format = 2",
                "target.lock:2: the lock has format 2, and this program reads format 1: build the target again",
            ),
            (
                "hidden-seed",
                "hiden-seed",
                "target.lock:4: unknown key \"hiden-seed\"; did you mean \"hidden-seed\"?",
            ),
            (
                "seed = 1",
                "seed = -1",
                "target.lock:3: \"seed\" must be a number from 0 to 18446744073709551615",
            ),
            (
                "hidden = 201",
                "hidden = true",
                "target.lock:9: \"counts.hidden\" must be an integer, not a boolean",
            ),
        ] {
            let text = text.replacen(from, to, 1);
            assert_eq!(
                Lock::parse("target.lock", text.as_bytes())
                    .unwrap_err()
                    .to_string(),
                expected,
                "{text}"
            );
        }
    }
}
