//! `campaign.toml`: what is to be run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use agent::event::Budget;
use serde::Deserialize;
use toml::Spanned;

use crate::account::Limits;
use crate::error::{Error, io};
use crate::kubernetes::KubernetesOptions;
use crate::plan::Resources;
use crate::slurm::SlurmOptions;
use crate::value;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 4 << 20;
/// Most attempts at a task in one set.
const MOST_ATTEMPTS: u32 = 10_000;
/// How often an attempt is begun again that failed for reasons that are not the model's, where nothing is said.
const RETRIES: u32 = 5;
/// Memory of one run where nothing is said: the agent's sandbox may take 4 GiB; scoring comes after it.
const MEMORY_MIB: u64 = 4096 + 512;

/// What a campaign's file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, which begins the names of its runs.
    pub name: String,
    /// Directory of the file: what is relative in it begins here.
    pub base: PathBuf,
    /// How often an attempt is begun again that failed for reasons that are not the model's.
    pub retries: u32,
    /// What is tried how often.
    pub sets: Vec<Set>,
    /// By whom.
    pub models: Vec<ModelEntry>,
    /// With which agents.
    pub agents: Vec<AgentEntry>,
    /// What all runs together may ask, by provider: the part of a model's name before the first `/` or `:`.
    pub limits: BTreeMap<String, Limits>,
    /// What one run takes of a machine.
    pub resources: Resources,
    /// How jobs are given to Slurm.
    pub slurm: SlurmOptions,
    /// How pods of Kubernetes are asked for.
    pub kubernetes: KubernetesOptions,
}

/// Tasks that are tried in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Tasks and sets of tasks, as on the command line.
    pub tasks: Vec<String>,
    /// Languages for those that are named without one.
    pub languages: Vec<String>,
    /// How often each.
    pub attempts: u32,
    /// What comes first: the higher.
    pub priority: i64,
    /// Places in [`File::models`].
    pub models: Vec<usize>,
    /// Places in [`File::agents`].
    pub agents: Vec<usize>,
    /// Limits of each run.
    pub budget: Budget,
    /// Line of the file.
    pub line: usize,
}

/// A model that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name, such as `anthropic/NAME`.
    pub name: String,
    /// What stands for it in names of runs.
    pub label: String,
    /// What comes first: the higher; added to the set's.
    pub priority: i64,
    /// How it is called, by the names of the command line's options.
    pub options: BTreeMap<String, String>,
    /// Line of the file.
    pub line: usize,
}

