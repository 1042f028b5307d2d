//! What the image builder's last words mean.

use crate::{Error, Recipe};

/// How the builder ended.
pub(crate) struct Failure<'a> {
    /// The command, as a shell would take it.
    pub(crate) command: &'a str,
    /// The exit status in words.
    pub(crate) status: &'a str,
    /// The last lines of its output.
    pub(crate) tail: &'a str,
}

/// The most helpful error that the builder's last lines allow.
pub(crate) fn diagnose(failure: &Failure<'_>, recipe: &Recipe) -> Error {
    let tail = failure.tail;
    // The last line that fits: warnings come before the error that they lead to.
    let line_with = |needles: &[&str]| {
        tail.lines()
            .rfind(|line| needles.iter().any(|needle| line.contains(needle)))
    };
    if line_with(&[
        "No space left on device",
        "Disk quota exceeded",
        "You don't have enough free space",
    ])
    .is_some()
    {
        // The builder works in its own temporary directory; our own writes name their path themselves.
        return Error::NoSpace {
            path: std::env::temp_dir(),
        };
    }
    if let Some(package) = tail.lines().find_map(|line| missing_package(line, recipe)) {
        return Error::PackageNotFound {
            package,
            suite: recipe.suite.clone(),
        };
    }
    if let Some(line) = line_with(&["newuidmap", "newgidmap"]).filter(|line| line.contains("find"))
    {
        return Error::MissingTool {
            tool: line.rsplit(' ').next().unwrap_or("newuidmap").into(),
            install: UIDMAP.into(),
        };
    }
    if let Some(line) = line_with(&["/etc/subuid", "/etc/subgid", "newuidmap", "newgidmap"]) {
        return Error::NoUserNamespaces {
            detail: line.into(),
            advice: "give it subordinate ids, as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
                .into(),
        };
    }
    if let Some(line) = line_with(&[
        "unshare syscall failed",
        "unshare() failed",
        "unshare the user namespace",
    ]) {
        return Error::NoUserNamespaces {
            detail: line.into(),
            advice: "allow them, as root: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 \
                     (and kernel.apparmor_restrict_unprivileged_userns=0 where that exists), or build the image as root"
                .into(),
        };
    }
    let unreachable = [
        "Could not resolve",
        "Temporary failure resolving",
        "Could not connect",
        "Unable to connect",
        "Connection timed out",
        "Connection failed",
        "Failed to fetch",
        "does not have a Release file",
    ];
    if line_with(&unreachable).is_some() {
        return Error::MirrorUnreachable { tail: tail.into() };
    }
    Error::Builder {
        command: failure.command.into(),
        status: failure.status.into(),
        tail: tail.into(),
    }
}

/// How the tools that map user ids are installed.
pub(crate) const UIDMAP: &str = "apt-get install mmdebstrap uidmap";

/// The package of the recipe that this line of apt's says does not exist.
fn missing_package(line: &str, recipe: &Recipe) -> Option<String> {
    let asked = |name: &str| {
        recipe
            .packages
            .iter()
            .find(|package| package.split('=').next() == Some(name))
            .cloned()
    };
    if let Some(name) = line.strip_prefix("E: Unable to locate package ") {
        return Some(asked(name).unwrap_or_else(|| name.to_owned()));
    }
    let mut quoted = line.split('\'').skip(1).step_by(2);
    if line.starts_with("E: Version ") && line.ends_with("was not found") {
        let (version, name) = (quoted.next()?, quoted.next()?);
        return Some(format!("{name}={version}"));
    }
    if line.starts_with("E: Package ") && line.ends_with("has no installation candidate") {
        let name = quoted.next()?;
        return Some(asked(name).unwrap_or_else(|| name.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variant;

    #[test]
    fn the_last_lines_say_what_to_do() {
        let recipe = Recipe::new("trixie", Variant::Extract, &["gron=0.7.0-9", "jq"]);
        for (tail, expected) in [
            (
                "I: ok\nE: Version '0.7.0-9' for 'gron' was not found\nE: apt download failed",
                "package `gron=0.7.0-9` is not",
            ),
            (
                "E: Unable to locate package jq\nE: mmdebstrap failed",
                "package `jq` is not",
            ),
            (
                "E: Unable to locate package gron",
                "package `gron=0.7.0-9` is not",
            ),
            (
                "E: Package 'jq' has no installation candidate",
                "package `jq` is not",
            ),
            (
                "W: no entry in /etc/subuid for x\nE: failed to parse /etc/subuid and /etc/subgid",
                "usermod --add-subuids",
            ),
            (
                "E: cannot find newuidmap",
                "apt-get install mmdebstrap uidmap",
            ),
            (
                "E: unshare syscall failed: Operation not permitted",
                "sysctl -w",
            ),
            (
                "E: Failed to fetch x  Temporary failure resolving 'y'",
                "mirror cannot be reached",
            ),
            (
                "tar: a: Cannot write: No space left on device",
                "no space is left",
            ),
            ("E: something new", "its last lines were\nE: something new"),
        ] {
            let failure = Failure {
                command: "mmdebstrap",
                status: "exit status: 25",
                tail,
            };
            let message = diagnose(&failure, &recipe).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
