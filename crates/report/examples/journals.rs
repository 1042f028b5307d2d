//! Runs to look at, made without a model, a sandbox or a reference: what a page has to cope with.
//!
//!     cargo run --release -p report --example journals -- DIR turns 5000
//!     cargo run --release -p report --example journals -- DIR megabytes 1024
//!     cargo run --release -p report --example journals -- DIR hostile
//!
//! Each makes the run DIR, which must not exist. And the page of one:
//!
//!     cargo run --release -p report --example journals -- DIR page FILE

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent::event::{
    Agent, Budget, Bytes, Content, Descriptor, DescriptorKind, Ending, Estimate, Event, Kind,
    NamedFile, Piece, Purpose, Reason, Recorder, Spent, Why,
};
use model::{Block, Dialect, Kept, Raw, Stop, Usage};
use run::{Header, Known, Limits, Run};
use score::{Build, CaseOutcome, CaseResult, Split, SubmissionFacts, Verdict};

const CASES: u64 = 240;

/// Words of which no two pieces are equal.
fn words(seed: u64, length: usize) -> String {
    const WORDS: [&str; 16] = [
        "parser", "buffer", "escape", "object", "array", "line", "flag", "depth", "token", "quote",
        "number", "string", "stream", "value", "path", "key",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(length + 24);
    while text.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push_str(WORDS[(state >> 60) as usize]);
        text.push_str(&format!(" {:x}", (state >> 40) & 0xfff));
        text.push(if (state >> 33).is_multiple_of(9) {
            '\n'
        } else {
            ' '
        });
    }
    text.truncate(length);
    text
}

struct Maker {
    run: Run,
    workspace: tempfile::TempDir,
    number: u64,
    spent: Spent,
    dollars: bool,
}

impl Maker {
    fn new(dir: &Path, task: &str, model: &str) -> Self {
        let mut header = Header::new(task, env!("CARGO_PKG_VERSION"), BTreeMap::new())
            .expect("the task is a constant");
        // The same run has the same page wherever and whenever it is made, but for its times.
        header.id = format!("20260101T000000-{}-0000", task.replace('/', "-"));
        let run = Run::create(dir, &header, Known::nothing(), Limits::WORKSPACE)
            .expect("the directory is new");
        let mut maker = Maker {
            run,
            workspace: tempfile::tempdir().expect("a directory"),
            number: 0,
            spent: Spent::default(),
            dollars: true,
        };
        maker.note(Event::Start {
            format: agent::event::FORMAT,
            task: task.to_owned(),
            agent: Agent::Model,
            versions: [("mirrorcode".to_owned(), "0.1.0".to_owned())].into(),
            digests: [("target-lock".to_owned(), "ab".repeat(32))].into(),
            limits: [
                ("command-wall-seconds".to_owned(), 3600),
                ("memory-mib".to_owned(), 4096),
            ]
            .into(),
            options: [
                ("model".to_owned(), model.to_owned()),
                ("compaction".to_owned(), "summary".to_owned()),
            ]
            .into(),
        });
        maker.note(Event::Budget {
            limits: Budget {
                tokens: Some(500_000_000),
                microdollars: Some(900_000_000),
                turns: Some(20_000),
                wall_seconds: Some(5 * 86_400),
                ..Budget::default()
            },
        });
        maker.context(1, Why::Start, None, Vec::new());
        let task = maker.keep("Begin. The task stands in /task/README.md.");
        maker.note(Event::Message {
            kind: Kind::Task,
            text: task,
        });
        maker
    }

    fn note(&mut self, event: Event) -> u64 {
        self.run.note(event).expect("the disk takes it")
    }

    fn keep(&mut self, text: impl AsRef<[u8]>) -> Content {
        self.run.content(text.as_ref()).expect("the disk takes it")
    }

