//! `mirrorcode doctor`: what this machine offers, what is missing, and how to get it.

use std::path::PathBuf;

use sandbox::{Finding, Need};
use serde::Serialize;

use crate::exit::{self, Answer};
use crate::terminal;

#[derive(Serialize)]
struct Report<'a> {
    ready: bool,
    findings: &'a [Finding],
}

/// Where the building of images finds a program: on the path, and where administration's tools are.
fn on_path(program: &str) -> Option<PathBuf> {
    const SYSTEM: [&str; 5] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM.map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn tool(name: &'static str, program: &str, package: &str, why: &str) -> Finding {
    let found = on_path(program);
    Finding {
        name,
        need: Need::Required,
        present: found.is_some(),
        detail: found.map_or_else(|| why.to_owned(), |path| path.display().to_string()),
        remedy: format!("as root: apt-get install {package}"),
    }
}

/// Ranges of user ids for this user, without which an ordinary user cannot unpack packages.
fn subordinate_ids() -> Finding {
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_default();
    let id = rustix::process::geteuid().as_raw().to_string();
    let has = |file: &str| {
        std::fs::read_to_string(file)
            .unwrap_or_default()
            .lines()
            .any(|line| {
                line.split(':')
                    .next()
                    .is_some_and(|name| name == user || name == id)
            })
    };
    let present = id == "0" || (has("/etc/subuid") && has("/etc/subgid"));
    let detail = match (id.as_str(), present) {
        ("0", _) => "not needed by root".to_owned(),
        (_, true) => "in /etc/subuid and /etc/subgid".to_owned(),
        (_, false) => {
            "none for this user; only images that are built already can be used".to_owned()
        }
    };
    Finding {
        name: "subordinate ids",
        need: Need::Helpful,
        present,
        detail,
        remedy: format!(
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        ),
    }
}

fn worker() -> Finding {
    let spec = sandbox::Spec {
        rootfs: PathBuf::from("/"),
        mounts: Vec::new(),
        scratch: Vec::new(),
        hostname: "mirrorcode".to_owned(),
        proc: true,
        terminals: true,
        syscalls: sandbox::Syscalls::Tools,
        execute: None,
        guard: None,
        memory: 256 << 20,
        processes: 16,
    };
    let (present, detail, remedy) = match sandbox::Worker::start(&spec) {
        Ok(_) => (
            true,
            "one was built and taken down".to_owned(),
            String::new(),
        ),
        Err(error) => (
            false,
            error.to_string(),
            "mend what is missing above; if nothing is, report this line".to_owned(),
        ),
    };
    Finding {
        name: "a whole sandbox",
        need: Need::Required,
        present,
        detail,
        remedy,
    }
}

pub(crate) fn run(json: bool) -> Answer {
    let mut findings = sandbox::examine();
    findings.push(worker());
    findings.push(tool(
        "mmdebstrap",
        "mmdebstrap",
        "mmdebstrap",
        "builds root filesystems from Debian packages",
    ));
    findings.push(tool(
        "newuidmap",
        "newuidmap",
        "uidmap",
        "lets an ordinary user unpack packages",
    ));
    findings.push(subordinate_ids());
    let ready = findings
        .iter()
        .all(|finding| finding.present || finding.need == Need::Helpful);
    if json {
        terminal::json(&Report {
            ready,
            findings: &findings,
        });
    } else {
        let mut table = terminal::table(&["", "what", "seen"]);
        for finding in &findings {
            let mark = match (finding.present, finding.need) {
                (true, _) => "ok",
                (false, Need::Required) => "MISSING",
                (false, Need::Helpful) => "absent",
            };
            table.add_row([mark, finding.name, &finding.detail]);
        }
        terminal::print_table(&table);
        for finding in findings.iter().filter(|finding| !finding.present) {
            terminal::line(&format!("\n{}: {}", finding.name, finding.remedy));
        }
        terminal::line(if ready { "\nready" } else { "\nnot ready" });
    }
    Ok(if ready { exit::DONE } else { exit::MACHINE })
}
