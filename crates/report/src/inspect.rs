//! A run as a log that Inspect opens (`.eval`): a ZIP archive of JSON, in the second version of its format.
//!
//! The run is one sample. Its messages are those that the model was sent and gave, as far as they are recorded; a run
//! without a model has each command as a tool call. The journal is read twice and never held in memory.

mod archive;

use std::collections::HashMap;
use std::io::{self, Seek, Write};
use std::path::Path;

use agent::event::{Content, Entry, Event, Piece, Purpose, Reason};
use model::Block;
use run::{Known, Store};
use score::Verdict;
use serde_json::{Value, json};

use crate::content::excerpt;
use crate::row::{Catalog, RunRow};
use crate::survey::{State, Survey};
use crate::{Error, number, survey, verdict};

use archive::Archive;

/// Most bytes of one content; of more, the beginning and the end.
const MOST: u64 = 1 << 20;
/// Longest answer of a model that is taken apart, in bytes.
const ANSWER: u64 = 16 << 20;

/// Writes the run in `dir` as an Inspect log.
///
/// # Errors
/// When there is no run in `dir`, its journal is damaged, it is longer than the format holds, or nothing can be written.
pub fn write_eval<W: Write + Seek>(dir: &Path, out: W) -> Result<(), Error> {
    let survey = survey::take(dir)?;
    if let Some(damage) = survey.damage {
        return Err(damage.into());
    }
    let verdict = verdict::read(dir).map_err(io::Error::other)?;
    let row = RunRow::of(&survey, &Ok(verdict.clone()), &Catalog::new());
    let log = Log {
        dir,
        survey: &survey,
        verdict: verdict.as_ref(),
        row: &row,
    };
    let mut archive = Archive::new(out);
    let put = |archive: &mut Archive<W>, name: &str, value: &Value| {
        archive.add::<Error>(name, |out| {
            Ok(serde_json::to_writer(out, value).map_err(io::Error::from)?)
        })
    };
    let start = json!({ "version": 2, "eval": log.spec(), "plan": plan() });
    put(&mut archive, "_journal/start.json", &start)?;
    let mut messages = 0;
    archive.add::<Error>(&format!("samples/{}_epoch_1.json", row.task()), |out| {
        messages = log.sample(out)?;
        Ok(())
    })?;
    let summaries = json!([log.summary(messages)]);
    put(&mut archive, "_journal/summaries/1.json", &summaries)?;
    put(&mut archive, "summaries.json", &summaries)?;
    put(&mut archive, "header.json", &log.header())?;
    archive.finish()?;
    Ok(())
}

fn plan() -> Value {
    json!({ "name": "plan", "steps": [], "config": {} })
}

struct Log<'a> {
    dir: &'a Path,
    survey: &'a Survey,
    verdict: Option<&'a Verdict>,
    row: &'a RunRow,
}

/// What a time looks like in Inspect.
fn time(text: &str) -> String {
    text.strip_suffix('Z')
        .map_or_else(|| text.to_owned(), |text| format!("{text}+00:00"))
}

