//! Architecture invariants: who may depend on whom, where `unsafe` may stand, what no file may hold.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::repository;

/// Data flows from left to right. Nothing on the left knows anything on its right.
const ORDER: [&str; 17] = [
    "sandbox", "image", "target", "oracle", "model", "mcp", "agent", "run", "campaign", "store",
    "score", "bundle", "screen", "report", "serve", "cli", "fuzz",
];
/// Where `unsafe` may stand: at the kernel's door, and in what runs inside without a standard library.
const UNSAFE: [&str; 2] = ["sandbox", "oracle"];
const LONGEST_FILE: usize = 700;
/// Bytes of one file. The largest are cases of a target; whatever is larger was made by a program, and came in by mistake.
const LARGEST_FILE: u64 = 2 << 20;

fn tracked() -> Vec<PathBuf> {
    // Files that are not committed yet count as well; those that are ignored do not.
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(repository())
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let files: Vec<_> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .filter(|path| repository().join(path).is_file())
        .collect();
    assert!(files.len() > 100, "{} files", files.len());
    files
}

fn crates() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(repository().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn manifest(name: &str) -> toml::Table {
    let path = repository().join("crates").join(name).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn place(name: &str) -> usize {
    let place = ORDER.iter().position(|known| *known == name);
    place.unwrap_or_else(|| panic!("crate {name} has no place in ORDER; give it one"))
}

fn rust_files() -> Vec<(PathBuf, String)> {
    tracked()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(repository().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

/// A line without its comment and without what it quotes.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect()
}

#[test]
fn nothing_on_the_left_depends_on_anything_on_its_right() {
    let crates = crates();
    for name in &crates {
        let manifest = manifest(name);
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let named: BTreeSet<&String> = kinds
            .iter()
            .filter_map(|kind| manifest.get(*kind)?.as_table())
            .flat_map(toml::Table::keys)
            .filter(|dependency| crates.contains(dependency))
            .collect();
        for dependency in named {
            assert!(
                place(dependency) < place(name),
                "{name} depends on {dependency}, which stands on its right"
            );
        }
        assert!(
            !manifest.contains_key("target"),
            "{name}: dependencies by platform would escape this test"
        );
    }
    assert_eq!(crates.len(), ORDER.len(), "{crates:?}");
}

#[test]
fn agents_and_recorders_cannot_name_a_hidden_case() {
    for name in ["oracle", "agent", "run", "campaign"] {
        let manifest = manifest(name);
        for unknown in ["target", "score"] {
            let known = manifest["dependencies"].get(unknown).is_some();
            assert!(
                !known,
                "{name} must not know {unknown}, which knows hidden cases"
            );
        }
    }
}

#[test]
fn models_know_conversations_alone() {
    let manifest = manifest("model");
    for name in crates() {
        let known = manifest["dependencies"].get(&name).is_some();
        assert!(!known, "model must not know {name}");
    }
}

#[test]
fn the_protocol_knows_nothing_of_what_its_tools_do() {
    let manifest = manifest("mcp");
    for name in crates() {
        let known = manifest["dependencies"].get(&name).is_some();
        assert!(!known || name == "model", "mcp must not know {name}");
    }
}

#[test]
fn reports_know_nothing_of_how_things_were_run() {
    let manifest = manifest("report");
    for unknown in ["sandbox", "image", "oracle", "target"] {
        let known = manifest["dependencies"].get(unknown).is_some();
        assert!(!known, "report must not know {unknown}");
    }
}

#[test]
fn the_screen_knows_no_runs() {
    let manifest = manifest("screen");
    for unknown in ["oracle", "agent", "run", "campaign", "score"] {
        let known = manifest["dependencies"].get(unknown).is_some();
        assert!(!known, "screen must not know {unknown}");
    }
}

#[test]
fn every_crate_inherits_the_lints() {
    for name in crates() {
        let manifest = manifest(&name);
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        assert_eq!(
            inherits,
            Some(&toml::Value::Boolean(true)),
            "{name}: add [lints] workspace = true"
        );
    }
}

#[test]
fn unsafe_stands_only_at_the_kernels_door() {
    for (path, text) in rust_files() {
        let allowed = UNSAFE
            .iter()
            .any(|name| path.starts_with(Path::new("crates").join(name)));
        let found = text.lines().position(|line| {
            let code = code(line);
            code.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe" || word == "unsafe_code")
        });
        assert!(
            allowed || found.is_none(),
            "{}:{}: unsafe stands only in {UNSAFE:?}",
            path.display(),
            found.unwrap_or_default() + 1
        );
    }
}

#[test]
fn no_file_is_longer_than_a_person_reads_at_once() {
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{}: {lines} lines; split it",
            path.display()
        );
    }
}

#[test]
fn no_file_is_larger_than_a_targets_cases() {
    let found: Vec<_> = tracked()
        .into_iter()
        .filter_map(|path| {
            let bytes = fs::metadata(repository().join(&path)).ok()?.len();
            (bytes > LARGEST_FILE).then(|| format!("{}: {bytes} bytes", path.display()))
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_names_a_registrys_host_or_somebodys_home() {
    // Written in halves, so that this file does not hold what it looks for.
    let hosts = [
        ("deb", ".debian.org"),
        ("ftp", ".debian.org"),
        ("security", ".debian.org"),
        ("snapshot", ".debian.org"),
        ("crates", ".io"),
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("registry", ".npmjs"),
        ("proxy.golang", ".org"),
        ("docker", ".io"),
        ("gh", "cr.io"),
    ];
    let homes = [("/ho", "me/"), ("/ro", "ot/"), ("/Use", "rs/")];
    let whole = |halves: &[(&str, &str)]| -> Vec<String> {
        halves
            .iter()
            .map(|(start, end)| format!("{start}{end}"))
            .collect()
    };
    let (hosts, homes) = (whole(&hosts), whole(&homes));
    let mut found = Vec::new();
    for path in tracked() {
        // Cargo names its own index there.
        if path == Path::new("Cargo.lock") {
            continue;
        }
        // Attacks look for homes, from inside a sandbox.
        let attack = path.starts_with("crates/cli/tests/attacks");
        let bytes = fs::read(repository().join(&path)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            for pattern in hosts.iter().chain(homes.iter().filter(|_| !attack)) {
                if line.contains(pattern.as_str()) {
                    found.push(format!("{}:{}: {pattern}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// References and whatever else belongs to others are fetched when a target is built.
#[test]
fn no_file_is_a_program_or_a_package() {
    let beginnings: [&[u8]; 4] = [b"\x7fELF", b"!<arch>\n", b"PK\x03\x04", b"\x1f\x8b"];
    let found: Vec<_> = tracked()
        .into_iter()
        .filter(|path| {
            let bytes = fs::read(repository().join(path)).unwrap_or_default();
            beginnings
                .iter()
                .any(|beginning| bytes.starts_with(beginning))
        })
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
