//! The second reading of a journal: every event, in steps, as far as a page carries them.
//!
//! A step is a turn, or in a run without turns a command. Steps are gathered into parts. The first parts of a long
//! transcript are plain HTML; the others are packed (HTML, deflated, in base64) and are unpacked where they are looked
//! at, so that a page opens at once however long the run was.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use agent::event::{Entry, Event, Purpose, Time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use maud::{Markup, html};
use run::Store;

use crate::clock::{Clock, Progress};
use crate::event::{Scene, is_summary};
use crate::number::{self, count, dollars, grouped};
use crate::survey::Survey;
use crate::visible::short;
use crate::{Error, Options};

/// Bytes of plain HTML after which parts are packed.
const PLAIN: usize = 1 << 20;
/// Bytes and steps of a part.
const PART: usize = 96 << 10;
const STEPS: u64 = 40;
/// Events of one type in a row that are shown; of more, the first.
const ROW: u64 = 40;
/// Bytes of a step after which its events are no longer shown.
const STEP: usize = 2 << 20;

/// Writes the transcript.
pub(crate) fn write(
    dir: &Path,
    survey: &Survey,
    store: &Store,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let intro = html! {
        h2 #transcript-heading { "Transcript" }
        div.tools hidden {
            div role="search" {
                label for="query" { "Search" }
                input #query type="search" autocomplete="off" spellcheck="false";
                span #found role="status" {}
                button #before type="button" aria-label="Previous match" { "↑" }
                button #after type="button" aria-label="Next match" { "↓" }
            }
            div {
                button #fold type="button" { "Fold" }
                button #unfold type="button" { "Unfold" }
            }
        }
        @if survey.shown > 0 {
            p.gone {
                (number::of(survey.events, "event"))
                @if survey.most < (64 << 10) { "; of each output the first and last " (number::bytes(survey.most / 2)) " at most" }
                ". Each has a number that is its line in the journal, and a link to it."
            }
        }
    };
    out.write_all(b"<section id=transcript aria-labelledby=transcript-heading>")?;
    out.write_all(intro.into_string().as_bytes())?;
    let mut scribe = Scribe {
        scene: Scene::new(survey, store),
        clock: Clock::default(),
        began: survey.began,
        packed: options.packed,
        plain: 0,
        part: Part::default(),
        step: Step::default(),
        out,
    };
    let mut left = survey.events;
    let mut reader = run::read(dir)?;
    // The second reading ends where the first did, also while the run goes on.
    while left > 0
        && let Some(entry) = reader.next()
    {
        scribe.take(&entry?)?;
        left -= 1;
    }
    scribe.end_step()?;
    scribe.end_part()?;
    scribe.out.write_all(b"</section>")?;
    Ok(())
}

/// What a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Beginning,
    Turn(u64),
    Summary(u64),
    Command(u64),
}

/// A step that is being put together.
#[derive(Default)]
struct Step {
    name: Name,
    first: u64,
    last: u64,
    time: Option<Time>,
    body: String,
    gist: Vec<String>,
    calls: u64,
    sent: u64,
    answered: u64,
    microdollars: u64,
    milliseconds: u64,
    passed: Option<(u64, u64)>,
    at: Progress,
    row: (&'static str, u64),
    skipped: Option<Skipped>,
}

/// Events that are not shown.
struct Skipped {
    first: u64,
    last: u64,
    types: HashMap<&'static str, u64>,
}

/// Steps that stand together.
#[derive(Default)]
struct Part {
    html: String,
    first: u64,
    last: u64,
    steps: u64,
    /// Numbers of the first and the last turn, or command.
    numbers: Option<(u64, u64)>,
}

struct Scribe<'a> {
    scene: Scene<'a>,
    clock: Clock,
    began: Option<Time>,
    packed: bool,
    /// Bytes of plain HTML so far.
    plain: usize,
    part: Part,
    step: Step,
    out: &'a mut dyn Write,
}

