//! Runs of models of known skill, made without a model, a sandbox or a reference: test support for figures and pages.
//!
//!     cargo run --release -p report --example campaign_runs -- DIR [ATTEMPTS [SEED]]
//!
//! Writes them below DIR, which must not exist: sixteen targets, three languages, so many attempts (5), four models and
//! another agent. Each has a short journal of the usual kinds of events and a verdict of a thousand cases.

#[path = "../tests/support/campaign.rs"]
mod campaign;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent::event::{
    Agent, Budget, Content, Descriptor, DescriptorKind, Ending, Estimate, Event, Kind, Piece,
    Purpose, Reason, Recorder, Spent, Why,
};
use model::{Block, Stop, Usage};
use report::draws::Draws;
use run::{Header, Known, Limits, Run};
use score::{Build, CaseOutcome, CaseResult, Split, SubmissionFacts, Verdict};

/// Targets of the repository and their place in [`campaign::SIZES`].
const TARGETS: [(&str, usize); 16] = [
    ("bc", 1),
    ("bib2json", 1),
    ("bitwise", 0),
    ("brotlid", 1),
    ("cal", 0),
    ("choose", 0),
    ("gotree", 1),
    ("gron", 0),
    ("hexyl", 0),
    ("jq_simple", 0),
    ("lzip", 0),
    ("nonogrid", 1),
    ("numfmt", 0),
    ("qsv_select", 0),
    ("sed", 1),
    ("uuidparse", 0),
];
const LANGUAGES: [&str; 3] = ["python", "rust", "ada"];
/// Models, their agents, their skills, and dollars for a million tokens.
const SYSTEMS: [(&str, Option<&str>, f64, f64); 5] = [
    ("example/large-3", None, 2.2, 9.0),
    ("example/medium-3", None, 0.4, 3.0),
    ("example/medium-3", Some("claude-code"), 0.1, 3.0),
    ("other/open-70b", None, -1.4, 0.8),
    ("other/small-8b", None, -4.5, 0.1),
];
const VISIBLE: u64 = 660;
const HIDDEN: u64 = 340;
const FAMILIES: [&str; 12] = [
    "arguments",
    "arrays",
    "bad-input",
    "colours",
    "empty",
    "errors",
    "flags",
    "large",
    "names",
    "numbers",
    "streams",
    "unicode",
];

struct Plan<'a> {
    id: String,
    task: String,
    system: (&'a str, Option<&'a str>),
    solved: bool,
    ends: Reason,
    share: f64,
    turns: u64,
    hours: f64,
    tokens: u64,
    microdollars: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let dir = Path::new(words.first().expect("a directory"));
    let number = |place: usize, otherwise| {
        words
            .get(place)
            .map_or(otherwise, |word: &String| word.parse().expect("a number"))
    };
    let (attempts, seed) = (number(1, 5), number(2, 1));
    fs::create_dir(dir).expect("a new directory");
    let mut draws = Draws::new(seed);
    let workspace = dir.join("workspace.tmp");
    let mut made = 0_u64;
    for (target, size) in TARGETS {
        let own = campaign::SIZES[size].2 + 1.2 * draws.normal();
        for (language, (_, more)) in LANGUAGES.iter().zip(campaign::LANGUAGES) {
            for (model, agent, skill, price) in SYSTEMS {
                // Another agent costs more to try.
                let attempts = if agent.is_some() {
                    attempts.div_ceil(3)
                } else {
                    attempts
                };
                for _ in 0..attempts {
                    made += 1;
                    let chance = campaign::chance(skill, own + more);
                    let solved = draws.unit() < chance;
                    let hours = (0.9 + 0.8 * size as f64 + 0.7 * draws.normal()).exp();
                    let ends = match draws.below(10) {
                        0..5 => Reason::Submitted,
                        5..8 => Reason::Budget("cost".to_owned()),
                        8 => Reason::Left,
                        _ => Reason::Stopped,
                    };
                    let tokens = (hours * 4e6 * (0.6 + draws.unit())) as u64;
                    make(
                        dir,
                        &workspace,
                        &Plan {
                            id: format!(
                                "20260{:03}T{:06}-{target}-{language}-{made:04x}",
                                101 + made % 28,
                                made
                            ),
                            task: format!("{target}/{language}"),
                            system: (model, agent),
                            solved,
                            ends: if solved { Reason::Submitted } else { ends },
                            share: 1.0 - (1.0 - chance) * draws.unit().powi(2) * 0.9 - 0.004,
                            turns: 6 + draws.below(10) as u64,
                            hours,
                            tokens,
                            microdollars: (tokens as f64 * price) as u64,
                        },
                    );
                }
            }
        }
    }
    fs::remove_dir_all(&workspace).expect("it was made here");
}

