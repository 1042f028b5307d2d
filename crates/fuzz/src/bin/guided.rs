//! The same targets, with inputs that coverage leads. `FUZZ_TARGET` names one; `guided.sh` builds and runs it.

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

fuzz_target!(|input: &[u8]| {
    let (target, scratch) = place();
    (target.run)(input, scratch.path());
});
