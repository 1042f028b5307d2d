//! Targets that are never public: a target's directory in one encrypted file, and the way back.
//!
//! The file is an age file for the recipients' X25519 keys. What is encrypted is a gzipped tar archive of one directory, which
//! has the target's name. [`Opened`] has the plain form in memory, never on a disk, for as long as it lives.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::x25519;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use crate::case::check_path;
use crate::error::Error;
use crate::family::is_name;
use crate::memory::MemoryDirectory;
use crate::store::{Target, entries, shown};

/// What the names of sealed targets end in.
pub const EXTENSION: &str = "age";
/// The environment variable that names the file with the identities.
pub const VARIABLE: &str = "MIRRORCODE_IDENTITY";
/// Most bytes of a target's plain form.
const MOST_BYTES: u64 = 1 << 30;
/// Most files of a target.
const MOST_FILES: usize = 20_000;

/// Whom a target is sealed for: the public half of a key, written `age1...`.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Recipient).map_err(|error| {
            format!("\"{text}\" is no recipient: {error}; one is written age1..., as age-keygen prints it")
        })
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// The secret halves of keys. Never shown.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads a file as age-keygen writes it: an identity a line, written `AGE-SECRET-KEY-1...`; empty lines and lines that begin
    /// with `#` do not count.
    ///
    /// # Errors
    /// A file that cannot be read, has something else in it, or has no identity.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let wrong = |what: String| Error::Sealed {
            path: path.to_owned(),
            what,
        };
        let mut identities = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Never the line itself: it may be a key with a typing error.
            let identity = line.parse().map_err(|_| {
                wrong(format!(
                    "line {} is no identity; one is written AGE-SECRET-KEY-1..., as age-keygen prints it",
                    index + 1
                ))
            })?;
            identities.push(identity);
        }
        if identities.is_empty() {
            return Err(wrong(
                "there is no identity in this file; `age-keygen -o FILE` writes one".to_owned(),
            ));
        }
        Ok(Identities(identities))
    }
}

/// A target that was opened, or several. The plain form is in memory and goes when this is dropped.
#[derive(Debug)]
pub struct Opened {
    directory: MemoryDirectory,
    names: Vec<String>,
}

impl Opened {
    /// The directory that holds the targets' directories.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The targets' names, in the order in which they were opened.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Seals a target's directory for some recipients into the file `to`, which appears whole or not at all. What begins with a dot
/// is left out.
///
/// # Errors
/// A directory that is no sound target, has other things than files and directories in it, or whose cases are not those of
/// its lock; nobody to seal it for; a file that cannot be written.
pub fn pack(dir: &Path, recipients: &[Recipient], to: &Path) -> Result<Target, Error> {
    let dir = fs::canonicalize(dir).map_err(Error::io(dir))?;
    let target = Target::load(&dir)?;
    target.families()?;
    target.fixtures()?;
    if target.lock()?.is_some() {
        target.tests()?;
    }
    let mut files = Vec::new();
    collect(&dir, &dir, &mut files)?;
    let wrong = |what: String| Error::Sealed {
        path: to.to_owned(),
        what,
    };
    let keys = recipients.iter().map(|key| &key.0 as &dyn age::Recipient);
    let encryptor =
        age::Encryptor::with_recipients(keys).map_err(|error| wrong(error.to_string()))?;
    let beside = to.parent().filter(|dir| !dir.as_os_str().is_empty());
    let partial =
        tempfile::NamedTempFile::new_in(beside.unwrap_or(Path::new("."))).map_err(Error::io(to))?;
    let write = || -> io::Result<()> {
        let sealed = encryptor.wrap_output(BufWriter::new(partial.as_file()))?;
        let mut archive = tar::Builder::new(GzEncoder::new(sealed, Compression::best()));
        for (name, path) in &files {
            let file = File::open(path)?;
            let mut header = tar::Header::new_gnu();
            header.set_size(file.metadata()?.len());
            header.set_mode(0o644);
            // Who packs it, when, and as whom is nobody's business.
            header.set_mtime(0);
            archive.append_data(
                &mut header,
                format!("{}/{name}", target.spec.name),
                BufReader::new(file),
            )?;
        }
        archive.into_inner()?.finish()?.finish()?.flush()?;
        partial.as_file().sync_all()
    };
    write().map_err(Error::io(to))?;
    partial
        .persist(to)
        .map_err(|error| Error::io(to)(error.error))?;
    Ok(target)
}

/// The files in a directory, by path relative to `root`, sorted.
fn collect(root: &Path, dir: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<(), Error> {
    for path in entries(dir)? {
        let kind = fs::symlink_metadata(&path).map_err(Error::io(&path))?;
        let wrong = |what: &str| Error::Sealed {
            path: path.clone(),
            what: what.to_owned(),
        };
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root).ok().and_then(Path::to_str);
            let name = name.ok_or_else(|| wrong("a target's files have names in UTF-8"))?;
            files.push((name.to_owned(), path.clone()));
        } else {
            return Err(wrong(
                "a target consists of files and directories; this is neither",
            ));
        }
    }
    Ok(())
}