    fn context(
        &mut self,
        number: u64,
        why: Why,
        summary: Option<Content>,
        dropped: Vec<(u64, u64)>,
    ) -> u64 {
        let system = self.keep(format!("You rebuild a program.\n\n{}", words(3, 3000)));
        let tools = self.keep("[{\"name\": \"bash\"}, {\"name\": \"edit\"}]");
        self.note(Event::Context {
            number,
            why,
            system,
            tools,
            summary,
            kept: Vec::new(),
            cleared: Vec::new(),
            remark: String::new(),
            dropped,
            before_tokens: 148_211,
            after_tokens: 9_120,
        })
    }

    /// A call of the model and its answer.
    fn ask(&mut self, turn: u64, purpose: Purpose, blocks: &[Block]) -> u64 {
        let spent = self.spent;
        let usage = Usage {
            input: 900,
            cache_read: 20_000 + turn % 400 * 300,
            cache_write: 1200,
            output: 420,
            ..Usage::default()
        };
        let price = if self.dollars {
            31_000 + turn % 400 * 90
        } else {
            0
        };
        self.number += 1;
        let number = self.number;
        let seq = self.note(Event::Call {
            number,
            turn,
            purpose,
            context: 1,
            estimate: Estimate {
                input_tokens: usage.request(),
                output_tokens: 16_000,
                microdollars: 400_000,
            },
            spent,
        });
        let text = serde_json::to_vec(blocks).expect("blocks are JSON");
        let message = self.keep(text);
        self.note(Event::Reply {
            call: number,
            message,
            stop: Stop::ToolUse,
            usage,
            attempts: Default::default(),
            microdollars: price,
            milliseconds: 4_200,
        });
        self.spent.tokens += usage.total();
        self.spent.microdollars += price;
        self.spent.turns += u64::from(purpose == Purpose::Turn);
        self.spent.wall_milliseconds += 31_000;
        self.spent.tool_milliseconds += 6_000;
        seq
    }

    fn command(
        &mut self,
        number: u64,
        tool: &str,
        script: &str,
        out: &[u8],
        error: &[u8],
        status: i32,
    ) {
        self.note(Event::Command {
            number,
            script: script.into(),
            directory: "/workspace".into(),
            terminal: false,
            tool: Some(tool.to_owned()),
            background: false,
            limit_milliseconds: None,
        });
        if script.contains("gron") {
            for place in 0..3 {
                self.oracle(
                    number,
                    &["-u".into(), format!("in/{place}.json").as_str().into()],
                );
            }
        }
        let (stdout, stderr) = (self.keep(out), self.keep(error));
        self.note(Event::Result {
            number,
            ending: Ending::Exit(status),
            stdout,
            stderr,
            directory: "/workspace".into(),
            interactive: false,
            milliseconds: 140,
        });
        let length = out.len() as u64;
        let mut pieces = vec![Piece::Output {
            command: number,
            from: 0,
            bytes: length,
        }];
        pieces.push(Piece::Text(Content::Inline(format!(
            "[exit status {status}]"
        ))));
        self.note(Event::ToolResult {
            tool: tool.to_owned(),
            name: "bash".to_owned(),
            pieces,
            failed: false,
        });
    }

    fn oracle(&mut self, command: u64, argv: &[Bytes]) {
        let pipe = |bytes| Descriptor {
            kind: DescriptorKind::Pipe,
            bytes,
            sha256: None,
        };
        self.note(Event::Oracle {
            command: Some(command),
            argv: argv.to_vec(),
            directory: "/workspace".into(),
            descriptors: [pipe(None), pipe(Some(812)), pipe(Some(0))],
            files: vec![NamedFile {
                path: "/workspace/in/0.json".into(),
                bytes: 120,
                sha256: run::digest(b"x"),
            }],
            ending: Ending::Exit(0),
            milliseconds: 3,
        });
    }

    fn write(&mut self, number: u64, path: &str, text: &str) {
        let path = self.workspace.path().join(path);
        fs::create_dir_all(path.parent().expect("below the workspace")).expect("a directory");
        fs::write(path, text).expect("a file");
        let dir = self.workspace.path().to_owned();
        if let Some(tree) = self.run.snapshot(&dir).expect("the disk takes it") {
            self.note(Event::Workspace { number, tree });
        }
    }

