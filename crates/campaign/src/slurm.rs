//! Workers as jobs of Slurm, on nodes that share the directory of runs.
//!
//! Slurm may run one job twice at once, forget a job that it accepted, and give its number to another. So nothing here
//! rests on a job's number: jobs carry the name of their batch, which is ours, and the batch's file on the shared
//! directory says which attempts it has. Of two workers on one run the later one owns it (`run::Manner::Take`).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, io, write_whole};
use crate::executor::{Command, Executor, Place, Queued, log, quoted, scheduler};
use crate::plan::Resources;

/// How often Slurm is asked. Its controller serves a whole cluster.
const PACE: Duration = Duration::from_secs(5);
/// Most tasks of one array: one less than Slurm's own default.
const ARRAY: usize = 1000;
/// Jobs that wait or run, where nothing is said.
const QUEUE: usize = 1000;
/// Seconds before the end of a job's time in which a run ends cleanly, where nothing is said.
const NOTICE: u32 = 120;

/// How jobs are given to Slurm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SlurmOptions {
    /// Partition.
    pub partition: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Longest time of a job, as `sbatch --time` reads it; a run that needs longer goes on in the next job.
    pub time: Option<String>,
    /// Seconds before that in which a run ends cleanly.
    pub notice: Option<u32>,
    /// Most jobs that run at the same time, of each array.
    pub at_once: Option<u32>,
    /// Most jobs that wait or run.
    pub queue: Option<usize>,
    /// Seconds between two looks.
    pub look: Option<u32>,
    /// Further options of `sbatch`.
    pub options: Vec<String>,
    /// Lines of shell before the worker, such as `module load`.
    pub setup: Vec<String>,
}

/// Workers as jobs of Slurm.
#[derive(Debug)]
pub struct Slurm {
    command: Command,
    campaign: String,
    directory: PathBuf,
    options: SlurmOptions,
    resources: Resources,
    /// Attempts of batches, by the batches' names.
    batches: BTreeMap<String, Vec<String>>,
    number: u32,
    last: Vec<Job>,
}

/// A job as Slurm lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    batch: String,
    task: usize,
    state: String,
    /// Number of the job, good for orders at once only.
    number: String,
    reason: String,
}

/// The jobs of a campaign in what `squeue` prints.
fn jobs(campaign: &str, text: &str) -> Vec<Job> {
    let job = |line: &str| {
        let mut fields = line.trim().split('|');
        let batch = fields.next()?.strip_prefix(campaign)?.strip_prefix('.')?;
        Some(Job {
            batch: batch.to_owned(),
            task: fields.next()?.parse().ok()?,
            state: fields.next()?.to_owned(),
            number: fields.next()?.to_owned(),
            reason: fields.next().unwrap_or_default().to_owned(),
        })
    };
    text.lines().filter_map(job).collect()
}

fn run(program: &str, arguments: &[String]) -> Result<String, Error> {
    scheduler(program, "is this a machine of a Slurm cluster?", arguments)
}

/// Helps a job that waits for no good reason. What comes of it is seen at the next look.
fn push_on(job: &Job) {
    let words = match job.reason.as_str() {
        // A job that is queued again waits two minutes unless somebody says otherwise.
        "BeginTime" => vec![
            "update".to_owned(),
            format!("JobId={}", job.number),
            "StartTime=now".to_owned(),
        ],
        // A node failed to start it, and is drained; the job would wait for an operator.
        reason if reason.starts_with("launch failed") || reason.starts_with("launch_failed") => {
            vec!["release".to_owned(), job.number.clone()]
        }
        // Whoever holds a job has reasons.
        _ => return,
    };
    let _ = run("scontrol", &words);
}