fn make(runs: &Path, workspace: &Path, plan: &Plan<'_>) {
    let dir = runs.join(&plan.id);
    let mut header = Header::new(&plan.task, env!("CARGO_PKG_VERSION"), BTreeMap::new())
        .expect("the task is a constant");
    header.id = plan.id.clone();
    let mut run = Run::create(&dir, &header, Known::nothing(), Limits::WORKSPACE)
        .expect("the directory is new");
    let mut note = |event: Event| {
        run.note(event).expect("the disk takes it");
    };
    let text = |text: &str| Content::Inline(text.to_owned());
    let (model, agent) = plan.system;
    let mut options = BTreeMap::from([
        ("model".to_owned(), model.to_owned()),
        ("compaction".to_owned(), "summary".to_owned()),
    ]);
    options.extend(agent.map(|agent| ("agent".to_owned(), agent.to_owned())));
    note(Event::Start {
        format: agent::event::FORMAT,
        task: plan.task.clone(),
        agent: if agent.is_some() {
            Agent::Program
        } else {
            Agent::Model
        },
        versions: [(
            "mirrorcode".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )]
        .into(),
        digests: BTreeMap::new(),
        limits: [("command-wall-seconds".to_owned(), 3600)].into(),
        options,
    });
    note(Event::Budget {
        limits: Budget {
            microdollars: Some(400_000_000),
            ..Budget::default()
        },
    });
    note(Event::Context {
        number: 1,
        why: Why::Start,
        system: text("You rebuild a program."),
        tools: text("[]"),
        summary: None,
        kept: Vec::new(),
        cleared: Vec::new(),
        remark: String::new(),
        dropped: Vec::new(),
        before_tokens: 0,
        after_tokens: 2000,
    });
    note(Event::Message {
        kind: Kind::Task,
        text: text("Begin. The task stands in /task/README.md."),
    });
    for turn in 1..=plan.turns {
        let part = |all: u64| all / plan.turns * (turn - 1);
        note(Event::Call {
            number: turn,
            turn,
            purpose: Purpose::Turn,
            context: 1,
            estimate: Estimate {
                input_tokens: 9000,
                output_tokens: 16_000,
                microdollars: 100_000,
            },
            spent: Spent {
                tokens: part(plan.tokens),
                microdollars: part(plan.microdollars),
                turns: turn - 1,
                // The last call says where the run's time stood.
                wall_milliseconds: (plan.hours * 3.6e6 * turn as f64 / plan.turns as f64) as u64,
                tool_milliseconds: (plan.hours * 3.6e6 * turn as f64 / plan.turns as f64 / 5.0)
                    as u64,
                ..Spent::default()
            },
        });
        let blocks = [
            Block::text(format!(
                "I look at case {turn} and what the program says to it."
            )),
            Block::ToolCall {
                id: format!("call-{turn}"),
                name: "bash".to_owned(),
                arguments: serde_json::json!({ "command": format!("program in/{turn}.txt") })
                    .to_string(),
                kept: None,
            },
        ];
        note(Event::Reply {
            call: turn,
            message: text(&serde_json::to_string(&blocks).expect("blocks are JSON")),
            stop: Stop::ToolUse,
            usage: Usage {
                input: plan.tokens / plan.turns,
                output: 400,
                ..Usage::default()
            },
            attempts: Default::default(),
            microdollars: plan.microdollars / plan.turns,
            milliseconds: 4200,
        });
        note(Event::Command {
            number: turn,
            script: format!("program in/{turn}.txt").as_str().into(),
            directory: "/workspace".into(),
            terminal: false,
            tool: Some(format!("call-{turn}")),
            background: false,
            limit_milliseconds: None,
        });
        let pipe = Descriptor {
            kind: DescriptorKind::Pipe,
            bytes: Some(80),
            sha256: None,
        };
        note(Event::Oracle {
            command: Some(turn),
            argv: vec![format!("in/{turn}.txt").as_str().into()],
            directory: "/workspace".into(),
            descriptors: [pipe, pipe, pipe],
            files: Vec::new(),
            ending: Ending::Exit(0),
            milliseconds: 3,
        });
        note(Event::Result {
            number: turn,
            ending: Ending::Exit(0),
            stdout: text(&"a line of output\n".repeat(5 + turn as usize)),
            stderr: text(""),
            directory: "/workspace".into(),
            interactive: false,
            milliseconds: 140,
        });
        note(Event::ToolResult {
            tool: format!("call-{turn}"),
            name: "bash".to_owned(),
            pieces: vec![Piece::Output {
                command: turn,
                from: 0,
                bytes: 80,
            }],
            failed: false,
        });
        if turn % 2 == 0 {
            let share = plan.share * turn as f64 / plan.turns as f64;
            note(Event::Evaluate {
                command: Some(turn),
                cases: Vec::new(),
                built: true,
                cases_passed: (VISIBLE as f64 * share) as u64,
                cases_total: VISIBLE,
                report: text("some cases pass"),
                milliseconds: 8100,
            });
        }
    }
    fs::create_dir_all(workspace).expect("a directory");
    fs::write(workspace.join("main.txt"), &plan.id).expect("a file");
    if let Some(tree) = run.snapshot(workspace).expect("the disk takes it") {
        run.note(Event::Workspace {
            number: plan.turns,
            tree,
        })
        .expect("the disk takes it");
        if plan.ends == Reason::Submitted {
            run.note(Event::Submit { tree }).expect("the disk takes it");
        }
    }
    run.note(Event::End {
        reason: plan.ends.clone(),
    })
    .expect("the disk takes it");
    run.flush().expect("the disk takes it");
    if plan.ends != Reason::Stopped {
        verdict(plan)
            .write(&dir.join("verdict.json"))
            .expect("the disk takes it");
    }
}