    fn evaluate(&mut self, number: u64, passed: u64) {
        let failed: String = (passed..CASES)
            .take(30)
            .map(|case| {
                format!(
                    "FAIL arrays/{case:03}: stdout differs at line {}\n",
                    case % 7 + 1
                )
            })
            .collect();
        let report = self.keep(format!("{passed} of {CASES} cases pass\n{failed}"));
        self.note(Event::Evaluate {
            command: Some(number),
            cases: Vec::new(),
            built: true,
            cases_passed: passed,
            cases_total: CASES,
            report,
            milliseconds: 8_100,
        });
    }

    fn end(mut self, dir: &Path, passed: u64) {
        let workspace = self.workspace.path().to_owned();
        let _ = self.run.snapshot(&workspace);
        if let Some(tree) = self.run.tree() {
            self.note(Event::Submit { tree });
        }
        self.note(Event::End {
            reason: Reason::Submitted,
        });
        self.run.flush().expect("the disk takes it");
        verdict(passed)
            .write(&dir.join("verdict.json"))
            .expect("the disk takes it");
    }
}

fn verdict(passed: u64) -> Verdict {
    let families = ["arrays", "objects", "numbers", "strings", "flags", "errors"];
    let mut cases = BTreeMap::new();
    let mut results = Vec::new();
    for number in 0..CASES + CASES / 2 {
        let split = if number < CASES {
            Split::Visible
        } else {
            Split::Hidden
        };
        let family = families[number as usize % families.len()];
        let id = format!("gron/{family}/{number:03}");
        cases.insert(id.clone(), (split, family.to_owned()));
        let place = number % CASES;
        let missed = if split == Split::Hidden {
            passed / 2 * 97 / 100
        } else {
            passed
        };
        let outcome = match place < missed {
            true => CaseOutcome::Pass,
            false if place.is_multiple_of(3) => CaseOutcome::Exit,
            false => CaseOutcome::Stdout,
        };
        results.push(CaseResult {
            id,
            split,
            outcome,
            difference: score::first_difference("stdout", b"json.a = 1;\n", b"json.a = \"1\";\n")
                .filter(|_| outcome == CaseOutcome::Stdout),
        });
    }
    let header = score::Header {
        task: "gron/python".to_owned(),
        build: Build::None,
        submission: SubmissionFacts {
            kind: "source".to_owned(),
            digest: "cd".repeat(32),
            files: 3,
            bytes: 9000,
        },
        versions: BTreeMap::new(),
    };
    Verdict::new(header, &cases, results).expect("a result for each case")
}

fn tool(turn: u64, name: &str, arguments: serde_json::Value) -> Block {
    Block::ToolCall {
        id: format!("call-{turn}"),
        name: name.to_owned(),
        arguments: arguments.to_string(),
        kept: None,
    }
}

fn thinking(text: &str) -> Block {
    let json = serde_json::json!({ "type": "thinking", "thinking": text, "signature": "c2ln" });
    Block::Thinking(Kept {
        dialect: Dialect::Anthropic,
        json: Raw::of(&json).expect("it is JSON"),
    })
}

