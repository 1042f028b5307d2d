//! The languages that come with mirrorcode, and what conforms to them.

use std::path::Path;

use proptest::prelude::*;
use target::{Language, conformity};

fn language(name: &str) -> Language {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../languages")
        .join(format!("{name}.toml"));
    Language::parse(
        &format!("languages/{name}.toml"),
        &std::fs::read(path).unwrap(),
    )
    .unwrap()
}

#[test]
fn every_language_can_be_read() {
    for name in ["ada", "c", "go", "ocaml", "python", "rust"] {
        let language = language(name);
        assert!(
            language.conformity.forbid_elf && language.conformity.standard_library_only,
            "{name}"
        );
        assert!(
            language.guide.contains(&language.start.join(" ")),
            "{name}: the guide says how programs start"
        );
    }
    let python = language("python");
    assert_eq!(
        python.build_packages, python.agent_packages,
        "unless it is said otherwise"
    );
}

#[test]
fn what_is_wrong_with_a_language_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../languages/python.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let line = |key: &str| 1 + text.lines().position(|line| line.starts_with(key)).unwrap();
    for (key, to, expected) in [
        (
            "sources",
            "source",
            "unknown key \"source\"; did you mean \"sources\"?",
        ),
        (
            "name",
            "about2",
            "unknown key \"about2\"; did you mean \"about\"?",
        ),
        (
            "build-wall-seconds = ",
            "build-wall-seconds = -",
            "\"limits.build-wall-seconds\" must be from 1 to 86400, not -60",
        ),
        (
            "artifacts = [\".\"]",
            "artifacts = [\"../x\"]",
            "path \"../x\" has a \"..\"",
        ),
        (
            "forbid-elf = true",
            "forbid-elf = 1",
            "\"conformity.forbid-elf\" must be true or false, not an integer",
        ),
    ] {
        let found =
            Language::parse("l/python.toml", text.replacen(key, to, 1).as_bytes()).unwrap_err();
        assert_eq!(
            found.to_string(),
            format!("l/python.toml:{}: {expected}", line(key))
        );
    }
    let found = Language::parse("l/pyton.toml", text.as_bytes())
        .unwrap_err()
        .to_string();
    assert_eq!(
        found,
        "l/pyton.toml:1: \"name\" must be \"pyton\", as its file is called"
    );
}

fn violations(name: &str, files: &[(&str, &[u8])]) -> Vec<String> {
    conformity::check(files, &language(name))
        .iter()
        .map(ToString::to_string)
        .collect()
}

const MANIFEST: &[u8] = b"[package]\nname = \"program\"\n";

#[test]
fn submissions_that_conform() {
    for (name, files) in [
        (
            "python",
            vec![
                ("main.py", &b"#!/usr/bin/env python3\n"[..]),
                ("data/t.json", b"[]"),
                ("notes.md", b"MZ"),
                (".gitignore", b"x"),
            ],
        ),
        (
            "c",
            vec![
                ("src/main.c", b"int main;"),
                ("src/x.h", b""),
                ("table.txt", b"PK?"),
                ("Makefile", b""),
            ],
        ),
        (
            "rust",
            vec![
                ("src/main.rs", b""),
                ("Cargo.toml", MANIFEST),
                ("Cargo.lock", b""),
            ],
        ),
        (
            "rust",
            vec![
                ("src/main.rs", b""),
                ("Cargo.toml", b"[package]\nbuild = false\n[dependencies]\n"),
            ],
        ),
        (
            "go",
            vec![
                ("main.go", &b"package main\n"[..]),
                ("go.mod", b"module program\n\ngo 1.24\n"),
                ("table.txt", b""),
            ],
        ),
        (
            "ocaml",
            vec![
                ("main.ml", &b"let () = ()"[..]),
                ("lib/x.mli", b""),
                ("dune", b"(executable (name main))"),
                ("dune-project", b"(lang dune 3.0)"),
            ],
        ),
        (
            "ada",
            vec![
                ("main.adb", &b"procedure Main is begin null; end Main;"[..]),
                ("src/x.ads", b""),
                ("notes.gpr", b""),
            ],
        ),
    ] {
        assert_eq!(violations(name, &files), [""; 0], "{files:?}");
    }
}

