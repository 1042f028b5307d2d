//! Models by name: scripts, recorded runs, and providers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::event::{Content, Event};
use agent::gate::{self, Gated};
use agent::scaffold::Tariff;
use model::gateway::{Pinned, Upstream};
use model::{
    ConnectError, Failure as NoReply, Key, Kind, Model, Name, Patience, Price, Prices, Provider,
    Reply, Request, Retrying, Scripted, Timeouts, UnknownPrice, Usage, Watch,
};
use run::{Known, Reader, Store};

use crate::agents::AgentFile;
use crate::context::Context;
use crate::exit::Failure;
use crate::plan::Plan;

/// A model, ready to be called.
pub(crate) struct Opened {
    pub(crate) model: Box<dyn Model>,
    pub(crate) tariff: Box<dyn Tariff>,
    /// Why nobody knows what it costs, if that is so.
    pub(crate) unpriced: Option<String>,
    /// Tokens that it reads, where that is known.
    pub(crate) window: Option<u64>,
}

/// The name of a model with what is relative in it made absolute, so that it means the same later and elsewhere.
pub(crate) fn absolute(context: &Context, name: &str) -> Result<String, Failure> {
    let whole = |path: &Path| -> Result<PathBuf, Failure> {
        std::fs::canonicalize(path).map_err(|error| Failure::io(path, &error))
    };
    Ok(match name.split_once(':') {
        Some(("scripted", file)) => format!("scripted:{}", whole(Path::new(file))?.display()),
        Some(("replay", run)) => {
            format!("replay:{}", whole(&context.run_directory(run)?)?.display())
        }
        _ => name.to_owned(),
    })
}

/// Opens a model that has given so many answers to the run already, behind a gate.
pub(crate) fn open(
    context: &Context,
    plan: &Plan,
    replies: u64,
    gate: Arc<dyn gate::Gate>,
) -> Result<Opened, Failure> {
    let own = Arc::clone(&gate);
    let free = move |model: Box<dyn Model>| Opened {
        model: Box::new(Gated::new(model, own, Box::new(|_: &Usage| 0))),
        tariff: Box::new(|_: &Usage| 0),
        unpriced: None,
        window: None,
    };
    match plan.model.split_once(':') {
        Some(("scripted", file)) => {
            let script = Scripted::open(Path::new(file))
                .map_err(|error| Failure::usage(format!("{file}: {}", whole(&error))))?;
            let replies = usize::try_from(replies).unwrap_or(usize::MAX);
            Ok(free(Box::new(script.skip(replies))))
        }
        Some(("replay", run)) => {
            let directory = context.run_directory(run)?;
            Ok(free(Box::new(Recorded::open(&directory, replies)?)))
        }
        _ => provider(plan, gate),
    }
}

pub(crate) fn key(plan: &Plan, name: &Name) -> Result<Option<Key>, Failure> {
    match &plan.key_file {
        Some(file) => Key::read(Path::new(file)).map(Some),
        None => Key::from_environment(name),
    }
    .map_err(Failure::usage)
}

pub(crate) fn price(plan: &Plan, name: &Name) -> Result<Result<Price, UnknownPrice>, Failure> {
    let mut prices = Prices::built_in().map_err(Failure::machine)?;
    if let Some(file) = &plan.prices {
        let own = Prices::open(Path::new(file)).map_err(|error| Failure::usage(whole(&error)))?;
        prices = prices.overridden_by(own);
    }
    Ok(prices.price(name).cloned())
}

pub(crate) fn not_connected(error: ConnectError) -> Failure {
    match error {
        ConnectError::Machine { .. } => Failure::machine(error),
        error => Failure::usage(error),
    }
}

/// The way to a model for another agent.
pub(crate) struct Gate {
    pub(crate) upstream: Upstream,
    pub(crate) tariff: Box<dyn Tariff>,
    /// Why nobody knows what it costs, if that is so.
    pub(crate) unpriced: Option<String>,
}

