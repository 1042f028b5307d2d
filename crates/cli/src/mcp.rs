//! `mirrorcode mcp`: a task's tools, offered to clients of the Model Context Protocol.
//!
//! The protocol is spoken by one thread, and the sandbox is worked by another, which takes calls one at a time, in the
//! order in which they come. A client is answered before the sandbox is there: its first call waits for it.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use agent::client::{self, Counter};
use agent::event::{Agent, Budget};
use agent::scaffold::{Brief, Finish, offered};
use mcp::{Answer as Told, Call, Client, Desk, Offer, Token};
use target::Task;

use crate::args::{LimitArgs, McpArgs};
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::outside::{self, COMMAND_LIMIT, Job, Work};
use crate::ready;
use crate::run::{follow, reason};
use crate::{plan, terminal};

/// How often it is looked whether something has changed while nobody calls.
const LOOK: Duration = Duration::from_millis(50);
/// Clients that are remembered before the first call.
const MOST_WAITING: usize = 100;
/// How long clients over HTTP are still answered when the run is over.
const GRACE: Duration = Duration::from_secs(5);
/// Name and meaning of the one prompt.
const PROMPT: (&str, &str) = (
    "task",
    "The task whole: what is to be done, the rules, and the limits",
);
/// What a client is told at the beginning.
const INSTRUCTIONS: &str = "\
You rebuild a program, `{command}`, in {language}, from its behaviour alone, with the tools of this server. They work in a \
sandbox of their own without a network: files that you see otherwise are not there.

Begin with `cat /task/README.md` in `bash`: the task, the rules, and what passing means. (The prompt `task` says the same.) \
/task has the documentation and the visible tests too. `oracle` runs the program; `edit` and `bash` work in /workspace; \
`evaluate` builds your work as scoring does and runs the visible tests; `submit` ends the work. Call it when all visible \
tests pass and you have looked for what they do not show, or when nothing more can be done. Everything in /workspace is the \
submission. Keep notes in /workspace/NOTES.md: when you are interrupted, they and your files stay.

{budget}";
/// What the task's prompt adds to what this program's own agent is told.
const BESIDES: &str = "\n\n# Besides\n\nThe tools are those of this server, and there is one more: `oracle` runs the program \
                       once and shows its status and both of its outputs apart, with their lengths.";

/// What the sandbox's thread is asked for.
enum Order {
    Client(Client),
    Call(Call, tokio::sync::oneshot::Sender<Told>),
    Prompt(tokio::sync::oneshot::Sender<Result<String, String>>),
}

/// Hands orders from the protocol's thread to the sandbox's.
struct Front {
    orders: Sender<Order>,
    /// The flags that cancel calls which may be under way.
    calls: Mutex<Vec<Weak<AtomicBool>>>,
}

impl Front {
    /// Ends what is under way: nobody waits for it any more.
    fn cancel_all(&self) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for call in calls.iter().filter_map(Weak::upgrade) {
            call.store(true, Ordering::Relaxed);
        }
    }
}

impl Desk for Front {
    fn client(&self, client: Client) {
        let _ = self.orders.send(Order::Client(client));
    }

    fn call(&self, call: Call) -> tokio::sync::oneshot::Receiver<Told> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|call| call.strong_count() > 0);
        calls.push(Arc::downgrade(&call.cancelled));
        let _ = self.orders.send(Order::Call(call, answer));
        answered
    }

    fn prompt(&self) -> tokio::sync::oneshot::Receiver<Result<String, String>> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let _ = self.orders.send(Order::Prompt(answer));
        answered
    }
}

/// A run, and how clients reach it.
struct Service {
    job: Job,
    score: bool,
    transport: &'static str,
}

/// What both threads see.
struct Shared {
    /// The clients are gone, so that the sandbox's thread is to end.
    gone: AtomicBool,
    /// The run is over, so that the protocol's thread may end.
    over: AtomicBool,
}

