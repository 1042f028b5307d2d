//! Looking at files and changing them, without a shell.
//!
//! The files belong to an agent who may exchange any of them for a link at any time, so every path is resolved below
//! the directory that it starts in and nowhere else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    CWD, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, openat2, renameat, unlinkat,
};
use rustix::io::Errno;
use serde::Deserialize;

/// Largest file that is looked at or changed, in bytes.
const LARGEST: u64 = 4 << 20;
/// Lines that are shown where none are named.
const SHOWN: usize = 400;
/// Bytes that are shown at most.
const SHOWN_BYTES: usize = 32_000;
/// Lines that are shown around a change.
const AROUND: usize = 3;

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Change {
    /// What.
    pub(crate) action: Action,
    /// Which file, inside; relative paths start in the workspace.
    pub(crate) path: String,
    /// The whole text of a new file, or the text to insert.
    pub(crate) text: Option<String>,
    /// Text that is replaced; it must stand in the file exactly once.
    pub(crate) old: Option<String>,
    /// What replaces it.
    pub(crate) new: Option<String>,
    /// Line after which text is inserted; 0 for the beginning.
    pub(crate) line: Option<usize>,
    /// First and last line that are shown, from 1.
    pub(crate) lines: Option<(usize, usize)>,
}

/// What can be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Shows it with line numbers, or a directory's names.
    View,
    /// Writes it whole.
    Create,
    /// Replaces a text in it.
    Replace,
    /// Inserts text after a line.
    Insert,
}

/// A directory of the sandbox on the host.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) inside: &'static str,
    pub(crate) host: PathBuf,
    pub(crate) writable: bool,
}

/// What is told about a change, or what is wrong with it.
type Done = Result<String, String>;

/// Does what is asked.
pub(crate) fn apply(places: &[Place], change: &Change) -> Done {
    let (place, below) = find(places, &change.path)?;
    let failed = |error: Errno| explain(&change.path, error);
    let top = openat(
        CWD,
        &place.host,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(failed)?;
    if change.action == Action::View {
        return view(&top, &below, change);
    }
    if !place.writable {
        return Err(format!("{} cannot be changed", change.path));
    }
    match change.action {
        Action::View => unreachable!("answered above"),
        Action::Create => {
            let text = need(&change.text, "text")?;
            let existed = write(&top, &below, text.as_bytes()).map_err(failed)?;
            let what = if existed { "overwritten" } else { "written" };
            Ok(format!(
                "{} {what}: {} lines",
                change.path,
                text.lines().count()
            ))
        }
        Action::Replace => {
            let (old, new) = (need(&change.old, "old")?, need(&change.new, "new")?);
            let text = read(&top, &below, &change.path)?;
            if old.is_empty() {
                return Err("`old` is empty: name the text to be replaced".to_owned());
            }
            let mut found = text.match_indices(old.as_str()).map(|(at, _)| at);
            let Some(at) = found.next() else {
                return Err(format!(
                    "`old` is not in {}: it must match exactly, blanks included",
                    change.path
                ));
            };
            if let Some(second) = found.next() {
                let lines = [at, second].map(|at| text[..at].matches('\n').count() + 1);
                return Err(format!(
                    "`old` stands in {} more than once, in lines {} and {}: give more of the text around it",
                    change.path, lines[0], lines[1]
                ));
            }
            let changed = [&text[..at], new, &text[at + old.len()..]].concat();
            write(&top, &below, changed.as_bytes()).map_err(failed)?;
            Ok(around(&changed, at, new.len()))
        }
        Action::Insert => {
            let inserted = need(&change.text, "text")?;
            let line = change
                .line
                .ok_or("`line` is missing: the line after which to insert, 0 for the beginning")?;
            let text = read(&top, &below, &change.path)?;
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            if line > lines.len() {
                return Err(format!("{} has only {} lines", change.path, lines.len()));
            }
            let before: String = lines[..line].concat();
            let gap = if before.is_empty() || before.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            let end = if inserted.ends_with('\n') || inserted.is_empty() {
                ""
            } else {
                "\n"
            };
            let changed = format!("{before}{gap}{inserted}{end}{}", lines[line..].concat());
            write(&top, &below, changed.as_bytes()).map_err(failed)?;
            Ok(around(&changed, before.len() + gap.len(), inserted.len()))
        }
    }
}

fn need<'a>(field: &'a Option<String>, name: &str) -> Result<&'a String, String> {
    field.as_ref().ok_or(format!("`{name}` is missing"))
}

/// The directory that a path is in, and the way from there.
fn find<'a>(places: &'a [Place], path: &str) -> Result<(&'a Place, PathBuf), String> {
    let absolute = Path::new(crate::WORKSPACE).join(path);
    let mut clean = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    let found = places
        .iter()
        .find_map(|place| Some((place, clean.strip_prefix(place.inside).ok()?.to_owned())));
    let names: Vec<_> = places.iter().map(|place| place.inside).collect();
    found.ok_or(format!(
        "{path} is in none of {}; use bash for other files",
        names.join(", ")
    ))
}

