//! One event of a transcript.

use std::collections::{HashMap, VecDeque};

use agent::event::{Content, Descriptor, Entry, Event, Kind, NamedFile, Piece, Purpose, Reason};
use maud::{Markup, html};
use model::Block;
use run::Store;
use serde_json::Value;

use crate::changes::{Workspace, difference};
use crate::content::{Excerpt, excerpt};
use crate::fold;
use crate::number::{self, count, dollars, grouped, percent};
use crate::rows::{dropped, why};
use crate::survey::{Survey, arguments, ending, input};
use crate::visible::{Visible, plain, short};

/// Longest answer of a model that is read, in bytes.
const ANSWER: u64 = 8 << 20;
/// Commands whose results are remembered, for what refers to them.
const REMEMBERED: usize = 4096;

/// What the events before leave for those after.
pub(crate) struct Scene<'a> {
    pub(crate) store: &'a Store,
    pub(crate) survey: &'a Survey,
    workspace: Workspace,
    /// Scripts that the last answers asked for, by tool call.
    asked: HashMap<String, String>,
    /// Events of the last results, by command.
    results: VecDeque<(u64, u64)>,
    /// Whether a file tool was called since the last change of the workspace.
    edited: bool,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(survey: &'a Survey, store: &'a Store) -> Self {
        Scene {
            store,
            survey,
            workspace: Workspace::default(),
            asked: HashMap::new(),
            results: VecDeque::new(),
            edited: false,
        }
    }

    fn read(&self, content: &Content) -> Excerpt {
        excerpt(self.store, content, self.survey.most)
    }

    /// The event as a part of its step; `None` for what the step's own head says.
    pub(crate) fn show(&mut self, entry: &Entry) -> Option<Markup> {
        let seq = entry.seq;
        let block = |class: &str, body: Markup| {
            html! {
                div class=(format!("ev {class}")) id=(format!("e{seq}")) {
                    a.at href=(format!("#e{seq}")) aria-label=(format!("Event {seq}")) { (seq) }
                    (body)
                }
            }
        };
        let note = |words: Markup| block("note", html! { p { (words) } });
        Some(match &entry.event {
            Event::Start { .. } => note(html! { "The run begins." }),
            Event::Attach { process, .. } => note(
                html! { "A session opens the run, process " (process) ". Earlier processes are gone." },
            ),
            Event::Command {
                script,
                directory,
                terminal,
                tool,
                background,
                limit_milliseconds,
                number,
            } => {
                let known = tool.as_ref().and_then(|tool| self.asked.remove(tool));
                let same = known.is_some_and(|known| known.as_bytes() == script.0);
                let name = html! {
                    p.label {
                        "command " (number) " in " code { (Visible(&directory.0)) }
                        @if *background { ", in the background" }
                        @if *terminal { ", on a terminal" }
                        @if let Some(limit) = limit_milliseconds { ", at most " (number::time(*limit)) }
                    }
                };
                block(
                    "cmd",
                    html! { (name) @if !same { (fold::text(&self.cut(&script.0), "script")) } },
                )
            }
            Event::Result {
                number,
                ending: how,
                stdout,
                stderr,
                interactive,
                milliseconds,
                ..
            } => {
                if self.results.len() == REMEMBERED {
                    self.results.pop_front();
                }
                self.results.push_back((*number, seq));
                let bad = !matches!(how, agent::event::Ending::Exit(0));
                block(
                    "res",
                    html! {
                        p.label {
                            span.bad[bad] { (ending(*how)) } " after " (number::time(*milliseconds))
                            @if stdout.bytes() + stderr.bytes() == 0 { ", nothing printed" }
                            @if *interactive { ", somebody typed" }
                        }
                        @if stdout.bytes() > 0 { (fold::text(&self.read(stdout), "out")) }
                        @if stderr.bytes() > 0 { p.label { "standard error" } (fold::text(&self.read(stderr), "out err")) }
                    },
                )
            }
            Event::Request {
                call,
                dialect,
                alias,
                kept,
                items,
                ..
            } => block(
                "res",
                html! {
                    p.label {
                        "call " (call) ", asked by the program in " (format!("{dialect:?}"))
                        @if let Some(alias) = alias { ", under the name " code { (Visible(alias.as_bytes())) } }
                        @if *kept > 0 { ": " (kept) " messages as before, then " (items.len()) }
                    }
                    @for item in items { (fold::text(&self.read(item), "out")) }
                },
            ),
            Event::Count { bytes, .. } => {
                note(html! { "The program has the tokens of " (number::bytes(*bytes)) " counted." })
            }
            Event::Refused {
                place,
                reason,
                what,
            } => note(html! {
                "Refused by the gateway (" (reason) "): " code { (Visible(place.as_bytes())) } ": "
                (Visible(what.as_bytes()))
            }),
            Event::Workspace { tree, .. } => {
                let open = !std::mem::take(&mut self.edited);
                let changes = self.workspace.advance(self.store, *tree, open);
                block("work", changes)
            }
            Event::Oracle {
                argv,
                descriptors,
                files,
                ending: how,
                milliseconds,
                ..
            } => block(
                "oracle",
                html! {
                    p.label {
                        span.tag { "oracle" } " "
                        code { (Visible(arguments(argv, 400).as_bytes())) }
                        span.meta { (ending(*how)) ", " (number::time(*milliseconds)) (streams(descriptors)) (named(files)) }
                    }
                },
            ),
            Event::Evaluate {
                cases,
                built,
                cases_passed,
                cases_total,
                report,
                milliseconds,
                ..
            } => block(
                "eval",
                html! {
                    p.label {
                        span.tag { "evaluate" } " "
                        @if *built {
                            b { (grouped(*cases_passed)) "/" (grouped(*cases_total)) } " pass, " (percent(*cases_passed, *cases_total))
                        } @else { span.bad { "not built" } }
                        span.meta {
                            (number::time(*milliseconds))
                            @if !cases.is_empty() { ", some cases: " (Visible(short(cases.join(" ").as_bytes(), 200).as_bytes())) }
                        }
                        meter.wide aria-label="Share of the cases that pass" min="0" max=(cases_total.max(&1)) value=(cases_passed.min(cases_total)) {}
                    }
                    (fold::text(&self.read(report), "out"))
                },
            ),
            Event::Context {
                number,
                why: reason,
                system,
                tools,
                summary,
                kept,
                cleared,
                remark,
                dropped: gone,
                before_tokens,
                after_tokens,
            } => block(
                if *number > 1 { "compaction" } else { "note" },
                html! {
                    @if *number > 1 {
                        p.label { span.tag { "compaction" } " " b { (count(*before_tokens)) " tokens became " (count(*after_tokens)) } ": " (why(*reason)) }
                        p { "Dropped: " (dropped(self.survey, gone)) ". " (number::of(kept.len() as u64, "stretch")) " of events kept." }
                        @if !cleared.is_empty() {
                            p { (number::of(cleared.len() as u64, "group")) " of tool results cleared, up to "
                                @for (place, seq) in cleared.iter().take(12).enumerate() { @if place > 0 { ", " } a href=(format!("#e{seq}")) { (seq) } }
                                @if cleared.len() > 12 { ", ..." }
                                "; in their place stands: " q { (Visible(short(remark.as_bytes(), 400).as_bytes())) } }
                        }
                        @if let Some(summary) = summary {
                            p.label { "The summary that stands in place of what was dropped" }
                            (fold::text(&self.read(summary), "say"))
                        }
                    } @else { p { "The first context begins: " (number::of(*after_tokens, "token")) "." } }
                    details { summary { "System prompt, " (number::bytes(system.bytes())) } (fold::text(&self.read(system), "say")) }
                    details { summary { "Tools, " (number::bytes(tools.bytes())) } (fold::text(&self.read(tools), "out")) }
                },
            ),
            Event::Message { kind, text } => {
                let name = match kind {
                    Kind::Task => "task",
                    Kind::GoOn => "asked to go on",
                    Kind::Resumed => "told of an interruption",
                    Kind::Summarize => "asked for a summary",
                };
                block(
                    "msg",
                    html! { p.label { span.tag { (name) } } (fold::text(&self.read(text), "say")) },
                )
            }
            Event::Call { .. } => return None,
            Event::Reply { message, stop, .. } => {
                let body = self.reply(message);
                let odd = !matches!(stop, model::Stop::End | model::Stop::ToolUse);
                block(
                    "reply",
                    html! { (body) @if odd { p.label.bad { "The answer ends there: " (plain(format!("{stop:?}").as_bytes())) } } },
                )
            }
            Event::Client {
                name,
                version,
                transport,
            } => note(html! {
                "A client introduces itself over " (Visible(short(transport.as_bytes(), 20).as_bytes())) ": "
                (Visible(short(format!("{name} {version}").as_bytes(), 200).as_bytes())) "."
            }),
            Event::ToolCall {
                tool,
                name,
                arguments,
                ..
            } => {
                let read = excerpt(self.store, arguments, ANSWER);
                let text = read.whole().map(String::from_utf8_lossy);
                let body = match text {
                    Some(text) => self.tool(tool, name, &text),
                    None => fold::text(&self.read(arguments), "out"),
                };
                block("reply", body)
            }
            Event::Note { text } => block(
                "msg",
                html! { p.label { span.tag { "note" } } (fold::text(&self.read(text), "say")) },
            ),
            Event::CallFailed {
                failure,
                microdollars,
                milliseconds,
                ..
            } => block(
                "fail",
                html! {
                    p.label { span.tag.bad { "no answer" } " " b { (failure.kind.name()) } " after " (number::time(*milliseconds)) ", " (dollars(*microdollars)) }
                    p { (Visible(short(failure.message.as_bytes(), 2000).as_bytes())) }
                },
            ),
            Event::Unanswered { call } => note(
                html! { "Call " (call) " was under way when its session was cut off. What it can have cost counts as possible spend." },
            ),
            Event::Edit { number, .. } => {
                self.edited = true;
                block("quiet", html! { p.label { "edit " (number) } })
            }
            Event::ToolResult {
                name,
                pieces,
                failed,
                ..
            } => block(
                if *failed { "told fail" } else { "told" },
                html! {
                    p.label { "told to the model" @if *failed { ", " span.bad { "failed" } } ": " (Visible(short(name.as_bytes(), 64).as_bytes())) }
                    @for piece in pieces {
                        @match piece {
                            Piece::Text(text) => (fold::text(&self.read(text), "out")),
                            Piece::Output { command, from, bytes } => (self.output(*command, *from, *bytes)),
                        }
                    }
                },
            ),
            Event::Budget { limits } => {
                let words = serde_json::to_value(limits).unwrap_or_default();
                note(html! {
                    @match words.as_object().filter(|limits| !limits.is_empty()) {
                        None => "From here on nothing is limited but single commands.",
                        Some(limits) => {
                            "From here on the limits are: "
                            @for (place, (name, value)) in limits.iter().enumerate() {
                                @if place > 0 { ", " }
                                @match (name.as_str(), value.as_u64()) {
                                    ("microdollars", Some(value)) => { (dollars(value)) },
                                    (name, Some(value)) if name.ends_with("-seconds") => { (name.trim_end_matches("-seconds")) " time " (number::time(value.saturating_mul(1000))) },
                                    (name, Some(value)) => { (count(value)) " " (name) },
                                    _ => "?",
                                }
                            }
                            "."
                        }
                    }
                })
            }
            Event::Pause => note(html! { "The run waits until it is told to go on." }),
            Event::Continue => note(html! { "The run goes on." }),
            Event::Submit { .. } => block(
                "submit",
                html! { p { strong { "Submitted." } " " a href="#files" { "What was submitted" } } },
            ),
            Event::End { reason } => note(html! {
                "The session ends: "
                @match reason {
                    Reason::Submitted => "submitted",
                    Reason::Left => "the agent left without submitting",
                    Reason::Stopped => "stopped from outside",
                    Reason::Budget(limit) => { "out of budget, " (Visible(limit.as_bytes())) },
                    Reason::Failed(why) => { "failed: " (Visible(why.as_bytes())) },
                }
                "."
            }),
        })
    }

    fn reply(&mut self, message: &Content) -> Markup {
        let read = excerpt(self.store, message, ANSWER);
        let blocks: Option<Vec<Block>> = read
            .whole()
            .and_then(|text| serde_json::from_slice(text).ok());
        let Some(blocks) = blocks else {
            return html! { p.label { "an answer that cannot be taken apart" } (fold::text(&self.read(message), "out")) };
        };
        if self.asked.len() > 256 {
            self.asked.clear();
        }
        html! {
            @for block in &blocks {
                @match block {
                    Block::Text { text, .. } => (fold::text(&self.cut(text.as_bytes()), "say")),
                    Block::Thinking(_) => {
                        details.thinking {
                            summary { "thinking" }
                            @match block.readable_thinking() {
                                Some(text) => (fold::text(&self.cut(text.as_bytes()), "say")),
                                None => p.gone { "not readable: its provider keeps it to itself" },
                            }
                        }
                    },
                    Block::ToolCall { id, name, arguments, .. } => (self.tool(id, name, arguments)),
                    Block::Opaque(kept) => details { summary { "something only its provider understands" } (fold::text(&self.cut(kept.json.get().as_bytes()), "out")) },
                }
            }
            @if blocks.is_empty() { p.gone { "an empty answer" } }
        }
    }

    fn cut(&self, bytes: &[u8]) -> Excerpt {
        Excerpt::of(bytes, self.survey.most)
    }

    fn tool(&mut self, id: &str, name: &str, arguments: &str) -> Markup {
        let value: Value = serde_json::from_str(arguments).unwrap_or_default();
        let text = |key: &str| value[key].as_str();
        let title = |words: Markup| html! { p.label { span.tag { (Visible(short(name.as_bytes(), 64).as_bytes())) } " " (words) } };
        if name == "bash"
            && let Some(command) = text("command")
        {
            self.asked.insert(id.to_owned(), command.to_owned());
            return html! { div.call { (title(html! {})) (fold::text(&self.cut(command.as_bytes()), "script")) } };
        }
        if name == "edit"
            && let (Some(action), Some(path)) = (text("action"), text("path"))
        {
            let words = html! { (Visible(short(action.as_bytes(), 40).as_bytes())) " " code { (Visible(short(path.as_bytes(), 200).as_bytes())) } };
            return html! {
                div.call {
                    (title(words))
                    @match (action, text("old"), text("new"), text("text")) {
                        ("replace", Some(old), Some(new), _) => (difference(old.as_bytes(), new.as_bytes(), &mut (0, 0))),
                        ("insert", _, _, Some(new)) => {
                            p.label { "after line " (value["line"].as_u64().unwrap_or_default()) }
                            (difference(b"", new.as_bytes(), &mut (0, 0)))
                        },
                        ("create", _, _, Some(new)) => (fold::text(&self.cut(new.as_bytes()), "script")),
                        _ => @if let Some(lines) = value["lines"].as_array() {
                            p.label { "lines " (plain(format!("{lines:?}").as_bytes()).replace("Number", "")) }
                        },
                    }
                }
            };
        }
        let shown = match &value {
            Value::Object(object) if object.is_empty() => String::new(),
            Value::Object(_) => serde_json::to_string_pretty(&value).unwrap_or_default(),
            _ => arguments.to_owned(),
        };
        html! { div.call { (title(html! {})) @if !shown.is_empty() { (fold::text(&self.cut(shown.as_bytes()), "out")) } } }
    }

    /// A stretch of what a command printed, which stands at the command.
    fn output(&self, command: u64, from: u64, bytes: u64) -> Markup {
        let result = self
            .results
            .iter()
            .rev()
            .find(|(number, _)| *number == command);
        let words = html! { "output of command " (command) };
        html! {
            p.stretch {
                @match result {
                    Some((_, seq)) => a href=(format!("#e{seq}")) { (words) },
                    None => (words),
                }
                @if from == 0 { ", its first " (number::bytes(bytes)) } @else { ", " (number::bytes(bytes)) " from byte " (grouped(from)) " on" }
            }
        }
    }
}

fn streams(descriptors: &[Descriptor; 3]) -> Markup {
    let [stdin, stdout, stderr] = descriptors;
    html! {
        ", input: " (input(stdin.kind))
        @if let Some(bytes) = stdin.bytes { " " (number::bytes(bytes)) }
        @if let Some(bytes) = stdout.bytes { ", printed " (number::bytes(bytes)) }
        @if let Some(bytes) = stderr.bytes.filter(|bytes| *bytes > 0) { ", errors " (number::bytes(bytes)) }
    }
}

fn named(files: &[NamedFile]) -> Markup {
    html! {
        @for file in files.iter().take(4) {
            ", " code { (Visible(short(&file.path.0, 120).as_bytes())) } " " (number::bytes(file.bytes))
        }
        @if files.len() > 4 { ", and " (files.len() - 4) " more files" }
    }
}

/// What a call of a model is for, where it is more than the next turn.
pub(crate) fn is_summary(event: &Event) -> bool {
    matches!(
        event,
        Event::Call {
            purpose: Purpose::Summary,
            ..
        }
    )
}