pub(crate) fn run(context: &Context, arguments: &McpArgs) -> Answer {
    let limits = arguments.limits.limits();
    let listener = match arguments.http {
        Some(address) if !address.ip().is_loopback() => {
            return Err(Failure::usage(format!(
                "{address} can be reached from elsewhere: only loopback is served, such as 127.0.0.1:{}; from another \
                 machine, `ssh -L` leads there",
                address.port()
            )));
        }
        Some(address) => Some(TcpListener::bind(address).map_err(|error| {
            Failure::usage(format!("{address} cannot be listened on: {error}"))
        })?),
        None => None,
    };
    let token = match &arguments.token {
        Some(token) => Token::new(token).map_err(Failure::usage)?,
        None => new_token()?,
    };
    let transport = if listener.is_some() { "http" } else { "stdio" };
    let job = match &arguments.resume {
        Some(run) => again(&context.run_directory(run)?, limits)?,
        None => Job {
            task: arguments.task.clone().unwrap_or_default(),
            again: None,
            rootfs: match &arguments.rootfs {
                None => None,
                Some(dir) => {
                    Some(std::fs::canonicalize(dir).map_err(|error| Failure::io(dir, &error))?)
                }
            },
            agent: Agent::Client,
            who: None,
            command_limit: COMMAND_LIMIT,
            limits,
        },
    };
    let service = Service {
        job: Job {
            command_limit: arguments.command_limit.unwrap_or(job.command_limit),
            ..job
        },
        score: !arguments.no_score,
        transport,
    };
    serve(context, &service, listener, token)
}

/// Goes on with a run over standard input and output.
pub(crate) fn resume(
    context: &Context,
    directory: &Path,
    limits: &LimitArgs,
    score: bool,
) -> Answer {
    outside::check_limits(limits)?;
    let service = Service {
        job: again(directory, limits.clone())?,
        score,
        transport: "stdio",
    };
    serve(context, &service, None, new_token()?)
}

/// The job of going on with a run.
fn again(directory: &Path, limits: LimitArgs) -> Result<Job, Failure> {
    let job = Job::again(directory, Agent::Client, limits)?.ok_or_else(|| {
        Failure::usage(format!(
            "{}: no client has worked on this run; `mirrorcode resume` goes on with it",
            directory.display()
        ))
    })?;
    if run::Index::of(directory)?.last("submit").is_some() {
        return Err(Failure::usage(format!(
            "{}: the run has been submitted; `mirrorcode score` scores it",
            directory.display()
        )));
    }
    Ok(job)
}

fn new_token() -> Result<Token, Failure> {
    let mut bytes = [0; 24];
    let path = Path::new("/dev/urandom");
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::io(path, &error))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Token::new(&text).map_err(Failure::machine)
}

fn serve(
    context: &Context,
    service: &Service,
    listener: Option<TcpListener>,
    token: Token,
) -> Answer {
    let job = &service.job;
    let (target, language) = context.catalog()?.task(&job.task.parse::<Task>()?)?;
    let command = target.spec.reference.command.clone();
    let budget = match words(&plan::limits(Budget::default(), &job.limits)).as_str() {
        "" => String::new(),
        words => format!("These limits hold:\n\n{words}"),
    };
    let offer = Offer {
        name: "mirrorcode".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instructions: INSTRUCTIONS
            .replace("{command}", &command)
            .replace("{language}", &language.name)
            .replace("{budget}", &budget)
            .trim_end()
            .to_owned(),
        tools: offered(Duration::from_secs(job.command_limit), Some(&command)),
        prompt: (PROMPT.0.to_owned(), PROMPT.1.to_owned()),
    };
    let (orders, taken) = channel();
    let front = Arc::new(Front {
        orders,
        calls: Mutex::default(),
    });
    let shared = Shared {
        gone: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let shared = &shared;
        let worker = scope.spawn(move || {
            let done = work(context, service, &taken, shared);
            shared.over.store(true, Ordering::Relaxed);
            done
        });
        let over = || shared.over.load(Ordering::Relaxed) || context.is_interrupted();
        let desk: Arc<dyn Desk> = Arc::clone(&front) as _;
        let served = match listener {
            None => mcp::serve_stdio(offer, desk, &over),
            Some(listener) => {
                if let Ok(address) = listener.local_addr() {
                    terminal::note(&format!(
                        "serving http://{address}{}; clients send the header field `Authorization: Bearer {}`",
                        mcp::PATH,
                        token.reveal()
                    ));
                }
                mcp::serve_http(listener, token, offer, desk, &over)
            }
        };
        shared.gone.store(true, Ordering::Relaxed);
        front.cancel_all();
        let done = worker
            .join()
            .unwrap_or_else(|_| Err(Failure::machine("the sandbox's thread broke down")));
        served.map_err(|error| Failure::usage(format!("the client cannot be served: {error}")))?;
        done
    })
}

