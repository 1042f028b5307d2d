//! How a run is worked on: from the command line, into its record, and back from there.

use std::collections::BTreeMap;

use agent::event::Budget;
use agent::scaffold::{Compaction, Options, count, dollars, duration};
use model::{CacheTime, Settings, Thinking};

use crate::args::{CompactionArg, LimitArgs, ModelArgs};
use crate::exit::Failure;

/// Tokens at which a context counts as full, where nothing is said and the model reads no less.
const COMPACT_AT: u64 = 150_000;
/// Most tokens of one answer, where nothing is said.
const MAX_OUTPUT: u64 = 16_000;
/// Seconds that one command may take, where nothing is said.
const COMMAND_LIMIT: u64 = 3600;

/// How a run is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) model: String,
    pub(crate) base_url: Option<String>,
    pub(crate) rootfs: Option<String>,
    pub(crate) compaction: Compaction,
    /// Tokens at which a context is full, where that was said.
    pub(crate) compact_at: Option<u64>,
    pub(crate) prices: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) max_output: u64,
    pub(crate) thinking: String,
    pub(crate) command_limit: u64,
    /// Another agent, by name or file.
    pub(crate) agent: Option<String>,
    pub(crate) agent_command: Option<String>,
    /// Names that stand for the model.
    pub(crate) aliases: Vec<String>,
}

fn compaction(arg: CompactionArg) -> Compaction {
    match arg {
        CompactionArg::Summary => Compaction::Summary,
        CompactionArg::Clear => Compaction::Clear,
        CompactionArg::Trim => Compaction::Trim,
        CompactionArg::Provider => Compaction::Provider,
    }
}

const COMPACTIONS: [(&str, Compaction); 4] = [
    ("summary", Compaction::Summary),
    ("clear", Compaction::Clear),
    ("trim", Compaction::Trim),
    ("provider", Compaction::Provider),
];

impl Plan {
    /// The plan for this model, with nothing special about it.
    pub(crate) fn new(model: String) -> Self {
        Plan {
            model,
            base_url: None,
            rootfs: None,
            compaction: Compaction::Summary,
            compact_at: None,
            prices: None,
            key_file: None,
            max_output: MAX_OUTPUT,
            thinking: "default".to_owned(),
            command_limit: COMMAND_LIMIT,
            agent: None,
            agent_command: None,
            aliases: Vec::new(),
        }
    }

    /// Changes what the command line names.
    pub(crate) fn change(&mut self, how: &ModelArgs) -> Result<(), Failure> {
        for (field, file) in [
            (&mut self.prices, &how.prices),
            (&mut self.key_file, &how.key_file),
        ] {
            if let Some(file) = file {
                let file =
                    std::fs::canonicalize(file).map_err(|error| Failure::io(file, &error))?;
                *field = Some(file.display().to_string());
            }
        }
        if let Some(url) = &how.base_url {
            self.base_url = Some(url.clone());
        }
        if let Some(arg) = how.compaction {
            self.compaction = compaction(arg);
        }
        self.compact_at = how.compact_at.or(self.compact_at);
        self.max_output = how.max_output.unwrap_or(self.max_output);
        self.command_limit = how.command_limit.unwrap_or(self.command_limit);
        if let Some(thinking) = &how.thinking {
            self.thinking.clone_from(thinking);
        }
        Ok(())
    }

    /// The plan in a run's record.
    pub(crate) fn written(&self) -> BTreeMap<String, String> {
        let named = COMPACTIONS
            .iter()
            .find(|(_, known)| *known == self.compaction);
        let mut options = BTreeMap::from([
            ("model".to_owned(), self.model.clone()),
            (
                "compaction".to_owned(),
                named.map_or("summary", |(name, _)| name).to_owned(),
            ),
            ("max-output".to_owned(), self.max_output.to_string()),
            ("thinking".to_owned(), self.thinking.clone()),
            ("command-limit".to_owned(), self.command_limit.to_string()),
        ]);
        let compact_at = self.compact_at.map(|tokens| tokens.to_string());
        let aliases = (!self.aliases.is_empty()).then(|| self.aliases.join(" "));
        for (name, value) in [
            ("base-url", &self.base_url),
            ("rootfs", &self.rootfs),
            ("compact-at", &compact_at),
            ("prices", &self.prices),
            ("key-file", &self.key_file),
            ("agent", &self.agent),
            ("agent-command", &self.agent_command),
            ("aliases", &aliases),
        ] {
            if let Some(value) = value {
                options.insert(name.to_owned(), value.clone());
            }
        }
        options
    }