impl Slurm {
    /// Prepares to submit jobs that run this command, for the campaign of this name in `directory`, which all nodes see
    /// under the same path.
    ///
    /// # Errors
    /// When its directories cannot be made.
    pub fn new(
        command: Command,
        campaign: &str,
        directory: &Path,
        options: SlurmOptions,
        resources: Resources,
    ) -> Result<Self, Error> {
        for dir in [log(directory), directory.join("batches")] {
            fs::create_dir_all(&dir).map_err(io("make", &dir))?;
        }
        Ok(Slurm {
            command,
            campaign: campaign.to_owned(),
            directory: directory.to_owned(),
            options,
            resources,
            batches: BTreeMap::new(),
            number: 0,
            last: Vec::new(),
        })
    }

    fn batch_file(&self, batch: &str) -> PathBuf {
        self.directory.join("batches").join(batch)
    }

    /// The script of a batch's jobs. Slurm copies it, so every path in it is absolute.
    fn script(&self, batch: &str) -> String {
        let mut words = vec![quoted(self.command.program.as_os_str().as_bytes())];
        words.extend(
            self.command
                .arguments
                .iter()
                .map(|word| quoted(word.as_bytes())),
        );
        let list = self.batch_file(batch);
        let setup: String = self
            .options
            .setup
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        format!(
            "#!/bin/sh\n\
             # One attempt of a campaign. USR1 comes before the job's time is over: the run ends cleanly and the job is\n\
             # queued again; the run goes on from its journal.\n\
             {setup}\
             id=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {list})\n\
             again=\n\
             {words} \"$id\" &\n\
             worker=$!\n\
             trap 'again=yes; kill -TERM $worker' USR1\n\
             trap 'kill -TERM $worker' TERM INT\n\
             status=1\n\
             while kill -0 $worker 2>/dev/null; do wait $worker; status=$?; done\n\
             if [ -n \"$again\" ] && [ $status = 130 ]; then scontrol requeue \"$SLURM_JOB_ID\"; fi\n\
             exit $status\n",
            list = quoted(list.as_os_str().as_bytes()),
            words = words.join(" "),
        )
    }

    fn submission(&self, batch: &str, tasks: usize) -> Vec<String> {
        let options = &self.options;
        let mut array = format!("--array=0-{}", tasks - 1);
        if let Some(most) = options.at_once {
            array += &format!("%{most}");
        }
        let logs = log(&self.directory);
        let mut words = vec![
            "--parsable".to_owned(),
            format!("--job-name={}.{batch}", self.campaign),
            array,
            "--requeue".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--output={}/slurm-{batch}-%a.log", logs.display()),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", self.resources.cores),
            format!("--mem={}M", self.resources.memory_mib),
        ];
        let named = [
            ("partition", &options.partition),
            ("account", &options.account),
            ("time", &options.time),
        ];
        for (name, value) in named {
            words.extend(value.iter().map(|value| format!("--{name}={value}")));
        }
        if options.time.is_some() {
            let notice = options.notice.unwrap_or(NOTICE);
            words.push(format!("--signal=B:USR1@{notice}"));
        }
        words.extend(options.options.iter().cloned());
        words.push(
            self.batch_file(batch)
                .with_extension("sh")
                .display()
                .to_string(),
        );
        words
    }

    /// The attempts of a batch.
    fn attempts(&mut self, batch: &str) -> &[String] {
        if !self.batches.contains_key(batch) {
            let text = fs::read_to_string(self.batch_file(batch)).unwrap_or_default();
            let ids = text.lines().map(str::to_owned).collect();
            self.batches.insert(batch.to_owned(), ids);
        }
        &self.batches[batch]
    }

    fn look(&mut self) -> Result<(), Error> {
        let words = ["--me", "--noheader", "--array", "--format=%j|%K|%T|%i|%r"];
        let text = run("squeue", &words.map(str::to_owned))?;
        self.last = jobs(&self.campaign, &text);
        Ok(())
    }

    /// Ends all jobs that have not begun.
    ///
    /// # Errors
    /// When Slurm cannot be reached.
    pub fn cancel_waiting(&mut self) -> Result<usize, Error> {
        self.look()?;
        let waiting = self.last.iter().filter(|job| job.state == "PENDING");
        let numbers: Vec<String> = waiting.map(|job| job.number.clone()).collect();
        for some in numbers.chunks(200) {
            run("scancel", some)?;
        }
        Ok(numbers.len())
    }
}