#[test]
fn submissions_that_do_not() {
    let mut pe = vec![0; 0x80];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x40;
    pe[0x40..0x44].copy_from_slice(b"PE\0\0");
    for (name, path, bytes, expected) in [
        (
            "python",
            "x",
            &b"\x7fELF\x02\x01\x01"[..],
            "x: an ELF file cannot be submitted; submit source code",
        ),
        (
            "python",
            "main.py",
            b"# \x7fELF\x02\x01\x01",
            "main.py: a file with an ELF file inside cannot be submitted; submit source code",
        ),
        (
            "python",
            "a.bin",
            b"\xcf\xfa\xed\xfe",
            "a.bin: a Mach-O file cannot be submitted; submit source code",
        ),
        (
            "python",
            "a.bin",
            &pe,
            "a.bin: a PE file cannot be submitted; submit source code",
        ),
        (
            "python",
            "a.bin",
            b"!<arch>\nx",
            "a.bin: an archive of object files cannot be submitted; submit source code",
        ),
        (
            "python",
            "a.bin",
            b"\0asm\x01",
            "a.bin: a WebAssembly module cannot be submitted; submit source code",
        ),
        (
            "python",
            "a.bin",
            b"\xf3\x0d\r\n\0\0\0\0xxxx",
            "a.bin: Python bytecode cannot be submitted; submit source code",
        ),
        (
            "python",
            "a.data",
            b"PK\x03\x04",
            "a.data: a zip archive cannot be submitted; submit source code",
        ),
        (
            "python",
            "lib/x.C",
            b"",
            "lib/x.C: C source in a python submission",
        ),
        (
            "python",
            "run",
            b"#!/bin/sh\n",
            "run: a script that is not named as python source",
        ),
        (
            "c",
            "helper.py",
            b"",
            "helper.py: Python source in a c submission",
        ),
        ("c", "x.s", b"", "x.s: assembly source in a c submission"),
        (
            "rust",
            "build.rs",
            b"",
            "build.rs: build scripts cannot be submitted: they can compile other languages",
        ),
        (
            "rust",
            ".cargo/config.toml",
            b"",
            ".cargo/config.toml: settings of Cargo cannot be submitted",
        ),
        (
            "rust",
            "x/Cargo.toml",
            b"[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n",
            "x/Cargo.toml: \"dependencies\" must be empty: only the standard library may be used",
        ),
        (
            "rust",
            "Cargo.toml",
            b"[build-dependencies.cc]\npath = \"cc\"\n",
            "Cargo.toml: \"build-dependencies\" must be empty: only the standard library may be used",
        ),
        (
            "rust",
            "Cargo.toml",
            b"[package]\nbuild = \"make.rs\"\n",
            "Cargo.toml: build scripts cannot be submitted: they can compile other languages",
        ),
        (
            "rust",
            "Cargo.toml",
            b"[package",
            "Cargo.toml: the manifest is not TOML: unclosed table, expected `]`",
        ),
        (
            "go",
            "go.mod",
            b"module program\nrequire example.org/x v1.0.0\n",
            "go.mod: \"require\" must not stand in go.mod: only the standard library may be used",
        ),
        (
            "go",
            "add_amd64.s",
            b"",
            "add_amd64.s: assembly source in a go submission",
        ),
        (
            "go",
            "x/fast.c",
            b"",
            "x/fast.c: C source in a go submission",
        ),
        (
            "ocaml",
            "dune",
            b"(rule (action (run cc)))",
            "dune: \"rule\" must not stand in a dune file",
        ),
        (
            "ocaml",
            "stubs.c",
            b"",
            "stubs.c: C source in an ocaml submission",
        ),
        (
            "ocaml",
            "x.cmxa",
            b"",
            "x.cmxa: object source in an ocaml submission",
        ),
        (
            "ada",
            "stubs.c",
            b"",
            "stubs.c: C source in an ada submission",
        ),
        ("ada", "x.o", b"", "x.o: object source in an ada submission"),
    ] {
        let source = match name {
            "python" => "main2.py",
            "c" => "main.c",
            "go" => "main.go",
            "ocaml" => "main.ml",
            "ada" => "main.adb",
            _ => "src/main.rs",
        };
        assert_eq!(
            violations(name, &[(source, b""), (path, bytes)]),
            [expected]
        );
    }
    assert_eq!(
        violations("c", &[("x.txt", b"")]),
        ["there is no source file in c (*.c, *.h)"]
    );
    assert_eq!(
        violations("rust", &[]),
        ["there is no source file in rust (*.rs)"]
    );
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(path in "[a-z./*\\PC]{0,12}", bytes in any::<Vec<u8>>()) {
        let files = [(path.as_str(), bytes.as_slice()), ("Cargo.toml", &bytes)];
        for name in ["ada", "c", "go", "ocaml", "python", "rust"] {
            conformity::check(&files, &language(name));
        }
        let _ = Language::parse("languages/x.toml", &bytes);
    }
}