/// Opens one sealed target in memory.
///
/// # Errors
/// No identity fits, the file is damaged or holds no target, or there is no memory to put it in.
pub fn open(sealed: &Path, identities: &Identities) -> Result<Opened, Error> {
    let mut opened = Opened {
        directory: MemoryDirectory::new().map_err(Error::io(sealed))?,
        names: Vec::new(),
    };
    let name =
        unpack(sealed, identities, opened.directory.path())?.ok_or_else(|| Error::Sealed {
            path: sealed.to_owned(),
            what: "none of the identities is one that it was sealed for".to_owned(),
        })?;
    opened.names.push(name);
    Ok(opened)
}

/// Opens in memory all sealed targets of a directory that an identity fits; `None` if there are none. Those that are sealed
/// for others are left out.
///
/// # Errors
/// As for [`open`], and two targets of the same name.
pub fn open_all(targets: &Path, identities: &Identities) -> Result<Option<Opened>, Error> {
    let files = sealed_in(targets)?;
    if files.is_empty() {
        return Ok(None);
    }
    let mut opened = Opened {
        directory: MemoryDirectory::new().map_err(Error::io(targets))?,
        names: Vec::new(),
    };
    for file in files {
        let Some(name) = unpack(&file, identities, opened.directory.path())? else {
            continue;
        };
        if targets.join(&name).join("target.toml").is_file() {
            return Err(Error::Sealed {
                path: file,
                what: format!("its name, \"{name}\", is that of a target in the open beside it"),
            });
        }
        opened.names.push(name);
    }
    Ok((!opened.names.is_empty()).then_some(opened))
}

/// The sealed targets in a directory, sorted.
///
/// # Errors
/// What cannot be read.
pub fn sealed_in(targets: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = entries(targets)?;
    files.retain(|path| path.extension().is_some_and(|end| end == EXTENSION) && path.is_file());
    Ok(files)
}

/// Writes the plain form of a sealed target into `into`, and gives its name; `None` if no identity fits.
fn unpack(sealed: &Path, identities: &Identities, into: &Path) -> Result<Option<String>, Error> {
    let wrong = |what: String| Error::Sealed {
        path: sealed.to_owned(),
        what,
    };
    let damaged = |error: io::Error| wrong(format!("it is damaged, or no sealed target: {error}"));
    let file = File::open(sealed).map_err(Error::io(sealed))?;
    let decryptor = age::Decryptor::new_buffered(BufReader::new(file))
        .map_err(|error| wrong(format!("it is no age file: {error}")))?;
    let keys = identities.0.iter().map(|key| key as &dyn age::Identity);
    let plain = match decryptor.decrypt(keys) {
        Ok(plain) => plain,
        Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let plain = GzDecoder::new(BufReader::new(plain)).take(MOST_BYTES);
    let mut archive = tar::Archive::new(plain);
    let mut name: Option<String> = None;
    for (count, entry) in archive.entries().map_err(damaged)?.enumerate() {
        if count == MOST_FILES {
            return Err(wrong(format!("it holds more than {MOST_FILES} files")));
        }
        let mut entry = entry.map_err(damaged)?;
        let path = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| wrong("a name in it is not UTF-8".to_owned()))?;
        check_path(&path).map_err(&wrong)?;
        let top = path.split('/').next().unwrap_or_default();
        let first = name.get_or_insert_with(|| top.to_owned());
        if first != top || top == path || !is_name(top) {
            return Err(wrong(format!(
                "it holds \"{}\": a sealed target is one directory with a target's name",
                path.escape_debug()
            )));
        }
        if !entry.header().entry_type().is_file() {
            return Err(wrong(format!(
                "\"{}\" in it is no file",
                path.escape_debug()
            )));
        }
        let to = into.join(&path);
        if count == 0 && into.join(top).exists() {
            return Err(wrong(format!("a target \"{top}\" was opened before")));
        }
        let parent = to.parent().unwrap_or(into);
        let mut write = || {
            fs::create_dir_all(parent)?;
            io::copy(&mut entry, &mut File::create_new(&to)?)
        };
        write().map_err(|error| wrong(format!("{}: {error}", shown(Path::new(&path)))))?;
    }
    // To the end: only there is the last part of the file known to be whole.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    let name = name.ok_or_else(|| wrong("it is empty".to_owned()))?;
    Target::load(&into.join(&name))?;
    Ok(Some(name))
}
