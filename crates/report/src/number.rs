//! Numbers as people read them.

pub(crate) use agent::scaffold::dollars;

/// A large number in a few digits: `12k`, `4.8M`.
pub(crate) fn count(number: u64) -> String {
    agent::scaffold::count(number).replace(".0M", "M")
}

/// A number with its thousands apart: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 turn`, `2 turns`.
pub(crate) fn of(number: u64, one: &str) -> String {
    let s = match number {
        1 => "",
        _ if one.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {one}{s}", grouped(number))
}

/// How often something happened.
pub(crate) fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{} times", grouped(number)),
    }
}

/// A length in bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return of(bytes, "byte");
    }
    let mut value = bytes as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A time that something took.
pub(crate) fn time(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{:.1} s", milliseconds as f64 / 1e3),
        60_000..3_600_000 => format!(
            "{} min {:02} s",
            milliseconds / 60_000,
            milliseconds / 1000 % 60
        ),
        3_600_000..172_800_000 => format!(
            "{} h {:02} min",
            milliseconds / 3_600_000,
            milliseconds / 60_000 % 60
        ),
        _ => format!(
            "{} days {} h",
            milliseconds / 86_400_000,
            milliseconds / 3_600_000 % 24
        ),
    }
}

/// A share in per cent, on one line; it says 100 only of all, and 0 only of none.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let tenths = part as f64 * 1000.0 / whole as f64;
    let tenths = match tenths.round() as u64 {
        1000 if part < whole => 999,
        0 if part > 0 => 1,
        tenths => tenths,
    };
    if tenths.is_multiple_of(10) {
        format!("{}\u{a0}%", tenths / 10)
    } else {
        format!("{}.{}\u{a0}%", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(of(1, "turn"), "1 turn");
        assert_eq!(of(0, "stretch"), "0 stretches");
        assert_eq!(
            [times(1), times(2), times(1200)],
            ["once", "twice", "1,200 times"]
        );
        for (number, text) in [
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (99_960, "100 kB"),
            (999_600, "1.0 MB"),
            (1 << 30, "1.1 GB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        for (milliseconds, text) in [
            (12, "12 ms"),
            (1200, "1.2 s"),
            (61_000, "1 min 01 s"),
            (3_660_000, "1 h 01 min"),
            (19 * 86_400_000, "19 days 0 h"),
        ] {
            assert_eq!(time(milliseconds), text);
        }
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(9999, 10_000), "99.9\u{a0}%");
        assert_eq!(percent(10_000, 10_000), "100\u{a0}%");
        assert_eq!(percent(1, 10_000), "0.1\u{a0}%");
        assert_eq!(percent(0, 10), "0\u{a0}%");
        assert_eq!(percent(1, 3), "33.3\u{a0}%");
        assert_eq!(percent(0, 0), "-");
    }
}
