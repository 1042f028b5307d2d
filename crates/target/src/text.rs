//! Strings with `${name}` in them.

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<P> {
    /// Text that stands for itself.
    Literal(Vec<u8>),
    /// A value from a pool.
    Pool(P),
}

/// A string in its parts; `P` is how pools are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<P>(pub(crate) Vec<Piece<P>>);

impl<P> Text<P> {
    /// The pool, when the text is exactly one placeholder.
    pub(crate) fn alone(&self) -> Option<&P> {
        match &self.0[..] {
            [Piece::Pool(pool)] => Some(pool),
            _ => None,
        }
    }

    /// Every pool that the text names.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &P> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Pool(pool) => Some(pool),
            Piece::Literal(_) => None,
        })
    }

    /// The same text with pools named otherwise.
    pub(crate) fn resolve<Q, E>(
        self,
        mut named: impl FnMut(P) -> Result<Q, E>,
    ) -> Result<Text<Q>, E> {
        let resolve = |piece| match piece {
            Piece::Literal(bytes) => Ok(Piece::Literal(bytes)),
            Piece::Pool(pool) => named(pool).map(Piece::Pool),
        };
        self.0
            .into_iter()
            .map(resolve)
            .collect::<Result<_, _>>()
            .map(Text)
    }
}

/// Whether a pool may have this name.
pub(crate) fn is_pool_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Splits a string at its placeholders. `$${` is a literal `${`; every other `$` stands for itself.
pub(crate) fn parse(string: &str) -> Result<Text<String>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = string;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        let after = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = after;
            continue;
        }
        literal.push_str(before);
        let name = after
            .split_once('}')
            .map(|(name, _)| name)
            .filter(|name| is_pool_name(name));
        let Some(name) = name else {
            let shown: String = after.chars().take(16).collect();
            return Err(format!(
                "\"${{{}\" is no placeholder: write ${{name}} with letters, digits, - and _ only, or $${{ for a literal ${{",
                shown.escape_debug()
            ));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into_bytes()));
        }
        pieces.push(Piece::Pool(name.to_owned()));
        rest = &after[name.len() + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into_bytes()));
    }
    Ok(Text(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(string: &str) -> String {
        match parse(string) {
            Err(error) => format!("error: {error}"),
            Ok(text) => text
                .0
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(bytes) => format!("[{}]", String::from_utf8_lossy(bytes)),
                    Piece::Pool(name) => format!("<{name}>"),
                })
                .collect(),
        }
    }

    #[test]
    fn placeholders() {
        for (string, expected) in [
            ("", ""),
            ("plain $x {y} $", "[plain $x {y} $]"),
            ("${a}", "<a>"),
            ("x${a-1}${b_2}y", "[x]<a-1><b_2>[y]"),
            ("$${a}", "[${a}]"),
            ("$$${a}", "[$${a}]"),
            ("{${a}}", "[{]<a>[}]"),
        ] {
            assert_eq!(shown(string), expected, "{string}");
        }
        for string in ["${", "x ${a b}", "${}", "${é}"] {
            assert!(shown(string).contains("is no placeholder"), "{string}");
        }
    }
}
