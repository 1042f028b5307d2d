//! Workers as pods of Kubernetes, on nodes that share the directory of runs.
//!
//! A batch of attempts is one indexed Job; which attempt an index means is in the batch's file on the shared directory, as
//! for Slurm. A Job may have two pods of one index for a while, so workers take the run from whoever has it, and the later
//! one owns it (`run::Manner::Take`). What became of a run is in its directory; the Job's own count is believed by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, io, write_whole};
use crate::executor::{Command, Executor, Place, Queued, quoted, scheduler};
use crate::plan::Resources;
use crate::yaml;

/// How often the cluster is asked.
const PACE: Duration = Duration::from_secs(10);
/// Most indexes of one Job.
const INDEXES: usize = 1000;
/// Pods that wait or run, where nothing is said.
const QUEUE: usize = 1000;
/// Seconds between the wish to end and the end, where nothing is said: a run ends cleanly between two steps.
const GRACE: u32 = 120;
/// How often the pods of an index may fail before it is left alone; the campaign counts for itself.
const RETRIES: u32 = 5;
/// Seconds for which a Job that has ended is kept.
const KEPT: u32 = 7 * 86_400;
/// With this status a worker's script ends when the campaign is stopped: the Job does not begin it again.
const STOPPED: u8 = 77;
/// What a worker ends with that was told to end: the pod is begun again, and the run goes on.
const INTERRUPTED: u8 = 130;
/// What a worker ends with when something is wrong that trying again does not change.
const USAGE: u8 = 2;
/// Names the campaign on everything.
const CAMPAIGN: &str = "mirrorcode.campaign";
const BATCH: &str = "mirrorcode.batch";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// How pods are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KubernetesOptions {
    /// Container image; it needs a C library, a shell, and this program where `program` says.
    pub image: Option<String>,
    /// The program in the container: in the image, or on the shared volume.
    pub program: Option<PathBuf>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Claim of the shared volume.
    pub claim: Option<String>,
    /// Where it is, in pods and on this machine alike.
    pub mount: Option<PathBuf>,
    /// Size of a claim to be made, such as `500Gi`; without it, the claim is there already.
    pub storage: Option<String>,
    /// Class of that claim.
    pub storage_class: Option<String>,
    /// Secrets by name, whose entries become variables of the workers.
    pub secrets: Vec<String>,
    /// Account of the pods.
    pub service_account: Option<String>,
    /// User and group of the workers.
    pub user: Option<u32>,
    /// Whether pods have users of their own (`hostUsers: false`), as Kubernetes since 1.33 offers where nodes allow it.
    pub own_users: Option<bool>,
    /// Labels that nodes have to have.
    pub nodes: BTreeMap<String, String>,
    /// Most pods that run at the same time, of each Job.
    pub at_once: Option<u32>,
    /// Most pods that wait or run.
    pub queue: Option<usize>,
    /// Seconds between the wish to end and the end.
    pub grace: Option<u32>,
    /// Seconds between two looks.
    pub look: Option<u32>,
}

/// Workers as pods of Kubernetes.
#[derive(Debug)]
pub struct Kubernetes {
    command: Command,
    campaign: String,
    directory: PathBuf,
    options: KubernetesOptions,
    resources: Resources,
    mount: PathBuf,
    number: u32,
    last: usize,
}

/// A name as Kubernetes wants it: of lower-case letters, digits and dashes.
fn plain(name: &str) -> String {
    let text: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(30)
        .collect();
    text.trim_matches('-').to_owned()
}

/// A value of a label: of letters, digits, dots, dashes and underscores, 63 at most.
fn label(name: &str) -> String {
    let text: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    let is_edge = |c: char| !c.is_ascii_alphanumeric();
    text.trim_matches(is_edge).to_owned()
}

