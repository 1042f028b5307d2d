//! Which boot of the machine this is.

use std::fs;

/// An id that changes with every boot; `None` where the system has none.
pub fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