/// Prepares the way to a model for another agent.
pub(crate) fn gate(plan: &Plan, agent: &AgentFile) -> Result<Gate, Failure> {
    let name: Name = plan.model.parse().map_err(|error| {
        Failure::usage(format!("{error}; another agent needs a provider's model"))
    })?;
    agent.check(plan.agent.as_deref().unwrap_or_default(), &name)?;
    let (key, price) = (key(plan, &name)?, price(plan, &name)?);
    let pinned = Pinned {
        name,
        aliases: [&agent.aliases[..], &plan.aliases[..]].concat(),
    };
    let upstream = Upstream::new(pinned, plan.base_url.as_deref(), key, Timeouts::default())
        .map_err(not_connected)?;
    let (tariff, unpriced) = tariff(price);
    Ok(Gate {
        upstream,
        tariff,
        unpriced,
    })
}

fn tariff(price: Result<Price, UnknownPrice>) -> (Box<dyn Tariff>, Option<String>) {
    match price {
        Ok(price) => {
            let tariff = move |usage: &Usage| price.cost(usage).0.div_ceil(1000);
            (Box::new(tariff), None)
        }
        Err(unknown) => (Box::new(|_: &Usage| 0), Some(unknown.to_string())),
    }
}

fn provider(plan: &Plan, gate: Arc<dyn gate::Gate>) -> Result<Opened, Failure> {
    let name: Name = plan.model.parse().map_err(|error| {
        Failure::usage(format!(
            "{error}; there are also scripted:FILE and replay:RUN"
        ))
    })?;
    let (key, price) = (key(plan, &name)?, price(plan, &name)?);
    let provider = Provider::new(name, plan.base_url.as_deref(), key, Timeouts::default())
        .map_err(not_connected)?;
    let seed = u64::from(std::process::id());
    let (own, _) = tariff(price.clone());
    let provider = Gated::new(provider, gate, own);
    let model = Box::new(Retrying::new(provider, Patience::default(), seed));
    let window = price.as_ref().ok().and_then(|price| price.context);
    let (tariff, unpriced) = tariff(price);
    Ok(Opened {
        model,
        tariff,
        unpriced,
        window,
    })
}

pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", whole(source)),
        None => error.to_string(),
    }
}

/// The answers of a recorded run, in order, whatever is asked.
struct Recorded {
    entries: Reader,
    store: Store,
}

impl Recorded {
    fn open(directory: &Path, skip: u64) -> Result<Self, Failure> {
        let mut recorded = Recorded {
            entries: run::read(directory)?,
            store: Store::open(directory, Known::nothing()),
        };
        for _ in 0..skip {
            recorded.next().map_err(Failure::usage)?;
        }
        Ok(recorded)
    }

    fn next(&mut self) -> Result<Option<Reply>, String> {
        for entry in &mut self.entries {
            let Event::Reply {
                message,
                stop,
                usage,
                ..
            } = entry.map_err(|error| whole(&error))?.event
            else {
                continue;
            };
            let text = match message {
                Content::Inline(text) => text.into_bytes(),
                Content::Blob { sha256, .. } => {
                    self.store.get(&sha256).map_err(|error| whole(&error))?
                }
            };
            let blocks = serde_json::from_slice(&text).map_err(|error| whole(&error))?;
            return Ok(Some(Reply {
                blocks,
                stop,
                usage,
                model: "replay".to_owned(),
                id: String::new(),
                attempts: Default::default(),
            }));
        }
        Ok(None)
    }
}

impl Model for Recorded {
    fn reply(&mut self, _: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, NoReply> {
        if watch.stop() {
            return Err(NoReply::new(Kind::Stopped, ""));
        }
        match self.next() {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(NoReply::new(Kind::Exhausted, "the recorded run ends here")),
            Err(error) => Err(NoReply::new(Kind::Malformed, error)),
        }
    }
}

/// What must not be recorded: the model's key, and whatever in this process's environment calls itself a key or a
/// password.
pub(crate) fn secrets(plan: &Plan) -> run::Redactor {
    let is_secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"]
            .iter()
            .any(|word| name.contains(word))
    };
    let values = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| is_secret(name))?;
        // A path to a key is no key.
        let value = value.into_string().ok()?;
        (!name.is_empty() && !value.starts_with('/')).then_some(value)
    });
    let key = plan.key_file.as_ref();
    let key = key.and_then(|file| std::fs::read_to_string(file).ok());
    run::Redactor::new(values.chain(key))
}
