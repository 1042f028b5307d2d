//! Into a store: objects first, the head last.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::listing::{FORMAT, Head, Kind, LeftOut, Listing, MAX_LISTING, MAX_OBJECT, Object};
use crate::pack::{Packed, cut, pack};
use crate::remote::{AT_ONCE, Presence, Store};
use crate::scan::{Scan, Source, scan};

/// Objects that are cut ahead of those that are on their way.
const AHEAD: usize = 4;
/// Left-out paths that a head names.
const NAMED: usize = 100;

/// What became of a directory on its way into a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Files of the directory.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Objects that hold it.
    pub objects: u64,
    /// Objects that were not there.
    pub uploaded: u64,
    /// Bytes of those.
    pub uploaded_bytes: u64,
    /// Objects that were there with wrong bytes, and were replaced.
    pub replaced: u64,
    /// Whether it was in the store, whole and the same, before.
    pub was_there: bool,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
}

/// Directories on their way into a store.
#[derive(Debug)]
pub struct Upload<'a> {
    store: &'a Store,
    dry_run: bool,
    /// Objects that are known to be there, or in a dry run would be.
    known: HashSet<Hash>,
}

/// What was sent.
struct Sent {
    object: Object,
    presence: Presence,
}

impl<'a> Upload<'a> {
    /// Begins. With `dry_run`, everything is read and looked for, and nothing is written.
    pub fn new(store: &'a Store, dry_run: bool) -> Self {
        Upload {
            store,
            dry_run,
            known: HashSet::new(),
        }
    }

    /// Stores a directory. `tell` hears how many of how many bytes are done. `settled` is asked before the head is
    /// written; what it answers ends the upload.
    ///
    /// # Errors
    /// When the service fails, the directory cannot be read or changes meanwhile, or another one of its name is there.
    pub fn store(
        &mut self,
        source: Source<'_>,
        cancel: &AtomicBool,
        tell: &mut dyn FnMut(u64, u64),
        settled: &dyn Fn() -> std::result::Result<(), String>,
    ) -> Result<Stored> {
        let local = |reason: String| Error::Local {
            path: source.dir.to_owned(),
            reason,
        };
        let found = scan(source)?;
        let identity = crate::scan::path(source.dir, source.kind.identity());
        let identity = crate::scan::hash(&identity)?;
        let identity = identity.ok_or_else(|| local("it cannot be read".to_owned()))?;
        let store = self.store;
        let before = store.run(cancel, store.head_or_damaged(source.kind, source.id))?;
        if let Some(before) = before.as_ref().filter(|before| before.identity != identity) {
            return Err(local(format!(
                "{} has another {} of this name (its {} has the SHA-256 {}); use another prefix",
                store.name(),
                match source.kind {
                    Kind::Run => "run",
                    Kind::Image => "image",
                },
                String::from_utf8_lossy(source.kind.identity()),
                before.identity
            )));
        }
        let mut stored = Stored {
            files: 0,
            bytes: found.bytes(),
            ..Stored::default()
        };
        let (listing, left_out) = self.objects(source, &found, cancel, tell, &mut stored)?;
        stored.files = listing.files();
        stored.left_out = left_out;
        let text = listing.write();
        if text.len() as u64 > MAX_LISTING {
            return Err(local(format!(
                "it has too many files: their list has {} bytes",
                text.len()
            )));
        }
        let objects = self.texts(&text, cancel, &mut stored)?;
        settled().map_err(local)?;
        if scan(source)? != found {
            return Err(local("it changed while it was read".to_owned()));
        }
        let named = stored.left_out.iter().take(NAMED).cloned();
        let head = Head {
            format: FORMAT,
            kind: source.kind,
            id: source.id.to_owned(),
            identity,
            files: listing.files(),
            bytes: listing.bytes(),
            listing: Hash::of(&text),
            objects,
            left_out: named.collect(),
        };
        stored.was_there = before.as_ref() == Some(&head) && stored.uploaded + stored.replaced == 0;
        if before.as_ref() != Some(&head) && !self.dry_run {
            let below = format!("{}/{}.json", source.kind.directory(), source.id);
            let mut text = serde_json::to_vec_pretty(&head).expect("a head is always JSON");
            text.push(b'\n');
            store.run(cancel, store.put(&below, text))?;
        }
        Ok(stored)
    }