fn verdict(plan: &Plan<'_>) -> Verdict {
    let target = plan.task.split('/').next().unwrap_or_default();
    let mut cases = BTreeMap::new();
    let mut results = Vec::new();
    for number in 0..VISIBLE + HIDDEN {
        let split = if number < VISIBLE {
            Split::Visible
        } else {
            Split::Hidden
        };
        let family = FAMILIES[number as usize % FAMILIES.len()];
        let id = format!("{target}/{family}/{number:04}");
        cases.insert(id.clone(), (split, family.to_owned()));
        // Spread over the families alike.
        let place = number.wrapping_mul(7919) % (VISIBLE + HIDDEN);
        let passes =
            plan.solved || (place as f64) < plan.share.min(0.999) * (VISIBLE + HIDDEN) as f64;
        results.push(CaseResult {
            id,
            split,
            outcome: if passes {
                CaseOutcome::Pass
            } else {
                CaseOutcome::Stdout
            },
            difference: score::first_difference("stdout", b"a = 1\n", b"a = 2\n")
                .filter(|_| !passes),
        });
    }
    let header = score::Header {
        task: plan.task.clone(),
        build: Build::Done,
        submission: SubmissionFacts {
            kind: "source".to_owned(),
            digest: run::digest(plan.id.as_bytes()).to_string(),
            files: 3,
            bytes: 9000,
        },
        versions: [(
            "target-lock".to_owned(),
            run::digest(target.as_bytes()).to_string(),
        )]
        .into(),
    };
    Verdict::new(header, &cases, results).expect("a result for each case")
}