    /// The plan that a record holds.
    pub(crate) fn read(options: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let text = |name: &str| options.get(name).cloned();
        let number = |name: &str, otherwise: u64| match options.get(name) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|_| {
                Failure::usage(format!(
                    "the run's option {name} is {text}, which is no number"
                ))
            }),
        };
        let model = text("model").ok_or_else(|| {
            Failure::usage("the run names no model: no model worked on it; `mirrorcode shell --resume` goes on with it")
        })?;
        let plain = Plan::new(model);
        let compaction = text("compaction").unwrap_or_default();
        let compaction = COMPACTIONS.iter().find(|(name, _)| *name == compaction);
        Ok(Plan {
            base_url: text("base-url"),
            rootfs: text("rootfs"),
            compaction: compaction.map_or(plain.compaction, |(_, known)| *known),
            compact_at: match options.contains_key("compact-at") {
                true => Some(number("compact-at", 0)?),
                false => None,
            },
            prices: text("prices"),
            key_file: text("key-file"),
            max_output: number("max-output", plain.max_output)?,
            thinking: text("thinking").unwrap_or(plain.thinking.clone()),
            command_limit: number("command-limit", plain.command_limit)?,
            agent: text("agent"),
            agent_command: text("agent-command"),
            aliases: text("aliases")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            ..plain
        })
    }

    /// How much the model is to think.
    pub(crate) fn thinking(&self) -> Thinking {
        match (self.thinking.as_str(), self.thinking.parse()) {
            ("default", _) => Thinking::Default,
            ("off", _) => Thinking::Off,
            (_, Ok(tokens)) => Thinking::Tokens(tokens),
            (word, Err(_)) => Thinking::Effort(word.to_owned()),
        }
    }

    /// What the scaffold needs of it.
    /// `window` is how many tokens the model reads, where that is known.
    pub(crate) fn options(&self, run: &str, system: String, window: Option<u64>) -> Options {
        Options {
            system,
            compaction: self.compaction,
            compact_at: self.compact_at.unwrap_or_else(|| {
                // An answer must fit as well.
                let room = window.map(|window| window.saturating_sub(self.max_output) / 10 * 9);
                room.map_or(COMPACT_AT, |room| room.min(COMPACT_AT))
            }),
            settings: Settings {
                max_output_tokens: self.max_output,
                thinking: self.thinking(),
                cache_key: run.to_owned(),
                cache_time: CacheTime::Minutes5,
                extra: None,
            },
        }
    }
}

/// Limits as the command line names them, on top of those that hold.
pub(crate) fn limits(held: Budget, args: &LimitArgs) -> Budget {
    Budget {
        tokens: args.token_limit.or(held.tokens),
        microdollars: args.cost_limit.or(held.microdollars),
        wall_seconds: args.clock.time_limit.or(held.wall_seconds),
        active_seconds: args.clock.active_limit.or(held.active_seconds),
        turns: args.clock.turn_limit.or(held.turns),
        tool_seconds: args.clock.tool_limit.or(held.tool_seconds),
    }
}

/// Whether the command line names any limit.
pub(crate) fn names_limits(args: &LimitArgs) -> bool {
    limits(Budget::default(), args) != Budget::default()
}

/// Limits in words, one a line.
pub(crate) fn words(limits: &Budget) -> String {
    let lines = [
        limits
            .microdollars
            .map(|limit| format!("{} for the model", dollars(limit))),
        limits
            .tokens
            .map(|limit| format!("{} tokens, sent and answered", count(limit))),
        limits
            .wall_seconds
            .map(|limit| format!("{} of time", duration(limit))),
        limits
            .active_seconds
            .map(|limit| format!("{} of working time", duration(limit))),
        limits.turns.map(|limit| format!("{limit} answers")),
        limits
            .tool_seconds
            .map(|limit| format!("{} in which tools run", duration(limit))),
    ];
    lines
        .into_iter()
        .flatten()
        .map(|line| format!("- {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let mut plan = Plan::new("scripted:/a".to_owned());
        plan.compaction = Compaction::Clear;
        plan.base_url = Some("http://127.0.0.1:1".to_owned());
        plan.compact_at = Some(7);
        plan.prices = Some("/p".to_owned());
        plan.thinking = "high".to_owned();
        plan.agent = Some("generic".to_owned());
        plan.agent_command = Some("run \"$prompt\"".to_owned());
        plan.aliases = vec!["a".to_owned(), "b*".to_owned()];
        assert_eq!(Plan::read(&plan.written()).unwrap(), plan);
        assert!(Plan::read(&BTreeMap::new()).is_err());
    }
}
