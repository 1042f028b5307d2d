//! The first process of a worker's process namespace: it builds the root, then ends what commands leave.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::root;
use crate::spec::Spec;
use crate::sys;
use crate::wire::Done;

/// Process number of the init in its namespace.
pub(crate) const INIT_ID: u32 = 1;
/// Answer to a number: it is done.
const DONE: u8 = 0;

/// Builds the root from opened trees and says so once, then ends every other process whenever a number comes.
///
/// After each sweep the namespace's process numbers go on behind that number, so that a command cannot
/// tell from its own how many ran before it. Ends when the runner does. With `watch`, the runner gets a
/// process file system of this namespace.
pub(crate) fn run(mut runner: UnixStream, spec: &Spec, trees: root::Trees, watch: bool) -> ! {
    sys::ignore_signal(libc::SIGCHLD);
    let mut last_pid = None;
    let result = sys::die_with_parent().and_then(|()| {
        // Opened before the root changes: commands see a process file system without it.
        last_pid = std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/ns_last_pid")
            .ok();
        let processes = watch.then(root::processes).transpose()?;
        root::build(spec, trees)?;
        let keep = CapabilitySet::CHECKPOINT_RESTORE;
        set_capabilities(
            None,
            CapabilitySets {
                effective: keep,
                permitted: keep,
                inheritable: CapabilitySet::empty(),
            },
        )?;
        sys::make_undumpable()?;
        Ok(processes)
    });
    let failed = result.is_err();
    if Done::send(&runner, result).is_err() || failed {
        sys::exit_now(1);
    }
    let mut last = [0; 4];
    while runner.read_exact(&mut last).is_ok() {
        sys::kill_everyone();
        sys::reap_all();
        if let Some(file) = &last_pid {
            // At offset 0: the kernel ignores what is written elsewhere.
            let _ = file.write_all_at(u32::from_le_bytes(last).to_string().as_bytes(), 0);
        }
        if runner.write_all(&[DONE]).is_err() {
            break;
        }
    }
    sys::exit_now(0)
}
