//! One run as a row: what it was, how it ended, what it took. All figures are made of rows and of nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use agent::event::{Agent, Reason};
use score::Verdict;

use crate::survey::{State, Survey};
use crate::survival::End;
use crate::{Error, survey, verdict};

/// What is known of a target besides its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Its kind, such as `compression`.
    pub domain: String,
    /// `S`, `M` or `L`.
    pub size: String,
}

/// Targets by name.
pub type Catalog = BTreeMap<String, TargetFacts>;

/// What scoring counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Whether every case passed.
    pub solved: bool,
    /// Hidden cases that passed, and all.
    pub hidden: (u64, u64),
    /// Visible cases that passed, and all.
    pub visible: (u64, u64),
    /// Digest of what was scored.
    pub submission: String,
    /// Digest of the target's lock that it was scored with, where the verdict names it.
    pub lock: Option<String>,
}

/// Share of hidden cases from which on a run counts as near.
pub const NEAR: f64 = 0.99;

impl Scored {
    /// Share of hidden cases that passed, or of all where none is hidden.
    pub fn share(&self) -> f64 {
        let (passed, total) = match self.hidden {
            (_, 0) => self.visible,
            hidden => hidden,
        };
        if total == 0 {
            0.0
        } else {
            passed as f64 / total as f64
        }
    }

    /// Whether at least [`NEAR`] of the hidden cases passed.
    pub fn near(&self) -> bool {
        self.solved || self.share() >= NEAR
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Id of the run.
    pub run: String,
    /// The target.
    pub target: String,
    /// The language.
    pub language: String,
    /// Domain and size of the target, where it is known.
    pub facts: Option<TargetFacts>,
    /// The model; `person` and `replay` for runs without one.
    pub model: String,
    /// `built-in`, `person`, `replay`, or the name of another agent.
    pub agent: String,
    /// What it was begun with that can differ between runs of one system: name to value.
    pub settings: BTreeMap<String, String>,
    /// When it began, as in `2026-01-01T00:00:00.000Z`.
    pub began: String,
    /// Where it stands: `submitted`, `left`, `budget`, `stopped`, `failed`, `cut-off` or `open`.
    pub state: &'static str,
    /// The number of the run among those of its system and task, from 1, by when they began.
    pub attempt: u64,
    /// What scoring says.
    pub scored: Option<Scored>,
    /// Why it counts in no figure; `None` for a run that counts.
    pub excluded: Option<String>,
    /// Tokens of answers.
    pub tokens: u64,
    /// Tokens that answers which never came may have cost.
    pub possible_tokens: u64,
    /// Price of the answers in dollars; `None` where no price is known.
    pub dollars: Option<f64>,
    /// Hours at work.
    pub hours: f64,
    /// Part of them without pauses and waiting for rate limits.
    pub active_hours: f64,
    /// Part of them in which tools ran.
    pub tool_hours: f64,
    /// Answers of the model, or commands of a run without a model.
    pub turns: u64,
    /// Calls of the reference.
    pub oracle_calls: u64,
    /// Times that the visible cases were run.
    pub evaluations: u64,
    /// Times that the context was full.
    pub compactions: u64,
    /// Version of the program that made the run.
    pub mirrorcode: String,
}

/// Options of a run that say how a model was asked.
const SETTINGS: [&str; 5] = [
    "thinking",
    "compaction",
    "compact-at",
    "max-output",
    "agent-command",
];

impl RunRow {
    /// Reads the run in `dir`. One that is damaged is excluded and says why.
    ///
    /// # Errors
    /// When there is no run in `dir`.
    pub fn read(dir: &Path, catalog: &Catalog) -> Result<Self, Error> {
        let survey = survey::take(dir)?;
        let verdict = verdict::read(dir);
        Ok(RunRow::of(&survey, &verdict, catalog))
    }

