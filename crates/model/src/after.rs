//! `Retry-After` in all its forms.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;

/// What a server asks to wait, in milliseconds; `None` where it asks for nothing that can be understood.
pub(crate) fn asked(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(|text| milliseconds(text, 1.0)) {
        return Some(wait);
    }
    let after = text("retry-after")?;
    milliseconds(after, 1_000.0).or_else(|| {
        let until = date(after)?;
        // By the server's clock, if it tells, so that ours may be wrong.
        let now = text("date").and_then(date).or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            Some(since.as_secs())
        })?;
        Some(until.saturating_sub(now).saturating_mul(1_000))
    })
}

/// A number such as `2` or `0.5`, times `unit`.
pub(crate) fn milliseconds(text: &str, unit: f64) -> Option<u64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = text.parse().ok().filter(|_| plain)?;
    Some((number * unit).ceil() as u64)
}

/// Seconds since 1970 of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text
        .split([' ', ',', ':'])
        .filter(|word| !word.is_empty())
        .collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else {
        return None;
    };
    let number = |text: &str, range: std::ops::RangeInclusive<u64>| {
        text.parse::<u64>()
            .ok()
            .filter(|number| range.contains(number))
    };
    let month = MONTHS.iter().position(|known| *known == month)? as u64;
    let (day, year) = (number(day, 1..=31)?, number(year, 1970..=9_999)?);
    let (hour, minute) = (number(hour, 0..=23)?, number(minute, 0..=59)?);
    let second = number(second, 0..=60)?;
    // Years that begin in March, so that the leap day comes last.
    let (year, month) = (year - u64::from(month < 2), (month + 10) % 12);
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&'static str, &str)], expected: Option<u64>) {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        assert_eq!(asked(&headers), expected, "{fields:?}");
    }

    #[test]
    fn every_form_is_read() {
        check(&[], None);
        check(&[("retry-after", "2")], Some(2_000));
        check(&[("retry-after", "0.25")], Some(250));
        check(
            &[("retry-after", "9"), ("retry-after-ms", "1500")],
            Some(1_500),
        );
        let now = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        check(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), now],
            Some(30_000),
        );
        check(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), now],
            Some(0),
        );
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")], Some(0));
        for wrong in [
            "soon",
            "-1",
            "inf",
            "nan",
            "1e9",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 GMT",
        ] {
            check(&[("retry-after", wrong)], None);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Tue, 24 Nov 2026 02:10:00 GMT", 1_795_486_200),
        ] {
            assert_eq!(date(text), Some(seconds), "{text}");
        }
    }
}