impl Log<'_> {
    fn spec(&self) -> Value {
        let row = self.row;
        let digest = run::digest(row.run.as_bytes()).to_string();
        json!({
            "eval_id": digest[..22],
            "run_id": row.run,
            "created": time(&row.began),
            "task": "mirrorcode",
            "task_id": digest[..22],
            "task_version": 0,
            "task_attribs": {},
            "task_args": { "target": row.target, "language": row.language },
            "task_args_passed": {},
            "solver": row.agent,
            "solver_args": {},
            "solver_args_passed": {},
            "dataset": { "name": "mirrorcode", "samples": 1, "sample_ids": [row.task()], "shuffled": false },
            "model": row.model,
            "model_generate_config": {},
            "model_args": {},
            "config": { "epochs": 1 },
            "packages": { "mirrorcode": row.mirrorcode },
            "metadata": {
                "digests": self.survey.start.digests,
                "versions": self.survey.start.versions,
                "limits": self.survey.start.limits,
                "settings": row.settings,
            },
        })
    }

    fn header(&self) -> Value {
        let ended = self.survey.ended.map(|ended| time(&ended.to_string()));
        let scores: Vec<Value> = self
            .values()
            .iter()
            .map(|(name, _, number)| {
                json!({
                    "name": name, "scorer": name, "scored_samples": 1, "unscored_samples": 0, "params": {},
                    "metrics": { "accuracy": { "name": "accuracy", "value": number, "params": {} } },
                })
            })
            .collect();
        let mut header = json!({
            "version": 2,
            "status": self.status(),
            "eval": self.spec(),
            "plan": plan(),
            "results": { "total_samples": 1, "completed_samples": u8::from(self.status() == "success"), "scores": scores },
            "stats": { "started_at": time(&self.row.began), "completed_at": ended, "model_usage": self.usage(), "role_usage": {} },
        });
        if let Some(error) = self.error() {
            header["error"] = error;
        }
        header
    }

    fn status(&self) -> &'static str {
        match &self.survey.state {
            State::Open => "started",
            State::CutOff | State::Ended(Reason::Stopped) => "cancelled",
            State::Ended(Reason::Failed(_)) => "error",
            State::Submitted | State::Ended(_) => "success",
        }
    }

    fn error(&self) -> Option<Value> {
        match &self.survey.state {
            State::Ended(Reason::Failed(why)) => {
                Some(json!({ "message": why, "traceback": "", "traceback_ansi": "" }))
            }
            _ => None,
        }
    }

    /// Scores: name, value, and the value as a number.
    fn values(&self) -> Vec<(&'static str, Value, f64)> {
        let share = |count: score::Count| count.passed as f64 / count.total.max(1) as f64;
        match self.verdict {
            None => Vec::new(),
            Some(verdict) => vec![
                (
                    "solved",
                    json!(if verdict.solved { "C" } else { "I" }),
                    f64::from(u8::from(verdict.solved)),
                ),
                (
                    "hidden",
                    json!(share(verdict.hidden)),
                    share(verdict.hidden),
                ),
                (
                    "visible",
                    json!(share(verdict.visible)),
                    share(verdict.visible),
                ),
            ],
        }
    }

    fn scores(&self) -> Value {
        let Some(verdict) = self.verdict else {
            return Value::Null;
        };
        let scores = self.values().into_iter().map(|(name, value, _)| {
            let families = json!({ "families": verdict.families, "submission": verdict.submission.digest });
            let score = json!({ "value": value, "explanation": verdict.summary, "metadata": families, "history": [] });
            (name.to_owned(), score)
        });
        Value::Object(scores.collect())
    }

    fn usage(&self) -> Value {
        let usage = &self.survey.usage;
        if self.survey.replies == 0 {
            return json!({});
        }
        let mut used = json!({
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "total_tokens": usage.total(),
            "input_tokens_cache_write": usage.cache_write,
            "input_tokens_cache_read": usage.cache_read,
            "reasoning_tokens": usage.reasoning,
        });
        if let Some(dollars) = self.row.dollars {
            used["total_cost"] = json!(dollars);
        }
        json!({ self.row.model.as_str(): used })
    }

    /// What stands in a sample and in its summary.
    fn common(&self) -> Value {
        let row = self.row;
        json!({
            "id": row.task(),
            "epoch": 1,
            "input": format!("Rebuild {} in {}.", row.target, row.language),
            "target": "solved",
            "metadata": {
                "run": row.run, "state": row.state, "attempt_excluded": row.excluded, "dollars": row.dollars, "oracle_calls": row.oracle_calls,
                "evaluations": row.evaluations, "compactions": row.compactions, "tool_hours": row.tool_hours,
            },
            "scores": self.scores(),
            "model_usage": self.usage(),
            "role_usage": {},
            "started_at": time(&row.began),
            "completed_at": self.survey.ended.map(|ended| time(&ended.to_string())),
            "total_time": row.hours * 3600.0,
            "working_time": row.active_hours * 3600.0,
        })
    }

    fn summary(&self, messages: u64) -> Value {
        let mut summary = self.common();
        summary["completed"] = json!(self.survey.state != State::Open);
        summary["message_count"] = json!(messages);
        if let State::Ended(Reason::Failed(why)) = &self.survey.state {
            summary["error"] = json!(why);
        }
        summary
    }

    /// Writes the sample and says how many messages it has.
    fn sample(&self, out: &mut dyn Write) -> Result<u64, Error> {
        let mut sample = self.common();
        sample["output"] = json!({ "model": self.row.model, "choices": [], "completion": "" });
        sample["store"] = json!({});
        sample["attachments"] = json!({});
        sample["events"] = json!(self.events());
        if let Some(error) = self.error() {
            sample["error"] = error;
        }
        let text = serde_json::to_string(&sample).map_err(io::Error::from)?;
        // Everything but the messages, and then those, one at a time.
        let open = text.strip_suffix('}').unwrap_or(&text);
        out.write_all(open.as_bytes())?;
        out.write_all(b",\"messages\":[")?;
        let store = Store::open(self.dir, Known::nothing());
        let mut scene = Scene {
            store: &store,
            model: &self.row.model,
            has_turns: self.survey.has_turns,
            purpose: Purpose::Turn,
            outputs: HashMap::new(),
        };
        let mut count = 0;
        for entry in run::read(self.dir)? {
            for message in scene.messages(&entry?) {
                if count > 0 {
                    out.write_all(b",")?;
                }
                serde_json::to_writer(&mut *out, &message).map_err(io::Error::from)?;
                count += 1;
            }
        }
        out.write_all(b"]}")?;
        Ok(count)
    }

    /// Evaluations and compactions, as remarks between the messages.
    fn events(&self) -> Vec<Value> {
        let began = self.survey.began.map_or(0, |began| began.milliseconds());
        let remark = |milliseconds: u64, data: Value| {
            let at = agent::event::Time::from_milliseconds(began.saturating_add(milliseconds));
            json!({
                "event": "info",
                "timestamp": at.map_or_else(|| time(&self.row.began), |at| time(&at.to_string())),
                "working_start": milliseconds as f64 / 1e3,
                "source": "mirrorcode",
                "data": data,
            })
        };
        let points = self.survey.evaluations.points.iter();
        let evaluations = points.map(|point| {
            let data = json!({ "evaluated": { "event": point.seq, "turn": point.at.step, "built": point.built, "passed": point.passed, "total": point.total } });
            (point.at.milliseconds, data)
        });
        let compactions = self.survey.compactions.iter().map(|row| {
            let data = json!({ "compacted": { "event": row.seq, "turn": row.at.step, "tokens_before": row.before, "tokens_after": row.after } });
            (row.at.milliseconds, data)
        });
        let mut all: Vec<(u64, Value)> = evaluations.chain(compactions).collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(at, data)| remark(at, data)).collect()
    }
}

