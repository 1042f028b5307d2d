//! Making a bundle of a run.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use agent::event::Digest;
use sha2::{Digest as _, Sha256};
use zstd::stream::write::Encoder;

use crate::archive;
use crate::check::{Record, check, read_verdict};
use crate::contents;
use crate::error::{Error, Fault, fault, io};
use crate::key::SecretKey;
use crate::limits::Limits;
use crate::manifest::{FORMAT, JOURNAL, Listed, Manifest, RUN, VERDICT, blob_path};
use crate::read::{MANIFEST, SIGNATURE};

const LEVEL: i32 = 3;

/// A bundle that was written.
#[derive(Debug)]
pub struct Written {
    /// What it holds.
    pub manifest: Manifest,
    /// Hash of the manifest, which is the same for every bundle of the run as it is now.
    pub digest: Digest,
}

/// Writes a bundle of the run in `dir`, which has ended and is scored.
///
/// # Errors
/// When the run is under way or not scored, contradicts itself, or is larger than the limits say, since nobody would take
/// it; when it cannot be read or the bundle not be written.
pub fn write(
    dir: &Path,
    key: &SecretKey,
    limits: &Limits,
    out: &mut dyn Write,
    name: &Path,
) -> Result<Written, Error> {
    let not_ready = |reason: &str| Error::NotReady {
        dir: dir.to_owned(),
        reason: reason.to_owned(),
    };
    let record = Record::read(dir)?;
    if run::is_open(dir) {
        return Err(not_ready(
            "the run is under way; wait until it has ended, or stop it",
        ));
    }
    if record.unfinished > 0 {
        return Err(not_ready(
            "the journal ends in the middle of an event; `mirrorcode resume` repairs it",
        ));
    }
    if !dir.join(VERDICT).is_file() {
        return Err(not_ready(
            "the run is not scored; `mirrorcode score RUN -o` with the run's directory writes the verdict into it",
        ));
    }
    let verdict = read_verdict(dir, &record.header)?;
    let mut paths: Vec<String> = contents::needed(dir, &record)?
        .iter()
        .map(blob_path)
        .chain([RUN, JOURNAL, VERDICT].map(str::to_owned))
        .collect();
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let (bytes, sha256) = hash(&dir.join(&path))?;
        files.push(Listed {
            path,
            bytes,
            sha256,
        });
    }
    let manifest = Manifest {
        format: FORMAT,
        run: record.header.id.clone(),
        task: record.header.task.clone(),
        submission: record.submission()?,
        versions: verdict.versions,
        mirrorcode: env!("CARGO_PKG_VERSION").to_owned(),
        files,
    };
    let text = manifest.to_json();
    // What nobody would take is not signed.
    Manifest::parse(text.as_bytes(), limits)?;
    check(dir, &manifest, limits)?;
    let signature = key.sign(
        text.as_bytes(),
        &format!("mirrorcode bundle of {}", manifest.run),
    )?;
    pack(dir, &manifest, &text, &signature, out, name)?;
    Ok(Written {
        digest: run::digest(text.as_bytes()),
        manifest,
    })
}

fn pack(
    dir: &Path,
    manifest: &Manifest,
    text: &str,
    signature: &str,
    out: &mut dyn Write,
    name: &Path,
) -> Result<(), Error> {
    let mut out = Encoder::new(out, LEVEL).map_err(io("write", name))?;
    archive::put(&mut out, MANIFEST, text.as_bytes()).map_err(io("write", name))?;
    archive::put(&mut out, SIGNATURE, signature.as_bytes()).map_err(io("write", name))?;
    for file in &manifest.files {
        let path = dir.join(&file.path);
        let mut from = BufReader::new(regular(&path)?);
        let hash = archive::put_file(&mut out, &file.path, file.bytes, &mut from)
            .map_err(io("copy", &path))?;
        if hash != file.sha256.0 {
            return Err(fault(
                Fault::Content,
                format!("{} changed while it was read", path.display()),
            ));
        }
    }
    archive::end(&mut out).map_err(io("write", name))?;
    out.finish().map_err(io("write", name))?;
    Ok(())
}

/// Opens a file of the run, which nobody put a link in place of.
fn regular(path: &Path) -> Result<File, Error> {
    let kind = fs::symlink_metadata(path).map_err(io("read", path))?;
    if !kind.is_file() {
        return Err(fault(
            Fault::Content,
            format!("{} is not a regular file", path.display()),
        ));
    }
    File::open(path).map_err(io("read", path))
}

fn hash(path: &Path) -> Result<(u64, Digest), Error> {
    let mut file = regular(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 128 << 10];
    loop {
        match file.read(&mut chunk).map_err(io("read", path))? {
            0 => break,
            read => hasher.update(&chunk[..read]),
        }
    }
    let bytes = file.stream_position().map_err(io("read", path))?;
    Ok((bytes, Digest(hasher.finalize().into())))
}
