//! Keys as `minisign` has them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Fault, fault, io};

/// Most bytes of a file with a key.
const LARGEST: u64 = 4096;

/// What signs bundles.
pub struct SecretKey(minisign::SecretKey);

impl SecretKey {
    /// Reads a key as `minisign -G` writes it. One that a password protects needs it.
    ///
    /// # Errors
    /// When the file cannot be read or holds no such key, or the password is wrong or missing.
    pub fn read(path: &Path, password: Option<String>) -> Result<Self, Error> {
        let text = read(path)?;
        let wrong = |reason: String| Error::Key {
            path: path.to_owned(),
            reason,
        };
        if text.lines().count() < 2 {
            return Err(wrong("it is no secret key of minisign".into()));
        }
        let parse = || minisign::SecretKeyBox::from_string(&text);
        let plain = parse().and_then(minisign::SecretKeyBox::into_unencrypted_secret_key);
        let key = match (plain, password) {
            (Ok(key), _) => key,
            (Err(_), Some(password)) => parse()
                .and_then(|key| key.into_secret_key(Some(password)))
                .map_err(|error| {
                    wrong(format!(
                        "it cannot be opened with the password given: {error}"
                    ))
                })?,
            (Err(error), None) => {
                return Err(wrong(format!(
                    "it is no secret key of minisign, or a password protects it ({error}); set MIRRORCODE_KEY_PASSWORD"
                )));
            }
        };
        Ok(SecretKey(key))
    }

    /// The signature of some bytes, as the file `minisign` would write.
    pub(crate) fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, Error> {
        minisign::sign(
            None,
            &self.0,
            bytes,
            Some(comment),
            Some("signature of a mirrorcode bundle's manifest"),
        )
        .map(minisign::SignatureBox::into_string)
        .map_err(|error| fault(Fault::Signature, format!("cannot sign: {error}")))
    }
}

/// Makes a pair of keys without a password: the secret one in `path`, which must not exist, for its owner's eyes only, and
/// the public one beside it in `path.pub`. Gives back the public key's text.
///
/// # Errors
/// When a file exists or cannot be written.
pub fn create_key(path: &Path) -> Result<String, Error> {
    let wrong = |error: minisign::PError| Error::Key {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let pair = minisign::KeyPair::generate_unencrypted_keypair().map_err(wrong)?;
    let secret = pair.sk.to_box(None).map_err(wrong)?.into_string();
    let public = pair.pk.to_box().map_err(wrong)?.into_string();
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    for (path, text, mode) in [(path, &secret, 0o600), (Path::new(&name), &public, 0o644)] {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(io("write", path))?;
    }
    Ok(public)
}

/// What tells whose signature it is.
#[derive(Clone, Debug)]
pub struct PublicKey(minisign_verify::PublicKey);

impl PublicKey {
    /// Reads a public key: the file that `minisign -G` writes, or its second line alone.
    ///
    /// # Errors
    /// [`Fault::Signature`] when it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let line = text
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .unwrap_or_default();
        minisign_verify::PublicKey::from_base64(line)
            .map(PublicKey)
            .map_err(|error| {
                fault(
                    Fault::Signature,
                    format!("that is no public key of minisign: {error}"),
                )
            })
    }

    /// The same from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no such key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        PublicKey::parse(&read(path)?).map_err(|error| Error::Key {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    pub(crate) fn verify(&self, bytes: &[u8], signature: &str) -> Result<(), Error> {
        let wrong = |message: String| fault(Fault::Signature, message);
        let signature = minisign_verify::Signature::decode(signature)
            .map_err(|_| wrong("manifest.json.minisig is no signature of minisign".into()))?;
        self.0
            .verify(bytes, &signature, false)
            .map_err(|error| match error {
                minisign_verify::Error::UnexpectedKeyId => {
                    wrong("the bundle is signed with another key than the one it is held against".into())
                }
                minisign_verify::Error::UnexpectedAlgorithm => {
                    wrong("the signature is of an old kind that is not taken; sign with a newer minisign".into())
                }
                _ => wrong("the signature is not one of this manifest: the bundle was changed after it was signed".into()),
            })
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let data = fs::metadata(path).map_err(io("read", path))?;
    if !data.is_file() || data.len() > LARGEST {
        return Err(Error::Key {
            path: path.to_owned(),
            reason: "it is no file with a key".into(),
        });
    }
    fs::read_to_string(path).map_err(io("read", path))
}
