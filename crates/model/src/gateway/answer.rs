//! An answer on its way through: every piece goes on as it came, and is read in passing.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::Sleep;

use super::clerk::{Clerk, Deed};
use crate::sse::Parser;
use crate::wire::{self, Reader};
use crate::{Dialect, Failure, Kind, Phase, Reply, Silent, Spent, Timeouts, Usage};

/// The most that is kept of an answer that is not a stream, in bytes, to be read at its end.
const LONGEST_WHOLE: usize = 64 << 20;

/// Reads an answer as it passes.
pub(super) struct Listener {
    dialect: Dialect,
    reader: Box<dyn Reader>,
    form: Form,
    failure: Option<Failure>,
}

enum Form {
    Events(Parser),
    Whole(Vec<u8>),
}

impl Listener {
    pub(super) fn new(dialect: Dialect, streams: bool) -> Self {
        Listener {
            dialect,
            reader: wire::reader(dialect),
            form: if streams {
                Form::Events(Parser::default())
            } else {
                Form::Whole(Vec::new())
            },
            failure: None,
        }
    }

    fn hear(&mut self, piece: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let large = || Failure::new(Kind::Malformed, "the answer is far too large");
        let result = match &mut self.form {
            Form::Whole(body) if body.len() + piece.len() > LONGEST_WHOLE => Err(large()),
            Form::Whole(body) => {
                body.extend_from_slice(piece);
                Ok(())
            }
            Form::Events(parser) => parser.feed(piece).map_err(|_| large()).and_then(|events| {
                events
                    .iter()
                    .try_for_each(|event| self.reader.event(event, &mut Silent).map(drop))
            }),
        };
        self.failure = result.err();
    }

    /// What was said, when nothing more comes. `cut` says why, where that is not the answer's own end.
    fn end(&mut self, cut: Option<Failure>) -> Result<Reply, Failure> {
        if let Form::Whole(body) = &self.form
            && cut.is_none()
            && self.failure.is_none()
        {
            let text = String::from_utf8_lossy(body).into_owned();
            let events = wire::whole(self.dialect, &text);
            let heard = events
                .iter()
                .try_for_each(|event| self.reader.event(event, &mut Silent).map(drop));
            self.failure = heard.err();
        }
        let said = match self.failure.take().or(cut) {
            // A caller may hang up once it has heard the end.
            Some(failure) if failure.kind == Kind::Stopped => {
                self.reader.reply().map_err(|_| failure)
            }
            Some(failure) => Err(failure),
            None => self.reader.reply(),
        };
        said.map_err(|mut failure| {
            // The provider has begun to answer, so it may charge.
            if failure.spent == Spent::Nothing {
                failure.spent = Spent::Unknown(self.reader.usage());
            }
            failure
        })
    }
}

/// A call that is under way. What came of it is told once, also when whoever asked hangs up.
pub(super) struct UnderWay {
    clerk: Clerk,
    call: u64,
    begun: Instant,
    told: bool,
}

impl UnderWay {
    pub(super) fn new(clerk: Clerk, call: u64) -> Self {
        UnderWay {
            clerk,
            call,
            begun: Instant::now(),
            told: false,
        }
    }

    pub(super) fn end(&mut self, result: Result<Reply, Failure>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let milliseconds = self.begun.elapsed().as_millis() as u64;
        let call = self.call;
        self.clerk.tell(match result {
            Ok(reply) => Deed::Answered {
                call,
                reply: Box::new(reply),
                milliseconds,
            },
            Err(failure) => Deed::Failed {
                call,
                failure: Box::new(failure),
                milliseconds,
            },
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut failure = hung_up();
        // The request may have arrived.
        failure.spent = Spent::Unknown(Usage::default());
        self.end(Err(failure));
    }
}

fn hung_up() -> Failure {
    Failure::new(Kind::Stopped, "whoever asked hung up before the end")
}

/// A body that is read in passing.
pub(super) struct Overheard {
    body: reqwest::Body,
    listener: Listener,
    call: UnderWay,
    patience: Duration,
    end: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Overheard {
    pub(super) fn new(
        body: reqwest::Body,
        listener: Listener,
        call: UnderWay,
        timeouts: &Timeouts,
    ) -> Self {
        Overheard {
            body,
            listener,
            end: call.begun + timeouts.end,
            call,
            patience: timeouts.stream,
            alarm: Box::pin(tokio::time::sleep(timeouts.stream)),
        }
    }

    fn end(&mut self, cut: Option<Failure>) {
        if !self.call.told {
            self.call.end(self.listener.end(cut));
        }
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        self.end(Some(hung_up()));
    }
}

impl Body for Overheard {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => {
                if std::future::Future::poll(this.alarm.as_mut(), context).is_pending() {
                    return Poll::Pending;
                }
                let phase = Phase::Stream;
                this.end(Some(Failure::new(Kind::TimedOut { phase }, "")));
                Poll::Ready(Some(Err("the answer stopped coming".to_owned())))
            }
            Poll::Ready(None) => {
                this.end(None);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let text = error.to_string();
                this.end(Some(Failure::new(Kind::CutOff, text.clone())));
                Poll::Ready(Some(Err(text)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let next = (Instant::now() + this.patience).min(this.end);
                this.alarm.as_mut().reset(next.into());
                if let Some(piece) = frame.data_ref() {
                    this.listener.hear(piece);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}
