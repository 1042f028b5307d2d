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

use serde::{Deserialize, Serialize};

use crate::error::{Error, io as naming};
use crate::files;

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

/// A worker, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its machine's name.
    pub host: String,
    /// Boot of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Namespace of process numbers that its own is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its process number.
    pub process: u32,
    /// When the process began, in the kernel's ticks since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
}

impl std::fmt::Display for Worker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "process {} on {}", self.process, self.host)
    }
}

/// Whether a worker's process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Alive,
    Gone,
    /// It is of another machine.
    Unknown,
}

fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Whether there is a process of this number, whoever's.
fn exists(process: u32) -> bool {
    let number = i32::try_from(process).ok();
    let Some(number) = number.and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    rustix::process::test_kill_process(number) != Err(rustix::io::Errno::SRCH)
}

/// Whether a process has ended, without its parent having asked, and when it began. The name before these may hold
/// anything but ends with the last parenthesis.
fn status(process: u32) -> Option<(bool, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let is_over = fields.next()? == "Z";
    Some((is_over, fields.nth(18)?.parse().ok()?))
}

impl Worker {
    /// This process.
    pub fn this() -> Self {
        let process = std::process::id();
        Worker {
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            boot: crate::boot(),
            namespace: namespace(),
            process,
            started: status(process).map(|(_, began)| began),
        }
    }

    fn process(&self) -> Process {
        let same = |one: &Option<String>, other: Option<String>| one.is_some() && *one == other;
        if !same(&self.boot, crate::boot()) || !same(&self.namespace, namespace()) {
            return Process::Unknown;
        }
        if !exists(self.process) {
            return Process::Gone;
        }
        match (status(self.process), self.started) {
            (Some((true, _)), _) => Process::Gone,
            // Another process has its number.
            (Some((_, found)), Some(began)) if found != began => Process::Gone,
            _ => Process::Alive,
        }
    }
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
    let inner = Arc::new(Inner {
        epochs,
        dir: dir.to_owned(),
        epoch,
        beats: AtomicU64::new(0),
        lost: AtomicBool::new(false),
        beating: Mutex::new(()),
    });
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
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        beat: Duration::from_millis(20),
        lease: Duration::from_millis(400),
    };

    /// Turns the holder of an epoch into one of another machine.
    fn elsewhere(dir: &Path, epoch: u64) {
        let epochs = Epochs::of(dir);
        let worker = Worker {
            host: "elsewhere".to_owned(),
            boot: Some("another".to_owned()),
            ..epochs.worker(epoch).unwrap()
        };
        fs::write(epochs.claim(epoch), serde_json::to_vec(&worker).unwrap()).unwrap();
    }

    #[test]
    fn one_of_many_wins_an_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let won: Vec<_> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| claim_at(dir.path(), Manner::Polite, PACE).ok()))
                .collect();
            claims
                .into_iter()
                .filter_map(|claim| claim.join().unwrap())
                .collect()
        });
        assert_eq!(won.len(), 1);
        let Claimed { owner, clean } = won.into_iter().next().unwrap();
        owner.begin().unwrap();
        assert!(clean && owner.renew().is_ok());
        let error = claim_at(dir.path(), Manner::Polite, PACE).unwrap_err();
        assert!(matches!(error, Error::Held { .. }), "{error}");
        owner.release();
        let next = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
        assert_eq!((next.owner.epoch(), next.clean), (2, true));
    }

    #[test]
    fn the_older_finds_out_and_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let old = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
        let right = old.right();
        std::thread::scope(|scope| {
            let newer = scope.spawn(|| claim_at(dir.path(), Manner::Take, PACE).unwrap());
            while right.check().is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let error = right.renew().unwrap_err().to_string();
            assert!(error.contains("was taken over by process"), "{error}");
            assert!(!newer.is_finished(), "it begins before the older one ended");
            old.release();
            let newer = newer.join().unwrap();
            assert!(newer.clean);
            assert!(newer.owner.renew().is_ok());
        });
    }

    #[test]
    fn another_machines_worker_is_believed_by_its_lease_alone() {
        let dir = tempfile::tempdir().unwrap();
        let old = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
        elsewhere(dir.path(), 1);
        let error = claim_at(dir.path(), Manner::Polite, PACE).unwrap_err();
        assert!(matches!(error, Error::Held { .. }), "{error}");
        assert!(seems_held(dir.path()));
        // It is cut off without a word.
        drop(old);
        let begun = Instant::now();
        let next = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
        assert!(begun.elapsed() >= PACE.lease);
        assert!(!next.clean, "it may come back");
    }

    #[test]
    fn a_process_that_died_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        drop(claim_at(dir.path(), Manner::Polite, PACE).unwrap());
        let epochs = Epochs::of(dir.path());
        let mut worker = epochs.worker(1).unwrap();
        worker.started = Some(1);
        fs::write(epochs.claim(1), serde_json::to_vec(&worker).unwrap()).unwrap();
        let begun = Instant::now();
        let next = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
        assert!(next.clean && begun.elapsed() < PACE.lease);
    }

    /// One that died before it had put the journal out of a silent worker's reach changed nothing about that.
    #[test]
    fn silence_is_remembered_until_somebody_has_begun() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
        first.begin().unwrap();
        drop(first);
        elsewhere(dir.path(), 1);
        let second = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
        assert!(!second.clean);
        second.owner.release();
        let third = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
        assert!(!third.clean);
        third.owner.begin().unwrap();
        third.owner.release();
        assert!(claim_at(dir.path(), Manner::Polite, PACE).unwrap().clean);
    }

    #[test]
    fn of_several_that_take_the_last_stays() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
        // It never ends by itself, but it is silent once it knows.
        let results: Vec<_> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| claim_at(dir.path(), Manner::Take, PACE)))
                .collect();
            let joined = claims.into_iter().map(|claim| claim.join().unwrap());
            joined.collect()
        });
        let highest = Epochs::of(dir.path()).highest("").unwrap();
        assert_eq!(highest, 5);
        let mut own = 0;
        for result in results {
            match result {
                Ok(claimed) if claimed.owner.epoch() == highest => {
                    own += 1;
                    assert!(!claimed.clean);
                    claimed.owner.renew().unwrap();
                }
                Ok(claimed) => assert!(claimed.owner.check().is_err()),
                Err(error) => assert!(matches!(error, Error::Lost { .. }), "{error}"),
            }
        }
        assert_eq!(own, 1);
        assert!(first.check().is_err());
    }
}
