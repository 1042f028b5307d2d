//! What is said to a run while it goes on: `control.json` in its directory.
//!
//! It is replaced whole by whoever wants something, and looked at by the run. It holds what is wanted now, not a history;
//! what the run made of it is in the journal.

use std::fs;
use std::io;
use std::path::Path;

use agent::event::Budget;
use serde::{Deserialize, Serialize};

use crate::error::{Error, io as naming};
use crate::files;

const NAME: &str = "control.json";

/// What a run is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Go on.
    #[default]
    Go,
    /// Wait before the next step.
    Pause,
    /// End; it can be resumed.
    Stop,
}

/// What is said to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// What it is to do.
    #[serde(default)]
    pub wish: Wish,
    /// Limits that hold instead of those that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Budget>,
}

impl Control {
    /// What is said to the run in `dir`; nothing special when nobody has said anything.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Control::default()),
            read => {
                let bytes = read.map_err(naming("read", &path))?;
                serde_json::from_slice(&bytes)
                    .map_err(|error| naming("understand", &path)(io::Error::from(error)))
            }
        }
    }

    /// Says this to the run in `dir`.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("limits are always JSON");
        files::write_whole(&dir.join(NAME), &text)
    }
}

/// Whether a process has the run in `dir` open for writing, here or on another machine.
pub fn is_open(dir: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let Ok(file) = files::open(&dir.join(crate::journal::NAME)) else {
        return false;
    };
    // A shared lock, given back at once, keeps nobody from writing for longer than that.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(&file, FlockOperation::Unlock);
            crate::owner::seems_held(dir)
        }
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Control::read(dir.path()).unwrap(), Control::default());
        let control = Control {
            wish: Wish::Pause,
            limits: Some(Budget {
                turns: Some(7),
                ..Budget::default()
            }),
        };
        control.write(dir.path()).unwrap();
        assert_eq!(Control::read(dir.path()).unwrap(), control);
        fs::write(dir.path().join(NAME), r#"{"wish":"dance"}"#).unwrap();
        let error = Control::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("control.json"), "{error}");
    }
}
