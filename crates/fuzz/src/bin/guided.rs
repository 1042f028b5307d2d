//! The same targets, with inputs that coverage leads. `FUZZ_TARGET` names one; `guided.sh` builds and runs it.
//!
//! With `FUZZ_PREPARE`, seeds and words of all targets are written into that directory instead; with `FUZZ_AGAIN`, that
//! file is read once, and the status says whether all is well.

#![no_main]

use std::sync::OnceLock;

use fuzz::{Target, find};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

fn place() -> &'static (&'static Target, TempDir) {
    static PLACE: OnceLock<(&Target, TempDir)> = OnceLock::new();
    PLACE.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name:?}"));
        (
            target,
            tempfile::tempdir().expect("TMPDIR can be written to"),
        )
    })
}

/// What is asked for besides fuzzing; `None` for fuzzing.
fn asked() -> Option<bool> {
    if let Some(directory) = std::env::var_os("FUZZ_PREPARE") {
        fuzz::prepare(directory.as_ref()).expect("the directory can be written to");
        return Some(true);
    }
    let file = std::env::var_os("FUZZ_AGAIN")?;
    let input = std::fs::read(file).expect("the file can be read");
    let (target, scratch) = place();
    Some(fuzz::hunt::one(target, &input, scratch.path()).is_none())
}

fuzz_target!(
    init: {
        if let Some(fine) = asked() {
            std::process::exit(i32::from(!fine));
        }
    },
    |input: &[u8]| {
        let (target, scratch) = place();
        (target.run)(input, scratch.path());
    }
);
