//! The contents that a run is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use agent::event::Digest;
use run::{Known, Node, Store, Tree};
use serde_json::Value;

use crate::check::Record;
use crate::error::{Error, Fault, fault};
use crate::limits::Limits;
use crate::manifest::blob_path;

/// What contents come to.
pub(crate) struct Found {
    /// Contents that the run needs, there or not: what its task provides is in no run.
    pub(crate) referred: BTreeSet<Digest>,
    /// Bytes of those that are there, unpacked.
    pub(crate) bytes: u64,
}

/// Adds every hash that an event names. A text that only looks like one does no harm: it names no content.
pub(crate) fn refer(value: &Value, into: &mut BTreeSet<Digest>) {
    match value {
        Value::String(text) if text.len() == 64 => into.extend(text.parse::<Digest>()),
        Value::Array(values) => values.iter().for_each(|value| refer(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| refer(value, into)),
        _ => {}
    }
}

/// The contents that are there of those that the record needs, with what lists of files name.
pub(crate) fn needed(dir: &Path, record: &Record) -> Result<BTreeSet<Digest>, Error> {
    let store = Store::open(dir, Known::nothing());
    let mut referred = record.referred.clone();
    for tree in &record.trees {
        add_files(&mut referred, &Tree::load(&store, *tree)?);
    }
    referred.retain(|digest| dir.join(blob_path(digest)).is_file());
    Ok(referred)
}

fn add_files(referred: &mut BTreeSet<Digest>, tree: &Tree) {
    referred.extend(tree.nodes.iter().filter_map(|node| match node {
        Node::File { sha256, .. } => Some(*sha256),
        _ => None,
    }));
}

/// Unpacks every content once, into nothing, and finds out which ones are needed.
pub(crate) fn read(
    dir: &Path,
    record: &Record,
    blobs: &BTreeSet<Digest>,
    limits: &Limits,
) -> Result<Found, Error> {
    let store = Store::open(dir, Known::nothing());
    let mut room = Room(limits.contents);
    let mut lengths = BTreeMap::new();
    for digest in blobs {
        let bytes = store.copy(digest, &mut room).map_err(|error| match error {
            run::Error::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => fault(
                Fault::TooLarge,
                format!("the contents unpack to more than {} bytes", limits.contents),
            ),
            run::Error::DamagedContent { reason, .. } => fault(
                Fault::Content,
                format!("content {digest} is damaged: {reason}"),
            ),
            error => Error::Run(error),
        })?;
        lengths.insert(*digest, bytes);
    }
    let mut referred = record.referred.clone();
    for tree in &record.trees {
        match lengths.get(&tree.0) {
            None => {
                return Err(fault(
                    Fault::Content,
                    format!("the list of files {tree} is missing"),
                ));
            }
            Some(bytes) if *bytes > limits.list => {
                return Err(fault(
                    Fault::TooLarge,
                    format!(
                        "the list of files {tree} has more than {} bytes",
                        limits.list
                    ),
                ));
            }
            Some(_) => {}
        }
        let tree =
            Tree::load(&store, *tree).map_err(|error| fault(Fault::Content, error.to_string()))?;
        add_files(&mut referred, &tree);
    }
    Ok(Found {
        referred,
        bytes: limits.contents - room.0,
    })
}

/// Takes so many bytes and keeps none.
struct Room(u64);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len() as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
