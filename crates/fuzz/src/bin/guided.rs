//! The same targets, with inputs that coverage leads. `FUZZ_TARGET` names one; with `FUZZ_PREPARE`, seeds and words of
//! all are written into that directory instead. `guided.sh` builds and runs it.

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

fuzz_target!(init: {
    if let Some(directory) = std::env::var_os("FUZZ_PREPARE") {
        fuzz::prepare(directory.as_ref()).expect("the directory can be written to");
        std::process::exit(0);
    }
}, |input: &[u8]| {
    let (target, scratch) = place();
    (target.run)(input, scratch.path());
});
