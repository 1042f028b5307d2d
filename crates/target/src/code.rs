//! The source code of a reference: what target.toml says of it, and how it is fetched. It is for nobody who works on a
//! task.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use image::{Cache, Origin, Registry};

use crate::build::BuildError;
use crate::compile::compile;
use crate::places::{Node, Table};
use crate::problem::Problem;
use crate::source::{self, BUILD_DIRECTORY, PackageSource, SOURCE_DIRECTORY};
use crate::spec::{Provenance, Reference};

/// Endings of files that are kept of a Debian source package: those of source code.
const KEPT: [&str; 12] = [
    "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "go", "py", "rs", "y",
];
/// What says that a package was unpacked.
const DONE: &str = "done";

/// Where a reference's source code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// In a package.
    Package {
        /// The package, pinned.
        origin: Origin,
        /// Shell commands, run in the unpacked package, that unpack what is packed in it.
        commands: Vec<String>,
        /// Files and directories in it that are the program's own, relative to it; none means all.
        paths: Vec<String>,
        /// What the program is called there, where the target calls it otherwise.
        program: Option<String>,
    },
    /// In none, for this reason.
    Missing(String),
}

impl Code {
    /// Fetches the source code, or takes it from the cache. Gives the directory that it stands in.
    ///
    /// # Errors
    /// As [`Cache::fetch`], and for Debian as building a reference. [`BuildError::NoCode`] where there is none.
    pub fn fetch(
        &self,
        cache: &Cache,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(image::Progress),
    ) -> Result<PathBuf, BuildError> {
        let (origin, commands) = match self {
            Code::Package {
                origin, commands, ..
            } => (origin, commands),
            Code::Missing(why) => return Err(BuildError::NoCode(why.clone())),
        };
        if origin.registry != Registry::Debian {
            let fetched = cache.fetch(origin, crate::SUITE, cancel, progress)?;
            return Ok(fetched.root.join("source"));
        }
        // Unpacked where a reference would be built, of which nothing is.
        let names: Vec<String> = KEPT
            .iter()
            .map(|ending| format!("-name '*.{ending}'"))
            .collect();
        let mut all = commands.clone();
        all.push(format!(
            "find {SOURCE_DIRECTORY} -type f ! \\( {} \\) -delete",
            names.join(" -o ")
        ));
        all.push(format!("find {SOURCE_DIRECTORY} -type l -delete"));
        all.push(format!(": >{BUILD_DIRECTORY}/{DONE}"));
        let unpacking = PackageSource {
            origin: origin.clone(),
            build_packages: vec!["dpkg-dev".to_owned()],
            arguments: Vec::new(),
            commands: all,
            built: format!("{BUILD_DIRECTORY}/{DONE}"),
            keep: Vec::new(),
        };
        let tree = compile(&unpacking, cache, cancel, progress)?.tree;
        Ok(tree.root.join(&SOURCE_DIRECTORY[1..]))
    }
}

/// Reads `[source]`; without one, a reference that is built from a package of source code has that package.
pub(crate) fn read(
    table: Option<&Table<'_>>,
    reference: &Reference,
) -> Result<Option<Code>, Problem> {
    let built_from = match &reference.from {
        Provenance::Source { source, .. } if holds_code(source.origin.registry) => {
            Some(source.origin.clone())
        }
        _ => None,
    };
    let Some(table) = table else {
        return Ok(built_from.map(|origin| Code::Package {
            origin,
            commands: Vec::new(),
            paths: Vec::new(),
            program: None,
        }));
    };
    table.only(&[
        "missing", "kind", "name", "version", "checksum", "commands", "paths", "program",
    ])?;
    if let Some(node) = table.get("missing") {
        if table.get("kind").is_some() || table.get("paths").is_some() {
            return Err(node.problem("a source that is \"missing\" has nothing else"));
        }
        return Ok(Some(Code::Missing(node.words()?.to_owned())));
    }
    let origin = match (table.get("kind"), built_from) {
        (Some(node), _) => {
            let origin = source::origin(table)?;
            if !holds_code(origin.registry) {
                return Err(node.problem(format!(
                    "a {} holds no source code",
                    origin.registry.as_str()
                )));
            }
            origin
        }
        (None, Some(origin)) => origin,
        (None, None) => {
            return Err(table.problem(
                "\"source\" needs \"kind\", \"name\", \"version\" and \"checksum\" of the package with the source code, or \"missing\" with the reason why there is none",
            ));
        }
    };
    let commands = match table.get("commands") {
        Some(node) if origin.registry != Registry::Debian => {
            return Err(node.problem("\"commands\" are for Debian source packages"));
        }
        Some(node) => node.some_strings()?,
        None => Vec::new(),
    };
    Ok(Some(Code::Package {
        origin,
        commands,
        paths: table
            .get("paths")
            .map_or(Ok(Vec::new()), |node| paths(&node))?,
        program: table
            .get("program")
            .map(|node| node.words().map(str::to_owned))
            .transpose()?,
    }))
}

