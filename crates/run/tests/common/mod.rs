//! Events drawn at random, every type of them; runs to try things on.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

pub mod place;

use agent::event::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

pub fn header() -> run::Header {
    run::Header::new(
        "gron/python",
        "0.1.0",
        [("rootfs".to_owned(), "ab".to_owned())].into(),
    )
    .unwrap()
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        text().prop_map(Bytes::from),
        vec(any::<u8>(), 0..12).prop_map(Bytes::from)
    ]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        text().prop_map(Content::Inline),
        (digest(), any::<u64>()).prop_map(|(sha256, bytes)| Content::Blob { sha256, bytes }),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    let limit = proptest::sample::select(vec![
        Limit::WallTime,
        Limit::CpuTime,
        Limit::Memory,
        Limit::Processes,
        Limit::Output,
        Limit::Disk,
    ]);
    prop_oneof![
        any::<i32>().prop_map(Ending::Exit),
        any::<i32>().prop_map(Ending::Signal),
        limit.prop_map(Ending::Limit),
        any::<i32>().prop_map(Ending::NotStarted),
        Just(Ending::Stopped),
    ]
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let kind = proptest::sample::select(vec![
        DescriptorKind::Closed,
        DescriptorKind::Null,
        DescriptorKind::File,
        DescriptorKind::Pipe,
        DescriptorKind::Socket,
        DescriptorKind::Terminal,
        DescriptorKind::Other,
    ]);
    (kind, any::<Option<u64>>(), proptest::option::of(digest())).prop_map(
        |(kind, bytes, sha256)| Descriptor {
            kind,
            bytes,
            sha256,
        },
    )
}

fn named_file() -> impl Strategy<Value = NamedFile> {
    (bytes(), any::<u64>(), digest()).prop_map(|(path, bytes, sha256)| NamedFile {
        path,
        bytes,
        sha256,
    })
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::Submitted),
        Just(Reason::Left),
        Just(Reason::Stopped),
        text().prop_map(Reason::Failed),
        text().prop_map(Reason::Budget),
    ]
}

fn usage() -> impl Strategy<Value = model::Usage> {
    vec(any::<u64>(), 6).prop_map(|n| model::Usage {
        input: n[0],
        cache_read: n[1],
        cache_write: n[2],
        cache_write_hour: n[3],
        output: n[4],
        reasoning: n[5],
    })
}

fn attempts(lost: model::Usage, n: &[u64]) -> model::Attempts {
    match n[2] % 2 {
        0 => model::Attempts::default(),
        _ => model::Attempts {
            failed: n[2] as u32,
            waited_ms: n[3],
            lost,
            unknown: 1,
        },
    }
}

fn spent(n: &[u64]) -> Spent {
    Spent {
        tokens: n[0],
        microdollars: n[1],
        possible_tokens: n[2] % 2,
        possible_microdollars: n[3] % 2,
        turns: n[4],
        wall_milliseconds: n[5],
        waited_milliseconds: n[6] % 2,
        tool_milliseconds: n[7],
    }
}

/// Events of a model's turns.
fn turn() -> impl Strategy<Value = Event> {
    let ranges = || vec((any::<u64>(), any::<u64>()), 0..3);
    let why = proptest::sample::select(vec![Why::Start, Why::Summary, Why::Clear, Why::Trim]);
    let kind =
        proptest::sample::select(vec![Kind::Task, Kind::GoOn, Kind::Resumed, Kind::Summarize]);
    let purpose = proptest::sample::select(vec![Purpose::Turn, Purpose::Summary]);
    let numbers = || vec(any::<u64>(), 8);
    let piece = prop_oneof![
        content().prop_map(Piece::Text),
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(command, from, bytes)| {
            Piece::Output {
                command,
                from,
                bytes,
            }
        }),
    ];
    prop_oneof![
        (
            why,
            content(),
            content(),
            proptest::option::of(content()),
            ranges(),
            vec(any::<u64>(), 0..3),
            ranges(),
            numbers()
        )
            .prop_map(|(why, system, tools, summary, kept, cleared, dropped, n)| {
                Event::Context {
                    number: n[0],
                    why,
                    system,
                    tools,
                    summary,
                    kept,
                    cleared,
                    remark: String::new(),
                    dropped,
                    before_tokens: n[1],
                    after_tokens: n[2],
                }
            }),
        (kind, content()).prop_map(|(kind, text)| Event::Message { kind, text }),
        (purpose, numbers()).prop_map(|(purpose, n)| Event::Call {
            number: n[0],
            turn: n[1],
            purpose,
            context: n[2],
            estimate: Estimate {
                input_tokens: n[3],
                output_tokens: n[4],
                microdollars: n[5],
            },
            spent: spent(&n),
        }),
        (content(), text(), usage(), numbers()).prop_map(|(message, stop, usage, n)| {
            Event::Reply {
                call: n[0],
                message,
                stop: if n[1] % 2 == 0 {
                    model::Stop::Other(stop)
                } else {
                    model::Stop::End
                },
                usage,
                attempts: attempts(usage, &n),
                microdollars: n[4],
                milliseconds: n[5],
            }
        }),
        (text(), usage(), numbers()).prop_map(|(message, usage, n)| {
            let mut failure = model::Failure::new(model::Kind::Server, message);
            failure.attempts = Box::new(attempts(usage, &n));
            Event::CallFailed {
                call: n[0],
                failure,
                microdollars: n[1],
                milliseconds: n[2],
            }
        }),
        (
            vec(content(), 0..3),
            content(),
            proptest::option::of(text()),
            numbers()
        )
            .prop_map(|(items, rest, alias, n)| Event::Request {
                call: n[0],
                dialect: model::Dialect::Gemini,
                alias,
                after: n[1],
                kept: n[2],
                items,
                rest,
            }),
        (text(), text(), text()).prop_map(|(place, reason, what)| Event::Refused {
            place,
            reason,
            what,
        }),
        any::<u64>().prop_map(|call| Event::Unanswered { call }),
        (any::<u64>(), text()).prop_map(|(number, tool)| Event::Edit { number, tool }),
        (text(), text(), vec(piece, 0..3), any::<bool>()).prop_map(
            |(tool, name, pieces, failed)| Event::ToolResult {
                tool,
                name,
                pieces,
                failed,
            }
        ),
        vec(any::<Option<u64>>(), 6).prop_map(|n| Event::Budget {
            limits: agent::event::Budget {
                tokens: n[0],
                microdollars: n[1],
                wall_seconds: n[2],
                active_seconds: n[3],
                turns: n[4],
                tool_seconds: n[5],
            },
        }),
        (text(), text(), text()).prop_map(|(name, version, transport)| Event::Client {
            name,
            version,
            transport,
        }),
        (text(), text(), content(), numbers()).prop_map(|(tool, name, arguments, n)| {
            Event::ToolCall {
                number: n[0],
                tool,
                name,
                arguments,
                spent: spent(&n),
            }
        }),
        content().prop_map(|text| Event::Note { text }),
        any::<u64>().prop_map(|bytes| Event::Count {
            dialect: model::Dialect::Gemini,
            bytes,
        }),
        Just(Event::Pause),
        Just(Event::Continue),
    ]
}

