//! Directories in object storage: by content, checked, whole or not there.
//!
//! A store is a bucket of an S3-compatible service, or a directory:
//!
//! | object | holds |
//! | --- | --- |
//! | `objects/AB/ABCD...` | pieces of files, compressed (zstd); its name is the SHA-256 of its bytes |
//! | `runs/ID.json`, `images/DIGEST.json` | the head of one directory: names its listing, and is written last |
//!
//! [`Upload`] stores directories, [`Inbox`] and [`Store::fetch_into`] get them back.
//!
//! # Architecture invariants
//!
//! - A head is written when everything that it needs is there: whoever finds one finds a whole directory.
//! - An object never changes, so nothing that is killed at any instant leaves anything wrong behind.
//! - What comes out of a store is a stranger's: sizes are bounded, hashes are compared, no path leads out of the directory.
//! - This crate does not know what runs and images are for.

mod download;
mod error;
mod hash;
mod listing;
mod pack;
mod place;
mod remote;
mod scan;
mod upload;

pub use download::{Fetched, Inbox};
pub use error::{Error, Result};
pub use hash::Hash;
pub use listing::{Head, Kind, LeftOut, is_name};
pub use place::{Access, Place};
pub use remote::Store;
pub use scan::Source;
pub use upload::{Stored, Upload};
