//! Secrets are taken out of what is recorded, on the way in.

/// What stands in a secret's place.
const MARK: &str = "[redacted]";
/// Shortest text that counts as a secret: shorter ones stand in ordinary text by chance.
const SHORTEST: usize = 8;

/// Texts that are never recorded: keys and passwords of the caller.
#[derive(Clone, Default)]
pub struct Redactor {
    /// As they are, and as they stand inside a JSON string.
    secrets: Vec<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.secrets.len())
    }
}

impl Redactor {
    /// Hides these texts; those shorter than eight bytes are passed over.
    pub fn new<T: AsRef<str>>(secrets: impl IntoIterator<Item = T>) -> Self {
        let mut secrets: Vec<_> = secrets
            .into_iter()
            .filter(|secret| secret.as_ref().trim().len() >= SHORTEST)
            .map(|secret| {
                let plain = secret.as_ref().trim();
                let quoted = serde_json::to_string(plain).expect("text is always JSON");
                let inside = quoted.as_bytes()[1..quoted.len() - 1].to_vec();
                (plain.as_bytes().to_vec(), inside)
            })
            .collect();
        // A secret that holds another one goes first.
        secrets.sort_by_key(|(plain, _)| std::cmp::Reverse(plain.len()));
        secrets.dedup();
        Redactor { secrets }
    }

    /// The bytes without secrets; `None` when there are none in them.
    pub(crate) fn redact(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut changed: Option<Vec<u8>> = None;
        for (plain, inside) in &self.secrets {
            for form in [plain, inside] {
                let now = changed.as_deref().unwrap_or(bytes);
                if let Some(replaced) = replace(now, form) {
                    changed = Some(replaced);
                }
            }
        }
        changed
    }

    /// Takes secrets out of a line of JSON that begins at `start`.
    pub(crate) fn redact_json(&self, line: &mut Vec<u8>, start: usize) {
        if let Some(redacted) = self.redact(&line[start..]) {
            line.truncate(start);
            line.extend_from_slice(&redacted);
        }
    }
}

fn replace(bytes: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut places = memchr::memmem::find_iter(bytes, secret).peekable();
    places.peek()?;
    let mut out = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for place in places {
        out.extend_from_slice(&bytes[done..place]);
        out.extend_from_slice(MARK.as_bytes());
        done = place + secret.len();
    }
    out.extend_from_slice(&bytes[done..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_also_of_json() {
        let redactor = Redactor::new([
            "sk-\"quoted\"-1",
            "sk-plain-key",
            "short",
            "sk-plain-key-longer",
        ]);
        let text = |bytes: &[u8]| {
            redactor
                .redact(bytes)
                .map(|out| String::from_utf8(out).unwrap())
        };
        assert_eq!(text(b"nothing short"), None);
        assert_eq!(text(b"a sk-plain-key b").as_deref(), Some("a [redacted] b"));
        assert_eq!(text(b"sk-plain-key-longer").as_deref(), Some("[redacted]"));
        assert_eq!(text(b"sk-\"quoted\"-1").as_deref(), Some("[redacted]"));
        let mut line = b"{}\n{\"x\":\"sk-\\\"quoted\\\"-1\"}".to_vec();
        redactor.redact_json(&mut line, 3);
        assert_eq!(line, b"{}\n{\"x\":\"[redacted]\"}");
    }
}