fn turns(dir: &Path, turns: u64) {
    let mut maker = Maker::new(dir, "gron/python", "example/model-1");
    let mut source: Vec<String> = (0..120)
        .map(|line| {
            format!(
                "def step_{line}(value):\n    return value  # {}\n",
                words(line, 30).replace('\n', " ")
            )
        })
        .collect();
    let mut first = 4;
    let mut passed = 0;
    for turn in 1..=turns {
        let text = Block::text(format!("I look at the {}", words(turn, 260)));
        let (number, id) = (turn, format!("call-{turn}"));
        match turn % 5 {
            1 | 3 => {
                let place = (turn * 7919) as usize % source.len();
                let old = source[place].clone();
                source[place] = format!(
                    "def step_{place}(value):\n    # {}\n    return value + {turn}\n",
                    words(turn, 40).replace('\n', " ")
                );
                let edit = serde_json::json!({ "action": "replace", "path": "/workspace/main.py", "old": old, "new": source[place] });
                maker.ask(turn, Purpose::Turn, &[text, tool(turn, "edit", edit)]);
                maker.note(Event::Edit {
                    number,
                    tool: id.clone(),
                });
                maker.write(number, "main.py", &source.concat());
                let told = maker.keep(words(turn + 7, 300));
                maker.note(Event::ToolResult {
                    tool: id,
                    name: "edit".to_owned(),
                    pieces: vec![Piece::Text(told)],
                    failed: false,
                });
            }
            _ => {
                let script = if turn % 5 == 2 {
                    format!(
                        "gron -u in/{turn}.json | head -n 40; echo '{}'",
                        words(turn, 60).replace(['\'', '\n'], " ")
                    )
                } else {
                    format!(
                        "python3 main.py in/{turn}.json > out.txt\ndiff -u expected.txt out.txt"
                    )
                };
                let bash = serde_json::json!({ "command": script });
                let blocks = [
                    thinking(&words(turn + 3, 400)),
                    text,
                    tool(turn, "bash", bash),
                ];
                maker.ask(
                    turn,
                    Purpose::Turn,
                    if turn.is_multiple_of(3) {
                        &blocks
                    } else {
                        &blocks[1..]
                    },
                );
                let out = words(
                    turn + 11,
                    if turn.is_multiple_of(50) {
                        40_000
                    } else {
                        1000
                    },
                );
                let error = if turn.is_multiple_of(15) {
                    "Traceback (most recent call last):\n  File \"main.py\", line 3\n"
                } else {
                    ""
                };
                maker.command(
                    number,
                    &id,
                    &script,
                    out.as_bytes(),
                    error.as_bytes(),
                    i32::from(turn.is_multiple_of(15)),
                );
            }
        }
        if turn % (turns / 60).max(2) == 0 {
            let share = turn as f64 / turns as f64;
            let wave = ((turn as f64 / 97.0).sin() + 1.0) * 4.0;
            passed = ((CASES as f64) * (1.0 - (-3.5 * share).exp()) * 1.02 - wave)
                .clamp(0.0, CASES as f64) as u64;
            maker.evaluate(number, passed);
        }
        if turn.is_multiple_of(400) {
            let summary = format!("# What was done\n\n{}", words(turn, 1800));
            let last = maker.ask(turn, Purpose::Summary, &[Block::text(summary.clone())]);
            let summary = maker.keep(summary);
            maker.context(
                turn / 400 + 1,
                Why::Summary,
                Some(summary),
                vec![(first, last - 40)],
            );
            first = last - 39;
        }
    }
    maker.write(turns + 1, "NOTES.md", &words(1, 1200));
    maker.end(dir, passed.max(CASES - 9));
}

/// As many megabytes of journal, most of them calls of the reference and long outputs: little of it fits a page.
fn megabytes(dir: &Path, megabytes: u64) {
    let mut maker = Maker::new(dir, "gron/rust", "example/model-1");
    let journal = dir.join("journal.jsonl");
    let mut turn = 0;
    loop {
        turn += 1;
        let script = format!("for f in in/*; do gron $f; done # {turn}");
        let bash = serde_json::json!({ "command": script });
        maker.ask(turn, Purpose::Turn, &[tool(turn, "bash", bash)]);
        for place in 0..300 {
            maker.oracle(
                turn,
                &[
                    "--stream".into(),
                    words(turn * 1000 + place, 900).as_str().into(),
                ],
            );
        }
        let out = words(turn, 200_000);
        maker.command(
            turn,
            &format!("call-{turn}"),
            &script,
            out.as_bytes(),
            b"",
            0,
        );
        if turn.is_multiple_of(20) {
            maker.evaluate(turn, turn % CASES);
            maker.run.flush().expect("the disk takes it");
            if fs::metadata(&journal).is_ok_and(|data| data.len() >= megabytes << 20) {
                break;
            }
        }
    }
    maker.write(1, "main.rs", "fn main() {}\n");
    maker.end(dir, 3);
}