/// An agent that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentEntry {
    /// Its name or file; `None` for the built-in one.
    pub name: Option<String>,
    /// What stands for it in names of runs.
    pub label: String,
    /// What a generic agent runs.
    pub command: Option<String>,
    /// Names that stand for the model.
    pub aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileTable {
    name: Option<Spanned<String>>,
    retries: Option<u32>,
    #[serde(default)]
    budget: BudgetTable,
    #[serde(default)]
    set: Vec<Spanned<SetTable>>,
    #[serde(default)]
    model: Vec<Spanned<ModelTable>>,
    #[serde(default)]
    agent: Vec<Spanned<AgentTable>>,
    #[serde(default)]
    limits: BTreeMap<String, LimitsTable>,
    #[serde(default)]
    resources: ResourcesTable,
    #[serde(default)]
    slurm: SlurmOptions,
    #[serde(default)]
    kubernetes: KubernetesOptions,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BudgetTable {
    #[serde(default, deserialize_with = "value::dollars")]
    dollars: Option<u64>,
    #[serde(default, deserialize_with = "value::count")]
    tokens: Option<u64>,
    #[serde(default, deserialize_with = "value::seconds")]
    time: Option<u64>,
    #[serde(default, deserialize_with = "value::seconds")]
    active_time: Option<u64>,
    #[serde(default, deserialize_with = "value::count")]
    turns: Option<u64>,
    #[serde(default, deserialize_with = "value::seconds")]
    tool_time: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SetTable {
    #[serde(deserialize_with = "value::words")]
    tasks: Vec<String>,
    #[serde(default, deserialize_with = "value::words")]
    languages: Vec<String>,
    attempts: Option<Spanned<u32>>,
    #[serde(default)]
    priority: i64,
    models: Option<Vec<Spanned<String>>>,
    agents: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    budget: BudgetTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ModelTable {
    name: Spanned<String>,
    label: Option<Spanned<String>>,
    #[serde(default)]
    priority: i64,
    base_url: Option<String>,
    key_file: Option<PathBuf>,
    prices: Option<PathBuf>,
    compaction: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "value::count")]
    compact_at: Option<u64>,
    #[serde(default, deserialize_with = "value::count")]
    max_output: Option<u64>,
    thinking: Option<String>,
    #[serde(default, deserialize_with = "value::seconds")]
    command_limit: Option<u64>,
    rootfs: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AgentTable {
    name: Spanned<String>,
    label: Option<Spanned<String>>,
    command: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    #[serde(default, deserialize_with = "value::count")]
    requests_per_minute: Option<u64>,
    #[serde(default, deserialize_with = "value::count")]
    tokens_per_minute: Option<u64>,
    #[serde(default, deserialize_with = "value::count")]
    tokens: Option<u64>,
    #[serde(default, deserialize_with = "value::dollars")]
    dollars: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ResourcesTable {
    cores: Option<u16>,
    #[serde(default, deserialize_with = "value::mebibytes")]
    memory: Option<u64>,
    parallel: Option<u16>,
}

/// The name of the built-in agent in a file.
const BUILT_IN: &str = "built-in";

impl BudgetTable {
    fn over(self, base: BudgetTable) -> Budget {
        Budget {
            microdollars: self.dollars.or(base.dollars),
            tokens: self.tokens.or(base.tokens),
            wall_seconds: self.time.or(base.time),
            active_seconds: self.active_time.or(base.active_time),
            turns: self.turns.or(base.turns),
            tool_seconds: self.tool_time.or(base.tool_time),
        }
    }
}

impl From<LimitsTable> for Limits {
    fn from(table: LimitsTable) -> Self {
        Limits {
            requests_per_minute: table.requests_per_minute,
            tokens_per_minute: table.tokens_per_minute,
            tokens: table.tokens,
            microdollars: table.dollars,
        }
    }
}

/// A file's text, for places in it.
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    /// The text before a place; of one in the middle of a letter, before the letter.
    fn before(&self, at: usize) -> &str {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        &self.text[..at]
    }

    fn line(&self, at: usize) -> usize {
        self.before(at).matches('\n').count() + 1
    }

    fn wrong(&self, at: usize, reason: impl std::fmt::Display) -> Error {
        let before = self.before(at);
        let begin = before.rfind('\n').map_or(0, |found| found + 1);
        Error::Wrong {
            path: self.path.to_owned(),
            line: self.line(at),
            column: before[begin..].chars().count() + 1,
            reason: reason.to_string(),
        }
    }

    /// What TOML or a field's type found wrong, with the key that stands on that line.
    fn explain(&self, error: &toml::de::Error) -> Error {
        let at = error.span().map_or(0, |span| span.start);
        let begin = self.before(at).rfind('\n').map_or(0, |found| found + 1);
        let line = self.text[begin..].lines().next().unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim());
        let message = error.message().trim();
        match key {
            Some(key) if !key.is_empty() && !message.contains(&format!("`{key}`")) => {
                self.wrong(at, format!("`{key}`: {message}"))
            }
            _ => self.wrong(at, message),
        }
    }
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !text.is_empty() && text.len() <= 60 && text.bytes().all(plain)
}

/// The last part of a name, with what a label cannot hold replaced.
fn label_of(name: &str) -> String {
    let last = name.rsplit(['/', ':']).next().unwrap_or(name);
    let last = last.strip_suffix(".json").unwrap_or(last);
    let last = last.strip_suffix(".toml").unwrap_or(last);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label: String = last
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(60)
        .collect();
    label
}

impl File {
    /// Reads a campaign's file.
    ///
    /// # Errors
    /// With file, line, column and key of what is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let size = fs::metadata(path).map_err(io("read", path))?.len();
        if size > LARGEST {
            return Err(Error::Damaged {
                path: path.to_owned(),
                reason: format!("it has {size} bytes; a campaign's file has at most {LARGEST}"),
            });
        }
        let text = fs::read_to_string(path).map_err(io("read", path))?;
        let path = fs::canonicalize(path).map_err(io("read", path))?;
        File::parse(&path, &text)
    }

    /// Reads the text of a campaign's file of this absolute path.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let text = Text { path, text };
        let table: FileTable = toml::from_str(text.text).map_err(|error| text.explain(&error))?;
        let name = match &table.name {
            Some(name) => name.get_ref().clone(),
            None => label_of(&path.file_name().unwrap_or_default().to_string_lossy()),
        };
        if !is_label(&name) {
            let at = table.name.as_ref().map_or(0, |name| name.span().start);
            return Err(text.wrong(
                at,
                format!("`name`: \"{name}\" names directories: use letters, digits, `-` and `_`"),
            ));
        }
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        let models = models(&text, &base, table.model)?;
        let agents = agents(&text, &base, table.agent)?;
        let sets = sets(&text, table.set, table.budget, &models, &agents)?;
        let memory_mib = table.resources.memory.unwrap_or(MEMORY_MIB);
        Ok(File {
            name,
            base,
            retries: table.retries.unwrap_or(RETRIES),
            sets,
            models,
            agents,
            limits: table
                .limits
                .into_iter()
                .map(|(provider, limits)| (provider, limits.into()))
                .collect(),
            resources: Resources {
                cores: table.resources.cores.unwrap_or(1).max(1),
                memory_mib,
                parallel: table.resources.parallel,
            },
            slurm: table.slurm,
            kubernetes: table.kubernetes,
        })
    }
}

