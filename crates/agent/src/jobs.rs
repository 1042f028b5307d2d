//! Jobs in the background: commands that go on while others run.
//!
//! A job has the number of the command that started it. What it prints goes to a file, and when it ends its status
//! goes to another, which the next command's end brings along.

use std::path::{Path, PathBuf};

/// Where jobs leave their output and status, inside.
pub const DIRECTORY: &str = "/tmp/jobs";

/// Starts a script as a job, in a session of its own so that no limit of another command ends it.
pub(crate) const WRAPPER: &str = r#"
__script=$1 __directory=$2 __job=/tmp/jobs/$3
set --
[ -r /tmp/.shell/state ] && . /tmp/.shell/state
cd -- "$__directory" || cd /workspace || exit
mkdir -p /tmp/jobs || exit
setsid bash --norc -c 'trap "echo \$? >\"$2.status\"" EXIT; eval "$1"' bash "$__script" "$__job" \
    </dev/null >"$__job.txt" 2>&1 &
echo $! >"$__job.pid"
"#;

/// The file that a job's status is written to.
pub(crate) fn status(job: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{job}.status"))
}

/// The job that a status file belongs to.
pub(crate) fn number(status: &Path) -> Option<u64> {
    let name = status.strip_prefix(DIRECTORY).ok()?.to_str()?;
    name.strip_suffix(".status")?.parse().ok()
}
