//! The journal: one writer, one line an event, each durable before the next step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::event::{Event, Time, TreeHash};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::Serialize;

use crate::error::{Error, io};
use crate::files;
use crate::header::Header;
use crate::index::Index;
use crate::lines::{self, Fault, Found, Lines, MAX_LINE};
use crate::owner::{self, Claimed, Manner, Owner, Right};
use crate::read::{explain, too_long};
use crate::redact::Redactor;

pub(crate) const NAME: &str = "journal.jsonl";
/// Space that is reserved ahead, in bytes.
const RESERVE: u64 = 1 << 20;

/// The journal of a run, open for writing by this process alone.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    header: Header,
    path: PathBuf,
    /// Carries the lock, which tells this machine's processes at once what epochs tell all. It is on this file and not
    /// on the directory because network file systems lock files only.
    file: File,
    /// The right to write; nothing once it is given back.
    owner: Option<Owner>,
    next: u64,
    /// Lines that were taken and are not written yet.
    pending: Vec<u8>,
    /// Sequence number of the first of them.
    batch: u64,
    /// Where the file's reserved space ends.
    reserved: u64,
    /// Where the file ends.
    length: u64,
    redactor: Redactor,
    /// Time of the last event that was taken.
    time: Time,
    failed: Option<String>,
}

/// A journal that was opened again.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// The end of a write that had been cut off, if there was one. It was never acknowledged.
    pub recovered: Option<Torn>,
    /// The workspace as last recorded.
    pub tree: Option<TreeHash>,
    /// Where its events stand.
    pub index: Index,
    /// Whether all who had it open before are known to have ended. Otherwise one of them may still change the workspace.
    pub clean: bool,
}

/// What was cut from the end of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Sequence number that the event would have had.
    pub seq: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// Where they are kept.
    pub kept: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    /// First of the lines that were written together with this one; left out where it is this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u64>,
    time: Time,
    #[serde(flatten)]
    event: &'a Event,
}

