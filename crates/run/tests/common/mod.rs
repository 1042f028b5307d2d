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
    ]
}

/// Events of every type, each as likely as another.
pub fn event() -> impl Strategy<Value = Event> {
    let words = || btree_map(text(), text(), 0..3);
    let agent = proptest::sample::select(vec![Agent::Person, Agent::Replay]);
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
                format,
                task,
                agent,
                versions,
                digests,
                limits
            }
        ),
        any::<u32>().prop_map(|process| Event::Attach { process }),
        (any::<u64>(), bytes(), bytes(), any::<bool>()).prop_map(
            |(number, script, directory, terminal)| {
                Event::Command {
                    number,
                    script,
                    directory,
                    terminal,
                }
            }
        ),
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
