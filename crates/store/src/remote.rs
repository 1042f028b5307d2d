//! A service of objects, asked with checks.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutPayload};

use crate::error::{Error, Result};
use crate::hash::{Hash, hex};
use crate::listing::{Head, Kind, MAX_HEAD, Object, is_name};
use crate::pack::{Packed, unpack};
use crate::place::{Access, Opened, Place, open};

/// How often a wish to end is looked for.
const TICK: Duration = Duration::from_millis(50);
/// Requests at the same time: each may hold an object, compressed and not.
pub(crate) const AT_ONCE: usize = 8;

/// A store of directories: objects by content, and a head for each directory that is whole.
pub struct Store {
    pub(crate) opened: Opened,
    runtime: tokio::runtime::Runtime,
}

/// What is known of a stored object.
pub(crate) struct Known {
    bytes: u64,
    tag: Option<String>,
}

/// Whether an object is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Missing,
    Right,
    Wrong,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.opened.name)
            .finish()
    }
}

impl Store {
    /// Opens a store, to read it or to `write` it too.
    ///
    /// # Errors
    /// When keys are missing or the address is wrong. No service is asked yet.
    pub fn open(place: &Place, access: &Access, write: bool) -> Result<Self> {
        let opened = open(place, access, write)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(crate::error::io(
                "begin work with",
                std::path::Path::new("the store"),
            ))?;
        Ok(Store { opened, runtime })
    }

    /// Which bucket or directory, at which server.
    pub fn name(&self) -> &str {
        &self.opened.name
    }

    /// Works until it is done, or `cancel` is raised.
    pub(crate) fn run<T>(
        &self,
        cancel: &AtomicBool,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.runtime.block_on(async {
            let raised = async {
                while !cancel.load(Ordering::Relaxed) {
                    tokio::time::sleep(TICK).await;
                }
            };
            tokio::select! {
                done = work => done,
                () = raised => Err(Error::Interrupted),
            }
        })
    }

    fn key(&self, below: &str) -> Key {
        match self.opened.prefix.as_str() {
            "" => Key::from(below),
            prefix => Key::from(format!("{prefix}/{below}")),
        }
    }

    /// Names an error of the service.
    pub(crate) fn failed(&self, doing: &str, error: &object_store::Error) -> Error {
        let (reason, advice) = explain(error);
        Error::Service {
            place: self.opened.name.clone(),
            doing: doing.to_owned(),
            reason,
            advice,
        }
    }

    pub(crate) fn corrupt(&self, object: &str, reason: String) -> Error {
        Error::Corrupt {
            place: self.opened.name.clone(),
            object: object.to_owned(),
            reason,
            advice: "it is not used. Sync the run to the store again from where it is whole, which replaces what is damaged",
        }
    }

    pub(crate) async fn put(&self, below: &str, bytes: Vec<u8>) -> Result<()> {
        let key = self.key(below);
        let put = self.opened.service.put(&key, PutPayload::from(bytes));
        put.await
            .map(|_| ())
            .map_err(|error| self.failed(&format!("write {below}"), &error))
    }

    /// Reads something of at most `most` bytes; `None` when it is not there.
    pub(crate) async fn get(&self, below: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let failed = |error| self.failed(&format!("read {below}"), &error);
        let got = self
            .opened
            .service
            .get_opts(&self.key(below), GetOptions::default())
            .await;
        let got = match got {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(failed)?,
        };
        let mut stream = got.into_stream();
        let mut bytes = Vec::new();
        while let Some(some) = stream.try_next().await.map_err(failed)? {
            bytes.extend_from_slice(&some);
            if bytes.len() as u64 > most {
                return Err(self.corrupt(below, format!("it has more than {most} bytes")));
            }
        }
        Ok(Some(bytes))
    }

    /// An object, uncompressed and checked.
    pub(crate) async fn object(&self, object: &Object) -> Result<Vec<u8>> {
        let key = object.key();
        let missing = || self.corrupt(&key, "it is not there".to_owned());
        let stored = self.get(&key, object.bytes).await?.ok_or_else(missing)?;
        unpack(object, &stored).map_err(|reason| self.corrupt(&key, reason))
    }

    pub(crate) async fn known(&self, below: &str) -> Result<Option<Known>> {
        match self.opened.service.head(&self.key(below)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Ok(meta) => Ok(Some(Known {
                bytes: meta.size,
                tag: meta.e_tag,
            })),
            Err(error) => Err(self.failed(&format!("look for {below}"), &error)),
        }
    }