impl Kubernetes {
    /// Prepares to ask for pods that run this command, for the campaign of this name in `directory`.
    ///
    /// # Errors
    /// When something is not said that pods need, or is not on the shared volume.
    pub fn new(
        command: Command,
        campaign: &str,
        directory: &Path,
        options: KubernetesOptions,
        resources: Resources,
    ) -> Result<Self, Error> {
        let missing = |key: &str, what: &str| Error::Executor {
            reason: format!("[kubernetes] `{key}` is missing: {what}"),
        };
        if options.image.is_none() {
            return Err(missing("image", "the container image of the workers"));
        }
        if options.claim.is_none() {
            return Err(missing(
                "claim",
                "the claim of the volume that all pods share",
            ));
        }
        let mount = options
            .mount
            .clone()
            .ok_or_else(|| missing("mount", "where that volume is, in pods and here alike"))?;
        let mut command = command;
        if let Some(program) = &options.program {
            command.program.clone_from(program);
        }
        let kubernetes = Kubernetes {
            command,
            campaign: campaign.to_owned(),
            directory: directory.to_owned(),
            options,
            resources,
            mount,
            number: 0,
            last: 0,
        };
        kubernetes.check()?;
        let batches = directory.join("batches");
        fs::create_dir_all(&batches).map_err(io("make", &batches))?;
        Ok(kubernetes)
    }

    /// Everything that workers are told must be where all of them see it.
    fn check(&self) -> Result<(), Error> {
        let mut paths = vec![self.directory.clone()];
        // Without one, nothing is to be started.
        let is_named = !self.command.program.as_os_str().is_empty();
        if self.options.program.is_none() && is_named {
            paths.push(self.command.program.clone());
        }
        let arguments = self.command.arguments.iter().map(PathBuf::from);
        paths.extend(arguments.filter(|path| path.is_absolute()));
        match paths.iter().find(|path| !path.starts_with(&self.mount)) {
            Some(path) => Err(Error::Executor {
                reason: format!(
                    "{} is not below {}, where pods have their volume ([kubernetes] `mount`): put targets, languages, \
                     --runs and --cache there, and the program too or say with `program` where the image has it",
                    path.display(),
                    self.mount.display()
                ),
            }),
            None => Ok(()),
        }
    }

    fn batch_file(&self, batch: &str) -> PathBuf {
        self.directory.join("batches").join(batch)
    }

    /// What a pod runs: the attempt of its index. The worker takes the shell's place, so that it hears the wish to end.
    fn script(&self, batch: &str) -> String {
        let path = |path: &Path| quoted(path.as_os_str().as_bytes());
        let mut words = vec![path(&self.command.program)];
        let arguments = self.command.arguments.iter();
        words.extend(arguments.map(|word| quoted(word.as_bytes())));
        format!(
            "if [ -e {stop} ]; then exit {STOPPED}; fi\n\
             id=$(sed -n \"$((JOB_COMPLETION_INDEX + 1))p\" {list})\n\
             exec {words} \"$id\"\n",
            stop = path(&self.directory.join("stop")),
            list = path(&self.batch_file(batch)),
            words = words.join(" "),
        )
    }

    fn namespace(&self) -> Option<&str> {
        self.options.namespace.as_deref()
    }

    fn metadata(&self, name: &str, labels: &Value) -> Value {
        let mut metadata = json!({ "name": name, "labels": labels });
        if let Some(namespace) = self.namespace() {
            metadata["namespace"] = json!(namespace);
        }
        metadata
    }

