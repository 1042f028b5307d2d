//! A run as one signed file, for somebody who believes nothing of it.
//!
//! A bundle is a tar archive, compressed with Zstandard, whose entries are written in one way only:
//!
//! | entry | holds |
//! | --- | --- |
//! | `manifest.json` | what run this is, and length and SHA-256 of every file after it ([`Manifest`]) |
//! | `manifest.json.minisig` | the signature of the manifest's bytes, as `minisign` makes it |
//! | the files | `blobs/…`, `journal.jsonl`, `run.toml`, `verdict.json`: those that the manifest names, in its order |
//!
//! Two bundles of one run have the same bytes but for the signature, which is another one each time.
//!
//! # Architecture invariants
//!
//! - A reader takes nothing on trust: an archive is read once, from the beginning to the end, in bounded memory. Of a
//!   header nothing is obeyed: it has to be, byte for byte, the one that a writer here would write for the file that the
//!   manifest names. So there are no links, no devices, no sparse files and no paths that lead anywhere.
//! - No file is written before the signature over the manifest is found right ([`Opened::verify`]).
//! - What is signed is who says it, not that it is true. [`check`] holds a run against itself; whether its verdict is
//!   right, only scoring it again tells ([`differences`]).

mod archive;
mod check;
mod compare;
mod contents;
mod error;
mod key;
mod limits;
mod manifest;
mod read;
mod write;

pub use check::{Checked, check};
pub use compare::{DIFFERENCES, differences};
pub use error::{Error, Fault};
pub use key::{PublicKey, SecretKey, create_key};
pub use limits::Limits;
pub use manifest::{FORMAT, JOURNAL, Listed, Manifest, RUN, VERDICT};
pub use read::{Opened, Verified, open};
pub use write::{Written, write};