impl Executor for Slurm {
    fn room(&mut self) -> Result<usize, Error> {
        let most = self.options.queue.unwrap_or(QUEUE);
        Ok(most.saturating_sub(self.last.len()))
    }

    fn start(&mut self, ids: &[&str]) -> Result<(), Error> {
        for ids in ids.chunks(ARRAY) {
            self.number += 1;
            let time = SystemTime::now().duration_since(UNIX_EPOCH);
            let time = time.map_or(0, |time| time.as_millis());
            let batch = format!("{time:x}-{:x}-{}", std::process::id(), self.number);
            let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
            let file = self.batch_file(&batch);
            write_whole(&file, text.as_bytes())?;
            write_whole(&file.with_extension("sh"), self.script(&batch).as_bytes())?;
            run("sbatch", &self.submission(&batch, ids.len()))?;
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            self.batches.insert(batch, ids);
        }
        Ok(())
    }

    fn queued(&mut self) -> Result<Vec<Queued>, Error> {
        self.look()?;
        let mut queued = Vec::new();
        for job in self.last.clone() {
            if job.state == "PENDING" {
                push_on(&job);
            }
            let place = match job.state.as_str() {
                "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" => Place::Waiting,
                _ => Place::Running,
            };
            if let Some(id) = self.attempts(&job.batch).get(job.task) {
                queued.push(Queued {
                    id: id.clone(),
                    place,
                });
            }
        }
        Ok(queued)
    }

    fn leave(&mut self) -> Result<bool, Error> {
        Ok(true)
    }

    fn pace(&self) -> Duration {
        self.options
            .look
            .map_or(PACE, |seconds| Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slurm(dir: &Path, options: SlurmOptions) -> Slurm {
        let command = Command {
            program: "/opt/it's/mirrorcode".into(),
            arguments: vec!["campaign".into(), "work".into()],
        };
        let resources = Resources {
            cores: 2,
            memory_mib: 5000,
            parallel: None,
        };
        Slurm::new(command, "pilot", dir, options, resources).unwrap()
    }

    #[test]
    fn jobs_are_known_by_the_names_of_their_batches() {
        let text = "pilot.18c-1|0|RUNNING|12_0|None\npilot.18c-1|1|PENDING|12_1|BeginTime\n\
                    pilot2.18c-1|0|RUNNING|13_0|None\nother|N/A|RUNNING|14|None\n\n";
        let found = jobs("pilot", text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].task, found[1].reason.as_str()), (1, "BeginTime"));
    }

    #[test]
    fn a_batch_is_a_list_and_a_script() {
        let dir = tempfile::tempdir().unwrap();
        let options = SlurmOptions {
            time: Some("12:00:00".to_owned()),
            at_once: Some(8),
            options: vec!["--qos=low".to_owned()],
            setup: vec!["module load x".to_owned()],
            ..SlurmOptions::default()
        };
        let mut slurm = slurm(dir.path(), options);
        let words = slurm.submission("b", 3).join(" ");
        for word in [
            "--array=0-2%8",
            "--requeue",
            "--signal=B:USR1@120",
            "--job-name=pilot.b",
            "--cpus-per-task=2",
            "--mem=5000M",
            "--qos=low",
        ] {
            assert!(words.contains(word), "{words}");
        }
        let script = slurm.script("b");
        assert!(script.contains("module load x\n"), "{script}");
        assert!(
            script.contains(r"'/opt/it'\''s/mirrorcode' 'campaign' 'work' "),
            "{script}"
        );
        fs::write(slurm.batch_file("b"), "one\ntwo\n").unwrap();
        assert_eq!(slurm.attempts("b"), ["one", "two"]);
        assert!(slurm.attempts("forgotten").is_empty());
    }
}