    /// The claim of the volume, where one is to be made.
    fn claim(&self) -> Option<Value> {
        let options = &self.options;
        let mut spec = json!({
            "accessModes": ["ReadWriteMany"],
            "resources": { "requests": { "storage": options.storage.as_ref()? } },
        });
        if let Some(class) = &options.storage_class {
            spec["storageClassName"] = json!(class);
        }
        let name = options.claim.as_deref().unwrap_or_default();
        Some(json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self.metadata(name, &json!({})),
            "spec": spec,
        }))
    }

    /// The Job of a batch of so many attempts.
    fn job(&self, batch: &str, attempts: usize) -> Value {
        let options = &self.options;
        let labels = json!({ CAMPAIGN: label(&self.campaign), BATCH: batch });
        let most = options
            .at_once
            .map_or(attempts, |most| attempts.min(most as usize));
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": self.metadata(&format!("{}-{batch}", plain(&self.campaign)), &labels),
            "spec": {
                "completionMode": "Indexed",
                "completions": attempts,
                "parallelism": most,
                "backoffLimitPerIndex": RETRIES,
                // One index that fails is no reason to end the others.
                "maxFailedIndexes": attempts,
                // Outcomes are in the runs' directories; what pods printed is kept for so long.
                "ttlSecondsAfterFinished": KEPT,
                // The next pod of an index is begun when the last one is gone.
                "podReplacementPolicy": "Failed",
                "podFailurePolicy": { "rules": [
                    {
                        "action": "FailIndex",
                        "onExitCodes": { "containerName": "worker", "operator": "In", "values": [USAGE, STOPPED] },
                    },
                    { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                    {
                        "action": "Ignore",
                        "onExitCodes": { "containerName": "worker", "operator": "In", "values": [INTERRUPTED] },
                    },
                ] },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": self.pod(batch),
                },
            },
        })
    }

    fn pod(&self, batch: &str) -> Value {
        let options = &self.options;
        let user = options.user.unwrap_or(1000);
        let sources: Vec<Value> = options
            .secrets
            .iter()
            .map(|name| json!({ "secretRef": { "name": name } }))
            .collect();
        let takes = json!({
            "cpu": self.resources.cores.to_string(),
            "memory": format!("{}Mi", self.resources.memory_mib),
        });
        let own_users = options.own_users.unwrap_or(true);
        let mut container = json!({
            "name": "worker",
            "image": options.image,
            "command": ["/bin/sh", "-c", self.script(batch)],
            "workingDir": self.directory,
            "resources": { "requests": takes, "limits": takes },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                // The sandbox makes user, mount, process and network namespaces, and mounts: what the usual filters of
                // containers forbid. It keeps its own filters around what it runs.
                "seccompProfile": { "type": "Unconfined" },
                "appArmorProfile": { "type": "Unconfined" },
            },
            "volumeMounts": [{ "name": "shared", "mountPath": self.mount }],
        });
        if !sources.is_empty() {
            container["envFrom"] = json!(sources);
        }
        let mut pod = json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": options.grace.unwrap_or(GRACE),
            // Workers ask nothing of the cluster.
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "runAsUser": user, "runAsGroup": user, "fsGroup": user },
            "volumes": [{ "name": "shared", "persistentVolumeClaim": { "claimName": options.claim } }],
        });
        if own_users {
            // A /proc of its own can be mounted inside only where the pod's is whole, which is allowed only with users of
            // the pod's own.
            pod["hostUsers"] = json!(false);
            container["securityContext"]["procMount"] = json!("Unmasked");
        }
        if let Some(account) = &options.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        if !options.nodes.is_empty() {
            pod["nodeSelector"] = json!(options.nodes);
        }
        pod["containers"] = json!([container]);
        pod
    }

    /// Writes the batch's file; names the batch.
    fn batch(&mut self, ids: &[&str]) -> Result<String, Error> {
        self.number += 1;
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = time.map_or(0, |time| time.as_millis());
        let batch = format!("{time:x}-{:x}-{}", std::process::id(), self.number);
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        write_whole(&self.batch_file(&batch), text.as_bytes())?;
        Ok(batch)
    }

    /// The manifests of these attempts, for whoever applies them: names of files, and their text.
    ///
    /// # Errors
    /// When a batch's file cannot be written.
    pub fn manifests(&mut self, ids: &[&str]) -> Result<Vec<(String, String)>, Error> {
        let mut files = Vec::new();
        if let Some(claim) = self.claim() {
            files.push(("claim.yaml".to_owned(), yaml::write(&claim)));
        }
        for ids in ids.chunks(INDEXES) {
            let batch = self.batch(ids)?;
            let job = self.job(&batch, ids.len());
            files.push((format!("job-{batch}.yaml"), yaml::write(&job)));
        }
        Ok(files)
    }

    fn kubectl(&self, words: &[&str]) -> Result<String, Error> {
        let mut all: Vec<String> = self
            .namespace()
            .map(|namespace| format!("--namespace={namespace}"))
            .into_iter()
            .collect();
        all.push("--request-timeout=30s".to_owned());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        scheduler(
            "kubectl",
            "is this a machine from which a cluster is managed?",
            &all,
        )
    }

    fn attempts(&self, batch: &str) -> Vec<String> {
        // The name comes from the cluster, where others may write it.
        if batch.is_empty() || batch.contains(['/', '.']) {
            return Vec::new();
        }
        let text = fs::read_to_string(self.batch_file(batch)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Removes the campaign's Jobs; their pods are told to end, which runs do cleanly.
    ///
    /// # Errors
    /// When the cluster cannot be reached.
    pub fn remove_jobs(&self) -> Result<(), Error> {
        let selector = format!("--selector={CAMPAIGN}={}", label(&self.campaign));
        self.kubectl(&[
            "delete",
            "jobs",
            &selector,
            "--wait=false",
            "--ignore-not-found",
        ])
        .map(|_| ())
    }
}

/// The indexes that a Job has finished, as in `0,3-7`.
fn indexes(text: &str) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) {
            found.extend((from..=to).take(INDEXES));
        }
    }
    found
}

