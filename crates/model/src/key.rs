//! Keys: read from the environment or a file, sent, and shown to nobody.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Name;

/// A provider's key. It cannot be serialized, and printing it prints nothing of it.
#[derive(Clone)]
pub struct Key(String);

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// None is set.
    #[error("no key for {name}: set {} or name a file that holds it", variables.join(" or "))]
    Missing {
        /// The model.
        name: Name,
        /// Environment variables that were looked at.
        variables: &'static [&'static str],
    },
    /// The file cannot be read.
    #[error("the key's file {file} cannot be read", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is there is no key.
    #[error("{place} holds no key: expected one word of printable ASCII")]
    Wrong {
        /// Where it was found.
        place: String,
    },
}

impl Key {
    /// Takes a key; white space around it does not count.
    ///
    /// # Errors
    /// When it is not one word of printable ASCII. `place` says in the message where it was found.
    pub fn new(text: &str, place: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Wrong {
                place: place.into(),
            });
        }
        Ok(Key(text.to_owned()))
    }

    /// Reads a key from a file.
    ///
    /// # Errors
    /// When it cannot be read or holds no key.
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(file).map_err(|source| KeyError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::new(&text, file.display().to_string())
    }

    /// The key for a model from the variables of [`Key::variables`], the first that is set; `None` where
    /// none is, for servers that want no key.
    ///
    /// # Errors
    /// When a variable is set and holds no key.
    pub fn from_environment(name: &Name) -> Result<Option<Self>, KeyError> {
        for variable in Self::variables(name) {
            if let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) {
                return Self::new(&text.to_string_lossy(), *variable).map(Some);
            }
        }
        Ok(None)
    }

    /// Environment variables that may hold a model's key. They must not get into a sandbox.
    pub fn variables(name: &Name) -> &'static [&'static str] {
        match name.provider() {
            "anthropic" => &["ANTHROPIC_API_KEY"],
            "gemini" => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            "compatible" => &["COMPATIBLE_API_KEY"],
            _ => &["OPENAI_API_KEY"],
        }
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Takes the key out of what a server says.
    pub(crate) fn hide(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::new(" sk-secret\n", "test").unwrap();
        assert_eq!(format!("{key:?}"), "Key(hidden)");
        assert_eq!(key.hide("wrong key sk-secret!"), "wrong key [key]!");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", " \n", "two words", "a\nb", "schlüssel"] {
            let error = Key::new(text, "KEY").unwrap_err().to_string();
            assert!(error.starts_with("KEY holds no key"), "{error}");
            assert!(
                text.trim().is_empty() || !error.contains(text.trim()),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_holds_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        assert!(matches!(Key::read(&file), Err(KeyError::Read { .. })));
        std::fs::write(&file, "abc\n").unwrap();
        assert_eq!(Key::read(&file).unwrap().reveal(), "abc");
    }
}
