//! Who may write a directory: epochs, each held by one worker alone.
//!
//! A worker that wants to write claims the epoch after the highest one, by a hard link to a name that does not exist,
//! which one of several wins also on a network file system. Whoever holds the highest epoch owns the directory; the
//! others find out by the next epoch's name and stop. No lock is rested on, which may be kept by nobody or given to two.
//!
//! | file in `epochs/` | says |
//! | --- | --- |
//! | `N` | this worker holds epoch N |
//! | `N.lease` | it is there: replaced every [`BEAT`] |
//! | `N.begun` | all before it are quiet, and what they may still write to is no longer the journal |
//! | `N.released` | it has ended and writes no more |
//! | `N.journal` | the journal as epoch N writes it, where it had to be taken from a worker of which nothing was known |
//!
//! A worker is known to be gone when it said so, or when it was of this machine and there is no such process any more.
//! Of another machine's worker nothing is known but its lease: one that does not change while [`LEASE`] passes on the
//! observer's own clock is taken for silent. No two machines' clocks are ever compared.
//!
//! Architecture invariant: what a worker does outside its directory after [`Owner::renew`] said yes is on record in the
//! journal that its successor reads, because the successor reads only after its claim, and the record was durable
//! before the question.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, io as naming};
use crate::files;
use crate::worker::{Process, Worker};

pub(crate) const NAME: &str = "epochs";
/// How often a worker says that it is at work.
pub const BEAT: Duration = Duration::from_secs(5);
/// Time without a word after which a worker of another machine is taken for silent.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often somebody who waits for a worker looks.
const LOOK: Duration = Duration::from_millis(50);

/// What is done when another worker is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is left alone.
    Polite,
    /// It has to stop: for schedulers that know that this worker is the one in charge.
    Take,
}

/// The files of a directory's epochs.
#[derive(Clone, Debug)]
struct Epochs(PathBuf);

impl Epochs {
    fn of(dir: &Path) -> Self {
        Epochs(dir.join(NAME))
    }

    fn claim(&self, epoch: u64) -> PathBuf {
        self.0.join(epoch.to_string())
    }

    fn file(&self, epoch: u64, what: &str) -> PathBuf {
        self.0.join(format!("{epoch}.{what}"))
    }

    /// The highest epoch with a file of this kind, or of any where it is empty; 0 for none.
    fn highest(&self, what: &str) -> Result<u64, Error> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(naming("read", &self.0))?,
        };
        let mut highest = 0;
        for entry in entries {
            let name = entry.map_err(naming("read", &self.0))?.file_name();
            let name = name.to_string_lossy();
            let (number, kind) = name.split_once('.').unwrap_or((&name, ""));
            if kind == what
                && let Ok(number) = number.parse::<u64>()
            {
                highest = highest.max(number);
            }
        }
        Ok(highest)
    }

    fn worker(&self, epoch: u64) -> Option<Worker> {
        serde_json::from_slice(&fs::read(self.claim(epoch)).ok()?).ok()
    }

    fn is_released(&self, epoch: u64) -> bool {
        self.file(epoch, "released").exists()
    }

    /// Who holds this epoch, in words.
    fn holder(&self, epoch: u64) -> String {
        let worker = self.worker(epoch);
        worker.map_or_else(|| "another process".to_owned(), |who| who.to_string())
    }
}

/// How long to wait for others; tests are less patient.
#[derive(Clone, Copy, Debug)]
struct Pace {
    beat: Duration,
    lease: Duration,
}

#[derive(Debug)]
struct Inner {
    epochs: Epochs,
    dir: PathBuf,
    epoch: u64,
    beats: AtomicU64,
    lost: AtomicBool,
    /// One beat at a time: they share a temporary name.
    beating: Mutex<()>,
}

impl Inner {
    fn new(epochs: Epochs, dir: &Path, epoch: u64) -> Self {
        Inner {
            epochs,
            dir: dir.to_owned(),
            epoch,
            beats: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            beating: Mutex::new(()),
        }
    }
}

