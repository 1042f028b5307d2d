//! Every dependency may be used by anybody, and none is there twice without a reason. Works offline.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use assert_cmd::Command;
use common::repository;
use serde_json::Value;

/// Licences that ask for no more than their own text to be kept.
const ALLOWED: [&str; 12] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CC0-1.0",
    "Unlicense",
];

/// Crates that are there in more than one version, and why.
const TWICE: [(&str, &str); 19] = [
    ("base64", "age's is older"),
    ("block-buffer", "what sha2 hashes with: as sha2"),
    ("chacha20", "age's cipher is older than rand's generator"),
    (
        "cpufeatures",
        "proptest's random numbers and rmcp's hashes are newer than our hashes",
    ),
    ("crypto-common", "what sha2 hashes with: as sha2"),
    ("digest", "what sha2 hashes with: as sha2"),
    ("getrandom", "ring, behind TLS, is older than the rest"),
    ("rand", "age's is older than proptest's"),
    ("rand_chacha", "age's is older than ours"),
    ("rand_core", "proptest's random numbers are newer than ours"),
    (
        "rustc-hash",
        "age's translations are between two of its versions",
    ),
    (
        "self_cell",
        "age's translations are between two of its versions",
    ),
    (
        "sha2",
        "what embeds age's translations is newer than our hashes",
    ),
    ("syn", "derive macros are between two of its versions"),
    ("thiserror", "age's translations are older than our errors"),
    ("thiserror-impl", "as thiserror"),
    ("toml", "age's translations are found with an older one"),
    (
        "toml_datetime",
        "toml's reader and writer are between two of its versions",
    ),
    ("winnow", "what toml reads with: as toml_datetime"),
];

/// The packages of this platform, with what tests need.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
            &platform,
        ])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .filter(|package| used.contains(package["id"].as_str().unwrap()))
        .cloned()
        .collect()
}

/// Whether an SPDX expression can be met with allowed licences alone.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // `A OR B AND C` with the brackets gone: each side of AND must offer something allowed.
    expression.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|licence| ALLOWED.contains(&licence.trim()))
    })
}

#[test]
fn expressions_are_understood() {
    for (expression, expected) in [
        ("MIT", true),
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("MPL-2.0", false),
        ("", false),
    ] {
        assert_eq!(allowed(expression), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let packages = packages();
    assert!(packages.len() > 50, "{}", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !allowed(package["license"].as_str().unwrap_or_default()))
        .map(|package| {
            format!(
                "{} {}: {}",
                package["name"], package["version"], package["license"]
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_dependency_is_there_twice_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        versions
            .entry(text("name"))
            .or_default()
            .insert(text("version"));
    }
    let twice: BTreeMap<_, _> = versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .collect();
    for (name, versions) in &twice {
        assert!(
            TWICE.iter().any(|(known, _)| known == name),
            "{name} is there as {versions:?}"
        );
    }
    for (name, reason) in TWICE {
        assert!(
            twice.contains_key(name) && !reason.is_empty(),
            "{name} is there once now; take it from the list"
        );
    }
}