impl Journal {
    /// Makes the directory `dir` a new run. It must not exist; those above it are made.
    pub fn create(dir: &Path, header: &Header) -> Result<Self, Error> {
        files::make_dirs(dir.parent().unwrap_or(Path::new("")))?;
        fs::create_dir(dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists {
                dir: dir.to_owned(),
            },
            _ => io("make", dir)(error),
        })?;
        Journal::begin(dir, header, owner::claim(dir, Manner::Polite)?.owner)
    }

    /// Makes the directory `dir` a new run where another process may have begun to do so.
    pub fn create_in(dir: &Path, header: &Header, claimed: Claimed) -> Result<Self, Error> {
        let path = dir.join(NAME);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // What is there has no header, so it is no run, and whoever made it may still have it open.
            _ => fs::remove_file(&path).map_err(io("remove", &path))?,
        }
        Journal::begin(dir, header, claimed.owner)
    }

    fn begin(dir: &Path, header: &Header, owner: Owner) -> Result<Self, Error> {
        let path = dir.join(NAME);
        drop(files::create_new(&path).map_err(io("make", &path))?);
        let file = lock(dir, &path)?;
        let journal = Journal::over(dir, header.clone(), file, owner);
        journal.file.sync_all().map_err(io("sync", &journal.path))?;
        journal.owner()?.begin()?;
        header.write(dir)?;
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        files::sync_dir(above.unwrap_or(Path::new(".")))?;
        Ok(journal)
    }

    fn over(dir: &Path, header: Header, file: File, owner: Owner) -> Self {
        Journal {
            dir: dir.to_owned(),
            header,
            path: dir.join(NAME),
            file,
            owner: Some(owner),
            next: 1,
            pending: Vec::new(),
            batch: 1,
            reserved: 0,
            length: 0,
            redactor: Redactor::default(),
            time: Time::now(),
            failed: None,
        }
    }

    /// Opens the run in `dir` again. What a crash left of the last event is cut off, kept aside and reported.
    pub fn open(dir: &Path) -> Result<Opened, Error> {
        Header::read(dir)?;
        Journal::open_as(dir, owner::claim(dir, Manner::Polite)?)
    }

    /// The same for whoever has claimed the run already.
    pub fn open_as(dir: &Path, claimed: Claimed) -> Result<Opened, Error> {
        let header = Header::read(dir)?;
        let path = dir.join(NAME);
        let Claimed { owner, clean } = claimed;
        if let Some(taken) = owner::taken_journal(dir)? {
            owner::name_journal(dir, &taken, &path)?;
        }
        if !clean {
            take_over(dir, &path, &owner)?;
        }
        let file = lock(dir, &path)?;
        owner.begin()?;
        let mut journal = Journal::over(dir, header, file, owner);
        let mut tree = None;
        let mut index = Index::new(&journal.path, journal.header.format);
        let recovered = match journal.scan(&mut tree, &mut index)? {
            Some(from) => Some(journal.cut(from)?),
            None => None,
        };
        Ok(Opened {
            journal,
            recovered,
            tree,
            index,
            clean,
        })
    }

    /// The run's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The run's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Sequence number of the next event.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    fn owner(&self) -> Result<&Owner, Error> {
        self.owner.as_ref().ok_or_else(|| Error::Refused {
            path: self.path.clone(),
            reason: "it was closed".to_owned(),
        })
    }

    /// A way to ask whether this process still owns the run.
    pub fn right(&self) -> Right {
        let owner = self
            .owner
            .as_ref()
            .expect("a journal has it until it is dropped");
        owner.right()
    }

    /// Takes an event and gives its sequence number. It is written with the next [`Journal::flush`].
    pub fn note(&mut self, event: &Event) -> Result<u64, Error> {
        if let Some(reason) = &self.failed {
            return Err(Error::Refused {
                path: self.path.clone(),
                reason: reason.clone(),
            });
        }
        let seq = self.next;
        let time = Time::now();
        if self.pending.is_empty() {
            self.batch = seq;
        }
        let line = Line {
            seq,
            batch: (self.batch != seq).then_some(self.batch),
            time,
            event,
        };
        let start = self.pending.len();
        let written = serde_json::to_writer(&mut self.pending, &line)
            .map_err(|error| io("write", &self.path)(io::Error::from(error)));
        if let Err(error) = written {
            self.pending.truncate(start);
            return Err(error);
        }
        self.redactor.redact_json(&mut self.pending, start);
        self.pending.push(b'\n');
        let bytes = self.pending.len() - start;
        if bytes > MAX_LINE {
            self.pending.truncate(start);
            return Err(Error::EventTooLong { bytes });
        }
        self.next += 1;
        self.time = time;
        Ok(seq)
    }

    /// Writes all that was noted. When this returns, it outlasts a power failure. When it fails because of the disk,
    /// it is unknown which of the events are there, so no event is taken after them until the run is opened again.
    pub fn flush(&mut self) -> Result<(), Error> {
        if let Some(reason) = &self.failed {
            return Err(Error::Refused {
                path: self.path.clone(),
                reason: reason.clone(),
            });
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        self.still_owned()?;
        self.reserve();
        let mut file = &self.file;
        if let Err(error) = file
            .write_all(&self.pending)
            .and_then(|()| file.sync_data())
        {
            self.refuse(&error);
            return Err(io("write", &self.path)(error));
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        self.pending.shrink_to(1 << 20);
        // Whoever claims the run after this finds the events; whoever did so before it may have read too early.
        self.still_owned()
    }

    fn still_owned(&mut self) -> Result<(), Error> {
        if let Err(error) = self.owner()?.check() {
            self.refuse(&error);
            return Err(error);
        }
        Ok(())
    }

    /// Writes an event and gives its sequence number: [`Journal::note`] and [`Journal::flush`].
    pub fn append(&mut self, event: &Event) -> Result<u64, Error> {
        let seq = self.note(event)?;
        self.flush()?;
        Ok(seq)
    }

    /// Reserves space ahead, without making the file longer: a write into it need not wait until the file system has
    /// found some. Where that cannot be done, nothing is lost but time.
    fn reserve(&mut self) {
        let end = self.length + self.pending.len() as u64;
        if end > self.reserved {
            self.reserved = end + RESERVE;
            let _ = rustix::fs::fallocate(
                &self.file,
                rustix::fs::FallocateFlags::KEEP_SIZE,
                end,
                RESERVE,
            );
        }
    }

    /// From here on, what this hides is not written.
    pub fn hide(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    pub(crate) fn last_time(&self) -> Time {
        self.time
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Takes no more events.
    pub(crate) fn refuse(&mut self, reason: &dyn std::error::Error) {
        let reason = reason
            .source()
            .map_or(reason.to_string(), |source| format!("{reason}: {source}"));
        self.failed.get_or_insert(reason);
    }

    /// Goes through all lines; gives the place of a torn tail.
    fn scan(
        &mut self,
        tree: &mut Option<TreeHash>,
        index: &mut Index,
    ) -> Result<Option<u64>, Error> {
        let mut last_tree = None;
        let file = files::open(&self.path).map_err(io("open", &self.path))?;
        let mut lines = Lines::new(file);
        loop {
            match lines.advance().map_err(io("read", &self.path))? {
                Found::Tail if lines.line.is_empty() => {
                    self.length = lines.start;
                    *tree = self.tree_of(index, last_tree)?;
                    return Ok(None);
                }
                Found::Tail => {
                    *tree = self.tree_of(index, last_tree)?;
                    return Ok(Some(lines.start));
                }
                Found::TooLong => return Err(too_long(&self.path, lines.number)),
                Found::Line => {}
            }
            // The rest of the line is read when somebody asks for it.
            let fault = match lines::head(&lines.line, lines.number) {
                Ok(head) => {
                    if head.kind == "workspace" {
                        last_tree = Some(head.seq);
                    }
                    index.add(head.seq, lines.start, &head.kind);
                    self.next = lines.number + 1;
                    continue;
                }
                Err(fault) => fault,
            };
            let (number, start) = (lines.number, lines.start);
            let torn = matches!(fault, Fault::NotJson(_))
                && was_one_write(&mut lines, number).map_err(io("read", &self.path))?;
            if torn {
                *tree = self.tree_of(index, last_tree)?;
                return Ok(Some(start));
            }
            return Err(explain(fault, &self.path, number, self.header.format));
        }
    }

    /// The tree that an event tells of.
    fn tree_of(&self, index: &Index, seq: Option<u64>) -> Result<Option<TreeHash>, Error> {
        let mut tree = None;
        if let Some(seq) = seq {
            index.each(seq, seq, &mut |entry| {
                if let Event::Workspace { tree: found, .. } = entry.event {
                    tree = Some(found);
                }
                false
            })?;
        }
        Ok(tree)
    }

    /// Moves everything from `from` on into a file of its own, which is durable before the journal is cut.
    fn cut(&mut self, from: u64) -> Result<Torn, Error> {
        let mut tail = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(from))
            .and_then(|_| file.read_to_end(&mut tail))
            .map_err(io("read", &self.path))?;
        let seq = self.next;
        let mut kept = self.dir.join(format!("journal.torn-{seq}"));
        let mut again = 1;
        let mut copy = loop {
            match files::create_new(&kept) {
                // The same event was cut off before.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    again += 1;
                    kept = self.dir.join(format!("journal.torn-{seq}-{again}"));
                }
                copy => break copy.map_err(io("make", &kept))?,
            }
        };
        copy.write_all(&tail)
            .and_then(|()| copy.sync_all())
            .map_err(io("write", &kept))?;
        files::sync_dir(&self.dir)?;
        file.set_len(from)
            .and_then(|()| file.sync_all())
            .map_err(io("cut", &self.path))?;
        self.length = from;
        Ok(Torn {
            seq,
            bytes: tail.len() as u64,
            kept,
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // What was noted and led to nothing is worth keeping all the same. Then the space reserved is given back.
        let flushed = self.flush().is_ok();
        let whole = self.file.metadata().map(|data| data.len());
        if flushed && whole.is_ok_and(|length| length == self.length) {
            let _ = self.file.set_len(self.length);
        }
        if let Some(owner) = self.owner.take() {
            owner.release();
        }
    }
}

/// Puts the journal out of the reach of a worker that is silent and may come back: what that one has open is another
/// file from here on.
fn take_over(dir: &Path, path: &Path, owner: &Owner) -> Result<(), Error> {
    let own = owner.journal();
    let copy = own.with_extension("journal-new");
    let copied = fs::copy(path, &copy).and_then(|_| File::open(&copy)?.sync_all());
    copied.map_err(io("copy", path))?;
    owner.renew()?;
    fs::rename(&copy, &own).map_err(io("name", &own))?;
    owner::name_journal(dir, &own, path)?;
    owner.renew()
}

/// Whether the damaged line `number` and all that follows can be one write that a power failure cut off: the parts of
/// a write reach the disk in any order, so lines after the damaged one may be whole. A later write would have begun
/// only after this one was durable.
fn was_one_write(lines: &mut Lines, number: u64) -> io::Result<bool> {
    loop {
        match lines.advance()? {
            Found::Tail => return Ok(true),
            Found::TooLong => return Ok(false),
            Found::Line => {}
        }
        // Line breaks may be among what is damaged, so numbers of lines mean nothing here.
        if let Ok(head) = lines::any_head(&lines.line)
            && head.batch.unwrap_or(head.seq) > number
        {
            return Ok(false);
        }
    }
}

/// Time after which a lock that is held is a writer's.
const A_MOMENT: Duration = Duration::from_secs(2);
const A_LITTLE: Duration = Duration::from_millis(10);

/// Opens the journal and locks it, or tells who has the lock.
fn lock(dir: &Path, path: &Path) -> Result<File, Error> {
    let no_links = OFlags::NOFOLLOW.bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(no_links)
        .open(path);
    let file = file.map_err(io("open", path))?;
    let start = Instant::now();
    let locked = loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Whoever only asks whether the run is open holds it for a moment, and so does a child of another thread until
            // it executes its program, where this process had the journal open before.
            Err(Errno::WOULDBLOCK) if start.elapsed() < A_MOMENT => std::thread::sleep(A_LITTLE),
            locked => break locked,
        }
    };
    match locked {
        Err(Errno::WOULDBLOCK) => {
            return Err(Error::Held {
                dir: dir.to_owned(),
                holder: "another process".to_owned(),
            });
        }
        locked => locked.map_err(io("lock", path))?,
    }
    Ok(file)
}