/// What an agent may print to break a page, or to fool whoever reads it.
fn hostile(dir: &Path) {
    let evil = [
        "</script><script>document.title='pwned'</script>",
        "<!--<script>",
        "-->]]>",
        "<img src=x onerror=\"document.title='pwned'\">",
        "\" autofocus onfocus=\"document.title='pwned'\" x=\"",
        "</pre></details></article></section></main><h1>solved</h1>",
        "<style>body{display:none}</style><base href='//example.invalid/'><meta http-equiv=refresh content=0>",
        "<svg><script>document.title='pwned'</script></svg><template><iframe srcdoc='x'></template>",
        "&lt;b&gt; &amp;#60; &#x3c;script&#x3e;",
        "\u{202e}txt.exe\u{202c} \u{2066}isolated\u{2069} \u{200b}zero\u{200b}width \u{feff}mark \u{e0041}\u{e0042}",
        "\0 \u{1} \x1b[31mred\x1b[0m \r\n \u{7f} \u{85} \u{2028}",
        "javascript:document.title='pwned'",
    ]
    .join("\n");
    let mut bytes = evil.clone().into_bytes();
    bytes.extend_from_slice(
        b"\xff\xfe\xc3(\xed\xa0\x80\xf8\x88\x80\x80\x80 bytes that are no text\n",
    );
    let mut maker = Maker::new(dir, "gron/python", &evil.replace('\n', " "));
    maker.note(Event::Budget {
        limits: Budget::default(),
    });
    for turn in 1..=60 {
        let arguments = serde_json::json!({ "command": evil, "path": evil, "action": evil });
        let name = if turn % 2 == 0 { "bash" } else { evil.as_str() };
        let blocks = [
            Block::text(evil.clone()),
            thinking(&evil),
            tool(turn, name, arguments),
            tool(
                turn,
                "edit",
                serde_json::json!({ "action": "replace", "path": evil, "old": evil, "new": format!("{evil}\n{evil}") }),
            ),
            Block::ToolCall {
                id: evil.clone(),
                name: evil.clone(),
                arguments: evil.clone(),
                kept: None,
            },
        ];
        maker.ask(turn, Purpose::Turn, &blocks);
        maker.command(turn, &evil, &evil, &bytes, &bytes, 1);
        maker.oracle(turn, &[bytes.clone().into(), evil.as_str().into()]);
        maker.write(
            turn,
            &format!("</summary><script>{turn}.py"),
            &format!("{evil}\n{turn}\n"),
        );
        let report = maker.keep(&bytes);
        maker.note(Event::Evaluate {
            command: None,
            cases: vec![evil.clone()],
            built: turn % 2 == 0,
            cases_passed: u64::MAX,
            cases_total: 0,
            report,
            milliseconds: u64::MAX,
        });
        let text = maker.keep(&evil);
        maker.note(Event::ToolResult {
            tool: evil.clone(),
            name: evil.clone(),
            pieces: vec![
                Piece::Text(text),
                Piece::Output {
                    command: u64::MAX,
                    from: u64::MAX,
                    bytes: u64::MAX,
                },
            ],
            failed: true,
        });
    }
    let broken = maker.keep(&bytes);
    maker.note(Event::Reply {
        call: 0,
        message: broken,
        stop: Stop::Other(evil.clone()),
        usage: Usage {
            input: u64::MAX,
            output: u64::MAX,
            ..Usage::default()
        },
        attempts: Default::default(),
        microdollars: u64::MAX,
        milliseconds: u64::MAX,
    });
    maker.note(Event::End {
        reason: Reason::Failed(evil),
    });
    maker.end(dir, 0);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        [dir, "turns", count] => turns(Path::new(dir), number(count)),
        [dir, "megabytes", count] => megabytes(Path::new(dir), number(count)),
        [dir, "hostile"] => hostile(Path::new(dir)),
        [dir, "page", file] => {
            let options = report::Options {
                packed: true,
                home: None,
            };
            let mut out = std::io::BufWriter::new(fs::File::create(file).expect("a file"));
            report::run_page(Path::new(dir), &options, &mut out).expect("a page");
        }
        _ => panic!("see the beginning of this file"),
    }
}
