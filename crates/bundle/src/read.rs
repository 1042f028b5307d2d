//! Reading a bundle that anybody may have made.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::Path;

use zstd::stream::read::Decoder;

use crate::archive::{Rest, trailing};
use crate::error::{Error, Fault, fault, io};
use crate::key::PublicKey;
use crate::limits::Limits;
use crate::manifest::Manifest;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SIGNATURE: &str = "manifest.json.minisig";
const LARGEST_SIGNATURE: u64 = 4096;
/// Largest window that a decoder keeps, as a power of two: 8 MiB, which is what the writer uses at most.
const WINDOW: u32 = 23;

/// A bundle of which the manifest is read and nothing is believed.
pub struct Opened<R> {
    manifest: Manifest,
    text: Vec<u8>,
    signature: Vec<u8>,
    rest: Rest<Decoder<'static, BufReader<R>>>,
}

/// A bundle whose manifest is signed by who should have signed it, or of which the caller does not care.
pub struct Verified<R> {
    manifest: Manifest,
    rest: Rest<Decoder<'static, BufReader<R>>>,
}

/// Reads a bundle's manifest and signature. No more than these is read.
///
/// # Errors
/// [`Error::Fault`] when it is no bundle, or larger than the limits say.
pub fn open<R: Read>(from: R, limits: &Limits) -> Result<Opened<R>, Error> {
    let none = |error: std::io::Error| fault(Fault::Form, format!("this is no bundle: {error}"));
    let mut decoder = Decoder::new(from).map_err(none)?.single_frame();
    decoder.window_log_max(WINDOW).map_err(none)?;
    // The archive's own headers come on top of the files.
    let overhead = limits.manifest + 1024 * (limits.files as u64 + 8);
    let mut rest = Rest::new(decoder, limits.unpacked.saturating_add(overhead));
    let text = rest.small(MANIFEST, limits.manifest)?;
    let manifest = Manifest::parse(&text, limits)?;
    let signature = rest.small(SIGNATURE, LARGEST_SIGNATURE)?;
    Ok(Opened {
        manifest,
        text,
        signature,
        rest,
    })
}

impl<R: Read> Opened<R> {
    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Holds the signature against a key.
    ///
    /// # Errors
    /// [`Fault::Signature`] when the manifest is not signed with it.
    pub fn verify(self, key: &PublicKey) -> Result<Verified<R>, Error> {
        let signature = std::str::from_utf8(&self.signature).map_err(|_| {
            fault(
                Fault::Signature,
                "manifest.json.minisig is no signature of minisign",
            )
        })?;
        key.verify(&self.text, signature)?;
        Ok(self.unverified())
    }

    /// Goes on whoever signed it: for looking at a bundle without a key.
    pub fn unverified(self) -> Verified<R> {
        Verified {
            manifest: self.manifest,
            rest: self.rest,
        }
    }
}

impl<R: Read> Verified<R> {
    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes the files into the directory `dir`, which must be empty, and reads the bundle to its end. After an error the
    /// directory holds a part of them.
    ///
    /// # Errors
    /// [`Error::Fault`] when a file is not what the manifest says, or there is more than it names.
    pub fn unpack(mut self, dir: &Path) -> Result<Manifest, Error> {
        for file in &self.manifest.files {
            let path = dir.join(&file.path);
            if let Some(above) = path.parent() {
                fs::create_dir_all(above).map_err(io("make", above))?;
            }
            let mut out: File = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
                .map_err(io("make", &path))?;
            let hash = self.rest.file(&file.path, file.bytes, |bytes| {
                out.write_all(bytes).map_err(io("write", &path))
            })?;
            if hash != file.sha256.0 {
                return Err(fault(
                    Fault::Content,
                    format!("{} is not the file that was signed", file.path),
                ));
            }
        }
        self.rest.end()?;
        let mut inner = self.rest.into_inner().finish();
        match inner.read(&mut [0]) {
            Ok(0) => Ok(self.manifest),
            Ok(_) => Err(trailing()),
            Err(error) => Err(fault(
                Fault::Form,
                format!("the bundle cannot be read: {error}"),
            )),
        }
    }
}
