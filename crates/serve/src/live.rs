//! Runs that are under way: where each stands, as its journal grows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agent::event::{Estimate, Event, Spent};
use agent::scaffold::{add_answer, add_failure, add_unanswered};
use maud::{Markup, html};
use report::number::grouped;
use report::visible::Visible;
use run::Reader;
use serde::Serialize;

/// Seconds after which a browser asks for the page again, where its reader wants that. It is not so by itself: a page that moves
/// while it is read takes the place away from whoever reads it slowly, or by ear (WCAG 2.2.1).
const REFRESH: u32 = 10;
/// What stands after the `?` of the page that loads itself again.
pub(crate) const AGAIN: &str = "again";

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LiveRun {
    pub(crate) run: String,
    pub(crate) task: String,
    /// The model; nothing for a person.
    pub(crate) model: Option<String>,
    /// `working` or `paused`.
    pub(crate) state: &'static str,
    /// Answers of the model; of others, calls or commands.
    pub(crate) turn: u64,
    pub(crate) tokens: u64,
    /// Price of all answers, where it is known.
    pub(crate) dollars: Option<f64>,
    /// Visible cases that passed at best, and all.
    pub(crate) best: Option<Best>,
    pub(crate) began: String,
    /// When it was last heard of.
    pub(crate) last: String,
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Best {
    pub(crate) passed: u64,
    pub(crate) total: u64,
}

/// A journal that is followed.
struct Followed {
    reader: Reader,
    model: Option<String>,
    paused: bool,
    ended: bool,
    turns: u64,
    commands: u64,
    spent: Spent,
    waiting: Option<Estimate>,
    best: Option<Best>,
    last: String,
}

impl Followed {
    fn open(dir: &Path) -> Option<Self> {
        let reader = run::read(dir).ok()?;
        Some(Followed {
            last: reader.header().created.to_string(),
            reader,
            model: None,
            paused: false,
            ended: false,
            turns: 0,
            commands: 0,
            spent: Spent::default(),
            waiting: None,
            best: None,
        })
    }

    /// Reads what was written since; `false` when the journal is damaged.
    fn go_on(&mut self) -> bool {
        while let Some(entry) = self.reader.next() {
            let Ok(entry) = entry else {
                return false;
            };
            self.last = entry.time.to_string();
            self.see(entry.event);
        }
        true
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Start { options, .. } => self.model = options.get("model").cloned(),
            Event::Attach { .. } => (self.paused, self.ended) = (false, false),
            Event::Pause => self.paused = true,
            Event::Continue => self.paused = false,
            Event::End { .. } => self.ended = true,
            Event::Command { .. } => self.commands = self.commands.saturating_add(1),
            Event::ToolCall { number, .. } => self.turns = number,
            Event::Evaluate {
                cases_passed,
                cases_total,
                cases,
                ..
            } if cases.is_empty() && self.best.is_none_or(|best| cases_passed > best.passed) => {
                self.best = Some(Best {
                    passed: cases_passed,
                    total: cases_total,
                });
            }
            Event::Call {
                spent, estimate, ..
            } => {
                self.turns = spent.turns;
                self.spent = spent;
                self.waiting = Some(estimate);
            }
            Event::Reply {
                usage,
                attempts,
                microdollars,
                ..
            } => {
                self.turns = self.turns.saturating_add(1);
                let estimate = self.waiting.take().unwrap_or_default();
                add_answer(&mut self.spent, &usage, &attempts, microdollars, &estimate);
            }
            Event::CallFailed {
                failure,
                microdollars,
                ..
            } => {
                let estimate = self.waiting.take().unwrap_or_default();
                add_failure(&mut self.spent, &failure, microdollars, &estimate);
            }
            Event::Unanswered { .. } => {
                if let Some(estimate) = self.waiting.take() {
                    add_unanswered(&mut self.spent, &estimate);
                }
            }
            _ => {}
        }
    }

    fn row(&self) -> LiveRun {
        let header = self.reader.header();
        LiveRun {
            run: header.id.clone(),
            task: header.task.clone(),
            model: self.model.clone(),
            state: if self.paused { "paused" } else { "working" },
            turn: if self.turns > 0 {
                self.turns
            } else {
                self.commands
            },
            tokens: self.spent.tokens,
            dollars: (self.spent.microdollars > 0).then_some(self.spent.microdollars as f64 / 1e6),
            best: self.best,
            began: header.created.to_string(),
            last: self.last.clone(),
        }
    }
}

/// The runs that are followed.
#[derive(Default)]
pub(crate) struct Live(BTreeMap<PathBuf, Followed>);

impl Live {
    /// Where the runs that are under way stand, of those in these directories; each event is read once.
    pub(crate) fn look(&mut self, runs: &[PathBuf]) -> Vec<LiveRun> {
        self.0.retain(|dir, _| runs.contains(dir));
        let mut rows = Vec::new();
        for dir in runs.iter().filter(|dir| run::is_open(dir)) {
            let followed = match self.0.entry(dir.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => match Followed::open(dir) {
                    Some(followed) => entry.insert(followed),
                    None => continue,
                },
            };
            if followed.go_on() && !followed.ended {
                rows.push(followed.row());
            }
        }
        rows.sort_by(|one, other| other.began.cmp(&one.began).then(one.run.cmp(&other.run)));
        rows
    }
}

/// The page of runs that are under way; `again` for the one that loads itself again.
pub(crate) fn page(runs: &[LiveRun], again: bool, more: &[(&str, &str)]) -> String {
    let body = html! {
        p {
            "Runs of this server's operator that are under way, as their journals tell. Nothing of them counts before they have ended \
             and are scored."
        }
        @if runs.is_empty() {
            p { "None at this moment." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Table of runs under way" { (table(runs)) }
        }
        p {
            @if again {
                "The page loads itself again every " (REFRESH) " seconds. " a href="live.html" { "Stop that" }
            } @else {
                a href={ "live.html?" (AGAIN) } { "Load this page again every " (REFRESH) " seconds" }
            }
        }
    };
    let page = report::site::page("Runs under way", "Live", "live.html", more, body);
    if !again {
        return page;
    }
    let refresh = format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\"><title>");
    page.replacen("<title>", &refresh, 1)
}

/// A time as people read it: to the second, its day apart, so that a narrow column breaks between the two.
fn instant(time: &str) -> String {
    time.split('.').next().unwrap_or(time).replace('T', " ")
}

fn table(runs: &[LiveRun]) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "run" } th scope="col" { "task" } th scope="col" { "model" } th scope="col" { "state" }
                th.n scope="col" { "turn" } th.n scope="col" { "tokens" } th.n scope="col" { "cost" }
                th.n scope="col" { "best, visible" } th scope="col" { "last heard of (UTC)" }
            } }
            tbody {
                @for run in runs {
                    tr {
                        th scope="row" { (Visible(run.run.as_bytes())) }
                        td { (Visible(run.task.as_bytes())) }
                        td { @match &run.model { Some(model) => (Visible(model.as_bytes())), None => "-" } }
                        td { (run.state) }
                        td.n { (grouped(run.turn)) }
                        td.n { (grouped(run.tokens)) }
                        td.n { @match run.dollars { Some(dollars) => { "$" (format!("{dollars:.2}")) }, None => "-" } }
                        td.n { @match run.best { Some(best) => { (best.passed) "/" (best.total) }, None => "-" } }
                        td { (instant(&run.last)) }
                    }
                }
            }
        }
    }
}
