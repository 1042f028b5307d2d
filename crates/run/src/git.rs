//! A Git repository written object by object, without Git.
//!
//! Loose objects and one branch are all that is needed, which is two hundred lines; a library for the whole of Git would bring
//! over a hundred crates, and the `git` program need not be there. A person opens the result with `git log`, and packs
//! it with `git gc`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};

/// An object's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Oid([u8; 20]);

impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Oid {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut oid = [0; 20];
        if text.len() != 40 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in oid.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Oid(oid))
    }
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    File,
    Executable,
    Link,
    Directory,
}

impl Mode {
    fn text(self) -> &'static str {
        match self {
            Mode::File => "100644",
            Mode::Executable => "100755",
            Mode::Link => "120000",
            Mode::Directory => "40000",
        }
    }
}

/// The branch that commits go to.
const BRANCH: &str = "refs/heads/main";

/// A bare repository.
#[derive(Debug)]
pub(crate) struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// Opens the repository in `dir`, or makes it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("objects"))?;
        fs::create_dir_all(dir.join("refs/heads"))?;
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            match path.exists() {
                true => Ok(()),
                false => fs::write(path, text),
            }
        };
        write("HEAD", &format!("ref: {BRANCH}\n"))?;
        write(
            "config",
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n",
        )?;
        write(
            "description",
            "The workspace of this run, a commit for each change of it.\n",
        )?;
        Ok(Repository {
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> io::Result<Oid> {
        self.object("blob", bytes)
    }

    /// A directory: names, what they are, and their objects, in any order.
    pub(crate) fn tree(&self, mut entries: Vec<(Vec<u8>, Mode, Oid)>) -> io::Result<Oid> {
        // Git compares directories as if their names ended with a slash.
        let key = |(name, mode, _): &(Vec<u8>, Mode, Oid)| {
            let mut key = name.clone();
            if *mode == Mode::Directory {
                key.push(b'/');
            }
            key
        };
        entries.sort_by_key(key);
        let mut bytes = Vec::new();
        for (name, mode, oid) in entries {
            bytes.extend_from_slice(mode.text().as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(&name);
            bytes.push(0);
            bytes.extend_from_slice(&oid.0);
        }
        self.object("tree", &bytes)
    }

    /// Adds a commit to the branch.
    pub(crate) fn commit(
        &self,
        tree: Oid,
        parent: Option<Oid>,
        seconds: u64,
        message: &str,
    ) -> io::Result<Oid> {
        let parent = parent.map_or(String::new(), |parent| format!("parent {parent}\n"));
        let who = format!("agent <agent@mirrorcode> {seconds} +0000");
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}\n");
        let oid = self.object("commit", text.as_bytes())?;
        let branch = self.dir.join(BRANCH);
        let new = branch.with_extension("new");
        fs::write(&new, format!("{oid}\n"))?;
        fs::rename(&new, &branch)?;
        Ok(oid)
    }

    fn object(&self, kind: &str, bytes: &[u8]) -> io::Result<Oid> {
        let head = format!("{kind} {}\0", bytes.len());
        let mut hasher = Sha1::new();
        hasher.update(head.as_bytes());
        hasher.update(bytes);
        let oid = Oid(hasher.finalize().into());
        let name = oid.to_string();
        let dir = self.dir.join("objects").join(&name[..2]);
        let path = dir.join(&name[2..]);
        if path.exists() {
            return Ok(oid);
        }
        fs::create_dir_all(&dir)?;
        let new = dir.join(format!("new-{}", &name[2..]));
        let mut encoder = ZlibEncoder::new(fs::File::create(&new)?, Compression::new(3));
        encoder.write_all(head.as_bytes())?;
        encoder.write_all(bytes)?;
        encoder.finish()?;
        fs::rename(&new, &path)?;
        Ok(oid)
    }
}