/// The right to write a directory. It is given back with [`Owner::release`]; when its process dies without that, others
/// find out.
#[derive(Debug)]
pub struct Owner {
    inner: Arc<Inner>,
    /// Ends the thread that says that this worker is at work.
    beat: Option<(mpsc::Sender<()>, std::thread::JoinHandle<()>)>,
}

/// Asks about an [`Owner`]'s right, from anywhere.
#[derive(Clone, Debug)]
pub struct Right(Arc<Inner>);

/// What was claimed.
#[derive(Debug)]
pub struct Claimed {
    /// The right to write.
    pub owner: Owner,
    /// Whether all before are known to have ended. Otherwise one of them may still write where it wrote before.
    pub clean: bool,
}

/// Claims a directory, which exists.
///
/// # Errors
/// [`Error::Held`] when another worker has it and `manner` is polite; [`Error::Lost`] when another one took it meanwhile.
pub fn claim(dir: &Path, manner: Manner) -> Result<Claimed, Error> {
    let pace = Pace {
        beat: BEAT,
        lease: LEASE,
    };
    claim_at(dir, manner, pace)
}

fn claim_at(dir: &Path, manner: Manner, pace: Pace) -> Result<Claimed, Error> {
    let epochs = Epochs::of(dir);
    match fs::create_dir(&epochs.0) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made.map_err(naming("make", &epochs.0))?;
            files::sync_dir(dir)?;
        }
    }
    let mut clean = true;
    let mut before = epochs.highest("")?;
    if manner == Manner::Polite {
        clean &= quiet(dir, &epochs, before, manner, pace, None)?;
    }
    let epoch = take_next(&epochs, &mut before, manner, dir)?;
    let ended = epochs.file(epoch, "released");
    let begun = begin(dir, epochs, (before, epoch), clean, manner, pace);
    if begun.is_err() {
        // It has written nothing and never will: nobody has to wait for it.
        let _ = files::create_new(&ended);
    }
    begun
}

/// Begins an epoch that was taken when all up to the one before are quiet.
fn begin(
    dir: &Path,
    epochs: Epochs,
    (before, epoch): (u64, u64),
    mut clean: bool,
    manner: Manner,
    pace: Pace,
) -> Result<Claimed, Error> {
    let inner = Arc::new(Inner::new(epochs, dir, epoch));
    inner.renew()?;
    if manner == Manner::Take {
        clean &= quiet(dir, &inner.epochs, before, manner, pace, Some(&inner))?;
        inner.renew()?;
    }
    let (stop, stopped) = mpsc::channel();
    let at_work = Arc::clone(&inner);
    let thread = std::thread::Builder::new()
        .name("lease".to_owned())
        .spawn(move || {
            while stopped.recv_timeout(pace.beat) == Err(RecvTimeoutError::Timeout) {
                // What fails now may work the next time; who wants to be sure asks.
                if matches!(at_work.renew(), Err(Error::Lost { .. })) {
                    return;
                }
            }
        })
        .map_err(naming("begin a thread for", dir))?;
    let owner = Owner {
        inner,
        beat: Some((stop, thread)),
    };
    Ok(Claimed { owner, clean })
}

/// The right of epoch `epoch`, which nobody was asked for and nobody hears of.
pub(crate) fn unannounced(dir: &Path, epoch: u64) -> Claimed {
    let owner = Owner {
        inner: Arc::new(Inner::new(Epochs::of(dir), dir, epoch)),
        beat: None,
    };
    Claimed { owner, clean: true }
}