/// Limits in words, one a line.
fn words(limits: &Budget) -> String {
    let turns = limits
        .turns
        .map(|limit| format!("- {limit} calls of tools\n"));
    let others = plan::words(&Budget {
        turns: None,
        ..*limits
    });
    others + &turns.unwrap_or_default()
}

/// Works the sandbox until the clients are gone, and after the end of the run for as long as somebody may still ask.
fn work(context: &Context, service: &Service, orders: &Receiver<Order>, shared: &Shared) -> Answer {
    let worked = match attend(context, service, orders, shared) {
        Ok(Some(done)) => Ok(done),
        Ok(None) => {
            terminal::note("no tool was called, and no run was begun");
            return Ok(exit::DONE);
        }
        Err(failure) => Err(failure),
    };
    let (text, scoring) = match &worked {
        Ok(done) => {
            terminal::note(&done.line());
            let scoring = match done.finish {
                Finish::Submitted | Finish::Budget(_) if service.score => Some(
                    outside::score_apart(context, &service.job.task, &done.directory),
                ),
                _ => None,
            };
            (client::over(&done.finish), scoring)
        }
        Err(failure) => (format!("[not done: {}]", failure.message), None),
    };
    let scoring: Option<Child> = match scoring {
        Some(Ok(child)) => Some(child),
        Some(Err(failure)) => {
            terminal::note(&failure.message);
            None
        }
        None => None,
    };
    let scored = match (scoring, &worked) {
        (Some(child), Ok(done)) => {
            let directory = done.directory.clone();
            let interrupted = Arc::clone(&context.interrupted);
            Some(std::thread::spawn(move || {
                outside::scored(child, &directory, &interrupted)
            }))
        }
        _ => None,
    };
    // Who asks now is told why nothing more is done.
    let begun = Instant::now();
    let stopped = matches!(&worked, Ok(done) if done.finish == Finish::Stopped);
    while !shared.gone.load(Ordering::Relaxed) && !context.is_interrupted() && !stopped {
        let waits = scored.as_ref().is_some_and(|scored| !scored.is_finished());
        if service.transport == "http" && begun.elapsed() > GRACE && !waits {
            break;
        }
        match orders.recv_timeout(LOOK) {
            Ok(Order::Call(_, answer)) => {
                let _ = answer.send(Told {
                    text: text.clone(),
                    failed: true,
                });
            }
            Ok(Order::Prompt(answer)) => {
                let _ = answer.send(Err(text.clone()));
            }
            Ok(Order::Client(_)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    shared.over.store(true, Ordering::Relaxed);
    let done = worked?;
    if let Some(scored) = scored {
        return scored
            .join()
            .unwrap_or_else(|_| Err(Failure::machine("scoring's thread broke down")));
    }
    match done.finish {
        Finish::Stopped => Err(Failure::new(
            exit::INTERRUPTED,
            format!(
                "stopped; `mirrorcode mcp --resume {}` goes on from here",
                done.id
            ),
        )),
        _ => Ok(exit::DONE),
    }
}

/// What came of a run.
struct Done {
    id: String,
    directory: PathBuf,
    finish: Finish,
    calls: u64,
}

impl Done {
    fn line(&self) -> String {
        let how = match &self.finish {
            Finish::Submitted => "submitted".to_owned(),
            Finish::Budget(name) => format!("out of budget ({name})"),
            Finish::Stopped => "stopped".to_owned(),
            _ => format!(
                "the client has gone; `mirrorcode mcp --resume {}` goes on from here",
                self.id
            ),
        };
        format!("{}: {how}, after {} calls", self.id, self.calls)
    }
}

/// Waits for the first call: a client that only looks at what there is begins no run. Gives the clients that have
/// introduced themselves and what is asked first; `None` when they are gone without having asked for anything.
fn first(
    context: &Context,
    orders: &Receiver<Order>,
    shared: &Shared,
) -> Result<Option<(Vec<Client>, Order)>, Failure> {
    let mut clients = Vec::new();
    loop {
        if context.is_interrupted() {
            return Err(Failure::new(exit::INTERRUPTED, "interrupted"));
        }
        match orders.recv_timeout(LOOK) {
            Ok(Order::Client(client)) if clients.len() < MOST_WAITING => clients.push(client),
            Ok(Order::Client(_)) => {}
            Ok(order) => return Ok(Some((clients, order))),
            Err(RecvTimeoutError::Timeout) if !shared.gone.load(Ordering::Relaxed) => {}
            Err(_) => return Ok(None),
        }
    }
}

/// Makes everything ready, and does what is asked until the run is over or the clients are gone. `None` when nothing was
/// asked for.
fn attend(
    context: &Context,
    service: &Service,
    orders: &Receiver<Order>,
    shared: &Shared,
) -> Result<Option<Done>, Failure> {
    let job = &service.job;
    let ready = ready::prepare(context, &job.task, job.rootfs.as_deref(), &[])?;
    let Some((clients, first)) = first(context, orders, shared)? else {
        return Ok(None);
    };
    let Work {
        id,
        directory,
        standing,
        limits,
        said,
        steering,
        right,
        mut session,
        clock,
    } = job.start(context, &ready)?;
    let over = AtomicBool::new(false);
    let worked = std::thread::scope(|scope| {
        scope.spawn(|| follow(context, &directory, (&steering, &right), said, &over));
        let worked = (|| {
            let limit = Duration::from_secs(job.command_limit);
            let mut counter = Counter::open(&mut session, limit, clock, standing.as_ref())?;
            for client in &clients {
                counter.client(&client.name, &client.version, service.transport)?;
            }
            let mut first = Some(first);
            loop {
                if counter.look()?.is_some() || shared.gone.load(Ordering::Relaxed) {
                    break;
                }
                let next = first.take().map_or_else(|| orders.recv_timeout(LOOK), Ok);
                match next {
                    Ok(Order::Client(client)) => {
                        counter.client(&client.name, &client.version, service.transport)?;
                    }
                    Ok(Order::Call(call, answer)) => {
                        let told = counter.call(&call.name, &call.arguments, &call.cancelled)?;
                        // A client that is gone has its answer in the record.
                        let _ = answer.send(Told {
                            text: told.text,
                            failed: told.failed,
                        });
                    }
                    Ok(Order::Prompt(answer)) => {
                        let _ = answer.send(prompt(&ready, &directory, job, &limits));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            Ok(counter.close())
        })();
        over.store(true, Ordering::Relaxed);
        worked
    });
    let closed = session.close(reason(
        worked
            .as_ref()
            .map(|(finish, _)| finish)
            .map_err(|error: &agent::Error| error),
    ));
    let (finish, spent) = worked?;
    closed?;
    Ok(Some(Done {
        id,
        directory,
        finish,
        calls: spent.turns,
    }))
}

fn prompt(
    ready: &ready::Ready,
    directory: &Path,
    job: &Job,
    limits: &Budget,
) -> Result<String, String> {
    let readme = directory.join("task/README.md");
    let readme = std::fs::read_to_string(&readme)
        .map_err(|error| format!("the task cannot be read: {error}"))?;
    let brief = Brief {
        command: &ready.target.spec.reference.command,
        language: &ready.language.name,
        readme: &readme,
        budget: &words(limits),
        command_seconds: job.command_limit,
    };
    Ok(brief.system() + BESIDES)
}
