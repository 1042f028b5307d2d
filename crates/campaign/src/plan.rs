//! The attempts that follow from a campaign's file, and what a worker needs to know of them: one file on the shared
//! directory, in which everything is absolute.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use agent::event::Budget;
use serde::{Deserialize, Serialize};

use crate::account::Limits;
use crate::error::{Error, io, write_whole};
use crate::file::File;
use crate::kubernetes::KubernetesOptions;
use crate::slurm::SlurmOptions;

const NAME: &str = "plan.json";

/// What one run takes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Processors: evaluations of one run use so many.
    pub cores: u16,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Most runs at the same time on one machine, where that was said.
    #[serde(default)]
    pub parallel: Option<u16>,
}

/// One attempt of one agent with one model at one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Name of its run, the same however often the campaign is started.
    pub id: String,
    /// Task, as in `gron/python`.
    pub task: String,
    /// Place of its options in [`Plan::options`].
    pub options: usize,
    /// What comes first: the higher.
    pub priority: i64,
    /// Limits of the run.
    pub budget: Budget,
    /// Which attempt at this it is, from 1.
    pub number: u32,
}

/// Everything that is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The campaign's name.
    pub name: String,
    /// How often an attempt is begun again that failed for reasons that are not the model's.
    pub retries: u32,
    /// The attempts: those that come first stand first.
    pub attempts: Vec<Attempt>,
    /// How runs are worked on: the command line's options by name.
    pub options: Vec<BTreeMap<String, String>>,
    /// What all runs together may ask, by provider.
    pub limits: BTreeMap<String, Limits>,
    /// What one run takes of a machine.
    pub resources: Resources,
    /// How jobs are given to Slurm.
    pub slurm: SlurmOptions,
    /// How pods of Kubernetes are asked for.
    #[serde(default)]
    pub kubernetes: KubernetesOptions,
}

/// The provider of a model: the part of its name before the first `/` or `:`.
pub(crate) fn provider(model: &str) -> &str {
    model.split(['/', ':']).next().unwrap_or(model)
}

impl Plan {
    /// Lays out a file's attempts. `tasks` says which tasks a set's words mean.
    ///
    /// # Errors
    /// What `tasks` says, and with [`Error::Wrong`] when two sets mean the same attempts.
    pub fn new<E: From<Error>>(
        path: &Path,
        file: &File,
        mut tasks: impl FnMut(&[String], &[String]) -> Result<Vec<String>, E>,
    ) -> Result<Self, E> {
        let mut options: Vec<BTreeMap<String, String>> = Vec::new();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for set in &file.sets {
            for task in tasks(&set.tasks, &set.languages)? {
                for (&model, &agent) in set
                    .models
                    .iter()
                    .flat_map(|model| set.agents.iter().map(move |agent| (model, agent)))
                {
                    let (model, agent) = (&file.models[model], &file.agents[agent]);
                    let mut how = model.options.clone();
                    how.insert("model".to_owned(), model.name.clone());
                    if let Some(name) = &agent.name {
                        how.insert("agent".to_owned(), name.clone());
                    }
                    if let Some(command) = &agent.command {
                        how.insert("agent-command".to_owned(), command.clone());
                    }
                    if !agent.aliases.is_empty() {
                        how.insert("aliases".to_owned(), agent.aliases.join(" "));
                    }
                    let place = options.iter().position(|known| *known == how);
                    let place = place.unwrap_or_else(|| {
                        options.push(how);
                        options.len() - 1
                    });
                    let with = match file.agents.len() {
                        1 => String::new(),
                        _ => format!("-{}", agent.label),
                    };
                    let key = format!("{}.{}{with}", task.replace('/', "-"), model.label);
                    if let Some(line) = taken.insert(key.clone(), set.line) {
                        return Err(E::from(Error::Wrong {
                            path: path.to_owned(),
                            line: set.line,
                            column: 1,
                            reason: format!(
                                "`tasks`: {task} with {} is in the set of line {line} too: name it once, with all its attempts",
                                model.label
                            ),
                        }));
                    }
                    attempts.extend((1..=set.attempts).map(|number| Attempt {
                        id: format!("{}.{key}.{number}", file.name),
                        task: task.clone(),
                        options: place,
                        priority: set.priority + model.priority,
                        budget: set.budget,
                        number,
                    }));
                }
            }
        }
        // First what matters more; then every task's first attempt before any task's second.
        attempts.sort_by_key(|attempt| (-attempt.priority, attempt.number));
        Ok(Plan {
            name: file.name.clone(),
            retries: file.retries,
            attempts,
            options,
            limits: file.limits.clone(),
            resources: file.resources,
            slurm: file.slurm.clone(),
            kubernetes: file.kubernetes.clone(),
        })
    }

