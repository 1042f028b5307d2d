//! Limits that hold for all processes of a worker together, where this machine lets the caller set them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How control groups can be used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy, delegated to the caller.
    Two,
    /// A hierarchy for each controller.
    One,
}

/// The groups of one worker; removed when dropped.
pub(crate) struct Group {
    version: Version,
    /// For version one: memory, then pids. For version two: one directory.
    directories: Vec<PathBuf>,
}

/// What happened since the last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// Processes killed because memory was used up.
    pub(crate) out_of_memory: u64,
    /// Forks refused.
    pub(crate) forks_refused: u64,
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// The caller's own group for a controller, as a directory.
fn own(controller: &str) -> Option<(Version, PathBuf)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if !controllers.split(',').any(|name| name == controller) {
            continue;
        }
        return mount_point(&mounts, controller, path).map(|dir| (Version::One, dir));
    }
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mount_point(&mounts, "", path).map(|dir| (Version::Two, dir))
}

/// Directory of a group, from the mount table. An empty controller means version two.
fn mount_point(mounts: &str, controller: &str, group: &str) -> Option<PathBuf> {
    for line in mounts.lines() {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1).unwrap_or(""));
        let matches = if controller.is_empty() {
            kind == "cgroup2"
        } else {
            kind == "cgroup" && options.split(',').any(|option| option == controller)
        };
        if matches {
            let mut left = left.split(' ');
            let (root, point) = (left.nth(3)?, left.next()?);
            let below = group
                .strip_prefix(root.trim_end_matches('/'))
                .unwrap_or(group);
            return Some(Path::new(point).join(below.trim_start_matches('/')));
        }
    }
    None
}

/// The group to which the caller retires when it has a delegated group for itself.
const RETREAT: &str = "mirrorcode";

/// Makes a directory of version two that has both controllers, at or above the caller's own group.
///
/// A group that holds processes cannot hand controllers to groups below it (only the topmost can), so the usual place is
/// beside the caller's own group: any ancestor that hands them on and lets the caller make directories, such as
/// `app.slice` of a user's own service manager. A group that was delegated to the caller alone has no such ancestor: the
/// caller then moves itself down, out of the way.
fn below(own: &Path) -> io::Result<PathBuf> {
    // Two threads that both retire would go down two levels.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut refused = io::Error::new(
        io::ErrorKind::NotFound,
        "no group at or above the caller's own hands on memory and pids",
    );
    for candidate in own.ancestors() {
        if !candidate.join("cgroup.procs").exists() {
            break;
        }
        if hands_on(candidate) {
            match make(candidate) {
                Ok(directory) => return Ok(directory),
                Err(error) => refused = error,
            }
        }
    }
    retire(own).and_then(|()| make(own)).map_err(|_| refused)
}

/// Whether groups made in this one have both controllers.
fn hands_on(group: &Path) -> bool {
    let names = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
    ["memory", "pids"]
        .iter()
        .all(|name| names.split_whitespace().any(|word| word == *name))
}

/// Moves the caller out of its own group, if it is alone there, and lets that group hand on both controllers.
fn retire(own: &Path) -> io::Result<()> {
    let me = std::process::id().to_string();
    let members = fs::read_to_string(own.join("cgroup.procs"))?;
    if members.lines().any(|pid| pid != me) {
        return Err(io::Error::other("others share the caller's own group"));
    }
    let retreat = own.join(RETREAT);
    match fs::create_dir(&retreat) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => fs::write(retreat.join("cgroup.procs"), &me)?,
    }
    fs::write(own.join("cgroup.subtree_control"), "+memory +pids")
}

/// Age from which a group of a process that is gone is taken away.
const STALE: Duration = Duration::from_secs(60);

