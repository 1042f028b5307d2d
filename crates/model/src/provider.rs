//! A model at a provider: one attempt for every request.

use reqwest::header::{HeaderName, HeaderValue};

use crate::http::{Call, Client, Exchange, Timeouts};
use crate::wire::{self, Sent};
use crate::{Failure, Key, Kind, Model, Name, Reply, Request, Spent, Watch};

/// A model at a provider: one attempt for every request. [`crate::Retrying`] tries again.
pub struct Provider {
    name: Name,
    base: String,
    key: Option<Key>,
    client: Client,
}

/// A provider that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No place is known.
    #[error("{0} needs a base URL, such as http://localhost:8000/v1")]
    NoBase(Name),
    /// The base URL is of no use.
    #[error("the base URL {url:?} cannot be used: {what}")]
    WrongBase {
        /// The URL.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no key, and the provider wants one.
    #[error(transparent)]
    Key(#[from] crate::KeyError),
    /// The machine lacks something.
    #[error("no client for {name}: {what}")]
    Machine {
        /// The model.
        name: Name,
        /// What the machine says.
        what: String,
    },
}

impl Provider {
    /// Prepares to ask a model; nothing is sent yet.
    ///
    /// `base` takes the place of the provider's own address, for a gateway or a server of one's own. It is
    /// what stands before `/v1/messages`, `/responses`, `/chat/completions` or `/v1beta`.
    ///
    /// # Errors
    /// When there is no place to ask, or no key for a provider's own address.
    pub fn new(
        name: Name,
        base: Option<&str>,
        key: Option<Key>,
        timeouts: Timeouts,
    ) -> Result<Self, ConnectError> {
        let base = place(&name, base, key.as_ref())?;
        let client = Client::new(timeouts).map_err(|what| ConnectError::Machine {
            name: name.clone(),
            what,
        })?;
        Ok(Provider {
            name,
            base,
            key,
            client,
        })
    }

    /// What is asked.
    pub fn name(&self) -> &Name {
        &self.name
    }

    fn call(&self, sent: Sent) -> Result<Call, Failure> {
        let wrong = |what: String| Failure::new(Kind::BadRequest, what);
        let url = format!("{}{}", self.base, sent.path);
        let url = url
            .parse()
            .map_err(|error| wrong(format!("{url}: {error}")))?;
        let mut headers: Vec<_> = sent
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        if let Some(key) = &self.key {
            let (name, before) = sent.key;
            let mut value = HeaderValue::try_from(format!("{before}{}", key.reveal()))
                .map_err(|_| wrong("the key does not fit into a header".to_owned()))?;
            value.set_sensitive(true);
            headers.push((HeaderName::from_static(name), value));
        }
        Ok(Call {
            url,
            headers,
            body: sent.body,
        })
    }

    fn attempt(&self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        let call = self.call(wire::write(&self.name, request)?)?;
        let mut reader = wire::reader(self.name.dialect());
        let mut begun = false;
        let result = self.client.exchange(call, watch, &mut |event, watch| {
            begun = true;
            reader.event(&event, watch)
        });
        let result = match result {
            Ok(Exchange::Streamed) => reader.reply(),
            Ok(Exchange::Other {
                status,
                retry_after_ms,
                body,
            }) => return Err(wire::understood(status, retry_after_ms, &body)),
            Err(failure) => Err(failure),
        };
        result.map_err(|mut failure| {
            let reached = !matches!(failure.kind, Kind::Unreachable)
                && !matches!(
                    failure.kind,
                    Kind::TimedOut {
                        phase: crate::Phase::Connection
                    }
                );
            // A request that has arrived may be worked on, also when nobody waits for the answer.
            if failure.spent == Spent::Nothing && (begun || reached) {
                failure.spent = Spent::Unknown(reader.usage());
            }
            failure
        })
    }
}

impl Model for Provider {
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        if watch.stop() {
            return Err(Failure::new(Kind::Stopped, ""));
        }
        self.attempt(request, watch).map_err(|mut failure| {
            if let Some(key) = &self.key {
                failure.message = key.hide(&failure.message);
            }
            failure
        })
    }
}

/// Where a model is asked, without a slash at the end.
pub(crate) fn place(
    name: &Name,
    base: Option<&str>,
    key: Option<&Key>,
) -> Result<String, ConnectError> {
    if base.is_none() && key.is_none() && wire::base_url(name).is_some() {
        let (name, variables) = (name.clone(), Key::variables(name));
        return Err(crate::KeyError::Missing { name, variables }.into());
    }
    let base = base
        .or(wire::base_url(name))
        .ok_or_else(|| ConnectError::NoBase(name.clone()))?;
    checked(base)
}

/// A base URL without the slash at its end.
fn checked(base: &str) -> Result<String, ConnectError> {
    let wrong = |what| ConnectError::WrongBase {
        // A password in it is not repeated.
        url: base
            .rsplit_once('@')
            .map_or(base, |(_, rest)| rest)
            .to_owned(),
        what,
    };
    let url: reqwest::Url = base.parse().map_err(|_| wrong("it is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("expected http:// or https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("put the key into the environment or a file instead"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end with its path"));
    }
    Ok(base.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(name: &str, base: Option<&str>) -> Result<Provider, String> {
        Provider::new(name.parse().unwrap(), base, None, Timeouts::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn wrong_use_is_told() {
        for (name, base, what) in [
            ("anthropic/claude", None, "set ANTHROPIC_API_KEY"),
            ("gemini/g", None, "GEMINI_API_KEY or GOOGLE_API_KEY"),
            ("compatible/m", None, "needs a base URL"),
            ("compatible/m", Some("localhost:8000"), "expected http"),
            ("compatible/m", Some("nonsense"), "no URL"),
            ("openai/m", Some("http://user:word@host/v1"), "put the key"),
            (
                "openai/m",
                Some("http://host/v1?key=1"),
                "end with its path",
            ),
        ] {
            let error = connect(name, base).err().unwrap();
            assert!(error.contains(what), "{error}");
            assert!(!error.contains("word"), "{error}");
        }
        assert_eq!(
            connect("openai/m", Some("http://host/v1/")).unwrap().base,
            "http://host/v1"
        );
    }
}