/// Takes the epoch after `before`, which is set to the highest one that others hold.
fn take_next(epochs: &Epochs, before: &mut u64, manner: Manner, dir: &Path) -> Result<u64, Error> {
    let text = serde_json::to_vec(&Worker::this()).expect("a worker is always JSON");
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(naming("read", Path::new("/dev/urandom")))?;
    let mine = epochs
        .0
        .join(format!("new-{:016x}", u64::from_ne_bytes(random)));
    let written = (|| {
        let mut file = files::create_new(&mine)?;
        io::Write::write_all(&mut file, &text)?;
        file.sync_all()
    })();
    written.map_err(naming("write", &mine))?;
    let taken = loop {
        let next = *before + 1;
        let path = epochs.claim(next);
        match fs::hard_link(&mine, &path) {
            Ok(()) => break Ok(next),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The answer of a network file system may have been lost, and the question asked twice.
                if same_file(&mine, &path) {
                    break Ok(next);
                }
                if manner == Manner::Polite {
                    break Err(Error::Held {
                        dir: dir.to_owned(),
                        holder: epochs.holder(next),
                    });
                }
                *before = next;
            }
            Err(error) => break Err(naming("make", &path)(error)),
        }
    };
    let _ = fs::remove_file(&mine);
    files::sync_dir(&epochs.0)?;
    taken
}

/// Waits until every worker up to `highest` is quiet, or refuses. Says whether all of them are known to have ended.
fn quiet(
    dir: &Path,
    epochs: &Epochs,
    highest: u64,
    manner: Manner,
    pace: Pace,
    own: Option<&Inner>,
) -> Result<bool, Error> {
    let mut clean = true;
    for epoch in (1..=highest).rev() {
        clean &= is_ended(dir, epochs, epoch, manner, pace, own)?;
        if epochs.file(epoch, "begun").exists() {
            break;
        }
    }
    Ok(clean)
}

/// Waits for the end of a worker; false when it is silent, but may be there.
fn is_ended(
    dir: &Path,
    epochs: &Epochs,
    epoch: u64,
    manner: Manner,
    pace: Pace,
    own: Option<&Inner>,
) -> Result<bool, Error> {
    let worker = epochs.worker(epoch);
    let lease = epochs.file(epoch, "lease");
    let mut last = fs::read(&lease).ok();
    let mut since = Instant::now();
    loop {
        if epochs.is_released(epoch) {
            return Ok(true);
        }
        let process = worker.as_ref().map_or(Process::Unknown, Worker::process);
        let now = fs::read(&lease).ok();
        let is_heard = now != last;
        if is_heard {
            last = now;
            since = Instant::now();
        }
        match process {
            Process::Gone => return Ok(true),
            Process::Alive if manner == Manner::Polite => return Err(held(dir, epochs, epoch)),
            Process::Unknown if manner == Manner::Polite && is_heard => {
                return Err(held(dir, epochs, epoch));
            }
            _ if since.elapsed() > pace.lease => return Ok(false),
            _ => {}
        }
        if let Some(own) = own {
            own.check()?;
        }
        std::thread::sleep(LOOK);
    }
}