/// Events of every type, each as likely as another.
pub fn event() -> impl Strategy<Value = Event> {
    let words = || btree_map(text(), text(), 0..3);
    let agent = proptest::sample::select(vec![
        Agent::Model,
        Agent::Program,
        Agent::Client,
        Agent::Person,
        Agent::Replay,
    ]);
    let start = (
        any::<u32>(),
        text(),
        agent,
        words(),
        words(),
        btree_map(text(), any::<u64>(), 0..3),
    );
    let tree = || digest().prop_map(TreeHash);
    prop_oneof![
        start.prop_map(
            |(format, task, agent, versions, digests, limits)| Event::Start {
                options: versions.clone(),
                format,
                task,
                agent,
                versions,
                digests,
                limits
            }
        ),
        (
            any::<u32>(),
            proptest::option::of(text()),
            proptest::option::of(any::<u64>())
        )
            .prop_map(|(process, boot, epoch)| Event::Attach {
                process,
                boot,
                epoch
            }),
        (
            any::<u64>(),
            bytes(),
            bytes(),
            any::<bool>(),
            proptest::option::of(text()),
            any::<bool>()
        )
            .prop_map(|(number, script, directory, terminal, tool, background)| {
                Event::Command {
                    number,
                    script,
                    directory,
                    terminal,
                    tool,
                    background,
                    limit_milliseconds: background.then_some(number),
                }
            }),
        turn(),
        (
            any::<u64>(),
            ending(),
            content(),
            content(),
            bytes(),
            any::<bool>(),
            any::<u64>()
        )
            .prop_map(
                |(number, ending, stdout, stderr, directory, interactive, milliseconds)| {
                    Event::Result {
                        number,
                        ending,
                        stdout,
                        stderr,
                        directory,
                        interactive,
                        milliseconds,
                    }
                }
            ),
        (any::<u64>(), tree()).prop_map(|(number, tree)| Event::Workspace { number, tree }),
        (
            any::<Option<u64>>(),
            vec(bytes(), 0..4),
            bytes(),
            [descriptor(), descriptor(), descriptor()],
            vec(named_file(), 0..3),
            ending(),
            any::<u64>()
        )
            .prop_map(
                |(command, argv, directory, descriptors, files, ending, milliseconds)| {
                    Event::Oracle {
                        command,
                        argv,
                        directory,
                        descriptors,
                        files,
                        ending,
                        milliseconds,
                    }
                }
            ),
        (
            any::<Option<u64>>(),
            vec(text(), 0..3),
            any::<bool>(),
            any::<u64>(),
            any::<u64>(),
            content(),
            any::<u64>()
        )
            .prop_map(
                |(command, cases, built, cases_passed, cases_total, report, milliseconds)| {
                    Event::Evaluate {
                        command,
                        cases,
                        built,
                        cases_passed,
                        cases_total,
                        report,
                        milliseconds,
                    }
                }
            ),
        tree().prop_map(|tree| Event::Submit { tree }),
        reason().prop_map(|reason| Event::End { reason }),
    ]
}
