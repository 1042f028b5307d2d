//! A submission, copied out of its author's reach: regular files only, within limits, nothing followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use sha2::{Digest, Sha256};
use target::language::matches;

/// Most files of a submission.
const MOST_FILES: usize = 10_000;
/// Most bytes of one file.
const MOST_FILE_BYTES: u64 = 16 << 20;
/// Most bytes of all files.
const MOST_BYTES: u64 = 64 << 20;
/// Deepest directory.
const MOST_DEPTH: usize = 32;
/// Longest path, in bytes.
const MOST_PATH: usize = 1024;

/// A copy of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Files, sorted by path.
    pub files: Vec<SubmissionFile>,
}

/// One file of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionFile {
    /// Path below the submission, with `/` between parts.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
    /// Whether its author made it executable.
    pub executable: bool,
}

/// Why a tree is not a submission. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A link, device, pipe or socket.
    #[error("{path}: a {kind} cannot be submitted; replace it by a regular file or remove it")]
    NotRegular {
        /// Where.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A limit on size, number, depth or length.
    #[error("{path}: {what} (limit: {limit})")]
    TooLarge {
        /// Where.
        path: String,
        /// What is too large.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// A name that is not UTF-8.
    #[error("{path}: the name is not valid UTF-8")]
    Name {
        /// The path with the bad bytes replaced.
        path: String,
    },
    /// Nothing there.
    #[error("{path}: there are no files to submit")]
    Empty {
        /// Where.
        path: String,
    },
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: String,
        /// The system's answer.
        error: io::Error,
    },
}

/// What is left out of every submission: version control's own files.
const NEVER: [&str; 1] = [".git"];

impl Submission {
    /// Copies a tree. Names that match an `ignore` pattern (`*.o`, `target`) are left out, at any depth.
    ///
    /// # Errors
    /// [`Refusal`] for anything that is not a regular file within the limits.
    pub fn read(root: &Path, ignore: &[String]) -> Result<Self, Refusal> {
        let shown = root.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| Refusal::Io {
            path: shown.clone(),
            error: error.into(),
        })?;
        let mut reader = Reader {
            ignore,
            files: Vec::new(),
            bytes: 0,
        };
        reader.directory(&dir, "", 0)?;
        let mut files = reader.files;
        if files.is_empty() {
            return Err(Refusal::Empty { path: shown });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Submission { files })
    }

    /// Hash over paths, executable bits and contents, as lower-case hexadecimal SHA-256.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update((file.path.len() as u64).to_le_bytes());
            hash.update(&file.path);
            hash.update([u8::from(file.executable)]);
            hash.update((file.bytes.len() as u64).to_le_bytes());
            hash.update(&file.bytes);
        }
        hex(&hash.finalize())
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes.len() as u64).sum()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Reader<'a> {
    ignore: &'a [String],
    files: Vec<SubmissionFile>,
    bytes: u64,
}

