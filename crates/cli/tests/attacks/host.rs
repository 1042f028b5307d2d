//! What attacks and twins must leave as it was: the machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Longest wait for processes that have been told to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in the name of everything that an attack makes outside of its workspace.
const ATTACK: &str = "mirrorcode-attack";
/// How a fact begins that says only that a file is there.
const NAME: &str = "there is ";

/// Facts about the machine, each a line.
pub(crate) struct Fingerprint(BTreeSet<String>);

fn names(directory: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string())
}

/// Control groups that this process's sandboxes made.
fn groups(below: &str, depth: usize, found: &mut BTreeSet<String>) {
    for path in names(below) {
        let own = format!("/mirrorcode-{}-", std::process::id());
        if path.contains(&own) {
            found.insert(path);
        } else if depth > 0 && fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            groups(&path, depth - 1, found);
        }
    }
}

fn children() -> Vec<String> {
    let tasks = names("/proc/self/task")
        .filter_map(|task| fs::read_to_string(format!("{task}/children")).ok());
    let ids: String = tasks.collect();
    let ids = ids.split_whitespace();
    ids.filter_map(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The state comes after the name, which is in parentheses.
        let ended = stat.rsplit(')').next()?.trim_start().starts_with('Z');
        (!ended).then(|| format!("process {stat}"))
    })
    .collect()
}

impl Fingerprint {
    /// Takes it, and from now on makes orphans of the attacks children of this process, where they are seen.
    pub(crate) fn take() -> Self {
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let mut facts = BTreeSet::new();
        for file in [
            "/proc/1/limits",
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/hostname",
            "/proc/sys/vm/overcommit_memory",
            "/proc/sys/fs/file-max",
        ] {
            let text = fs::read_to_string(file).unwrap_or_default();
            facts.extend(text.lines().map(|line| format!("{file}: {line}")));
        }
        let nodes =
            ["null", "zero", "full", "random", "urandom"].map(|node| format!("/dev/{node}"));
        for path in nodes
            .into_iter()
            .chain(["/", "/tmp", "/etc", "/usr/bin"].map(str::to_owned))
        {
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            facts.insert(format!(
                "{path}: mode {:o} of {}:{}, device {:x}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.rdev()
            ));
        }
        let places = ["/etc", "/usr/bin", "/"].into_iter().flat_map(names);
        facts.extend(places.map(|path| format!("{NAME}{path}")));
        // What other programs make there meanwhile is their own.
        for shared in ["/dev/shm", "/dev/mqueue", "/var/tmp"] {
            facts.extend(names(shared).filter(|path| path.contains(ATTACK)));
        }
        for file in ["shm", "msg", "sem"].map(|kind| format!("/proc/sysvipc/{kind}")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            // Key, number and mode: what follows changes as others use it.
            let lines = text.lines().map(|line| {
                let line: Vec<_> = line.split_whitespace().take(3).collect();
                format!("{file}: {}", line.join(" "))
            });
            facts.extend(lines);
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        facts.extend(
            mounts
                .lines()
                .filter_map(|line| line.split(' ').nth(1))
                .filter(|at| !at.starts_with("/run/"))
                .map(|at| format!("mount {at}")),
        );
        Fingerprint(facts)
    }

    /// What is different now, each a line; waits for what is about to end.
    pub(crate) fn differences(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut wrong = children();
            let mut found = BTreeSet::new();
            groups("/sys/fs/cgroup", 4, &mut found);
            wrong.extend(
                found
                    .into_iter()
                    .map(|path| format!("control group {path}")),
            );
            let now = Self::take();
            let gone = self.0.difference(&now.0);
            wrong.extend(gone.map(|line| format!("before: {line}")));
            // A package may be installed meanwhile; attacks name what they make.
            let new = now.0.difference(&self.0);
            let new = new.filter(|line| !line.starts_with(NAME) || line.contains(ATTACK));
            wrong.extend(new.map(|line| format!("after: {line}")));
            if wrong.is_empty() || Instant::now() > deadline {
                return wrong;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