/// Which indexes of which batches are at work, as `kubectl get pods` tells it.
fn running(pods: &Value) -> BTreeSet<(String, usize)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = pods["items"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |pod: &Value| {
        let labels = &pod["metadata"]["labels"];
        let index = &pod["metadata"]["annotations"][INDEX];
        let index = index.as_str().or(labels[INDEX].as_str())?;
        let runs = pod["status"]["phase"] == "Running";
        runs.then_some((text(&labels[BATCH]), index.parse().ok()?))
    };
    items.iter().filter_map(one).collect()
}

impl Executor for Kubernetes {
    fn room(&mut self) -> Result<usize, Error> {
        let most = self.options.queue.unwrap_or(QUEUE);
        Ok(most.saturating_sub(self.last))
    }

    fn start(&mut self, ids: &[&str]) -> Result<(), Error> {
        for (name, text) in self.manifests(ids)? {
            let file = self.directory.join("batches").join(name);
            write_whole(&file, text.as_bytes())?;
            let file = file.display().to_string();
            self.kubectl(&["apply", "--filename", &file])?;
        }
        Ok(())
    }

    fn queued(&mut self) -> Result<Vec<Queued>, Error> {
        let selector = format!("--selector={CAMPAIGN}={}", label(&self.campaign));
        let ask = |what: &str| {
            let text = self.kubectl(&["get", what, &selector, "--output=json"])?;
            serde_json::from_str::<Value>(&text).map_err(|error| Error::Scheduler {
                program: "kubectl".to_owned(),
                reason: format!("it answers what is no JSON: {error}"),
            })
        };
        let (jobs, pods) = (ask("jobs")?, ask("pods")?);
        let running = running(&pods);
        let mut queued = Vec::new();
        for job in jobs["items"].as_array().map_or(&[][..], Vec::as_slice) {
            let batch = job["metadata"]["labels"][BATCH]
                .as_str()
                .unwrap_or_default();
            let status = &job["status"];
            let ended = |key: &str| indexes(status[key].as_str().unwrap_or_default());
            let mut over = ended("completedIndexes");
            over.extend(ended("failedIndexes"));
            let conditions = status["conditions"].as_array();
            let is_over = conditions.is_some_and(|all| {
                all.iter().any(|condition| {
                    condition["status"] == "True"
                        && (condition["type"] == "Complete" || condition["type"] == "Failed")
                })
            });
            if is_over {
                continue;
            }
            for (index, id) in self.attempts(batch).into_iter().enumerate() {
                if over.contains(&index) {
                    continue;
                }
                let place = match running.contains(&(batch.to_owned(), index)) {
                    true => Place::Running,
                    false => Place::Waiting,
                };
                queued.push(Queued { id, place });
            }
        }
        self.last = queued.len();
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
#[path = "kubernetes_tests.rs"]
mod tests;
