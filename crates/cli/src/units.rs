//! Numbers as people write them: `50M`, `12h`, `25`.

/// Tokens or turns: `1200`, `50k`, `50M`, `1.5M`, `1G`.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M' | 'm')) => (&text[..at], 1e6),
        Some((at, 'G' | 'g' | 'B')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    scaled(number, factor).ok_or("expected a number such as 1200, 50k or 1.5M".to_owned())
}

/// Time in seconds: `90`, `90s`, `30m`, `12h`, `19d`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        Some((at, 'd')) => (&text[..at], 86_400.0),
        _ => (text, 1.0),
    };
    scaled(number, factor).ok_or("expected a time such as 90s, 30m, 12h or 19d".to_owned())
}

/// Dollars, in millionths: `25`, `0.50`.
pub(crate) fn dollars(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('$').unwrap_or(text);
    scaled(number, 1e6).ok_or("expected dollars, such as 25 or 0.50".to_owned())
}

fn scaled(number: &str, factor: f64) -> Option<u64> {
    let plain = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = number.parse::<f64>().ok().filter(|_| plain)? * factor;
    (value > 0.0 && value < 1e18).then_some(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        assert_eq!(count("50M"), Ok(50_000_000));
        assert_eq!(count("1.5k"), Ok(1_500));
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(dollars("$0.50"), Ok(500_000));
        for wrong in ["", "M", "-1", "1e3", "ten", "0", "NaN", "inf", "1hh"] {
            assert!(count(wrong).is_err() && seconds(wrong).is_err(), "{wrong}");
        }
    }
}