    pub(crate) fn of(
        survey: &Survey,
        verdict: &Result<Option<Verdict>, String>,
        catalog: &Catalog,
    ) -> Self {
        let header = &survey.header;
        let (target, language) = header.task.split_once('/').unwrap_or((&header.task, ""));
        let options = &survey.start.options;
        let agent = match survey.start.agent {
            Some(Agent::Person) => "person",
            Some(Agent::Replay) => "replay",
            Some(Agent::Client) => "client",
            Some(Agent::Program) => options.get("agent").map_or("program", |agent| {
                let name = agent.rsplit('/').next().unwrap_or_default();
                name.strip_suffix(".toml").unwrap_or(name)
            }),
            Some(Agent::Model) | None => "built-in",
        };
        let model = match (options.get("model"), survey.start.agent) {
            (Some(model), _) => model.as_str(),
            (None, Some(Agent::Person)) => "person",
            (None, Some(Agent::Replay)) => "replay",
            (None, _) => "unnamed",
        };
        let scored = match verdict {
            Ok(Some(verdict)) => Some(Scored {
                solved: verdict.solved,
                hidden: (verdict.hidden.passed, verdict.hidden.total),
                visible: (verdict.visible.passed, verdict.visible.total),
                submission: verdict.submission.digest.clone(),
                lock: verdict.versions.get("target-lock").cloned(),
            }),
            _ => None,
        };
        let state = state(&survey.state);
        let replayed = survey.start.agent == Some(Agent::Replay) || model.starts_with("replay:");
        let excluded = match verdict {
            _ if survey.damage.is_some() => Some("journal is damaged".to_owned()),
            _ if replayed => Some("a replay, no attempt of its own".to_owned()),
            _ if state == "open" => Some("under way".to_owned()),
            Err(why) => Some(why.clone()),
            Ok(None) => Some(format!("{state}, not scored")),
            Ok(Some(verdict)) if verdict.task != header.task => {
                Some("verdict is of another task".to_owned())
            }
            Ok(Some(_)) => None,
        };
        let spent = &survey.spent;
        // A person's work has no price, and a run that was never answered cost nothing.
        let priced = spent.microdollars > 0 || (spent.tokens == 0 && survey.has_turns);
        let hours = |milliseconds: u64| milliseconds as f64 / 3.6e6;
        RunRow {
            run: header.id.clone(),
            target: target.to_owned(),
            language: language.to_owned(),
            facts: catalog.get(target).cloned(),
            model: model.to_owned(),
            agent: agent.to_owned(),
            settings: SETTINGS
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), options.get(*name)?.clone())))
                .collect(),
            began: survey.began.unwrap_or(header.created).to_string(),
            state,
            attempt: 0,
            scored,
            excluded,
            tokens: spent.tokens,
            possible_tokens: spent.possible_tokens,
            dollars: priced.then_some(spent.microdollars as f64 / 1e6),
            hours: hours(spent.wall_milliseconds),
            active_hours: hours(spent.active_milliseconds()),
            tool_hours: hours(spent.tool_milliseconds),
            turns: survey.end.step,
            oracle_calls: survey.calls.total,
            evaluations: survey.evaluations.total,
            compactions: survey.contexts.saturating_sub(1),
            mirrorcode: header.mirrorcode.clone(),
        }
    }

    /// The task, as in `gron/python`.
    pub fn task(&self) -> String {
        format!("{}/{}", self.target, self.language)
    }

    /// Who works: the model, and another agent than the built-in one behind it.
    pub fn system(&self) -> String {
        match self.agent.as_str() {
            "built-in" | "person" | "replay" => self.model.clone(),
            agent => format!("{} ({agent})", self.model),
        }
    }

    /// The verdict of a run that counts.
    pub fn counted(&self) -> Option<&Scored> {
        self.scored.as_ref().filter(|_| self.excluded.is_none())
    }

    /// How a run that counts ended.
    pub fn end(&self) -> Option<End> {
        Some(match (self.counted()?.solved, self.state) {
            (true, _) => End::Solved,
            (false, "submitted") => End::Wrong,
            (false, _) => End::Censored,
        })
    }
}

fn state(state: &State) -> &'static str {
    match state {
        State::Open => "open",
        State::CutOff => "cut-off",
        State::Submitted | State::Ended(Reason::Submitted) => "submitted",
        State::Ended(Reason::Left) => "left",
        State::Ended(Reason::Stopped) => "stopped",
        State::Ended(Reason::Budget(_)) => "budget",
        State::Ended(Reason::Failed(_)) => "failed",
    }
}