fn held(dir: &Path, epochs: &Epochs, epoch: u64) -> Error {
    Error::Held {
        dir: dir.to_owned(),
        holder: epochs.holder(epoch),
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        let data = fs::symlink_metadata(path).ok()?;
        Some((data.dev(), data.ino()))
    };
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

impl Inner {
    fn lost(&self) -> Error {
        self.lost.store(true, Ordering::Relaxed);
        Error::Lost {
            dir: self.dir.clone(),
            to: self.epochs.holder(self.epoch + 1),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let next = self.epochs.claim(self.epoch + 1);
        if self.lost.load(Ordering::Relaxed) || fs::symlink_metadata(next).is_ok() {
            return Err(self.lost());
        }
        Ok(())
    }

    fn renew(&self) -> Result<(), Error> {
        let _one = self.beating.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        let beat = self.beats.fetch_add(1, Ordering::Relaxed);
        let lease = self.epochs.file(self.epoch, "lease");
        let new = self.epochs.file(self.epoch, "lease-new");
        // Not synced: after a power failure there is nobody to be heard. A rename is asked of the server, and tells of
        // names that others have made meanwhile, where a look alone might be answered from a cache.
        fs::write(&new, beat.to_string())
            .and_then(|()| fs::rename(&new, &lease))
            .map_err(naming("write", &lease))?;
        self.check()
    }
}

impl Owner {
    /// Number of the epoch, from 1.
    pub fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// A way to ask about this right from elsewhere.
    pub fn right(&self) -> Right {
        Right(Arc::clone(&self.inner))
    }

    /// Whether this worker still owns the directory, as far as this machine knows: cheap.
    ///
    /// # Errors
    /// [`Error::Lost`] when another one has taken it.
    pub fn check(&self) -> Result<(), Error> {
        self.inner.check()
    }

    /// The same, asked of whoever keeps the files: before anything that is paid for.
    ///
    /// # Errors
    /// [`Error::Lost`], and when the directory cannot be written.
    pub fn renew(&self) -> Result<(), Error> {
        self.inner.renew()
    }

    /// Says that nothing that an earlier worker still writes to is what is read from here on.
    ///
    /// # Errors
    /// [`Error::Lost`], and when the directory cannot be written.
    pub fn begin(&self) -> Result<(), Error> {
        self.check()?;
        let path = self.inner.epochs.file(self.inner.epoch, "begun");
        files::create_new(&path).map_err(naming("make", &path))?;
        files::sync_dir(&self.inner.epochs.0)?;
        // Nobody looks at what is below an epoch that has begun, but for its claim, which must not be made anew.
        let before = self.inner.epoch - 1;
        for what in ["lease", "released", "begun"] {
            let _ = fs::remove_file(self.inner.epochs.file(before, what));
        }
        Ok(())
    }

    /// Where this epoch keeps its journal when it had to take it from somebody of whom nothing is known.
    pub(crate) fn journal(&self) -> PathBuf {
        self.inner.epochs.file(self.inner.epoch, "journal")
    }

    /// Says that this worker writes no more.
    pub fn release(mut self) {
        self.end();
        let path = self.inner.epochs.file(self.inner.epoch, "released");
        let _ = files::create_new(&path);
    }

    fn end(&mut self) {
        if let Some((stop, thread)) = self.beat.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
    }
}

impl Right {
    /// As [`Owner::renew`].
    ///
    /// # Errors
    /// As there.
    pub fn renew(&self) -> Result<(), Error> {
        self.0.renew()
    }

    /// As [`Owner::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(&self) -> Result<(), Error> {
        self.0.check()
    }

    /// Number of the epoch.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }
}

/// The journal that the highest epoch that had to take one writes, if there is any: the file of which `journal.jsonl` is
/// to be another name.
pub(crate) fn taken_journal(dir: &Path) -> Result<Option<PathBuf>, Error> {
    let epochs = Epochs::of(dir);
    Ok(match epochs.highest("journal")? {
        0 => None,
        epoch => Some(epochs.file(epoch, "journal")),
    })
}

/// Gives `journal` its name in `dir`, unless it has it.
pub(crate) fn name_journal(dir: &Path, journal: &Path, name: &Path) -> Result<(), Error> {
    if same_file(journal, name) {
        return Ok(());
    }
    let link = journal.with_extension("journal-link");
    let _ = fs::remove_file(&link);
    fs::hard_link(journal, &link)
        .and_then(|()| fs::rename(&link, name))
        .map_err(naming("name", name))?;
    files::sync_dir(dir)
}

/// Whether somebody holds the highest epoch and seems to be at work. For people: leases are compared with this
/// machine's clock.
pub(crate) fn seems_held(dir: &Path) -> bool {
    let epochs = Epochs::of(dir);
    let Ok(epoch @ 1..) = epochs.highest("") else {
        return false;
    };
    if epochs.is_released(epoch) {
        return false;
    }
    match epochs.worker(epoch).as_ref().map(Worker::process) {
        Some(Process::Alive) => true,
        Some(Process::Gone) => false,
        Some(Process::Unknown) | None => {
            let beat = fs::metadata(epochs.file(epoch, "lease")).and_then(|data| data.modified());
            let age = beat.map(|beat| beat.elapsed().unwrap_or_default());
            age.is_ok_and(|age| age < LEASE)
        }
    }
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
