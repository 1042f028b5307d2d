//! `mirrorcode sync`: finished runs, and images, to object storage and back.

mod teller;

use std::path::{Path, PathBuf};
use std::time::Duration;

use campaign::{Outcome, Plan, Progress as Far};
use store::{Access, Error, Fetched, Inbox, Kind, Place, Source, Store, Upload};

use target::language::matches;

use crate::args::SyncArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::{campaign as campaigns, results};
use teller::Teller;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Io { path, source, .. } => Failure {
                message: error.to_string(),
                ..Failure::io(path, source)
            },
            Error::Address { .. } | Error::Credentials(_) | Error::Local { .. } => {
                Failure::usage(error)
            }
            Error::Service { .. } | Error::Corrupt { .. } => Failure::new(exit::OUTSIDE, error),
            Error::Interrupted => Failure::new(exit::INTERRUPTED, error),
        }
    }
}

pub(crate) fn run(context: &Context, arguments: &SyncArgs) -> Answer {
    let (Some(last), Some(first)) = (arguments.places.last(), arguments.places.first()) else {
        return Err(Failure::usage("name what is copied, and where to"));
    };
    let access = Access {
        endpoint: arguments.endpoint.clone(),
        region: arguments.region.clone(),
        credentials: arguments.credentials.clone(),
        ..Access::default()
    };
    let access = match arguments.patience {
        Some(seconds) => Access {
            patience: Duration::from_secs(seconds),
            ..access
        },
        None => access,
    };
    let from = &arguments.places[..arguments.places.len() - 1];
    let stores = arguments
        .places
        .iter()
        .filter(|place| Place::is_address(place));
    match (stores.count(), Place::is_address(last)) {
        (1, true) => {
            let place = Place::parse(last)?;
            up(context, arguments, from, &place, &access)
        }
        (1, false) if arguments.places.len() == 2 => {
            let store = Store::open(&Place::parse(first)?, &access, false)?;
            down(context, arguments, &store, Path::new(last))
        }
        (1, false) => Err(Failure::usage(
            "from a store to a directory: `mirrorcode sync s3://BUCKET/PREFIX DIR`; --only chooses among what is there",
        )),
        _ => Err(Failure::usage(
            "one of the places is a store, the first or the last: s3://BUCKET/PREFIX or file:///DIRECTORY",
        )),
    }
}

/// Something that may be stored.
struct Item {
    id: String,
    dir: PathBuf,
    /// Why it is not.
    reason: Option<String>,
    /// Keeps an image where it is.
    _held: Option<image::Held>,
}