    /// Cuts the files and sends what is missing.
    fn objects(
        &mut self,
        source: Source<'_>,
        found: &Scan,
        cancel: &AtomicBool,
        tell: &mut dyn FnMut(u64, u64),
        stored: &mut Stored,
    ) -> Result<(Listing, Vec<LeftOut>)> {
        let total = found.bytes();
        std::thread::scope(|scope| {
            let (give, mut take) = mpsc::channel::<Vec<u8>>(AHEAD);
            let reader = scope.spawn(move || {
                cut(source, found, &mut |raw| {
                    // Whoever takes them has ended, and says why.
                    give.blocking_send(raw).map_err(|_| Error::Interrupted)
                })
            });
            let store = self.store;
            let sent = store.run(cancel, async {
                let mut sending = FuturesUnordered::new();
                let mut sent = BTreeMap::new();
                let mut number = 0u32;
                let mut done = 0;
                let mut is_open = true;
                while is_open || !sending.is_empty() {
                    tokio::select! {
                        raw = take.recv(), if is_open && sending.len() < AT_ONCE => match raw {
                            Some(raw) => {
                                sending.push(send(store, &self.known, self.dry_run, number, raw));
                                number += 1;
                            }
                            None => is_open = false,
                        },
                        Some(one) = sending.next(), if !sending.is_empty() => {
                            let (number, one): (u32, Sent) = one?;
                            done += one.object.raw;
                            tell(done, total);
                            sent.insert(number, one);
                        }
                    }
                }
                Ok(sent)
            });
            // The reader waits for room no longer.
            take.close();
            drop(take);
            let read = reader.join().map_err(|_| Error::Local {
                path: source.dir.to_owned(),
                reason: "it could not be read".to_owned(),
            })?;
            let sent = sent?;
            let (mut listing, left_out) = read?;
            for (_, one) in sent {
                self.count(&one, stored);
                listing.objects.push(one.object);
            }
            Ok((listing, left_out))
        })
    }

    fn count(&mut self, sent: &Sent, stored: &mut Stored) {
        stored.objects += 1;
        let is_new = self.known.insert(sent.object.sha256);
        match sent.presence {
            Presence::Right => return,
            // The same bytes twice in one directory, sent at the same time.
            _ if !is_new => return,
            Presence::Missing => stored.uploaded += 1,
            Presence::Wrong => stored.replaced += 1,
        }
        stored.uploaded_bytes += sent.object.bytes;
    }

    /// Stores a listing's text.
    fn texts(
        &mut self,
        text: &[u8],
        cancel: &AtomicBool,
        stored: &mut Stored,
    ) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        for piece in text.chunks(MAX_OBJECT) {
            let store = self.store;
            let sending = send(store, &self.known, self.dry_run, 0, piece.to_vec());
            let (_, sent) = store.run(cancel, sending)?;
            self.count(&sent, stored);
            objects.push(sent.object);
        }
        Ok(objects)
    }
}

impl Store {
    /// The head of a directory; none where it is damaged, since it will be written again.
    async fn head_or_damaged(&self, kind: Kind, id: &str) -> Result<Option<Head>> {
        match self.head(kind, id).await {
            Err(Error::Corrupt { .. }) => Ok(None),
            head => head,
        }
    }
}

/// Sends an object unless it is there.
async fn send(
    store: &Store,
    known: &HashSet<Hash>,
    dry_run: bool,
    number: u32,
    raw: Vec<u8>,
) -> Result<(u32, Sent)> {
    let packed: Packed = tokio::task::spawn_blocking(move || pack(&raw))
        .await
        .map_err(std::io::Error::other)
        .and_then(|packed| packed)
        .map_err(crate::error::io(
            "compress",
            std::path::Path::new("an object"),
        ))?;
    let object = packed.object;
    let presence = match known.contains(&object.sha256) {
        true => Presence::Right,
        false => store.presence(&packed).await?,
    };
    if presence != Presence::Right && !dry_run {
        store.put(&object.key(), packed.stored.to_vec()).await?;
    }
    Ok((number, Sent { object, presence }))
}
