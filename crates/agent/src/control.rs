//! `evaluate` and `submit`: the two words that an agent says to the harness.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use oracle::Call;
use oracle::protocol::{self, Reply};

use crate::event::{self, Bytes, Descriptor, DescriptorKind, Digest, Event, NamedFile};
use crate::ledger::Ledger;

/// The commands that stand beside the oracle's shim.
pub(crate) const WORDS: [&str; 2] = ["evaluate", "submit"];
/// Longest wait of a listener before it looks whether it should end.
const INTERVAL: Duration = Duration::from_millis(100);

/// Builds a workspace and runs visible cases.
pub trait Evaluator: Send + Sync {
    /// Evaluates the workspace on the cases or families that `wanted` names, all visible ones when it
    /// is empty. `print` brings text to the agent as it comes.
    fn evaluate(
        &self,
        workspace: &Path,
        wanted: &[String],
        print: &mut dyn FnMut(&str),
    ) -> Evaluation;
}

/// What an evaluation gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether the submission could be built.
    pub built: bool,
    /// Cases that passed.
    pub passed: u64,
    /// Cases that were to be run.
    pub total: u64,
    /// Status for the agent's shell: 0 when all pass.
    pub status: i32,
}

/// The threads that listen for the two words.
pub(crate) struct Control {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

struct Desk {
    ledger: Ledger,
    evaluator: Arc<dyn Evaluator>,
    workspace: PathBuf,
    /// One evaluation at a time: it uses all processors.
    busy: Mutex<()>,
}

impl Control {
    pub(crate) fn start(
        listeners: Vec<(&'static str, UnixListener)>,
        ledger: Ledger,
        evaluator: Arc<dyn Evaluator>,
        workspace: PathBuf,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let desk = Arc::new(Desk {
            ledger,
            evaluator,
            workspace,
            busy: Mutex::new(()),
        });
        let threads = listeners
            .into_iter()
            .map(|(word, listener)| {
                let (stop, desk) = (Arc::clone(&stop), Arc::clone(&desk));
                std::thread::spawn(move || {
                    oracle::listen(&listener, &stop, INTERVAL, |stream| {
                        let desk = Arc::clone(&desk);
                        std::thread::spawn(move || desk.serve(word, &stream));
                    });
                })
            })
            .collect();
        Control { stop, threads }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn say(stream: &UnixStream, text: &str) {
    let _ = protocol::send(
        stream,
        &Reply::Output {
            stream: 1,
            bytes: text.as_bytes().to_vec(),
        },
    );
}

impl Desk {
    fn serve(&self, word: &str, stream: &UnixStream) {
        let reply = match protocol::receive_request(stream.as_fd(), protocol::REQUEST_TIME) {
            Ok((request, _)) => {
                let arguments: Vec<String> = request.argv[1.min(request.argv.len())..]
                    .iter()
                    .map(|argument| String::from_utf8_lossy(argument).into_owned())
                    .collect();
                match word {
                    "submit" => self.submit(stream, &arguments),
                    _ => self.evaluate(stream, &arguments),
                }
            }
            Err(error) => Reply::Refused(error.to_string()),
        };
        let _ = protocol::send(stream, &reply);
    }

    fn submit(&self, stream: &UnixStream, arguments: &[String]) -> Reply {
        if !arguments.is_empty() {
            say(
                stream,
                "usage: submit\n\nEnds the work: the workspace as it is now is the submission.\n",
            );
            return Reply::Exited(2);
        }
        let mut book = self.ledger.open();
        if book.submitted {
            say(stream, "already submitted\n");
            return Reply::Exited(0);
        }
        let recorded = book.recorder.snapshot(&self.workspace).and_then(|tree| {
            if let Some(tree) = tree {
                let number = book.command.unwrap_or(0);
                book.recorder.record(Event::Workspace { number, tree })?;
            }
            match book.recorder.tree() {
                Some(tree) => book.recorder.record(Event::Submit { tree }).map(|()| true),
                None => Ok(false),
            }
        });
        match recorded {
            Ok(true) => {
                book.submitted = true;
                say(stream, "submitted; the session ends with this command\n");
                Reply::Exited(0)
            }
            Ok(false) => {
                say(
                    stream,
                    "there is nothing to submit: the workspace is empty\n",
                );
                Reply::Exited(1)
            }
            Err(error) => Reply::Refused(format!("cannot record the submission: {error}")),
        }
    }

    fn evaluate(&self, stream: &UnixStream, arguments: &[String]) -> Reply {
        if arguments.iter().any(|argument| argument.starts_with('-')) {
            say(
                stream,
                "usage: evaluate [FAMILY | CASE]...\n\nBuilds the workspace as scoring would, and runs the \
                 visible cases, or those named.\n",
            );
            return Reply::Exited(2);
        }
        let _one = self.busy.lock();
        let start = Instant::now();
        let mut report = String::new();
        let evaluation = self
            .evaluator
            .evaluate(&self.workspace, arguments, &mut |text| {
                report.push_str(text);
                say(stream, text);
            });
        let mut book = self.ledger.open();
        if evaluation.total > 0 {
            book.evaluated = Some((evaluation.passed, evaluation.total));
        }
        let recorded = book.recorder.content(report.as_bytes()).and_then(|report| {
            let command = book.command;
            book.recorder.record(Event::Evaluate {
                command,
                cases: arguments.to_vec(),
                built: evaluation.built,
                cases_passed: evaluation.passed,
                cases_total: evaluation.total,
                report,
                milliseconds: start.elapsed().as_millis() as u64,
            })
        });
        match recorded {
            Ok(()) => Reply::Exited(evaluation.status as u32),
            Err(error) => Reply::Refused(format!("cannot record the evaluation: {error}")),
        }
    }
}

/// A sandbox's ending in the journal's words.
pub(crate) fn ending(ending: sandbox::Ending) -> event::Ending {
    use sandbox::Limit;
    match ending {
        sandbox::Ending::Exited(status) => event::Ending::Exit(status),
        sandbox::Ending::Signaled(signal) => event::Ending::Signal(signal),
        sandbox::Ending::NotStarted(code) => event::Ending::NotStarted(code),
        sandbox::Ending::Stopped => event::Ending::Stopped,
        sandbox::Ending::Limited(limit) => event::Ending::Limit(match limit {
            Limit::WallTime => event::Limit::WallTime,
            Limit::CpuTime => event::Limit::CpuTime,
            Limit::Memory => event::Limit::Memory,
            Limit::Processes => event::Limit::Processes,
            Limit::Output => event::Limit::Output,
            Limit::Disk => event::Limit::Disk,
        }),
    }
}

/// A call of the reference in the journal's words.
pub(crate) fn oracle_event(command: Option<u64>, call: Call) -> Event {
    let descriptor = |descriptor: &oracle::Descriptor| Descriptor {
        kind: match descriptor.kind {
            "null" => DescriptorKind::Null,
            "file" => DescriptorKind::File,
            "pipe" => DescriptorKind::Pipe,
            "socket" => DescriptorKind::Socket,
            "terminal" => DescriptorKind::Terminal,
            _ => DescriptorKind::Other,
        },
        bytes: descriptor.content.as_ref().map(|(bytes, _)| *bytes),
        sha256: descriptor
            .content
            .as_ref()
            .and_then(|(_, hash)| hash.map(Digest)),
    };
    Event::Oracle {
        command,
        argv: call.argv.into_iter().map(Bytes).collect(),
        directory: Bytes(call.directory),
        descriptors: call.descriptors.each_ref().map(descriptor),
        files: call
            .files
            .into_iter()
            .filter_map(|file| {
                Some(NamedFile {
                    path: Bytes(file.path),
                    bytes: file.bytes,
                    sha256: Digest(file.sha256?),
                })
            })
            .collect(),
        ending: ending(call.ending),
        milliseconds: call.wall.as_millis() as u64,
    }
}