/// Removes the groups of callers that were killed before they could. Only an empty group can be removed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix("mirrorcode-")?.split_once('-'))
            .and_then(|(owner, _)| owner.parse::<u32>().ok());
        let old = entry
            .metadata()
            .and_then(|data| data.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > STALE));
        if let Some(owner) = owner
            && old
            && !Path::new("/proc").join(owner.to_string()).exists()
        {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn make(parent: &Path) -> io::Result<PathBuf> {
    static SWEPT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    {
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if !swept.iter().any(|place| place == parent) {
            swept.push(parent.to_owned());
            sweep(parent);
        }
    }
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let directory = parent.join(format!("mirrorcode-{}-{serial}", std::process::id()));
    fs::create_dir(&directory)?;
    Ok(directory)
}

impl Group {
    /// Makes a group with these limits, or says why none can be had.
    pub(crate) fn new(memory: u64, processes: u64) -> io::Result<Self> {
        let (version, parent) = own("memory").ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no control groups are mounted")
        })?;
        let processes = processes.saturating_add(crate::OWN_PROCESSES).to_string();
        let mut group = Group {
            version,
            directories: Vec::new(),
        };
        match version {
            Version::One => {
                let directory = make(&parent)?;
                group.directories.push(directory.clone());
                fs::write(directory.join("memory.limit_in_bytes"), memory.to_string())?;
                // Absent where swap is not accounted; then there is no swap to limit or no way to.
                let _ = fs::write(
                    directory.join("memory.memsw.limit_in_bytes"),
                    memory.to_string(),
                );
                let (_, parent) = own("pids").ok_or(io::ErrorKind::NotFound)?;
                let directory = make(&parent)?;
                group.directories.push(directory.clone());
                fs::write(directory.join("pids.max"), processes)?;
            }
            Version::Two => {
                let directory = below(&parent)?;
                group.directories.push(directory.clone());
                fs::write(directory.join("memory.max"), memory.to_string())?;
                let _ = fs::write(directory.join("memory.swap.max"), "0");
                fs::write(directory.join("pids.max"), processes)?;
            }
        }
        Ok(group)
    }

    /// Puts a process and all that it will start into the group.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        self.directories
            .iter()
            .try_for_each(|directory| fs::write(directory.join("cgroup.procs"), pid.to_string()))
    }

    /// Counters since the group was made.
    pub(crate) fn events(&self) -> Events {
        let read = |index: usize, file: &str, key: &str| -> u64 {
            self.directories
                .get(index)
                .and_then(|directory| fs::read_to_string(directory.join(file)).ok())
                .and_then(|text| {
                    text.lines()
                        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
                })
                .unwrap_or(0)
        };
        match self.version {
            Version::One => Events {
                out_of_memory: read(0, "memory.oom_control", "oom_kill "),
                forks_refused: read(1, "pids.events", "max "),
            },
            Version::Two => Events {
                out_of_memory: read(0, "memory.events", "oom_kill "),
                forks_refused: read(0, "pids.events", "max "),
            },
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            // Dying processes leave a group a moment after their last sign of life, and gigabytes of files in memory
            // take longer to be given back.
            for _ in 0..2_500 {
                if fs::remove_dir(directory).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Which version can be used here, found by making a group and removing it.
pub(crate) fn usable() -> io::Result<Version> {
    Group::new(64 << 20, 16).map(|group| group.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_killed_callers_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let alive = format!("mirrorcode-{}-0", std::process::id());
        // No process has a number as high as this.
        let (old, fresh, other) = (
            "mirrorcode-4294967295-0",
            "mirrorcode-4294967295-1",
            "user.slice",
        );
        let names = [alive.as_str(), old, fresh, other];
        for name in names {
            fs::create_dir(place.path().join(name)).unwrap();
            if name != fresh {
                let directory = fs::File::open(place.path().join(name)).unwrap();
                let past = std::time::SystemTime::now() - 2 * STALE;
                directory.set_modified(past).unwrap();
            }
        }
        sweep(place.path());
        let left: Vec<_> = names
            .iter()
            .filter(|name| place.path().join(name).exists())
            .collect();
        assert_eq!(left, [&alive.as_str(), &fresh, &other]);
    }

    #[test]
    fn finds_groups_in_a_mount_table() {
        let mounts = "\
30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 22 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 22 0:28 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
";
        let found = |controller, group| mount_point(mounts, controller, group);
        assert_eq!(
            found("memory", "/a/b"),
            Some("/sys/fs/cgroup/memory/a/b".into())
        );
        assert_eq!(found("", "/"), Some("/sys/fs/cgroup/unified/".into()));
        assert_eq!(
            found("pids", "/docker/x/y"),
            Some("/sys/fs/cgroup/pids/y".into())
        );
        assert_eq!(found("cpu", "/"), None);
    }
}