fn models(
    text: &Text<'_>,
    base: &Path,
    tables: Vec<Spanned<ModelTable>>,
) -> Result<Vec<ModelEntry>, Error> {
    if tables.is_empty() {
        return Err(text.wrong(0, "no [[model]]: name the models that take part"));
    }
    let mut models: Vec<ModelEntry> = Vec::new();
    for table in tables {
        let line = text.line(table.span().start);
        let table = table.into_inner();
        let mut name = table.name.get_ref().clone();
        if let Some((kind @ ("scripted" | "replay"), file)) = name.split_once(':') {
            name = format!("{kind}:{}", base.join(file).display());
        } else if !name.contains('/') {
            let reason =
                format!("`name`: \"{name}\" is no model: write provider/NAME, such as openai/NAME");
            return Err(text.wrong(table.name.span().start, reason));
        }
        let label = label(text, table.label, &table.name)?;
        if models.iter().any(|model| model.label == label) {
            let reason = format!(
                "`label`: another model is \"{label}\" too: give one of them a `label` of its own"
            );
            return Err(text.wrong(table.name.span().start, reason));
        }
        if let Some(how) = &table.compaction
            && !["summary", "clear", "trim", "provider"].contains(&how.get_ref().as_str())
        {
            let reason = format!(
                "`compaction`: \"{}\" is none of summary, clear, trim, provider",
                how.get_ref()
            );
            return Err(text.wrong(how.span().start, reason));
        }
        let file = |path: Option<PathBuf>| path.map(|path| base.join(path).display().to_string());
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let options = [
            ("base-url", table.base_url),
            ("key-file", file(table.key_file)),
            ("prices", file(table.prices)),
            ("rootfs", file(table.rootfs)),
            ("compaction", table.compaction.map(Spanned::into_inner)),
            ("compact-at", number(table.compact_at)),
            ("max-output", number(table.max_output)),
            ("thinking", table.thinking),
            ("command-limit", number(table.command_limit)),
        ];
        models.push(ModelEntry {
            name,
            label,
            priority: table.priority,
            options: options
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            line,
        });
    }
    Ok(models)
}

