//! What UUIDs say about themselves.

use crate::zone::{self, Zone};

/// The cells of one UUID; `None` where there is nothing to say.
pub type Row = [Option<Vec<u8>>; 4];

/// From 1582-10-15 to 1970-01-01, in units of 100 ns.
const GREGORIAN: u64 = 0x01B2_1DD2_1381_4000;

const TYPES: [&str; 9] =
    ["unknown", "time-based", "DCE", "name-based", "random", "sha1-based", "time-v6", "time-v7", "vendor"];

fn moment(seconds: u64, micros: u64, zone: &Zone) -> Vec<u8> {
    let offset = zone.offset(seconds as i64);
    let local = seconds as i64 + offset;
    let (year, month, day) = zone::date(local.div_euclid(86_400));
    let clock = local.rem_euclid(86_400);
    // The sign is that of the hours: it is lost when they are zero.
    let sign = if offset <= -3600 { '-' } else { '+' };
    let offset = offset.abs();
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02},{micros:06}{sign}{:02}:{:02}",
        clock / 3600, clock / 60 % 60, clock % 60, offset / 3600, offset / 60 % 60
    )
    .into_bytes()
}

/// The two halves of the number.
fn parse(word: &[u8]) -> Option<(u64, u64)> {
    if word.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (at, &byte) in word.iter().enumerate() {
        match at {
            8 | 13 | 18 | 23 if byte == b'-' => {}
            8 | 13 | 18 | 23 => return None,
            _ => value = value << 4 | u128::from(char::from(byte).to_digit(16)?),
        }
    }
    Some(((value >> 64) as u64, value as u64))
}

pub fn describe(word: Vec<u8>, zone: &Zone) -> Row {
    let cell = |text: &str| Some(text.as_bytes().to_vec());
    let parsed = parse(&word);
    let name = (!word.is_empty()).then_some(word);
    let Some((first, second)) = parsed else {
        return [name, cell("invalid"), cell("invalid"), cell("invalid")];
    };
    // Variants differ in how many bits are set before the first that is not.
    match second.leading_ones() {
        0 => return [name, cell("NCS"), None, None],
        1 => {}
        2 => return [name, cell("Microsoft"), None, None],
        _ => return [name, cell("other"), None, None],
    }
    let version = first >> 12 & 15;
    let (high, middle, low) = (first >> 32, first >> 16 & 0xFFFF, first & 0xFFF);
    let ticks = |count: u64| {
        let count = count.wrapping_sub(GREGORIAN);
        moment(count / 10_000_000, count % 10_000_000 / 10, zone)
    };
    let time = match version {
        1 => Some(ticks(low << 48 | middle << 32 | high)),
        6 => Some(ticks(high << 28 | middle << 12 | low)),
        7 => Some(moment((first >> 16) / 1000, (first >> 16) % 1000 * 1000, zone)),
        _ => None,
    };
    [name, cell("DCE"), cell(TYPES.get(version as usize).unwrap_or(&"unknown")), time]
}

/// At most 36 bytes make a word, and the byte after it is lost; one that the input ends with does not count.
pub fn words(input: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = input;
    loop {
        let blanks = rest.iter().take_while(|byte| b" \t\n\x0b\x0c\r".contains(byte)).count();
        rest = &rest[blanks..];
        let length = rest.iter().take(36).take_while(|byte| !b" \t\n".contains(byte)).count();
        if length == rest.len() {
            return words;
        }
        words.push(rest[..length].split(|&byte| byte == 0).next().unwrap_or(b"").to_vec());
        rest = &rest[length + 1..];
    }
}
