//! Where a store is, and what opens it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::error::{Error, Result, io};

/// Longest time of one request, with what it carries: an object has 16 MiB at most.
const REQUEST: Duration = Duration::from_secs(120);
const CONNECTION: Duration = Duration::from_secs(10);
/// How long requests that a service fails are repeated, where nothing is said.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a service is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Address of an S3-compatible server, other than Amazon's.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// File with keys, as Amazon's tools write it; otherwise they are in the environment.
    pub credentials: Option<PathBuf>,
    /// How long requests that fail are repeated.
    pub patience: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            endpoint: None,
            region: None,
            credentials: None,
            patience: PATIENCE,
        }
    }
}

/// Where a store is: `s3://BUCKET/PREFIX` or `file:///DIRECTORY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A bucket, and what names in it begin with.
    S3 {
        /// Its name.
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A directory.
    File(PathBuf),
}

impl Place {
    /// Whether this is the address of a store, and not a path.
    pub fn is_address(text: &str) -> bool {
        text.contains("://")
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Address`] when it is none.
    pub fn parse(address: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = address.strip_prefix("file://") {
            return match path.starts_with('/') {
                true => Ok(Place::File(path.into())),
                false => Err(wrong("write file:///DIRECTORY, with its whole path")),
            };
        }
        let Some(rest) = address.strip_prefix("s3://") else {
            return Err(wrong(
                "a store is s3://BUCKET/PREFIX or file:///DIRECTORY; other services offer S3's interface at an --endpoint",
            ));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(allowed) {
            return Err(wrong("write s3://BUCKET/PREFIX"));
        }
        let prefix = prefix.trim_matches('/');
        if object_store::path::Path::parse(prefix).is_err() {
            return Err(wrong("a prefix has no empty parts, no dots alone"));
        }
        Ok(Place::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Place::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Place::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}

/// A service that is ready to be asked.
pub(crate) struct Opened {
    pub(crate) service: Arc<dyn ObjectStore>,
    pub(crate) prefix: String,
    /// For messages: which bucket at which server.
    pub(crate) name: String,
}

/// Prepares to ask a service; nothing is asked yet. `write` makes a directory that is missing.
pub(crate) fn open(place: &Place, access: &Access, write: bool) -> Result<Opened> {
    match place {
        Place::File(path) => {
            if write {
                fs::create_dir_all(path).map_err(io("make", path))?;
            } else if !path.is_dir() {
                return Err(Error::Address {
                    address: place.to_string(),
                    reason: "there is no such directory".to_owned(),
                });
            }
            let service = LocalFileSystem::new_with_prefix(path)
                .map_err(|error| Error::Address {
                    address: place.to_string(),
                    reason: error.to_string(),
                })?
                .with_fsync(true);
            Ok(Opened {
                service: Arc::new(service),
                prefix: String::new(),
                name: place.to_string(),
            })
        }
        Place::S3 { bucket, prefix } => {
            // Another part of the program may have chosen one before.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let builder = keys(AmazonS3Builder::from_env(), access)?;
            let endpoint = endpoint(access);
            let name = match &endpoint {
                Some(endpoint) => format!("{place} at {endpoint}"),
                None => place.to_string(),
            };
            let service = builder_of(builder, bucket, endpoint, access)
                .build()
                .map_err(|error| Error::Address {
                    address: name.clone(),
                    reason: error.to_string(),
                })?;
            Ok(Opened {
                service: Arc::new(service),
                prefix: prefix.clone(),
                name,
            })
        }
    }
}

/// A variable of the environment that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn endpoint(access: &Access) -> Option<String> {
    let given = access.endpoint.clone();
    let names = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    given.or_else(|| names.into_iter().find_map(variable))
}

fn builder_of(
    builder: AmazonS3Builder,
    bucket: &str,
    endpoint: Option<String>,
    access: &Access,
) -> AmazonS3Builder {
    let is_plain = endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECTION)
        .with_allow_http(is_plain);
    let backoff = BackoffConfig {
        max_backoff: Duration::from_secs(15),
        ..BackoffConfig::default()
    };
    let mut builder = builder
        .with_bucket_name(bucket)
        .with_client_options(options)
        .with_retry(RetryConfig {
            backoff,
            max_retries: 1000,
            retry_timeout: access.patience,
        })
        .with_checksum_algorithm(Checksum::SHA256);
    let region = access.region.clone();
    if let Some(region) = region.or_else(|| variable("AWS_REGION")) {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder
}

/// Variables that say how a machine in a cluster gets keys.
const MACHINES: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Keys, from the file that is named or else from the environment.
fn keys(builder: AmazonS3Builder, access: &Access) -> Result<AmazonS3Builder> {
    let file = access.credentials.clone();
    if let Some(path) = file.or_else(|| variable("AWS_SHARED_CREDENTIALS_FILE").map(Into::into)) {
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::Credentials(format!(
                "cannot read the keys in {}: {error}",
                path.display()
            ))
        })?;
        let keys = read_keys(&text, &profile).ok_or_else(|| no_keys_in(&path, &profile))?;
        let builder = builder
            .with_access_key_id(keys.id)
            .with_secret_access_key(keys.secret);
        return Ok(match keys.token {
            Some(token) => builder.with_token(token),
            None => builder,
        });
    }
    let has_keys =
        variable("AWS_ACCESS_KEY_ID").is_some() && variable("AWS_SECRET_ACCESS_KEY").is_some();
    if has_keys || MACHINES.iter().any(|name| variable(name).is_some()) {
        return Ok(builder);
    }
    Err(Error::Credentials(
        "no keys for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file with --credentials"
            .to_owned(),
    ))
}

fn no_keys_in(path: &Path, profile: &str) -> Error {
    Error::Credentials(format!(
        "{}: no aws_access_key_id and aws_secret_access_key under [{profile}]; AWS_PROFILE chooses another part",
        path.display()
    ))
}

struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

/// One part of a file as Amazon's tools write it.
fn read_keys(text: &str, profile: &str) -> Option<Keys> {
    let mut found = std::collections::BTreeMap::new();
    let mut is_here = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            is_here = name.trim() == profile;
        } else if is_here && let Some((key, value)) = line.split_once('=') {
            found.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    Some(Keys {
        id: found.remove("aws_access_key_id")?,
        secret: found.remove("aws_secret_access_key")?,
        token: found.remove("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let s3 = Place::parse("s3://bucket/a/b/").unwrap();
        assert_eq!(s3.to_string(), "s3://bucket/a/b");
        assert_eq!(
            Place::parse("s3://bucket").unwrap().to_string(),
            "s3://bucket"
        );
        let file = Place::parse("file:///mnt/x").unwrap();
        assert_eq!(file, Place::File("/mnt/x".into()));
        for bad in [
            "s3://",
            "s3:///x",
            "s3://a b/c",
            "gs://bucket",
            "file://x",
            "s3://b/a//c",
            "s3://b/../c",
        ] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
        assert!(Place::is_address("s3://x") && !Place::is_address("runs/x"));
    }

    #[test]
    fn keys_are_read_from_their_part_of_the_file() {
        let text = "# keys\n[other]\naws_access_key_id=no\naws_secret_access_key=no\n\n[ default ]\n\
                    aws_access_key_id = AK\naws_secret_access_key= s/+=\n";
        let keys = read_keys(text, "default").unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str()), ("AK", "s/+="));
        assert!(keys.token.is_none());
        assert!(read_keys(text, "third").is_none());
        assert!(read_keys("", "default").is_none());
    }
}
