//! Time zones as POSIX writes them in `TZ`. One that does not begin as such is UTC.

use std::os::unix::ffi::OsStrExt;

const DAY: i64 = 86_400;

#[derive(Clone, Copy)]
enum On {
    /// A day from 1 to 365; 29 February is never counted.
    Julian(i64),
    /// A day from 0.
    Count(i64),
    /// A weekday of a week of a month; week 5 is the last.
    Month(i64, i64, i64),
}

/// When the clock changes in a year, and how many seconds into that day.
#[derive(Clone, Copy)]
struct Change {
    on: On,
    seconds: i64,
}

/// Offsets in seconds east of Greenwich; `summer` holds a second one, its begin and its end.
#[derive(Default)]
pub struct Zone {
    standard: i64,
    summer: Option<(i64, Change, Change)>,
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn next(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    /// How many of the next bytes are allowed; they are passed over.
    fn pass(&mut self, allowed: impl Fn(u8) -> bool) -> usize {
        let count = self.0.iter().take_while(|&&byte| allowed(byte)).count();
        self.0 = &self.0[count..];
        count
    }

    fn name(&mut self) -> Option<()> {
        let start = self.0;
        let good = if self.next(b'<') {
            self.pass(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte)) >= 3 && self.next(b'>')
        } else {
            self.pass(|byte| byte.is_ascii_alphabetic()) >= 3
        };
        if !good {
            self.0 = start;
        }
        good.then_some(())
    }

    fn number(&mut self) -> Option<i64> {
        let start = self.0;
        let count = self.pass(|byte| byte.is_ascii_digit());
        let digits = &start[..count];
        let value = digits.iter().fold(0, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 30));
        (count > 0).then_some(value)
    }

    /// Hours, minutes and seconds with a sign; more than `most` hours are `most`.
    fn clock(&mut self, most: i64) -> Option<i64> {
        let start = self.0;
        let negative = self.next(b'-');
        if !negative {
            self.next(b'+');
        }
        let Some(hours) = self.number() else {
            self.0 = start;
            return None;
        };
        let mut seconds = hours.min(most) * 3600;
        for unit in [60, 1] {
            let before = self.0;
            let part = if self.next(b':') { self.number() } else { None };
            let Some(part) = part else {
                self.0 = before;
                break;
            };
            seconds += part.min(59) * unit;
        }
        Some(if negative { -seconds } else { seconds })
    }

    /// A change, or the usual one where the text ends.
    fn change(&mut self, usual: On) -> Option<Change> {
        self.next(b',');
        if self.0.is_empty() {
            return Some(Change { on: usual, seconds: 7200 });
        }
        let on = if self.next(b'J') {
            On::Julian(self.number().filter(|day| (1..=365).contains(day))?)
        } else if self.next(b'M') {
            let month = self.number().filter(|month| (1..=12).contains(month))?;
            let dotted = self.next(b'.');
            let week = self.number().filter(|week| dotted && (1..=5).contains(week))?;
            let dotted = self.next(b'.');
            On::Month(month, week, self.number().filter(|day| dotted && *day <= 6)?)
        } else {
            On::Count(self.number().filter(|day| *day <= 365)?)
        };
        let given = if self.next(b'/') { self.clock(1 << 16) } else { None };
        matches!(self.0, [] | [b',', ..]).then_some(Change { on, seconds: given.unwrap_or(7200) })
    }
}

impl Zone {
    pub fn of_environment() -> Self {
        let text = std::env::var_os("TZ").unwrap_or_default();
        let text = text.as_bytes();
        Self::read(text.strip_prefix(b":").unwrap_or(text)).unwrap_or_default()
    }

    fn read(text: &[u8]) -> Option<Self> {
        let mut reader = Reader(text);
        reader.name()?;
        let standard = -reader.clock(24)?;
        if reader.0.is_empty() {
            return Some(Self { standard, summer: None });
        }
        // From here on what can be read counts. Where nothing can, the clock of summer is that of UTC, and both changes
        // are at the year's begin: the greater of the two offsets decides which clock the year has.
        let daylight = match reader.name() {
            Some(()) => reader.clock(24).map_or(standard + 3600, |offset| -offset),
            None => 0,
        };
        let unread = Change { on: On::Count(0), seconds: 0 };
        let begin = reader.change(On::Month(3, 2, 0));
        let end = begin.and_then(|_| reader.change(On::Month(11, 1, 0)));
        Some(Self { standard, summer: Some((daylight, begin.unwrap_or(unread), end.unwrap_or(unread))) })
    }

    pub fn offset(&self, seconds: i64) -> i64 {
        let Some((daylight, begin, end)) = self.summer else {
            return self.standard;
        };
        let (year, _, _) = date(seconds.div_euclid(DAY));
        let begin = begin.of(year) - self.standard;
        let end = end.of(year) - daylight;
        let summer = if begin > end { seconds < end || seconds >= begin } else { (begin..end).contains(&seconds) };
        if summer { daylight } else { self.standard }
    }
}

impl Change {
    /// In seconds of the local clock since 1970.
    fn of(self, year: i64) -> i64 {
        let first = days(year, 1, 1);
        let leap = days(year + 1, 1, 1) - first == 366;
        let day = match self.on {
            On::Julian(day) => first + day - 1 + i64::from(leap && day >= 60),
            On::Count(day) => first + day,
            On::Month(month, week, weekday) => {
                let start = days(year, month, 1);
                let mut day = start + (weekday - (start + 4)).rem_euclid(7) + 7 * (week - 1);
                while day >= days(year, month + 1, 1) {
                    day -= 7;
                }
                day
            }
        };
        day * DAY + self.seconds
    }
}

/// Days from 1970-01-01 to a date; the month may be 13.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
    let (year, month) = if month <= 2 { (year - 1, month + 12) } else { (year, month) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * (month - 3) + 2) / 5 + day - 719_469
}

/// Year, month and day of a day counted from 1970-01-01.
pub fn date(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    while days(year, 1, 1) > day {
        year -= 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap_or(1);
    (year, month, day - days(year, month, 1) + 1)
}