fn paths(node: &Node<'_>) -> Result<Vec<String>, Problem> {
    node.list()?
        .iter()
        .map(|node| match crate::case::check_path(node.words()?) {
            Ok(()) => Ok(node.words()?.to_owned()),
            Err(what) => Err(node.problem(what)),
        })
        .collect()
}

/// Whether packages of this registry are source code.
fn holds_code(registry: Registry) -> bool {
    match registry {
        Registry::Crate | Registry::CrateFiles | Registry::Debian | Registry::Go => true,
        Registry::Wheel | Registry::Npm => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use crate::{Problem, Spec};

    fn code(reference: &str, source: &str) -> Result<Option<Code>, Problem> {
        let text = format!(
            "name = \"x\"\nabout = \"a\"\ndomain = \"d\"\nsize = \"S\"\n[docs]\nhelp = [[]]\n[languages]\nall = [\"c\"]\n\
             [limits]\nwall-seconds = 1\ncpu-seconds = 1\nmemory-mib = 64\noutput-mib = 1\n\
             [reference]\nprogram = \"/usr/bin/x\"\nkind = \"dynamic\"\n{reference}\n{source}"
        );
        Spec::parse("target.toml", "x", text.as_bytes()).map(|spec| spec.code)
    }

    fn package(kind: &str) -> String {
        format!(
            "kind = \"{kind}\"\nname = \"x\"\nversion = \"1.0.0\"\nchecksum = \"{}\"\n",
            "a".repeat(64)
        )
    }

    const DEBIAN: &str = "package = \"xx\"";

    #[test]
    fn a_reference_from_source_brings_its_code() {
        let built = format!("[reference.source]\n{}", package("crate"));
        let found = code(&built, "").unwrap().unwrap();
        let Code::Package { origin, paths, .. } = &found else {
            panic!("{found:?}")
        };
        assert_eq!((origin.name.as_str(), paths.len()), ("x", 0));
        let some = code(&built, "[source]\npaths = [\"src/a.rs\"]\n").unwrap();
        let Some(Code::Package { paths, .. }) = some else {
            panic!("{some:?}")
        };
        assert_eq!(paths, ["src/a.rs"]);
        let wheel = format!("built = \"/source/x\"\n{}", package("wheel"));
        let none = code(&format!("[reference.source]\n{wheel}"), "").unwrap();
        assert_eq!(none, None);
        assert_eq!(code(DEBIAN, "").unwrap(), None);
    }

    #[test]
    fn a_package_may_have_it_elsewhere_or_nobody() {
        let elsewhere = format!(
            "[source]\n{}program = \"real\"\ncommands = [\"tar xf a.tar\"]\n",
            package("debian")
        );
        let found = code(DEBIAN, &elsewhere).unwrap().unwrap();
        let Code::Package {
            program, commands, ..
        } = &found
        else {
            panic!("{found:?}")
        };
        assert_eq!(program.as_deref(), Some("real"));
        assert_eq!(commands.len(), 1);
        assert_eq!(
            code(DEBIAN, "[source]\nmissing = \"nobody published it\"\n").unwrap(),
            Some(Code::Missing("nobody published it".to_owned()))
        );
    }

    #[test]
    fn what_is_wrong_with_it_is_named() {
        for (source, expected) in [
            ("[source]\n".to_owned(), "\"missing\" with the reason"),
            (format!("[source]\n{}", package("wheel")), "no source code"),
            (
                format!("[source]\n{}missing = \"x\"\n", package("debian")),
                "nothing else",
            ),
            (
                format!("[source]\n{}paths = [\"../x\"]\n", package("debian")),
                "..",
            ),
            (
                format!("[source]\n{}commands = [\"x\"]\n", package("crate")),
                "for Debian source packages",
            ),
            (
                format!("[source]\n{}path = [\"x\"]\n", package("crate")),
                "did you mean \"paths\"",
            ),
        ] {
            let found = code(DEBIAN, &source).unwrap_err().to_string();
            assert!(found.contains(expected), "{source}: {found}");
        }
    }
}
