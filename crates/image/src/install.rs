//! Programs with all that they depend on, installed by a registry's ordinary client.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::builder::program;
use crate::error::Context;
use crate::fetch::{Asked, run_client};
use crate::root::make_directory;
use crate::{Cache, Error, Image, Progress, Result};

/// Changes whenever the same packages would give a different tree.
const FORMAT: &[u8] = b"install 1";
/// Directory of the tree that holds packages of Python.
const SITE: &str = "site";

/// What is installed together, each package in one exact version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// Packages of Node, `name@version`; they come to `node_modules/`.
    pub npm: Vec<String>,
    /// Packages of Python, `name==version`, for the Python 3.13 of Debian trixie; they come to `site/`.
    pub pip: Vec<String>,
}

impl Installed {
    fn check(&self) -> Result<()> {
        let fits = |text: &str, more: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let pinned = |text: &str, between: &str| {
            text.rsplit_once(between).is_some_and(|(name, version)| {
                let name = name.strip_prefix('@').unwrap_or(name);
                fits(name, "-._/[],")
                    && version.starts_with(|c: char| c.is_ascii_digit())
                    && fits(version, "-.+!")
            })
        };
        let wrong = self
            .npm
            .iter()
            .find(|text| !pinned(text, "@"))
            .map(|text| (text, "name@version"));
        let wrong = wrong.or_else(|| {
            let wrong = self.pip.iter().find(|text| !pinned(text, "=="));
            wrong.map(|text| (text, "name==version"))
        });
        match wrong {
            None => Ok(()),
            Some((text, form)) => Err(Error::BadRecipe(format!(
                "\"{text}\" is not one exact version: write {form}"
            ))),
        }
    }
}

impl Cache {
    /// The tree with these packages and what they depend on: from the cache, or installed now. Nothing of what is
    /// installed is run.
    ///
    /// # Errors
    ///
    /// [`Error::BadRecipe`] for a package without an exact version; [`Error::MissingTool`], [`Error::Fetch`], and as
    /// for [`Cache::ensure`].
    pub fn install(
        &self,
        installed: &Installed,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image> {
        installed.check()?;
        let (npm, pip) = (installed.npm.join(" "), installed.pip.join(" "));
        let what = format!("{npm} {pip}").trim().to_owned();
        let parts = [FORMAT, npm.as_bytes(), pip.as_bytes()];
        let about = format!("program: {what}");
        self.made(&parts, &about, cancel, progress, |tree, progress| {
            progress(Progress::Stage(format!("installing {what}")));
            let asked = |install| Asked {
                what: what.clone(),
                install,
                cancel,
            };
            if !installed.npm.is_empty() {
                let mut command = program("npm");
                command
                    .args(["install", "--ignore-scripts", "--no-audit", "--no-fund"])
                    .args(["--omit=dev", "--prefix"])
                    .arg(tree)
                    .args(&installed.npm);
                run_client(&mut command, &asked("apt-get install npm"), progress)?;
                // It names the addresses from which packages came, which differ between machines.
                for lock in ["package-lock.json", "node_modules/.package-lock.json"] {
                    let path = tree.join(lock);
                    if path.exists() {
                        fs::remove_file(&path).context("remove", &path)?;
                    }
                }
            }
            if !installed.pip.is_empty() {
                let site = tree.join(SITE);
                make_directory(&site)?;
                pip_install(
                    installed,
                    &site,
                    &asked("apt-get install python3-pip"),
                    progress,
                )?;
            }
            Ok(())
        })
    }
}

fn pip_install(
    installed: &Installed,
    site: &Path,
    asked: &Asked<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let mut command = program("pip3");
    command
        .args([
            "install",
            "--only-binary=:all:",
            "--no-input",
            "--no-compile",
        ])
        .args(["--implementation=cp", "--python-version=3.13"]);
    // Debian trixie's C library is 2.41.
    for minor in (17..=41).rev() {
        command.arg(format!("--platform=manylinux_2_{minor}_x86_64"));
    }
    command
        .args(["--platform=manylinux2014_x86_64", "--target"])
        .arg(site)
        .args(&installed.pip);
    run_client(&mut command, asked, progress).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_versions_are_installed() {
        let npm = |text: &str| Installed {
            npm: vec![text.to_owned()],
            ..Installed::default()
        };
        for right in ["x@1.2.3", "@scope/x-y@0.1.0-rc.1"] {
            assert!(npm(right).check().is_ok(), "{right}");
        }
        for wrong in [
            "x", "@scope/x", "x@latest", "--global", "x@1; rm", "x@^1", "",
        ] {
            assert!(npm(wrong).check().is_err(), "{wrong}");
        }
        let pip = |text: &str| Installed {
            pip: vec![text.to_owned()],
            ..Installed::default()
        };
        assert!(pip("mini-swe-agent==2.4.6").check().is_ok());
        for wrong in ["x", "x>=1", "-r file", "x=="] {
            assert!(pip(wrong).check().is_err(), "{wrong}");
        }
    }
}
