//! Who works on a run: a process, and whether it is still there.

use std::fs;

use serde::{Deserialize, Serialize};

/// A worker, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its machine's name.
    pub host: String,
    /// Boot of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Namespace of process numbers that its own is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its process number.
    pub process: u32,
    /// When the process began, in the kernel's ticks since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
}

impl std::fmt::Display for Worker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "process {} on {}", self.process, self.host)
    }
}

/// Whether a worker's process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Alive,
    Gone,
    /// It is of another machine.
    Unknown,
}

fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Whether there is a process of this number, whoever's.
fn exists(process: u32) -> bool {
    let number = i32::try_from(process).ok();
    let Some(number) = number.and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    rustix::process::test_kill_process(number) != Err(rustix::io::Errno::SRCH)
}

/// Whether a process has ended, without its parent having asked, and when it began. The name before these may hold
/// anything but ends with the last parenthesis.
fn status(process: u32) -> Option<(bool, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let is_over = fields.next()? == "Z";
    Some((is_over, fields.nth(18)?.parse().ok()?))
}

impl Worker {
    /// This process.
    pub fn this() -> Self {
        let process = std::process::id();
        Worker {
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            boot: crate::boot(),
            namespace: namespace(),
            process,
            started: status(process).map(|(_, began)| began),
        }
    }

    pub(crate) fn process(&self) -> Process {
        let same = |one: &Option<String>, other: Option<String>| one.is_some() && *one == other;
        if !same(&self.boot, crate::boot()) || !same(&self.namespace, namespace()) {
            return Process::Unknown;
        }
        if !exists(self.process) {
            return Process::Gone;
        }
        match (status(self.process), self.started) {
            (Some((true, _)), _) => Process::Gone,
            // Another process has its number.
            (Some((_, found)), Some(began)) if found != began => Process::Gone,
            _ => Process::Alive,
        }
    }
}