    /// Whether an object is there with the right bytes: by its size and the MD5 that servers tell, or else by reading it.
    pub(crate) async fn presence(&self, packed: &Packed) -> Result<Presence> {
        let key = packed.object.key();
        let Some(known) = self.known(&key).await? else {
            return Ok(Presence::Missing);
        };
        if known.bytes != packed.object.bytes {
            return Ok(Presence::Wrong);
        }
        let tag = known.tag.unwrap_or_default();
        if tag.trim_matches('"') == packed.md5 {
            return Ok(Presence::Right);
        }
        // Tags of encrypted objects, and those of a directory, say nothing about the content.
        Ok(match self.get(&key, known.bytes).await {
            Ok(Some(stored)) if Hash::of(&stored) == packed.object.sha256 => Presence::Right,
            Ok(_) | Err(Error::Corrupt { .. }) => Presence::Wrong,
            Err(error) => return Err(error),
        })
    }

    /// The head of a directory, if it is in the store.
    pub(crate) async fn head(&self, kind: Kind, id: &str) -> Result<Option<Head>> {
        let below = format!("{}/{id}.json", kind.directory());
        let Some(text) = self.get(&below, MAX_HEAD).await? else {
            return Ok(None);
        };
        Head::parse(&text, kind, id)
            .map(Some)
            .map_err(|reason| self.corrupt(&below, reason))
    }

    /// Ids of the directories that are in the store whole, sorted.
    ///
    /// # Errors
    /// When the service fails.
    pub fn list(&self, kind: Kind, cancel: &AtomicBool) -> Result<Vec<String>> {
        self.run(cancel, async {
            let prefix = self.key(kind.directory());
            let mut listed = self.opened.service.list(Some(&prefix));
            let mut ids = BTreeSet::new();
            while let Some(meta) = listed.next().await {
                let meta = meta.map_err(|error| self.failed("list what is there", &error))?;
                let name = meta.location.filename().unwrap_or_default();
                // Whatever else somebody put there is none of ours.
                if let Some(id) = name.strip_suffix(".json").filter(|id| is_name(id)) {
                    ids.insert(id.to_owned());
                }
            }
            Ok(ids.into_iter().collect())
        })
    }
}

/// An error of a service in few words, and what to do about it.
fn explain(error: &object_store::Error) -> (String, &'static str) {
    use object_store::Error as E;
    let said = said(error);
    let advice = match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            "check the keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file of --credentials) and what they may do there"
        }
        E::NotFound { .. } => {
            "check the bucket's name, and --endpoint and --region; make the bucket if it is missing"
        }
        _ if said.contains("301") || said.contains("LOCATION") => {
            "check --region: the bucket seems to be in another one"
        }
        _ => {
            "check the address, --endpoint and the service; the same command goes on where this one ended"
        }
    };
    (said, advice)
}

/// What a service and the layers below said, in one line of bounded length. It is a stranger's text.
fn said(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    let mut texts = vec![error.to_string()];
    while let Some(source) = innermost.source() {
        innermost = source;
        let text = innermost.to_string();
        if !texts.iter().any(|earlier| earlier.contains(&text)) {
            texts.push(text);
        }
    }
    let whole = brief(&texts.join(": "));
    let clean: String = whole
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    let mut text: String = words.join(" ");
    if text.chars().count() > 600 {
        text = text.chars().take(600).collect::<String>() + "...";
    }
    text
}

/// What a service said, without the request before it and the tags around it.
fn brief(text: &str) -> String {
    let end = text.rsplit_once(" - ").map_or(text, |(_, end)| end);
    let inside = |tag: &str| {
        let (_, rest) = end.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>"))
            .map(|(inside, _)| inside)
    };
    match (end.split_once('<'), inside("Code"), inside("Message")) {
        (Some((status, _)), Some(code), Some(message)) => format!("{status}{code}: {message}"),
        _ => end.to_owned(),
    }
}

/// A name for temporary things.
pub(crate) fn random() -> String {
    let mut bytes = [0; 8];
    // Names that meet are refused where they are made.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_said_is_brief() {
        let text = "Generic S3 error: Error performing GET http://h/b in 2ms - Server returned non-2xx status code: \
                    403 Forbidden: <?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code>\
                    <Message>No such key.</Message></Error>";
        let expected =
            "Server returned non-2xx status code: 403 Forbidden: InvalidAccessKeyId: No such key.";
        assert_eq!(brief(text), expected);
        assert_eq!(brief("connection refused"), "connection refused");
        let error = std::io::Error::other(format!("a\u{1b}[31m\n{}", "x".repeat(1000)));
        let text = said(&error);
        assert!(text.starts_with("a [31m x") && text.len() < 610, "{text}");
    }
}
