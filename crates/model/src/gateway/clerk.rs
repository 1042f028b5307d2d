//! One thread that decides and records, so that what comes at the same time is made durable together.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{Admitted, Ask, Denied, Desk, Refusal};
use crate::{Dialect, Failure, Kind, Reply};

/// Something for the desk.
pub(super) enum Deed {
    Admit {
        ask: Box<Ask>,
        answer: oneshot::Sender<Result<Admitted, Denied>>,
    },
    Count {
        dialect: Dialect,
        bytes: u64,
        answer: oneshot::Sender<Result<(), Denied>>,
    },
    Answered {
        call: u64,
        reply: Box<Reply>,
        milliseconds: u64,
    },
    Failed {
        call: u64,
        failure: Box<Failure>,
        milliseconds: u64,
    },
    Refused(Refusal),
}

/// The way to the desk. The thread ends when the last of these is gone.
#[derive(Clone)]
pub(super) struct Clerk(Sender<Deed>);

impl Clerk {
    pub(super) fn start(desk: Box<dyn Desk>) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || work(desk, &receiver));
        (Clerk(sender), thread)
    }

    pub(super) fn tell(&self, deed: Deed) {
        // The desk is closed only when the gateway is.
        let _ = self.0.send(deed);
    }

    /// Asks whether a request may pass. When this says so, that is on record.
    pub(super) async fn admit(&self, ask: Box<Ask>) -> Result<Admitted, Denied> {
        let (answer, told) = oneshot::channel();
        self.tell(Deed::Admit { ask, answer });
        told.await.unwrap_or(Err(Denied::Closed))
    }

    /// Asks whether the tokens of a request may be counted.
    pub(super) async fn count(&self, dialect: Dialect, bytes: u64) -> Result<(), Denied> {
        let (answer, told) = oneshot::channel();
        self.tell(Deed::Count {
            dialect,
            bytes,
            answer,
        });
        told.await.unwrap_or(Err(Denied::Closed))
    }
}

fn work(mut desk: Box<dyn Desk>, deeds: &Receiver<Deed>) {
    while let Ok(first) = deeds.recv() {
        let mut admitted = Vec::new();
        for deed in std::iter::once(first).chain(deeds.try_iter()) {
            match deed {
                Deed::Admit { ask, answer } => admitted.push((desk.admit(&ask), answer)),
                // Nothing depends on its being durable: it costs nothing.
                Deed::Count {
                    dialect,
                    bytes,
                    answer,
                } => drop(answer.send(desk.count(dialect, bytes))),
                Deed::Answered {
                    call,
                    reply,
                    milliseconds,
                } => desk.answered(call, *reply, milliseconds),
                Deed::Failed {
                    call,
                    failure,
                    milliseconds,
                } => desk.failed(call, *failure, milliseconds),
                Deed::Refused(refusal) => desk.refused(refusal),
            }
        }
        let durable = desk.flush();
        for (result, answer) in admitted {
            let result = if durable { result } else { Err(Denied::Closed) };
            if let Err(Ok(admitted)) = answer.send(result) {
                let text = "whoever asked hung up before anything was sent";
                desk.failed(admitted.call, Failure::new(Kind::Stopped, text), 0);
            }
        }
    }
}