    /// The directory of a campaign's own files among the runs.
    pub fn directory(runs: &Path, name: &str) -> PathBuf {
        runs.join(format!("{name}.campaign"))
    }

    /// Where a provider's account is kept.
    pub fn account(directory: &Path, provider: &str) -> PathBuf {
        directory.join("limits").join(provider)
    }

    /// The provider whose limits hold for an attempt.
    pub fn provider(&self, attempt: &Attempt) -> &str {
        let model = self.options[attempt.options].get("model");
        provider(model.map_or("", String::as_str))
    }

    /// Writes it to a campaign's directory.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        fs::create_dir_all(directory).map_err(io("make", directory))?;
        let text = serde_json::to_vec(self).expect("a plan is always JSON");
        write_whole(&directory.join(NAME), &text)
    }

    /// Reads it from there.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(NAME);
        let text = fs::read(&path).map_err(io("read", &path))?;
        let damaged = |reason: String| Error::Damaged {
            path: path.clone(),
            reason,
        };
        let plan: Plan =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        match plan
            .attempts
            .iter()
            .find(|attempt| attempt.options >= plan.options.len())
        {
            Some(attempt) => Err(damaged(format!("{} has no options", attempt.id))),
            None => Ok(plan),
        }
    }

    /// The attempt of this id.
    pub fn attempt(&self, id: &str) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, Error> {
        let path = Path::new("/c/pilot.toml");
        let file = File::parse(path, text)?;
        Plan::new(path, &file, |words, languages| {
            let mut tasks = Vec::new();
            for word in words {
                match languages {
                    [] => tasks.push(word.clone()),
                    _ => tasks.extend(languages.iter().map(|name| format!("{word}/{name}"))),
                }
            }
            Ok(tasks)
        })
    }

    const TEXT: &str = "[[set]]\ntasks = ['a', 'b']\nlanguages = ['c', 'go']\nattempts = 2\n[[set]]\ntasks = 'z/c'\npriority = 5\n\
                        [[model]]\nname = 'openai/x'\n[[model]]\nname = 'openai/y'\npriority = 1\n";

    #[test]
    fn attempts_follow_from_the_file() {
        let plan = plan(TEXT).unwrap();
        let ids: Vec<_> = plan.attempts.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids.len(), 2 * 2 * 2 * 2 + 2);
        assert_eq!(
            ids[..3],
            ["pilot.z-c.y.1", "pilot.z-c.x.1", "pilot.a-c.y.1"]
        );
        assert_eq!(ids[6], "pilot.a-c.y.2");
        assert_eq!(plan.provider(&plan.attempts[0]), "openai");
        let dir = tempfile::tempdir().unwrap();
        plan.write(dir.path()).unwrap();
        assert_eq!(Plan::read(dir.path()).unwrap(), plan);
        assert_eq!(plan.attempt("pilot.b-go.x.2").unwrap().task, "b/go");
    }

    #[test]
    fn nothing_is_meant_twice() {
        let error = plan(&TEXT.replace("'z/c'", "'a/c'")).unwrap_err();
        assert!(
            error.to_string().starts_with("/c/pilot.toml:5:1: "),
            "{error}"
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "{}").unwrap();
        assert!(matches!(Plan::read(dir.path()), Err(Error::Damaged { .. })));
    }
}
