//! Numbers as people write them in a campaign's file: plain, or as text with a unit.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A number with the units that its kind allows.
trait Unit {
    const EXPECTED: &'static str;
    /// The factor of a unit; the empty one is the plain number's.
    fn factor(unit: &str) -> Option<f64>;
}

struct Scaled<U>(std::marker::PhantomData<U>);

impl<U: Unit> Scaled<U> {
    fn scale<E: Error>(value: f64, unit: &str, unexpected: Unexpected<'_>) -> Result<u64, E> {
        let factor = U::factor(unit).ok_or_else(|| E::invalid_value(unexpected, &U::EXPECTED))?;
        let value = value * factor;
        if value > 0.0 && value < 1e18 {
            Ok(value.round() as u64)
        } else {
            Err(E::invalid_value(unexpected, &U::EXPECTED))
        }
    }
}

impl<U: Unit> Visitor<'_> for Scaled<U> {
    type Value = u64;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(U::EXPECTED)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        Self::scale(value as f64, "", Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        Self::scale(value, "", Unexpected::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let end = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number = end.strip_prefix('$').unwrap_or(end);
        let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = number.parse::<f64>().ok().filter(|_| plain);
        let value = value.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &U::EXPECTED))?;
        Self::scale(value, &text[end.len()..], Unexpected::Str(text))
    }
}

struct Count;
impl Unit for Count {
    const EXPECTED: &'static str = "a number such as 1200, \"50k\" or \"1.5M\"";
    fn factor(unit: &str) -> Option<f64> {
        match unit {
            "" => Some(1.0),
            "k" | "K" => Some(1e3),
            "M" | "m" => Some(1e6),
            "G" | "B" => Some(1e9),
            _ => None,
        }
    }
}

struct Seconds;
impl Unit for Seconds {
    const EXPECTED: &'static str = "a time such as 90, \"30m\", \"12h\" or \"19d\"";
    fn factor(unit: &str) -> Option<f64> {
        match unit {
            "" | "s" => Some(1.0),
            "m" => Some(60.0),
            "h" => Some(3600.0),
            "d" => Some(86_400.0),
            _ => None,
        }
    }
}

struct Dollars;
impl Unit for Dollars {
    const EXPECTED: &'static str = "dollars, such as 25 or 0.50";
    fn factor(unit: &str) -> Option<f64> {
        unit.is_empty().then_some(1e6)
    }
}

struct Mebibytes;
impl Unit for Mebibytes {
    const EXPECTED: &'static str = "memory, such as \"4G\" or \"512M\"";
    fn factor(unit: &str) -> Option<f64> {
        match unit {
            "M" => Some(1.0),
            "G" => Some(1024.0),
            "T" => Some(1024.0 * 1024.0),
            _ => None,
        }
    }
}

fn read<'de, U: Unit, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from.deserialize_any(Scaled::<U>(std::marker::PhantomData))
        .map(Some)
}

/// Tokens, requests or turns.
pub(crate) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    read::<Count, D>(from)
}

/// Time, in seconds.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    read::<Seconds, D>(from)
}

/// Dollars, in millionths.
pub(crate) fn dollars<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    read::<Dollars, D>(from)
}

/// Memory, in MiB.
pub(crate) fn mebibytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    read::<Mebibytes, D>(from)
}

/// A list, or one entry of it.
pub(crate) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Words::deserialize(from)? {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    })
}