/// Why a run is not finished; nothing when it is.
fn unfinished(dir: &Path) -> Option<String> {
    if run::is_open(dir) {
        return Some("a worker has it; it is stored once it has ended".to_owned());
    }
    match Outcome::read(dir) {
        Ok(Some(outcome)) if !outcome.end.is_final() => Some(format!(
            "it is {}; `mirrorcode campaign run` goes on with it",
            outcome.end.word()
        )),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// The runs that these words name.
fn runs(context: &Context, words: &[String]) -> Result<Vec<Item>, Failure> {
    let mut items: Vec<Item> = Vec::new();
    let mut add = |id: String, dir: PathBuf, reason: Option<String>| {
        if !items.iter().any(|item| item.id == id && item.dir == dir) {
            items.push(Item {
                id,
                dir,
                reason,
                _held: None,
            });
        }
    };
    let is_campaign = |word: &String| {
        Path::new(word)
            .extension()
            .is_some_and(|ending| ending == "toml")
            || Plan::directory(context.runs(), word).is_dir()
    };
    let (named, plain): (Vec<_>, Vec<_>) = words.iter().cloned().partition(is_campaign);
    for word in &named {
        let plan = campaigns::plan_of(context, Path::new(word))?;
        for attempt in &plan.attempts {
            let dir = context.runs().join(&attempt.id);
            let reason = match campaign::progress(context.runs(), &attempt.id)? {
                Far::Missing => Some("it has not begun".to_owned()),
                Far::Cut => {
                    Some("it was cut off; `mirrorcode campaign run` goes on with it".to_owned())
                }
                Far::Working | Far::Left(_) => unfinished(&dir),
            };
            add(attempt.id.clone(), dir, reason);
        }
    }
    if words.is_empty() || !plain.is_empty() {
        for dir in results::directories(context, &plain)? {
            let whole = std::fs::canonicalize(&dir).map_err(|error| Failure::io(&dir, &error))?;
            let id = whole.file_name().unwrap_or_default().to_string_lossy();
            let reason = match store::is_name(&id) {
                true => unfinished(&dir),
                false => Some(
                    "its name has more than letters, digits, dots, dashes and underscores"
                        .to_owned(),
                ),
            };
            add(id.into_owned(), dir, reason);
        }
    }
    Ok(items)
}

/// The images of a cache.
fn images(context: &Context, words: &[String]) -> Result<Vec<Item>, Failure> {
    let cache = match words {
        [] => context.cache()?,
        [dir] if Path::new(dir).is_dir() => image::Cache::open(Some(Path::new(dir)))?,
        _ => {
            return Err(Failure::usage(
                "images come from the cache, or from one directory like it: `mirrorcode sync --images [DIR] s3://BUCKET/PREFIX`",
            ));
        }
    };
    let mut items = Vec::new();
    for image in cache.list()? {
        let Some(held) = cache.hold(&image.digest)? else {
            continue;
        };
        let reason = held.is_sealed.then(|| {
            "it holds a reference, which nobody may read; it is made from its package where it is wanted".to_owned()
        });
        items.push(Item {
            id: image.digest,
            dir: held.dir.clone(),
            reason,
            _held: Some(held),
        });
    }
    Ok(items)
}

fn wanted(arguments: &SyncArgs, id: &str) -> bool {
    let fits = |pattern: &String| matches(pattern, id);
    arguments.only.is_empty() || arguments.only.iter().any(fits)
}

/// Into a store.
fn up(
    context: &Context,
    arguments: &SyncArgs,
    from: &[String],
    place: &Place,
    access: &Access,
) -> Answer {
    let (kind, mut items) = match arguments.images {
        true => (Kind::Image, images(context, from)?),
        false => (Kind::Run, runs(context, from)?),
    };
    items.retain(|item| wanted(arguments, &item.id));
    if items.is_empty() {
        return Err(Failure::usage("nothing is named that could be copied"));
    }
    let store = Store::open(place, access, !arguments.dry_run)?;
    // Wrong keys and a missing bucket are found before anything is read.
    store.list(kind, &context.interrupted)?;
    let mut upload = Upload::new(&store, arguments.dry_run);
    let mut teller = Teller::new(arguments, &store, items.len());
    for item in &items {
        if let Some(reason) = &item.reason {
            teller.left_out(&item.id, reason);
            continue;
        }
        let source = Source {
            kind,
            id: &item.id,
            dir: &item.dir,
        };
        let settled = || match kind {
            Kind::Run => unfinished(&item.dir).map_or(Ok(()), Err),
            Kind::Image => Ok(()),
        };
        let stored = upload.store(
            source,
            &context.interrupted,
            &mut |done, total| teller.detail(&item.id, done, total),
            &settled,
        );
        match stored {
            Ok(stored) => teller.stored(&item.id, &stored),
            Err(Error::Local { reason, .. }) => teller.left_out(&item.id, &reason),
            Err(error) => return teller.stopped(error),
        }
    }
    teller.end()
}

/// Out of a store.
fn down(context: &Context, arguments: &SyncArgs, store: &Store, to: &Path) -> Answer {
    let kind = match arguments.images {
        true => Kind::Image,
        false => Kind::Run,
    };
    let mut ids = store.list(kind, &context.interrupted)?;
    ids.retain(|id| wanted(arguments, id));
    if ids.is_empty() {
        return Err(Failure::usage(format!(
            "{} has nothing of that; check the prefix",
            store.name()
        )));
    }
    let mut teller = Teller::new(arguments, store, ids.len());
    if arguments.dry_run {
        for id in &ids {
            let is_there = match kind {
                Kind::Run => to.join(id).exists(),
                Kind::Image => to.join("images").join(id).exists(),
            };
            teller.listed(id, is_there);
        }
        return teller.end();
    }
    let into: Box<dyn Fetch> = match kind {
        Kind::Run => Box::new(Inbox::open(to)?),
        Kind::Image => Box::new(image::Cache::open(Some(to))?),
    };
    for id in &ids {
        let fetched = into.fetch(context, store, id, &mut |done, total| {
            teller.detail(id, done, total);
        });
        match fetched {
            Ok((bytes, fetched)) => teller.fetched(id, bytes, &fetched),
            Err(Trouble::Store(error @ Error::Corrupt { .. })) => {
                teller.damaged(id, &error.to_string());
            }
            Err(Trouble::Image(error @ image::Error::Damaged { .. })) => {
                teller.damaged(id, &error.to_string());
            }
            Err(Trouble::Store(Error::Local { reason, .. })) => teller.left_out(id, &reason),
            Err(Trouble::Store(error)) => return teller.stopped(error),
            Err(Trouble::Image(error)) => return Err(error.into()),
        }
    }
    teller.end()
}

/// What can go wrong on the way out of a store.
enum Trouble {
    Store(Error),
    Image(image::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Store(error)
    }
}

impl From<image::Error> for Trouble {
    fn from(error: image::Error) -> Self {
        match error {
            image::Error::Interrupted => Trouble::Store(Error::Interrupted),
            error => Trouble::Image(error),
        }
    }
}

/// Somewhere that things come to from a store.
trait Fetch {
    fn fetch(
        &self,
        context: &Context,
        store: &Store,
        id: &str,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, Fetched), Trouble>;
}

impl Fetch for Inbox {
    fn fetch(
        &self,
        context: &Context,
        store: &Store,
        id: &str,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, Fetched), Trouble> {
        let (head, fetched) = Inbox::fetch(self, store, Kind::Run, id, &context.interrupted, tell)?;
        Ok((head.bytes, fetched))
    }
}

impl Fetch for image::Cache {
    fn fetch(
        &self,
        context: &Context,
        store: &Store,
        id: &str,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, Fetched), Trouble> {
        let cancel = &context.interrupted;
        let mut fetched = Fetched::WasThere;
        let image = self.import(id, cancel, &mut |_| (), |dir| {
            fetched = Fetched::New;
            let head = store.fetch_into(Kind::Image, id, dir, cancel, tell);
            head.map(|_| ()).map_err(Trouble::from)
        })?;
        Ok((image.bytes, fetched))
    }
}
