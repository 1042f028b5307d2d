//! Twins outside any sandbox. They run bounded in time, and what could touch the machine runs in namespaces
//! of its own, which end with everything in them.

use std::path::Path;

use crate::lab::{COLLECTED, Got, judge};

/// Process 1 of a container: runs the codes one after another, beside a process that stands in for the harness.
/// A limit of one byte also keeps a crash handler, where the machine has one, from being started.
const FIRST: &str = r#"prlimit --pid $$ --core=1:
sleep 1000 >/dev/null 2>&1 & stand_in=$!
program=$1; shift
for code; do "$program" -c "$code"; done
kill -0 $stand_in 2>/dev/null || echo "WON against the stand-in"
:"#;

/// A session that goes on wherever the last command says it was.
pub(crate) const TRUSTING: &str = r#"export STATE=$PWD/.shell; mkdir "$STATE"; printf %s "$PWD" >"$STATE/directory"
for script; do
    cd "$(cat "$STATE/directory")" || { echo "WON: no next command"; break; }
    bash -c 'trap "pwd >$STATE/directory" EXIT; eval "$1"' bash "$script"
done"#;

/// Where and as what code runs.
pub(crate) struct Outside<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) contained: bool,
}

impl Outside<'_> {
    /// `program -c code` for each code.
    pub(crate) fn run(&self, program: &str, codes: &[&str]) -> Got {
        let mut text = String::new();
        if self.contained {
            let head = ["/bin/bash", "-c", FIRST, "bash", program];
            text += &self.command(&[&head, codes].concat());
        } else {
            for code in codes {
                text += &self.command(&[program, "-c", code]);
            }
        }
        // A collector that follows links.
        for name in COLLECTED {
            let path = self.directory.join(name);
            if path.is_file() && std::fs::read(&path).is_ok_and(|bytes| !bytes.is_empty()) {
                text += "WON: collected\n";
            }
        }
        judge(text)
    }

    /// One command, and what it printed.
    pub(crate) fn command(&self, command: &[&str]) -> String {
        let mut all = vec!["-k", "5", "100"];
        if self.contained {
            all.extend([
                "unshare",
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--ipc",
            ]);
        }
        all.extend(command);
        #[expect(
            clippy::disallowed_methods,
            reason = "a twin is an attack without the sandbox"
        )]
        let output = std::process::Command::new("timeout")
            .args(all)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory)
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}