fn label(
    text: &Text<'_>,
    label: Option<Spanned<String>>,
    name: &Spanned<String>,
) -> Result<String, Error> {
    let Some(label) = label else {
        return Ok(label_of(name.get_ref()));
    };
    if !is_label(label.get_ref()) {
        let reason = format!(
            "`label`: \"{}\" names directories: use letters, digits, `-` and `_`",
            label.get_ref()
        );
        return Err(text.wrong(label.span().start, reason));
    }
    Ok(label.into_inner())
}

fn agents(
    text: &Text<'_>,
    base: &Path,
    tables: Vec<Spanned<AgentTable>>,
) -> Result<Vec<AgentEntry>, Error> {
    let mut agents: Vec<AgentEntry> = Vec::new();
    for table in tables {
        let at = table.span().start;
        let table = table.into_inner();
        let label = label(text, table.label, &table.name)?;
        if agents.iter().any(|agent| agent.label == label) {
            return Err(text.wrong(at, format!("`label`: another agent is \"{label}\" too")));
        }
        let name = table.name.get_ref();
        let name = match name.as_str() {
            BUILT_IN => None,
            file if file.ends_with(".toml") => Some(base.join(file).display().to_string()),
            _ => Some(name.clone()),
        };
        if name.is_none() && (table.command.is_some() || !table.aliases.is_empty()) {
            return Err(text.wrong(
                at,
                "`command` and `aliases` are for other agents than built-in",
            ));
        }
        agents.push(AgentEntry {
            name,
            label,
            command: table.command,
            aliases: table.aliases,
        });
    }
    if agents.is_empty() {
        agents.push(AgentEntry {
            name: None,
            label: BUILT_IN.to_owned(),
            command: None,
            aliases: Vec::new(),
        });
    }
    Ok(agents)
}

fn sets(
    text: &Text<'_>,
    tables: Vec<Spanned<SetTable>>,
    budget: BudgetTable,
    models: &[ModelEntry],
    agents: &[AgentEntry],
) -> Result<Vec<Set>, Error> {
    if tables.is_empty() {
        return Err(text.wrong(0, "no [[set]]: say which tasks are to be tried"));
    }
    let labels = |labels: &[&str]| labels.join(", ");
    let model_labels: Vec<&str> = models.iter().map(|model| model.label.as_str()).collect();
    let agent_labels: Vec<&str> = agents.iter().map(|agent| agent.label.as_str()).collect();
    let chosen = |what: &str, words: Option<Vec<Spanned<String>>>, known: &[&str]| {
        let Some(words) = words else {
            return Ok((0..known.len()).collect());
        };
        let place = |word: Spanned<String>| {
            let found = known.iter().position(|known| known == word.get_ref());
            found.ok_or_else(|| {
                let reason = format!(
                    "`{what}`: none is \"{}\"; there are {}",
                    word.get_ref(),
                    labels(known)
                );
                text.wrong(word.span().start, reason)
            })
        };
        words.into_iter().map(place).collect::<Result<Vec<_>, _>>()
    };
    let mut sets = Vec::new();
    for table in tables {
        let at = table.span().start;
        let table = table.into_inner();
        if table.tasks.is_empty() {
            return Err(text.wrong(at, "`tasks`: name at least one"));
        }
        let attempts = match &table.attempts {
            None => 1,
            Some(number) if (1..=MOST_ATTEMPTS).contains(number.get_ref()) => *number.get_ref(),
            Some(number) => {
                let reason = format!("`attempts`: from 1 to {MOST_ATTEMPTS}");
                return Err(text.wrong(number.span().start, reason));
            }
        };
        sets.push(Set {
            tasks: table.tasks,
            languages: table.languages,
            attempts,
            priority: table.priority,
            models: chosen("models", table.models, &model_labels)?,
            agents: chosen("agents", table.agents, &agent_labels)?,
            budget: table.budget.over(budget),
            line: text.line(at),
        });
    }
    Ok(sets)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
