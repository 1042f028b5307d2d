//! Workers on this machine, as many as its processors and its memory allow.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, io};
use crate::executor::{Command, Executor, Place, Queued, log};
use crate::plan::Resources;

/// How often ended workers are looked for.
const PACE: Duration = Duration::from_millis(200);

/// Workers on this machine.
#[derive(Debug)]
pub struct Local {
    command: Command,
    logs: PathBuf,
    most: usize,
    workers: Vec<(String, Child)>,
}

/// Memory that can be had without swapping, in MiB.
fn available_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib >> 10)
}

/// Runs that fit on a machine: as many as processors and memory allow, and one at least.
fn most(resources: &Resources, cores: usize, memory_mib: Option<u64>) -> usize {
    let by_cores = cores / usize::from(resources.cores);
    let by_memory = memory_mib.map_or(usize::MAX, |memory| {
        usize::try_from(memory / resources.memory_mib.max(1)).unwrap_or(usize::MAX)
    });
    let said = resources.parallel.map_or(usize::MAX, usize::from);
    // Whoever says how many knows how little of a processor a run takes that waits for its model.
    let by_cores = if resources.parallel.is_some() {
        usize::MAX
    } else {
        by_cores
    };
    by_cores.min(by_memory).min(said).max(1)
}

impl Local {
    /// Prepares to start workers with this command, for the campaign in `directory`.
    ///
    /// # Errors
    /// When the directory for their output cannot be made.
    pub fn new(command: Command, directory: &Path, resources: &Resources) -> Result<Self, Error> {
        let logs = log(directory);
        fs::create_dir_all(&logs).map_err(io("make", &logs))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Local {
            command,
            logs,
            most: most(resources, cores, available_mib()),
            workers: Vec::new(),
        })
    }

    /// Most workers at the same time.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Forgets workers that have ended.
    fn reap(&mut self) {
        self.workers
            .retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
    }
}

impl Executor for Local {
    fn room(&mut self) -> Result<usize, Error> {
        self.reap();
        Ok(self.most.saturating_sub(self.workers.len()))
    }

    fn start(&mut self, ids: &[&str]) -> Result<(), Error> {
        for id in ids {
            let path = self.logs.join(format!("{id}.log"));
            let open = || OpenOptions::new().create(true).append(true).open(&path);
            let (out, err) = (
                open().map_err(io("open", &path))?,
                open().map_err(io("open", &path))?,
            );
            #[expect(
                clippy::disallowed_methods,
                reason = "this program itself, as a worker"
            )]
            let mut command = std::process::Command::new(&self.command.program);
            let child = command
                .args(&self.command.arguments)
                .arg(id)
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(err)
                // Ctrl-C is for whoever drives the campaign, who passes it on once.
                .process_group(0)
                .spawn()
                .map_err(io("start", &self.command.program))?;
            self.workers.push(((*id).to_owned(), child));
        }
        Ok(())
    }

    fn queued(&mut self) -> Result<Vec<Queued>, Error> {
        self.reap();
        let queued = |(id, _): &(String, Child)| Queued {
            id: id.clone(),
            place: Place::Running,
        };
        Ok(self.workers.iter().map(queued).collect())
    }

    fn leave(&mut self) -> Result<bool, Error> {
        for (_, child) in &self.workers {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        for (_, child) in &mut self.workers {
            let _ = child.wait();
        }
        self.workers.clear();
        Ok(false)
    }

    fn pace(&self) -> Duration {
        PACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_bounds_its_workers() {
        let resources = |cores, memory_mib, parallel| Resources {
            cores,
            memory_mib,
            parallel,
        };
        assert_eq!(most(&resources(1, 4096, None), 8, Some(64 << 10)), 8);
        assert_eq!(most(&resources(2, 4096, None), 8, Some(64 << 10)), 4);
        assert_eq!(most(&resources(1, 4096, None), 8, Some(10 << 10)), 2);
        assert_eq!(most(&resources(4, 4096, None), 2, Some(1)), 1);
        assert_eq!(most(&resources(1, 4096, Some(20)), 2, None), 20);
        assert_eq!(most(&resources(1, 4096, Some(20)), 2, Some(9000)), 2);
        assert!(available_mib().unwrap() > 0);
    }

    #[test]
    fn workers_start_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let command = Command {
            program: "/bin/sh".into(),
            arguments: ["-c", "echo \"$0\"; [ \"$0\" = short ] || exec sleep 60"]
                .map(Into::into)
                .to_vec(),
        };
        let resources = Resources {
            cores: 1,
            memory_mib: 1,
            parallel: Some(2),
        };
        let mut local = Local::new(command, dir.path(), &resources).unwrap();
        local.start(&["short", "long"]).unwrap();
        assert_eq!(local.most(), 2);
        while local.room().unwrap() == 0 {
            std::thread::sleep(PACE);
        }
        let queued = local.queued().unwrap();
        assert_eq!(queued.len(), 1);
        assert_eq!(
            (queued[0].id.as_str(), queued[0].place),
            ("long", Place::Running)
        );
        assert!(!local.leave().unwrap());
        assert!(local.queued().unwrap().is_empty());
        let said = fs::read_to_string(dir.path().join("logs/short.log")).unwrap();
        assert_eq!(said, "short\n");
    }
}
