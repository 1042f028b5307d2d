//! What an image is made from, and the digest that names it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::{Error, Result};

/// Changes whenever the same recipe would give a different tree, so that old images are not taken for new ones.
const FORMAT: &[u8] = b"mirrorcode image 1";

/// What is done with the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Unpack the packages and what they depend on, and run nothing: smallest, and enough to run one program.
    Extract,
    /// The essential system with the packages installed, maintainer scripts run: a place to work in.
    Minimal,
}

/// A file that a recipe adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Absolute path inside the image. Missing parents are made; a file that is there is replaced.
    pub path: String,
    /// Permission bits, kept as given: `0o111` makes a program that runs but cannot be read.
    pub mode: u32,
    /// The content.
    pub bytes: Vec<u8>,
}

/// What an image is made from. Equal recipes have equal digests, whatever the order of their lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Debian suite: `trixie`.
    pub suite: String,
    /// What is done with the packages.
    pub variant: Variant,
    /// Packages, each `name` or `name=version`.
    pub packages: Vec<String>,
    /// Commands run in order inside the tree (chroot, with the network of the build) once the packages are
    /// there and before anything is removed: absolute program, then arguments. To prepare caches that a
    /// read-only image could never write.
    pub finish: Vec<Vec<String>>,
    /// `Some`: only these absolute paths stay executable. Every other executable file and every link in a
    /// `bin`, `sbin`, `libexec` or `games` directory is removed, and so is every ELF program anywhere else.
    /// Shared libraries and the ELF loader stay.
    pub executables: Option<Vec<String>>,
    /// Names of programs that must not exist: every file or link of that name in a `bin`, `sbin`, `libexec` or
    /// `games` directory, every ELF program of that name elsewhere, and every link to one of those is removed.
    pub remove: Vec<String>,
    /// Files to add, after everything else.
    pub files: Vec<ExtraFile>,
    /// Symbolic links to add: absolute path inside the image, then what the link holds.
    pub links: Vec<(String, String)>,
    /// Whether `/usr/share/{doc,man,info,locale}` stay.
    pub keep_docs: bool,
}

impl Recipe {
    /// A recipe of packages alone; the other fields are empty, and documentation is dropped.
    #[must_use]
    pub fn new(suite: &str, variant: Variant, packages: &[&str]) -> Self {
        Self {
            suite: suite.to_owned(),
            variant,
            packages: packages.iter().map(|&package| package.to_owned()).collect(),
            finish: Vec::new(),
            executables: None,
            remove: Vec::new(),
            files: Vec::new(),
            links: Vec::new(),
            keep_docs: false,
        }
    }

    /// The name of the image in the cache: SHA-256, in hex, of a canonical form of the recipe, the machine's
    /// architecture and the format of images.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut form = Form(Sha256::new());
        form.bytes(FORMAT);
        form.bytes(std::env::consts::ARCH.as_bytes());
        form.bytes(self.suite.as_bytes());
        form.bytes(match self.variant {
            Variant::Extract => b"extract",
            Variant::Minimal => b"minimal",
        });
        form.set(&self.packages);
        form.count(self.finish.len());
        for command in &self.finish {
            form.count(command.len());
            command
                .iter()
                .for_each(|argument| form.bytes(argument.as_bytes()));
        }
        form.count(usize::from(self.executables.is_some()));
        form.set(self.executables.as_deref().unwrap_or_default());
        form.set(&self.remove);
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|file| &file.path);
        form.count(files.len());
        for file in files {
            form.bytes(file.path.as_bytes());
            form.bytes(&file.mode.to_le_bytes());
            form.bytes(&file.bytes);
        }
        let mut links: Vec<_> = self.links.iter().collect();
        links.sort();
        form.count(links.len());
        for (path, target) in links {
            form.bytes(path.as_bytes());
            form.bytes(target.as_bytes());
        }
        form.count(usize::from(self.keep_docs));
        hex(&form.0.finalize())
    }

    /// Refuses what would not mean what it says: options in the place of packages, relative paths, paths twice.
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::BadRecipe(text));
        let word = |text: &str, more: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !word(&self.suite, "-.") {
            return bad(format!("`{}` is not the name of a suite", self.suite));
        }
        for package in &self.packages {
            let (name, version) = package.split_once('=').unwrap_or((package, "0"));
            if !word(name, "+-.") || !word(version, "+-.:~") {
                return bad(format!(
                    "package `{package}` is neither `name` nor `name=version`"
                ));
            }
        }
        if self.packages.is_empty() && self.variant == Variant::Extract {
            return bad("an extracted image needs at least one package".into());
        }
        for command in &self.finish {
            if !command
                .first()
                .is_some_and(|program| program.starts_with('/'))
                || command.iter().any(|argument| argument.contains('\0'))
            {
                return bad(format!(
                    "finishing command {command:?} does not start with an absolute path"
                ));
            }
        }
        for name in &self.remove {
            if name.is_empty() || name.contains(['/', '\0']) {
                return bad(format!("`{name}` in `remove` is not the name of a program"));
            }
        }
        let added = self
            .files
            .iter()
            .map(|file| &file.path)
            .chain(self.links.iter().map(|(path, _)| path));
        let mut seen = std::collections::HashSet::new();
        for path in added.clone().chain(self.executables.iter().flatten()) {
            let plain = path.strip_prefix('/').is_some_and(|rest| {
                !rest.contains('\0') && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
            });
            if !plain {
                return bad(format!("`{path}` is not a plain absolute path"));
            }
        }
        for path in added {
            if !seen.insert(path) {
                return bad(format!("`{path}` is added twice"));
            }
        }
        if let Some(file) = self.files.iter().find(|file| file.mode & !0o777 != 0) {
            return bad(format!(
                "mode {:o} of `{}` has more than permission bits",
                file.mode, file.path
            ));
        }
        Ok(())
    }
}

