//! Tokens: who may do what. Of a token only the hash is kept.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bundle::PublicKey;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::audit::note;
use super::{Store, StoreError, now};

/// Longest name, in bytes.
const LONGEST_NAME: usize = 64;
/// How every token begins, so that one in a wrong place is recognised.
const BEGIN: &str = "mirrorcode_";

/// What a token's owner may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at what a private server shows.
    Reader,
    /// Submit bundles, and see what became of them.
    Submitter,
    /// See all submissions and the audit log, try again, withdraw, make and revoke tokens.
    Admin,
}

impl Role {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Submitter => "submitter",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Role::Reader, Role::Submitter, Role::Admin]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| "a role is reader, submitter or admin".to_owned())
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Public key that bundles have to be signed with.
    pub key: Option<String>,
    /// When it was made.
    pub created: String,
    /// When it was revoked.
    pub revoked: Option<String>,
}

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// What is kept of it.
    pub token: Token,
    /// The token itself, which is nowhere else.
    pub secret: String,
}

fn hash(secret: &str) -> Vec<u8> {
    // A token has 256 random bits: no dictionary holds it, so a fast hash is enough.
    Sha256::digest(secret).to_vec()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Token> {
    let role: String = row.get(1)?;
    Ok(Token {
        name: row.get(0)?,
        role: role.parse().map_err(|error: String| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into())
        })?,
        key: row.get(2)?,
        created: row.get(3)?,
        revoked: row.get(4)?,
    })
}

const COLUMNS: &str = "name, role, key, created, revoked";

impl Store {
    /// Makes a token. `who` is said in the audit log; `key` is a public key of minisign.
    ///
    /// # Errors
    /// When the name is taken or none, the key is none or missing where it is needed, or the database refuses.
    pub fn add_token(
        &self,
        who: &str,
        name: &str,
        role: Role,
        key: Option<&str>,
    ) -> Result<Created, StoreError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            return Err(StoreError::TokenName(name.to_owned()));
        }
        if role == Role::Submitter && key.is_none() {
            return Err(StoreError::NoKey);
        }
        if let Some(key) = key {
            PublicKey::parse(key).map_err(|error| StoreError::BadKey(error.to_string()))?;
        }
        let mut random = [0; 32];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(
            |error| StoreError::Io {
                path: "/dev/urandom".into(),
                source: error.into(),
            },
        )?;
        let secret = format!("{BEGIN}{}", URL_SAFE_NO_PAD.encode(random));
        let token = Token {
            name: name.to_owned(),
            role,
            key: key.map(|key| key.trim().to_owned()),
            created: now(),
            revoked: None,
        };
        let added = self.change(|connection| {
            let added = connection.execute(
                "INSERT INTO tokens (name, role, hash, key, created) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                params![token.name, role.name(), hash(&secret), token.key, token.created],
            )?;
            if added > 0 {
                note(connection, who, "token-added", name, role.name())?;
            }
            Ok(added)
        })?;
        if added == 0 {
            return Err(StoreError::TokenExists(name.to_owned()));
        }
        Ok(Created { token, secret })
    }

    /// Takes a token out of force. Its name stays taken, since the audit log names it.
    ///
    /// # Errors
    /// When there is none in force, or the database refuses.
    pub fn revoke_token(&self, who: &str, name: &str) -> Result<(), StoreError> {
        let changed = self.change(|connection| {
            let changed = connection.execute(
                "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL",
                params![now(), name],
            )?;
            if changed > 0 {
                note(connection, who, "token-revoked", name, "")?;
            }
            Ok(changed)
        })?;
        if changed == 0 {
            return Err(StoreError::NoToken(name.to_owned()));
        }
        Ok(())
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let connection = self.lock();
        let list = || {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens ORDER BY name"))?;
            let rows = statement.query_map([], read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().map_err(|error| self.failed(error))
    }

    /// The token in force that a caller shows.
    pub(crate) fn token_of(&self, secret: &str) -> Result<Option<Token>, StoreError> {
        if !secret.starts_with(BEGIN) {
            return Ok(None);
        }
        let connection = self.lock();
        let find = || {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM tokens WHERE hash = ? AND revoked IS NULL"
                ))?
                .query_row(params![hash(secret)], read)
                .optional()
        };
        find().map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_until_it_is_revoked_and_kept_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let created = store
            .add_token("operator", "lab", Role::Reader, None)
            .unwrap();
        assert_eq!(
            store.token_of(&created.secret).unwrap(),
            Some(created.token.clone())
        );
        assert_eq!(store.token_of("mirrorcode_wrong").unwrap(), None);
        assert_eq!(store.token_of("").unwrap(), None);
        let again = store.add_token("operator", "lab", Role::Admin, None);
        assert!(matches!(again, Err(StoreError::TokenExists(_))));
        let keyless = store.add_token("operator", "other", Role::Submitter, None);
        assert!(matches!(keyless, Err(StoreError::NoKey)));
        let bad = store.add_token("operator", "other", Role::Submitter, Some("nonsense"));
        assert!(matches!(bad, Err(StoreError::BadKey(_))));
        for name in ["", "a b", "a/b", &"a".repeat(65)] {
            let named = store.add_token("operator", name, Role::Reader, None);
            assert!(matches!(named, Err(StoreError::TokenName(_))), "{name}");
        }
        store.revoke_token("operator", "lab").unwrap();
        assert_eq!(store.token_of(&created.secret).unwrap(), None);
        assert!(store.revoke_token("operator", "lab").is_err());
        assert_eq!(store.tokens().unwrap().len(), 1);
        drop(store);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let secret = created.secret.as_bytes();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}
