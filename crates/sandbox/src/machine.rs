//! What this machine offers a sandbox, found by trying.

use std::fs;

use serde::Serialize;

use crate::{cgroup, confine};

/// How much a sandbox depends on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it nothing runs.
    Required,
    /// Without it limits are held by weaker means.
    Helpful,
}

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub name: &'static str,
    /// How much depends on it.
    pub need: Need,
    /// Whether it is there.
    pub present: bool,
    /// What was seen.
    pub detail: String,
    /// What to do when it is missing; empty when it is not.
    pub remedy: String,
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn user_namespaces() -> Finding {
    let most = number("/proc/sys/user/max_user_namespaces");
    let (present, detail, remedy) = if !fs::exists("/proc/self/ns/user").unwrap_or(false) {
        (
            false,
            "not in this kernel".to_owned(),
            "use a kernel with CONFIG_USER_NS".to_owned(),
        )
    } else if most == Some(0) {
        (
            false,
            "user.max_user_namespaces is 0".to_owned(),
            "as root: sysctl -w user.max_user_namespaces=10000".to_owned(),
        )
    } else if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        (
            false,
            "kernel.unprivileged_userns_clone is 0".to_owned(),
            "as root: sysctl -w kernel.unprivileged_userns_clone=1".to_owned(),
        )
    } else if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        (
            false,
            "AppArmor restricts them".to_owned(),
            "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".to_owned(),
        )
    } else {
        (
            true,
            most.map_or_else(|| "allowed".to_owned(), |most| format!("up to {most}")),
            String::new(),
        )
    };
    Finding {
        name: "user namespaces",
        need: Need::Required,
        present,
        detail,
        remedy,
    }
}

fn landlock() -> Finding {
    let (present, detail, remedy) = match confine::available() {
        Ok(()) => (true, "in force when asked for".to_owned(), String::new()),
        Err(error) => (
            false,
            error.to_string(),
            "use Linux 5.13 or newer and start it with `landlock` in its lsm= list".to_owned(),
        ),
    };
    Finding {
        name: "Landlock",
        need: Need::Required,
        present,
        detail,
        remedy,
    }
}

fn seccomp() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let present = actions.split_whitespace().any(|action| action == "errno");
    let remedy = if present {
        ""
    } else {
        "use a kernel with CONFIG_SECCOMP_FILTER"
    };
    Finding {
        name: "seccomp filters",
        need: Need::Required,
        present,
        detail: actions.trim().to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn control_groups() -> Finding {
    let (present, detail, remedy) = match cgroup::usable() {
        Ok(cgroup::Version::One) => (true, "version 1".to_owned(), String::new()),
        Ok(cgroup::Version::Two) => (true, "version 2".to_owned(), String::new()),
        Err(error) => (
            false,
            error.to_string(),
            "start under a delegated group, for example: systemd-run --user --scope -p Delegate=yes \
             mirrorcode ..."
                .to_owned(),
        ),
    };
    Finding {
        name: "control groups",
        need: Need::Helpful,
        present,
        detail,
        remedy,
    }
}

/// Looks at everything a sandbox stands on.
pub fn examine() -> Vec<Finding> {
    vec![user_namespaces(), landlock(), seccomp(), control_groups()]
}