fn explain(path: &str, error: Errno) -> String {
    match error {
        Errno::NOENT => format!("{path} does not exist"),
        Errno::XDEV | Errno::LOOP => {
            format!("{path} leads through a link out of its directory; use bash for it")
        }
        error => format!("{path}: {}", io::Error::from(error)),
    }
}

fn below(top: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(top, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
}

fn read(top: &OwnedFd, path: &Path, name: &str) -> Result<String, String> {
    let file = below(top, path, OFlags::RDONLY | OFlags::NONBLOCK)
        .map_err(|error| explain(name, error))?;
    let file = File::from(file);
    let data = file
        .metadata()
        .map_err(|error| format!("{name}: {error}"))?;
    if !data.is_file() {
        return Err(format!("{name} is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!(
            "{name} has more than {LARGEST} bytes; use bash for it"
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8; use bash for it"))
}

/// Writes a file whole, with the directories above it; says whether there was one.
fn write(top: &OwnedFd, path: &Path, bytes: &[u8]) -> Result<bool, Errno> {
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let dir = make_dirs(top, parent)?;
    // Where the name is a link, its target below the workspace is meant.
    let old = match below(top, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(old) => Some(File::from(old)),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error),
    };
    let mode = match &old {
        Some(old) => {
            let data = old
                .metadata()
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            if !data.is_file() {
                return Err(if data.is_dir() {
                    Errno::ISDIR
                } else {
                    Errno::INVAL
                });
            }
            std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o777
        }
        None => 0o644,
    };
    let temporary = format!(".{}.new-{}", name.to_string_lossy(), std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let _ = unlinkat(&dir, &temporary, rustix::fs::AtFlags::empty());
    let file = openat(&dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let written = (|| {
        let mut file = File::from(file.try_clone().map_err(|_| Errno::MFILE)?);
        file.write_all(bytes)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        fchmod(&file, Mode::from_raw_mode(mode))?;
        give(&file)?;
        renameat(&dir, &temporary, &dir, name)
    })();
    if written.is_err() {
        let _ = unlinkat(&dir, &temporary, rustix::fs::AtFlags::empty());
    }
    written.map(|()| old.is_some())
}

/// Gives what was made to the user that commands run as.
fn give(file: impl AsFd) -> Result<(), Errno> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (
        rustix::fs::Uid::from_raw(sandbox::OUTER_ID_WHEN_ROOT),
        rustix::fs::Gid::from_raw(sandbox::OUTER_ID_WHEN_ROOT),
    );
    rustix::fs::fchown(file, Some(user), Some(group))
}

fn make_dirs(top: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match below(top, path, flags) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let above = make_dirs(top, path.parent().unwrap_or(Path::new("")))?;
    let name = path.file_name().ok_or(Errno::NOENT)?;
    match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let dir = openat(
        &above,
        name,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    give(&dir)?;
    Ok(dir)
}

fn view(top: &OwnedFd, path: &Path, change: &Change) -> Done {
    let name = &change.path;
    let fd = below(top, path, OFlags::RDONLY | OFlags::NONBLOCK)
        .map_err(|error| explain(name, error))?;
    let kind = rustix::fs::fstat(&fd).map_err(|error| explain(name, error))?;
    if rustix::fs::FileType::from_raw_mode(kind.st_mode) == rustix::fs::FileType::Directory {
        let mut names: Vec<String> = rustix::fs::Dir::read_from(&fd)
            .map_err(|error| explain(name, error))?
            .flatten()
            .filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
            .take(10_000)
            .map(|entry| {
                let slash = if entry.file_type() == rustix::fs::FileType::Directory {
                    "/"
                } else {
                    ""
                };
                format!("{}{slash}\n", entry.file_name().to_string_lossy())
            })
            .collect();
        names.sort();
        return Ok(if names.is_empty() {
            "(an empty directory)\n".to_owned()
        } else {
            names.concat()
        });
    }
    let text = read(top, path, name)?;
    let total = text.lines().count();
    let (first, last) = change.lines.unwrap_or((1, SHOWN));
    if first == 0 || first > last {
        return Err("`lines` is the first and the last line, from 1".to_owned());
    }
    let mut out = numbered(&text, first, last);
    let mut shown = last.min(total);
    if out.len() > SHOWN_BYTES {
        let cut = (0..=SHOWN_BYTES)
            .rev()
            .find(|at| out.is_char_boundary(*at))
            .unwrap_or(0);
        out.truncate(cut);
        shown = first + out.matches('\n').count();
        out.push_str("...\n");
    }
    if first > 1 || shown < total {
        out.push_str(&format!("[lines {first} to {shown} of {total}]\n"));
    }
    Ok(if out.is_empty() {
        "(an empty file)\n".to_owned()
    } else {
        out
    })
}

fn numbered(text: &str, first: usize, last: usize) -> String {
    text.lines()
        .enumerate()
        .skip(first - 1)
        .take(last.saturating_sub(first) + 1)
        .map(|(index, line)| format!("{:>6}\t{line}\n", index + 1))
        .collect()
}

/// The lines around a change.
fn around(text: &str, at: usize, length: usize) -> String {
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let (first, last) = (line(at), line(at + length));
    let last = last.min(first + 40);
    numbered(text, first.saturating_sub(AROUND).max(1), last + AROUND)
}

/// Keeps the whole of a long output in a file that the agent can read; `None` where that cannot be done.
pub(crate) fn keep_output(scratch: &Path, number: u64, bytes: &[u8]) -> Option<String> {
    let top = openat(
        CWD,
        scratch,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let name = format!("outputs/{number}.txt");
    write(&top, Path::new(&name), bytes).ok()?;
    Some(format!("/tmp/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Ground {
        dir: tempfile::TempDir,
        places: Vec<Place>,
    }

    fn ground() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let place = |inside, name: &str, writable| {
            let host = dir.path().join(name);
            fs::create_dir(&host).unwrap();
            Place {
                inside,
                host,
                writable,
            }
        };
        let places = vec![
            place("/workspace", "workspace", true),
            place("/task", "task", false),
        ];
        Ground { dir, places }
    }

    fn change(json: &str) -> Change {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(ground: &Ground, json: &str, expected: Result<&str, &str>) {
        let done = apply(&ground.places, &change(json));
        match (&done, expected) {
            (Ok(text), Ok(part)) => assert!(text.contains(part), "{text}"),
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            _ => panic!("{json}: {done:?}"),
        }
    }

    #[test]
    fn files_are_made_changed_and_shown() {
        let ground = ground();
        let at = |name: &str| ground.dir.path().join("workspace").join(name);
        check(
            &ground,
            r#"{"action":"create","path":"src/a.py","text":"one\ntwo\nthree\n"}"#,
            Ok("written: 3 lines"),
        );
        check(
            &ground,
            r#"{"action":"replace","path":"/workspace/src/a.py","old":"two","new":"2\n2"}"#,
            Ok("     3\t2\n"),
        );
        check(
            &ground,
            r#"{"action":"insert","path":"src/a.py","line":0,"text":"zero"}"#,
            Ok("     1\tzero\n"),
        );
        assert_eq!(
            fs::read_to_string(at("src/a.py")).unwrap(),
            "zero\none\n2\n2\nthree\n"
        );
        check(
            &ground,
            r#"{"action":"view","path":"src/a.py","lines":[2,3]}"#,
            Ok("     2\tone\n     3\t2\n[lines 2 to 3 of 5]"),
        );
        check(&ground, r#"{"action":"view","path":"."}"#, Ok("src/\n"));
        check(
            &ground,
            r#"{"action":"replace","path":"src/a.py","old":"2","new":""}"#,
            Err("lines 3 and 4"),
        );
        check(
            &ground,
            r#"{"action":"replace","path":"src/a.py","old":"nine","new":""}"#,
            Err("not in"),
        );
        check(
            &ground,
            r#"{"action":"insert","path":"src/a.py","line":9,"text":""}"#,
            Err("only 5 lines"),
        );
        check(
            &ground,
            r#"{"action":"create","path":"/task/a","text":""}"#,
            Err("cannot be changed"),
        );
        check(
            &ground,
            r#"{"action":"view","path":"/etc/passwd"}"#,
            Err("in none of"),
        );
        check(
            &ground,
            r#"{"action":"view","path":"../etc/passwd"}"#,
            Err("in none of"),
        );
        check(
            &ground,
            r#"{"action":"view","path":"none"}"#,
            Err("does not exist"),
        );
        assert_eq!(
            fs::read_dir(at("src")).unwrap().count(),
            1,
            "a temporary file is left"
        );
    }

    #[test]
    fn no_link_leads_out() {
        let ground = ground();
        let workspace = ground.dir.path().join("workspace");
        fs::write(ground.dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", workspace.join("file")).unwrap();
        std::os::unix::fs::symlink(ground.dir.path(), workspace.join("dir")).unwrap();
        for (action, path) in [
            ("view", "file"),
            ("create", "file"),
            ("view", "dir/secret"),
            ("create", "dir/new"),
        ] {
            let json = format!(r#"{{"action":"{action}","path":"{path}","text":"x"}}"#);
            check(&ground, &json, Err("leads through a link"));
        }
        assert_eq!(
            fs::read_to_string(ground.dir.path().join("secret")).unwrap(),
            "secret"
        );
        assert!(!ground.dir.path().join("new").exists());
        let scratch = ground.dir.path().join("tmp");
        fs::create_dir(&scratch).unwrap();
        std::os::unix::fs::symlink("/etc", scratch.join("outputs")).unwrap();
        assert_eq!(keep_output(&scratch, 1, b"x"), None);
    }
}
