//! A way in for the fuzz targets, which open far more journals than anybody could claim.

use std::path::Path;

use crate::owner;
use crate::{Error, Journal, Opened};

/// Opens the run in `dir` with the right of an epoch that nobody was asked for. It is kept in `claims`, which has a
/// directory `epochs`, and each call there needs an epoch of its own.
///
/// # Errors
/// Those of [`Journal::open`], but for claims.
pub fn open(dir: &Path, claims: &Path, epoch: u64) -> Result<Opened, Error> {
    Journal::open_as(dir, owner::unannounced(claims, epoch))
}