/// The type of an event that comes in crowds, in words.
fn crowd(event: &Event) -> &'static str {
    match event {
        Event::Oracle { .. } => "oracle call",
        Event::Evaluate { .. } => "evaluation",
        Event::Message { .. } => "message",
        Event::Attach { .. } => "session",
        Event::CallFailed { .. } => "failed call",
        Event::Workspace { .. } => "change",
        Event::Command { .. } => "command",
        Event::Result { .. } => "result",
        Event::ToolResult { .. } => "tool result",
        _ => "event",
    }
}

impl Scribe<'_> {
    fn take(&mut self, entry: &Entry) -> Result<(), Error> {
        self.clock.see(entry);
        let name = match &entry.event {
            Event::Call {
                turn,
                purpose: Purpose::Turn,
                ..
            } => Some(Name::Turn(*turn)),
            Event::ToolCall { number, .. } => Some(Name::Turn(*number)),
            event @ Event::Call { number, .. } if is_summary(event) => Some(Name::Summary(*number)),
            Event::Command { number, .. } if !self.clock.has_turns => Some(Name::Command(*number)),
            _ => None,
        };
        if let Some(name) = name
            && name != self.step.name
        {
            self.end_step()?;
            self.step.name = name;
        }
        let step = &mut self.step;
        if step.first == 0 {
            step.first = entry.seq;
            step.time = Some(entry.time);
        }
        step.last = entry.seq;
        step.see(&entry.event);
        let kind = crowd(&entry.event);
        if step.row.0 == kind {
            step.row.1 += 1;
        } else {
            step.row = (kind, 1);
        }
        let crowded = kind != "event" && step.row.1 > ROW;
        let shown = self.scene.show(entry);
        if crowded || step.body.len() > STEP {
            let skipped = step.skipped.get_or_insert_with(|| Skipped {
                first: entry.seq,
                last: entry.seq,
                types: HashMap::new(),
            });
            skipped.last = entry.seq;
            *skipped.types.entry(kind).or_default() += 1;
            return Ok(());
        }
        step.say_skipped();
        if let Some(shown) = shown {
            step.body.push_str(&shown.into_string());
        }
        Ok(())
    }

    fn end_step(&mut self) -> Result<(), Error> {
        let mut step = std::mem::take(&mut self.step);
        if step.first == 0 {
            return Ok(());
        }
        step.say_skipped();
        step.at = self.clock.progress();
        let head = step.head(self.began);
        let part = &mut self.part;
        if part.first == 0 {
            part.first = step.first;
        }
        part.last = step.last;
        part.steps += 1;
        if let Name::Turn(number) | Name::Command(number) = step.name {
            part.numbers = Some((part.numbers.map_or(number, |(first, _)| first), number));
        }
        part.html.push_str(&head.into_string());
        part.html.push_str(&step.body);
        part.html.push_str("</details></article>");
        if part.html.len() >= PART || part.steps >= STEPS {
            self.end_part()?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.part);
        if part.first == 0 {
            return Ok(());
        }
        let (from, to) = part.numbers.unwrap_or_default();
        write!(
            self.out,
            "<div class=part data-first={} data-last={} data-from={from} data-to={to} data-steps={}>",
            part.first, part.last, part.steps
        )?;
        if !self.packed || self.plain < PLAIN {
            self.plain += part.html.len();
            self.out.write_all(part.html.as_bytes())?;
        } else {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(part.html.as_bytes())?;
            let packed = encoder.finish()?;
            let name = self.scene.survey.step_name();
            write!(
                self.out,
                "<p class=packed>{name}s {} to {}: unpacked by your browser when JavaScript is on</p><script type=\"text/plain\">{}</script>",
                grouped(from),
                grouped(to),
                STANDARD.encode(packed)
            )?;
        }
        self.out.write_all(b"</div>")?;
        Ok(())
    }
}