/// What events before leave for those after.
struct Scene<'a> {
    store: &'a Store,
    model: &'a str,
    has_turns: bool,
    purpose: Purpose,
    /// What commands since the last answer printed on standard output.
    outputs: HashMap<u64, Content>,
}

impl Scene<'_> {
    fn text(&self, content: &Content) -> String {
        let read = excerpt(self.store, content, MOST);
        let mut text = String::from_utf8_lossy(&read.head).into_owned();
        if let Some(why) = &read.missing {
            text.push_str(&format!("[{} {why}]", number::bytes(read.bytes)));
        } else if read.left_out > 0 {
            text.push_str(&format!("\n[{} left out]\n", number::bytes(read.left_out)));
        }
        text.push_str(&String::from_utf8_lossy(&read.tail));
        text
    }

    /// A stretch of what a command printed.
    fn stretch(&self, command: u64, from: u64, bytes: u64) -> String {
        let Some(content) = self.outputs.get(&command) else {
            return format!("[{} of command {command}]", number::bytes(bytes));
        };
        let read = excerpt(self.store, content, ANSWER);
        match read.whole() {
            Some(whole) => {
                let end = from.saturating_add(bytes).min(whole.len() as u64) as usize;
                let begin = (from as usize).min(end);
                String::from_utf8_lossy(&whole[begin..end]).into_owned()
            }
            None => self.text(content),
        }
    }

    /// What an event adds to the conversation.
    fn messages(&mut self, Entry { seq, event, .. }: &Entry) -> Vec<Value> {
        let id = format!("event-{seq}");
        match event {
            Event::Context { system, summary, .. } => {
                let mut messages = vec![json!({ "id": id, "role": "system", "content": self.text(system) })];
                if let Some(summary) = summary {
                    let summary = self.text(summary);
                    messages.push(json!({ "id": format!("{id}-summary"), "role": "user", "content": summary, "metadata": { "compaction": true } }));
                }
                messages
            }
            Event::Message { text, .. } => {
                vec![json!({ "id": id, "role": "user", "source": "input", "content": self.text(text) })]
            }
            Event::Call { purpose, .. } => {
                self.purpose = *purpose;
                Vec::new()
            }
            Event::Request { items, dialect, .. } => items
                .iter()
                .enumerate()
                .map(|(place, item)| {
                    let dialect = format!("{dialect:?}").to_lowercase();
                    json!({ "id": format!("{id}-{place}"), "role": "user", "content": self.text(item), "metadata": { "dialect": dialect } })
                })
                .collect(),
            Event::Reply { message, .. } => {
                self.outputs.clear();
                vec![self.answer(&id, message)]
            }
            Event::Result { number, stdout, stderr, .. } => {
                self.outputs.insert(*number, stdout.clone());
                if self.has_turns {
                    return Vec::new();
                }
                let text = self.text(stdout) + &self.text(stderr);
                vec![json!({ "id": id, "role": "tool", "content": text, "tool_call_id": format!("command-{number}"), "function": "bash" })]
            }
            Event::Command { number, script, .. } if !self.has_turns => {
                let script = String::from_utf8_lossy(&script.0);
                let call = json!({ "id": format!("command-{number}"), "function": "bash", "type": "function", "arguments": { "command": script } });
                vec![json!({ "id": id, "role": "assistant", "content": "", "tool_calls": [call], "model": self.model })]
            }
            Event::ToolResult { tool, name, pieces, failed } => {
                let text: String = pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => self.text(text),
                        Piece::Output { command, from, bytes } => self.stretch(*command, *from, *bytes),
                    })
                    .collect();
                let mut message = json!({ "id": id, "role": "tool", "content": text, "tool_call_id": tool, "function": name });
                if *failed {
                    message["error"] = json!({ "type": "unknown", "message": "the call went wrong" });
                }
                vec![message]
            }
            _ => Vec::new(),
        }
    }

    fn answer(&self, id: &str, message: &Content) -> Value {
        let read = excerpt(self.store, message, ANSWER);
        let blocks: Option<Vec<Block>> = read
            .whole()
            .and_then(|text| serde_json::from_slice(text).ok());
        let Some(blocks) = blocks else {
            return json!({ "id": id, "role": "assistant", "content": self.text(message), "model": self.model });
        };
        let (mut content, mut calls) = (Vec::new(), Vec::new());
        for block in &blocks {
            match block {
                Block::Text { text, .. } => content.push(json!({ "type": "text", "text": text })),
                Block::Thinking(_) => {
                    let thought = block.readable_thinking();
                    let hidden = thought.is_none();
                    content.push(json!({ "type": "reasoning", "reasoning": thought.unwrap_or_default(), "redacted": hidden }));
                }
                Block::ToolCall {
                    id,
                    name,
                    arguments,
                    ..
                } => {
                    let parsed = serde_json::from_str::<Value>(arguments)
                        .ok()
                        .filter(Value::is_object);
                    let mut call = json!({ "id": id, "function": name, "type": "function" });
                    if parsed.is_none() {
                        call["parse_error"] = json!("the arguments are no JSON object");
                    }
                    call["arguments"] = parsed.unwrap_or_else(|| json!({ "text": arguments }));
                    calls.push(call);
                }
                Block::Opaque(_) => {}
            }
        }
        let mut answer = json!({ "id": id, "role": "assistant", "content": content, "model": self.model, "source": "generate" });
        if !calls.is_empty() {
            answer["tool_calls"] = json!(calls);
        }
        if self.purpose != Purpose::Turn {
            answer["metadata"] = json!({ "summary": true });
        }
        answer
    }
}
