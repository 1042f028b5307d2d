//! Whoever worked on a task, side by side: what they reached, and what it took.

use std::path::{Path, PathBuf};

use agent::event::{Agent, Entry, Event};
use agent::scaffold::{count, dollars};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::Failure;
use crate::runs::{self, Facts};
use crate::terminal;

/// Most runs of a task that are shown beside one.
const MOST: usize = 50;

/// Who works on a run, and how long.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Work {
    agent: Option<Agent>,
    /// Their name, as far as it is known.
    name: Option<String>,
    /// When the last event was, if somebody was at work then.
    last: Option<u64>,
    paused: bool,
    /// Time at work, in milliseconds.
    pub(crate) milliseconds: u64,
    /// Part of it in pauses.
    pub(crate) paused_milliseconds: u64,
}

impl Work {
    pub(crate) fn see(&mut self, entry: &Entry) {
        let now = entry.time.milliseconds();
        let passed = match &entry.event {
            // Nobody was at work between the sessions.
            Event::Attach { .. } => 0,
            _ => self.last.map_or(0, |last| now.saturating_sub(last)),
        };
        self.last = Some(now);
        self.milliseconds = self.milliseconds.saturating_add(passed);
        if self.paused {
            self.paused_milliseconds = self.paused_milliseconds.saturating_add(passed);
        }
        match &entry.event {
            Event::Start { agent, options, .. } => {
                // What is made ready between the first event and the session counts for nobody.
                self.last = None;
                self.agent = Some(*agent);
                let model = options.get("model");
                self.name = match (options.get("agent"), model) {
                    (Some(agent), Some(model)) => Some(format!("{agent}, {model}")),
                    (None, Some(model)) => Some(model.clone()),
                    _ => options.get("who").cloned(),
                };
            }
            Event::Client { name, version, .. } => self.name = Some(format!("{name} {version}")),
            Event::Attach { .. } => self.paused = false,
            Event::Pause => self.paused = true,
            Event::Continue => self.paused = false,
            _ => {}
        }
    }

    /// Who it is, in words.
    pub(crate) fn who(&self) -> String {
        let name = self.name.as_deref();
        match self.agent {
            Some(Agent::Person) => {
                name.map_or("a person".to_owned(), |name| format!("{name} (a person)"))
            }
            Some(Agent::Client) => {
                name.map_or("a client".to_owned(), |name| format!("{name} (over MCP)"))
            }
            Some(Agent::Replay) => "a replay".to_owned(),
            _ => name.unwrap_or("-").to_owned(),
        }
    }

    /// Whether it is a person.
    pub(crate) fn is_person(&self) -> bool {
        self.agent == Some(Agent::Person)
    }

    /// Whether a model of this program's spends something on it.
    pub(crate) fn has_model(&self) -> bool {
        matches!(self.agent, Some(Agent::Model | Agent::Program))
    }
}

/// A run in the comparison.
struct Row {
    id: String,
    facts: Facts,
    verdict: Option<Value>,
}

fn verdict(directory: &Path) -> Option<Value> {
    let text = std::fs::read(directory.join("verdict.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

/// All runs of a task, best first: solved, then by hidden cases, then by time. `own` is one that may lie elsewhere.
fn rows(context: &Context, task: &str, own: &Path) -> Result<Vec<Row>, Failure> {
    let mut places: Vec<PathBuf> = run::list(context.runs())?
        .into_iter()
        .map(|listed| listed.dir)
        .collect();
    places.push(own.to_owned());
    let mut rows: Vec<Row> = Vec::new();
    for directory in places {
        let Ok(header) = run::Header::read(&directory) else {
            continue;
        };
        if header.task != task || rows.iter().any(|row| row.id == header.id) {
            continue;
        }
        // One that is damaged is no reason to show none.
        if let Ok(facts) = runs::facts(&directory) {
            rows.push(Row {
                id: header.id,
                facts,
                verdict: verdict(&directory),
            });
        }
    }
    rows.sort_by_key(|row| {
        let verdict = row.verdict.as_ref();
        let solved = verdict.is_some_and(|verdict| verdict["solved"] == true);
        let hidden = verdict.map_or(0, |verdict| {
            verdict["hidden"]["passed"].as_u64().unwrap_or(0)
        });
        (
            !solved,
            std::cmp::Reverse(hidden),
            row.facts.work.milliseconds,
        )
    });
    Ok(rows)
}

fn rate(verdict: Option<&Value>, split: &str) -> String {
    verdict.map_or("-".to_owned(), |verdict| {
        format!("{}/{}", verdict[split]["passed"], verdict[split]["total"])
    })
}

fn hours(milliseconds: u64) -> String {
    format!("{:.2}", milliseconds as f64 / 3.6e6)
}

impl Row {
    fn json(&self) -> Value {
        let work = &self.facts.work;
        let verdict = self.verdict.as_ref();
        json!({
            "id": self.id,
            "who": work.who(),
            "state": self.facts.state,
            "solved": verdict.map(|verdict| verdict["solved"].clone()),
            "visible": verdict.map(|verdict| verdict["visible"].clone()),
            "hidden": verdict.map(|verdict| verdict["hidden"].clone()),
            "hours": work.milliseconds as f64 / 3.6e6,
            "hours_without_pauses":
                work.milliseconds.saturating_sub(work.paused_milliseconds) as f64 / 3.6e6,
            "tokens": work.has_model().then_some(self.facts.spent.tokens),
            "dollars": work.has_model().then_some(self.facts.spent.microdollars as f64 / 1e6),
        })
    }
}

/// The comparison as JSON.
pub(crate) fn json(context: &Context, task: &str, own: &Path) -> Result<Value, Failure> {
    Ok(rows(context, task, own)?.iter().map(Row::json).collect())
}

/// Prints the comparison, if there is anybody to compare with. `id` is the run that it is about.
pub(crate) fn show(context: &Context, task: &str, own: &Path, id: &str) -> Result<(), Failure> {
    let rows = rows(context, task, own)?;
    if rows.len() < 2 {
        return Ok(());
    }
    let mut table = terminal::table(&[
        "", "who", "verdict", "visible", "hidden", "hours", "paused", "tokens", "dollars", "run",
    ]);
    for row in rows.iter().take(MOST) {
        let work = &row.facts.work;
        let verdict = row.verdict.as_ref();
        let spent = |text: String| {
            if work.has_model() {
                text
            } else {
                "-".to_owned()
            }
        };
        table.add_row([
            if row.id == id { ">" } else { "" }.to_owned(),
            work.who(),
            match verdict.map(|verdict| verdict["solved"] == true) {
                Some(true) => "solved".to_owned(),
                Some(false) => "not solved".to_owned(),
                None => format!("none ({})", row.facts.state),
            },
            rate(verdict, "visible"),
            rate(verdict, "hidden"),
            hours(work.milliseconds.saturating_sub(work.paused_milliseconds)),
            hours(work.paused_milliseconds),
            spent(count(row.facts.spent.tokens)),
            spent(dollars(row.facts.spent.microdollars)),
            row.id.clone(),
        ]);
    }
    terminal::line(&format!("\nAll runs of {task}:"));
    terminal::print_table(&table);
    if rows.len() > MOST {
        terminal::line(&format!("and {} more", rows.len() - MOST));
    }
    Ok(())
}