/// Feeds a hash so that no two different recipes feed it the same bytes: every part carries its length.
struct Form(Sha256);

impl Form {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn set(&mut self, items: &[String]) {
        let items: std::collections::BTreeSet<_> = items.iter().collect();
        self.count(items.len());
        items
            .into_iter()
            .for_each(|item| self.bytes(item.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe::new("trixie", Variant::Extract, &["gron", "jq"])
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let mut other = recipe();
        other.packages = vec!["jq".into(), "gron".into(), "jq".into()];
        assert_eq!(recipe().digest(), other.digest());
    }

    #[test]
    fn the_digest_is_the_same_on_every_run() {
        // A change here makes every cached image useless: raise FORMAT on purpose instead.
        if std::env::consts::ARCH == "x86_64" {
            assert_eq!(
                recipe().digest(),
                "625fe45f18906ed0bf6ef62ba110ddbcfcbffbec2765c3fced239f787067f213"
            );
        }
    }

    #[test]
    fn every_field_matters() {
        let file = |mode| ExtraFile {
            path: "/a".into(),
            mode,
            bytes: b"x".to_vec(),
        };
        let changes: [fn(&mut Recipe); 10] = [
            |r| r.suite = "sid".into(),
            |r| r.variant = Variant::Minimal,
            |r| r.packages = vec!["gronjq".into()],
            |r| r.packages.push("bash".into()),
            |r| r.finish = vec![vec!["/bin/true".into()]],
            |r| r.executables = Some(vec![]),
            |r| r.executables = Some(vec!["/usr/bin/jq".into()]),
            |r| r.remove = vec!["jq".into()],
            |r| r.links = vec![("/a".into(), "b".into())],
            |r| r.keep_docs = true,
        ];
        let mut all: Vec<String> = changes
            .iter()
            .map(|change| {
                let mut changed = recipe();
                change(&mut changed);
                changed.digest()
            })
            .collect();
        all.push(recipe().digest());
        for mode in [0o111, 0o644] {
            all.push(
                Recipe {
                    files: vec![file(mode)],
                    ..recipe()
                }
                .digest(),
            );
        }
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn recipes_that_would_mean_something_else_are_refused() {
        type Change = fn(&mut Recipe);
        let changes: [(Change, &str); 9] = [
            (|r| r.suite = "--mode=root".into(), "name of a suite"),
            (|r| r.packages = vec!["--x".into()], "neither"),
            (|r| r.packages = vec!["a,b".into()], "neither"),
            (|r| r.packages = vec!["?essential".into()], "neither"),
            (|r| r.packages.clear(), "at least one"),
            (|r| r.finish = vec![vec!["true".into()]], "absolute"),
            (|r| r.remove = vec!["a/b".into()], "name of a program"),
            (
                |r| r.links = vec![("/a/../b".into(), "c".into())],
                "plain absolute",
            ),
            (
                |r| r.links = vec![("/a".into(), "c".into()), ("/a".into(), "d".into())],
                "twice",
            ),
        ];
        for (change, expected) in changes {
            let mut changed = recipe();
            change(&mut changed);
            let message = changed.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        recipe().check().unwrap();
        let pinned = Recipe::new(
            "trixie",
            Variant::Extract,
            &["gron=0.7.1-2+b8", "libaudit1=1:4.0.2-2+deb13u1"],
        );
        pinned.check().unwrap();
    }
}