impl Step {
    fn see(&mut self, event: &Event) {
        match event {
            Event::Call { .. } => self.calls += 1,
            Event::Reply {
                usage,
                microdollars,
                milliseconds,
                message,
                ..
            } => {
                self.sent = self.sent.saturating_add(usage.request());
                self.answered = self.answered.saturating_add(usage.output);
                self.microdollars = self.microdollars.saturating_add(*microdollars);
                self.milliseconds = self.milliseconds.saturating_add(*milliseconds);
                if let agent::event::Content::Inline(text) = message {
                    self.gist(text);
                }
            }
            Event::ToolCall {
                name, arguments, ..
            } => {
                self.calls += 1;
                if let agent::event::Content::Inline(text) = arguments {
                    self.call(name, text);
                }
            }
            Event::Note {
                text: agent::event::Content::Inline(text),
            } => self.say(short(text.as_bytes(), 80)),
            Event::Command { script, .. } if self.calls == 0 => {
                let line = script.0.split(|byte| *byte == b'\n').next();
                self.say(short(line.unwrap_or_default(), 80));
            }
            Event::Evaluate {
                cases_passed,
                cases_total,
                ..
            } => {
                self.passed = Some((*cases_passed, *cases_total));
            }
            Event::Submit { .. } => self.say("submitted".to_owned()),
            _ => {}
        }
    }

    fn say(&mut self, words: String) {
        if self.gist.len() < 3 && !words.is_empty() {
            self.gist.push(words);
        }
    }

    /// What an answer does, in a few words.
    fn gist(&mut self, answer: &str) {
        let blocks: Vec<model::Block> = serde_json::from_str(answer).unwrap_or_default();
        for block in &blocks {
            let model::Block::ToolCall {
                name, arguments, ..
            } = block
            else {
                continue;
            };
            self.call(name, arguments);
        }
    }

    /// What a call of a tool does, in a few words.
    fn call(&mut self, name: &str, arguments: &str) {
        let value: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
        let what = ["command", "path"]
            .iter()
            .find_map(|key| value[key].as_str());
        let what = what.unwrap_or_default().lines().next().unwrap_or_default();
        self.say(match name {
            "bash" => short(what.as_bytes(), 60),
            _ => short(format!("{name} {what}").as_bytes(), 60),
        });
    }

    fn say_skipped(&mut self) {
        let Some(skipped) = self.skipped.take() else {
            return;
        };
        let mut types: Vec<_> = skipped.types.into_iter().collect();
        types.sort_unstable();
        let markup = html! {
            div.ev.quiet id=(format!("e{}", skipped.first)) {
                a.at href=(format!("#e{}", skipped.first)) aria-label=(format!("Event {}", skipped.first)) { (skipped.first) }
                p.gone {
                    @for (place, (kind, number)) in types.iter().enumerate() {
                        @if place > 0 { ", " }
                        (number::of(*number, &format!("more {kind}")))
                    }
                    ": lines " (grouped(skipped.first)) " to " (grouped(skipped.last)) " of journal.jsonl"
                }
            }
        };
        self.body.push_str(&markup.into_string());
    }

    fn head(&self, began: Option<Time>) -> Markup {
        let (id, title) = match self.name {
            Name::Beginning => ("begin".to_owned(), "Beginning".to_owned()),
            Name::Turn(number) => (format!("t{number}"), format!("Turn {}", grouped(number))),
            Name::Summary(number) => (format!("s{number}"), "Summary".to_owned()),
            Name::Command(number) => (format!("t{number}"), format!("Command {}", grouped(number))),
        };
        let since = match (began, self.time) {
            (Some(began), Some(time)) => time.milliseconds().saturating_sub(began.milliseconds()),
            _ => 0,
        };
        let named = !matches!(self.name, Name::Beginning | Name::Command(_));
        // The elements that are still open are closed when the step ends.
        let head = html! {
            article.step id=(id) {
                details open {
                    summary id=[named.then(|| format!("e{}", self.first))] {
                        h3 { (title) }
                        span.gist { (self.gist.join(" · ")) }
                        span.meta {
                            @if let Some((passed, total)) = self.passed { b { (grouped(passed)) "/" (grouped(total)) } " · " }
                            @if self.sent > 0 || self.answered > 0 {
                                (count(self.sent)) " → " (count(self.answered)) " tokens · " (dollars(self.microdollars)) " · "
                            }
                            span title="since the run began" { "+" (number::time(since)) }
                        }
                    }
                }
            }
        };
        let text = head.into_string();
        maud::PreEscaped(text.trim_end_matches("</details></article>").to_owned())
    }
}
