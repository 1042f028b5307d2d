//! What whole-program tests share: the program, places of their own, and a cache that all of them use.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mirrorcode");

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/cli is two levels down")
        .to_owned()
}

/// The cache of all tests: images are built once. `MIRRORCODE_CACHE` names another.
pub fn cache() -> PathBuf {
    std::env::var_os("MIRRORCODE_CACHE").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-cache"),
        PathBuf::from,
    )
}

/// `mirrorcode` in an empty directory of its own, with the repository's targets and the tests' cache.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        self.surround(|name, value| {
            command.env(name, value);
        });
        command
            .env_remove("COLUMNS")
            .current_dir(self.dir.path())
            .timeout(Duration::from_secs(300));
        command
    }

    fn surround(&self, mut set: impl FnMut(&str, PathBuf)) {
        set("MIRRORCODE_TARGETS", repository().join("targets"));
        set("MIRRORCODE_LANGUAGES", repository().join("languages"));
        set("MIRRORCODE_RUNS", self.path("runs"));
        set("MIRRORCODE_CACHE", cache());
    }

    /// A shell script with the program as `$MIRRORCODE`: for mounts and limits around it.
    pub fn script(&self, wrapper: &[&str], script: &str) -> Command {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).args(["sh", "-ec", script]);
        self.surround(|name, value| {
            command.env(name, value);
        });
        command
            .env("MIRRORCODE", PROGRAM)
            .current_dir(self.dir.path())
            .timeout(Duration::from_secs(300));
        command
    }

    /// The same as `command`, for tests that send it signals.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tested program, which is sent signals"
    )]
    pub fn process(&self) -> std::process::Command {
        let mut command = std::process::Command::new(PROGRAM);
        self.surround(|name, value| {
            command.env(name, value);
        });
        command.current_dir(self.dir.path());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::of(&self.command().args(arguments).output().unwrap())
    }

    /// Runs it, and expects this status.
    pub fn expect(&self, status: i32, arguments: &[&str]) -> Done {
        let done = self.run(arguments);
        done.expect(status, arguments);
        done
    }

    /// Text with what differs from place to place taken out.
    pub fn redact(&self, text: &str) -> String {
        let cache = cache().display().to_string();
        let repository = repository().display().to_string();
        text.replace(&self.dir.path().display().to_string(), "[HERE]")
            .replace(&cache, "[CACHE]")
            .replace(&repository, "[REPOSITORY]")
    }

    /// A copy of the repository's targets and languages in this place.
    pub fn copy_targets(&self) {
        copy(
            &repository().join("targets/gron"),
            &self.path("targets/gron"),
        );
        copy(&repository().join("languages"), &self.path("languages"));
    }

    /// Names below a directory that say that something was left half-written.
    pub fn half_written(&self, below: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(below, &mut |path| {
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().contains("partial"))
            {
                found.push(path.to_owned());
            }
        });
        found
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    pub fn of(output: &Output) -> Self {
        Done {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect(&self, status: i32, what: &[&str]) {
        assert_eq!(
            self.status,
            Some(status),
            "{what:?}\n{}\n{}",
            self.stdout,
            self.stderr
        );
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        visit(&entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A target with few cases of gron, built: for tests in which the number of cases does not matter.
pub fn small() -> &'static Path {
    const FAMILIES: [&str; 5] = [
        "arrays",
        "file-arguments",
        "flag-errors",
        "stream",
        "ungron-arrays",
    ];
    static SMALL: std::sync::OnceLock<Place> = std::sync::OnceLock::new();
    let place = SMALL.get_or_init(|| {
        let place = Place::new();
        let from = repository().join("targets/gron");
        for family in FAMILIES {
            let name = format!("families/{family}.toml");
            place.write(
                &format!("targets/small/{name}"),
                fs::read(from.join(&name)).unwrap(),
            );
        }
        copy(
            &from.join("fixtures"),
            &place.path("targets/small/fixtures"),
        );
        let spec = fs::read_to_string(from.join("target.toml")).unwrap();
        place.write(
            "targets/small/target.toml",
            spec.replacen("\"gron\"", "\"small\"", 1),
        );
        copy(&repository().join("languages"), &place.path("languages"));
        place.expect(
            0,
            &[
                "target",
                "build",
                "small",
                "--targets",
                "targets",
                "--languages",
                "languages",
            ],
        );
        place
    });
    Box::leak(Box::new(place.path("targets")))
}

/// A target's visible cases, parsed.
pub fn visible(target: &Path) -> Vec<serde_json::Value> {
    let path = target.join("tests/visible.jsonl");
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