impl Reader<'_> {
    fn directory(&mut self, dir: &OwnedFd, prefix: &str, depth: usize) -> Result<(), Refusal> {
        let io = |error: rustix::io::Errno| Refusal::Io {
            path: prefix.to_owned(),
            error: error.into(),
        };
        if depth > MOST_DEPTH {
            return Err(too_large(
                prefix,
                "directories are nested too deep",
                MOST_DEPTH,
            ));
        }
        for entry in Dir::read_from(dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            let raw = entry.file_name().to_bytes();
            if raw == b"." || raw == b".." {
                continue;
            }
            let Ok(name) = std::str::from_utf8(raw) else {
                let name = OsStr::from_bytes(raw).to_string_lossy();
                return Err(Refusal::Name {
                    path: format!("{prefix}{name}"),
                });
            };
            if NEVER.contains(&name) || self.ignore.iter().any(|pattern| matches(pattern, name)) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if path.len() > MOST_PATH {
                return Err(too_large(&path, "the path is too long", MOST_PATH));
            }
            self.entry(dir, name, path, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: &OwnedFd,
        name: &str,
        path: String,
        depth: usize,
    ) -> Result<(), Refusal> {
        let io = |error: rustix::io::Errno| Refusal::Io {
            path: path.clone(),
            error: error.into(),
        };
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
        // Its type is asked again of what was opened: the tree may change under us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = rustix::fs::openat(dir, name, flags | OFlags::DIRECTORY, Mode::empty())
                    .map_err(io)?;
                self.directory(&below, &format!("{path}/"), depth + 1)
            }
            FileType::RegularFile => {
                let file = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(io)?;
                let stat = rustix::fs::fstat(&file).map_err(io)?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => self.file(file, path, &stat),
                    other => Err(Refusal::NotRegular {
                        path,
                        kind: kind(other),
                    }),
                }
            }
            other => Err(Refusal::NotRegular {
                path,
                kind: kind(other),
            }),
        }
    }

    fn file(
        &mut self,
        fd: impl AsFd + Into<OwnedFd>,
        path: String,
        stat: &Stat,
    ) -> Result<(), Refusal> {
        if self.files.len() >= MOST_FILES {
            return Err(too_large(&path, "there are too many files", MOST_FILES));
        }
        let giant = || {
            let limit = mebibytes(MOST_FILE_BYTES);
            too_large(&path, "the file is too large", limit)
        };
        if u64::try_from(stat.st_size).is_ok_and(|size| size > MOST_FILE_BYTES) {
            return Err(giant());
        }
        let mut bytes = Vec::new();
        // It may grow while it is read.
        File::from(fd.into())
            .take(MOST_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Refusal::Io {
                path: path.clone(),
                error,
            })?;
        let length = bytes.len() as u64;
        if length > MOST_FILE_BYTES {
            return Err(giant());
        }
        self.bytes += length;
        if self.bytes > MOST_BYTES {
            return Err(too_large(
                &path,
                "the files together are too large",
                mebibytes(MOST_BYTES),
            ));
        }
        self.files.push(SubmissionFile {
            path,
            bytes,
            executable: stat.st_mode & 0o111 != 0,
        });
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn too_large(path: &str, what: &'static str, limit: impl ToString) -> Refusal {
    Refusal::TooLarge {
        path: path.to_owned(),
        what,
        limit: limit.to_string(),
    }
}

fn kind(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "special file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    fn read(dir: &Path) -> Result<Submission, String> {
        Submission::read(dir, &["target".to_owned(), "*.o".to_owned()]).map_err(|e| e.to_string())
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("src/b.c"), "b").unwrap();
        fs::write(dir.path().join("a"), "a").unwrap();
        dir
    }

    #[test]
    fn copies_regular_files_and_leaves_ignored_ones_out() {
        let dir = tree();
        let plain = read(dir.path()).unwrap();
        assert_eq!(
            plain.files.iter().map(|f| &f.path[..]).collect::<Vec<_>>(),
            ["a", "src/b.c"]
        );
        for ignored in ["target/x", "src/c.o", ".git/config"] {
            let path = dir.path().join(ignored);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(read(dir.path()).unwrap().digest(), plain.digest());
        fs::write(dir.path().join("a"), "A").unwrap();
        assert_ne!(read(dir.path()).unwrap().digest(), plain.digest());
    }

    #[test]
    fn refuses_by_name_what_is_not_a_regular_file() {
        let dir = tree();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("src/link")).unwrap();
        assert_eq!(
            read(dir.path()).unwrap_err(),
            "src/link: a symbolic link cannot be submitted; replace it by a regular file or remove it"
        );
        fs::remove_file(dir.path().join("src/link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .starts_with("pipe: a named pipe")
        );
    }

    #[test]
    fn refuses_giants_depth_and_names() {
        let dir = tree();
        fs::File::create(dir.path().join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert_eq!(
            read(dir.path()).unwrap_err(),
            "sparse: the file is too large (limit: 16 MiB)"
        );
        fs::remove_file(dir.path().join("sparse")).unwrap();
        let bad = std::ffi::OsString::from_vec(b"b\xff".to_vec());
        fs::write(dir.path().join(&bad), "").unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .ends_with("the name is not valid UTF-8")
        );
        fs::remove_file(dir.path().join(&bad)).unwrap();
        fs::create_dir_all(dir.path().join("d/".repeat(40))).unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .contains("nested too deep (limit: 32)")
        );
        let empty = tempfile::tempdir().unwrap();
        assert!(
            read(empty.path())
                .unwrap_err()
                .ends_with("there are no files to submit")
        );
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.o", "a.o", true),
            ("*.o", "a.oo", false),
            ("a*c", "abbc", true),
            ("x", "xy", false),
            ("*", "é", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
