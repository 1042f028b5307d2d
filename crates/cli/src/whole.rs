//! Files that are there whole or not at all.

use std::fs::{File, Permissions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::exit::Failure;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 18;

/// A file that has no name until it is whole.
pub(crate) struct Whole<'a> {
    out: &'a Path,
    replace: bool,
    file: NamedTempFile,
}

impl<'a> Whole<'a> {
    /// Begins a file beside the place that it will have. Only with `replace` may something be there.
    pub(crate) fn begin(out: &'a Path, replace: bool) -> Result<Self, Failure> {
        if out.is_dir() {
            return Err(Failure::usage(format!(
                "{} is a directory: name a file in it",
                out.display()
            )));
        }
        if !replace && out.symlink_metadata().is_ok() {
            return Err(exists(out));
        }
        let above = out.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".mirrorcode-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(above)
            .map_err(|error| Failure::io(above, &error))?;
        Ok(Whole { out, replace, file })
    }

    /// Where to write. It has to be flushed.
    pub(crate) fn writer(&self) -> BufWriter<&File> {
        BufWriter::with_capacity(BUFFER, self.file.as_file())
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> Result<u64, Failure> {
        let data = self.file.as_file().metadata();
        Ok(data.map_err(|error| Failure::io(self.out, &error))?.len())
    }

    /// Gives it its name.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let kept = if self.replace {
            self.file.persist(self.out)
        } else {
            self.file.persist_noclobber(self.out)
        };
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(exists(self.out)),
            Err(error) => Err(Failure::io(self.out, &error.error)),
        }
    }
}

/// Writes a file, in the place of whatever has its name.
pub(crate) fn put(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let file = Whole::begin(path, true)?;
    let mut out = file.writer();
    write(&mut out)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io(path, &error))?;
    drop(out);
    file.keep()
}

fn exists(out: &Path) -> Failure {
    Failure::usage(format!(
        "{} exists: name another file with --out, or replace it with --force",
        out.display()
    ))
}
