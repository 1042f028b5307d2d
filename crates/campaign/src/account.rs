//! What all workers of a campaign together may ask of a provider: an account on the shared directory.
//!
//! The account is a chain of entries, each a small file with the whole state after one change. Who wants to change it
//! reads the newest entry, works out the next one, and links it to the next number's name. That name can be made once
//! only, also on a network file system, so of two who try, one has to look again. There is no lock and no server: a
//! worker that dies at any instant, with its machine, holds up nobody. What it had reserved stays reserved, as a call of
//! which nobody knows what it cost stays spent in the run's own journal.
//!
//! The time of an entry is the file server's: when it made the file. So clocks of machines need not agree.
//!
//! A minute is any 60 seconds, not those of a clock: an entry has what was asked in each of the last 61 whole seconds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use agent::gate::Amount;
use serde::{Deserialize, Serialize};

use crate::error::{Error, host, io as naming};

/// Entries of one directory. A directory is removed as a whole, so that nobody makes an entry anew that was removed.
const SEGMENT: u64 = 1000;
/// Seconds of which an entry tells: a minute, and one more because they are counted whole.
const WINDOW: u64 = 61;
/// Entries that are followed one by one before the directory is listed.
const STEPS: u64 = 32;
/// Longest time that is waited before asking again, and shortest.
const LONGEST: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(100);

/// What all runs together may ask of one provider. What is missing is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Requests in any minute, those that fail and are repeated too.
    pub requests_per_minute: Option<u64>,
    /// Tokens in any minute, sent and answered; before an answer, the most that it can take.
    pub tokens_per_minute: Option<u64>,
    /// Tokens in all.
    pub tokens: Option<u64>,
    /// Price of everything, in millionths of a dollar.
    pub microdollars: Option<u64>,
}

/// What was asked in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Second {
    time: u64,
    requests: u64,
    tokens: u64,
}

/// An account after some change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// When it was made, in seconds of the file server's clock.
    time: u64,
    /// Requests in all.
    pub requests: u64,
    /// Tokens in all, and reserved.
    pub tokens: u64,
    /// Price in all, and reserved, in millionths of a dollar.
    pub microdollars: u64,
    /// What was asked of late.
    window: Vec<Second>,
    /// Who made the entry.
    by: String,
}

/// A reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    second: u64,
    most: Amount,
}

/// What an account says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is reserved.
    Granted(Grant),
    /// Too much of late: ask again after this time.
    Wait(Duration),
    /// It is more than is left in all, for this reason.
    Over(String),
}

/// A provider's account.
#[derive(Debug)]
pub struct Account {
    dir: PathBuf,
    limits: Limits,
    by: String,
    /// Number of the newest entry that was seen.
    seen: Mutex<u64>,
}

impl State {
    fn pass_to(&mut self, now: u64) {
        self.time = self.time.max(now);
        let time = self.time;
        self.window.retain(|second| second.time + WINDOW > time);
    }

    /// Time until so little of the window is left that `more` fits below `limit`.
    fn wait(&self, of: fn(&Second) -> u64, more: u64, limit: Option<u64>) -> Option<Duration> {
        let limit = limit?;
        let mut used: u64 = self.window.iter().map(of).sum();
        let mut until = None;
        for second in &self.window {
            if used.saturating_add(more) <= limit {
                break;
            }
            used -= of(second);
            until = Some(second.time + WINDOW);
        }
        let left = until?.saturating_sub(self.time);
        Some(Duration::from_secs(left).clamp(SHORTEST, LONGEST))
    }

    fn ask(&mut self, limits: &Limits, most: Amount) -> Need {
        let over = |used: u64, more: u64, limit: Option<u64>| {
            limit.filter(|limit| used.saturating_add(more) > *limit)
        };
        if let Some(limit) = over(self.microdollars, most.microdollars, limits.microdollars) {
            return Need::Over(format!(
                "of ${:.2} in all, ${:.2} are spent or reserved, and the next request may cost ${:.2}",
                limit as f64 / 1e6,
                self.microdollars as f64 / 1e6,
                most.microdollars as f64 / 1e6
            ));
        }
        if let Some(limit) = over(self.tokens, most.tokens, limits.tokens) {
            return Need::Over(format!(
                "of {limit} tokens in all, {} are spent or reserved, and the next request may take {}",
                self.tokens, most.tokens
            ));
        }
        if let Some(limit) = over(0, most.tokens, limits.tokens_per_minute) {
            return Need::Over(format!(
                "one request may take {} tokens, and {limit} a minute are allowed: raise tokens-per-minute, or lower \
                 max-output or compact-at",
                most.tokens
            ));
        }
        let waits = [
            self.wait(|second| second.requests, 1, limits.requests_per_minute),
            self.wait(
                |second| second.tokens,
                most.tokens,
                limits.tokens_per_minute,
            ),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Need::Wait(wait);
        }
        if limits.requests_per_minute == Some(0) {
            return Need::Wait(LONGEST);
        }
        self.requests += 1;
        self.tokens = self.tokens.saturating_add(most.tokens);
        self.microdollars = self.microdollars.saturating_add(most.microdollars);
        let second = self.time;
        match self.window.last_mut() {
            Some(last) if last.time == second => {
                last.requests += 1;
                last.tokens = last.tokens.saturating_add(most.tokens);
            }
            _ => self.window.push(Second {
                time: second,
                requests: 1,
                tokens: most.tokens,
            }),
        }
        Need::Granted(Grant { second, most })
    }

    fn settle(&mut self, grant: Grant, amount: Amount) {
        let turn = |total: u64, reserved: u64, taken: u64| {
            total.saturating_sub(reserved).saturating_add(taken)
        };
        self.tokens = turn(self.tokens, grant.most.tokens, amount.tokens);
        self.microdollars = turn(
            self.microdollars,
            grant.most.microdollars,
            amount.microdollars,
        );
        let second = self.window.iter_mut().find(|s| s.time == grant.second);
        if let Some(second) = second {
            second.tokens = turn(second.tokens, grant.most.tokens, amount.tokens);
        }
    }
}

impl Account {
    /// Opens the account in `dir`, which is made. `by` says who asks, for people who look into it.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(dir: &Path, limits: Limits, by: &str) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(naming("make", dir))?;
        Ok(Account {
            dir: dir.to_owned(),
            limits,
            by: by.to_owned(),
            seen: Mutex::new(0),
        })
    }

    /// Reserves what a request takes at most.
    ///
    /// # Errors
    /// When the account cannot be read or written.
    pub fn ask(&self, most: Amount) -> Result<Need, Error> {
        self.change(|state| {
            let need = state.ask(&self.limits, most);
            let is_granted = matches!(need, Need::Granted(_));
            (need, is_granted)
        })
    }

    /// Puts what a request took in place of what was reserved.
    ///
    /// # Errors
    /// When the account cannot be read or written; the reservation stays.
    pub fn settle(&self, grant: Grant, amount: Amount) -> Result<(), Error> {
        self.change(|state| {
            state.settle(grant, amount);
            ((), true)
        })
    }

    /// The account as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn state(&self) -> Result<State, Error> {
        Ok(self.newest()?.1)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.dir.join((number / SEGMENT).to_string())
    }

    fn entry(&self, number: u64) -> PathBuf {
        self.segment(number).join(number.to_string())
    }

    /// The highest number that names something in a directory.
    fn highest(dir: &Path) -> Result<Option<u64>, Error> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(naming("read", dir))?,
        };
        let mut highest = None;
        for entry in entries {
            let name = entry.map_err(naming("read", dir))?.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            highest = highest.max(number);
        }
        Ok(highest)
    }

    /// Number of the newest entry, found by looking at all names.
    fn list(&self) -> Result<u64, Error> {
        let mut segment = Self::highest(&self.dir)?;
        while let Some(number) = segment {
            if let Some(entry) = Self::highest(&self.dir.join(number.to_string()))? {
                return Ok(entry);
            }
            // It was made for an entry that is not there yet.
            segment = number.checked_sub(1);
        }
        Ok(0)
    }

    fn newest(&self) -> Result<(u64, State), Error> {
        let mut number = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut steps = 0;
        while number > 0 && steps < STEPS && self.entry(number + 1).exists() {
            number += 1;
            steps += 1;
        }
        if number == 0 || steps == STEPS || !self.entry(number).exists() {
            number = self.list()?;
        }
        let newest = number;
        loop {
            if number == 0 {
                return Ok((newest, State::default()));
            }
            let path = self.entry(number);
            match fs::read(&path).map(|text| serde_json::from_slice(&text)) {
                Ok(Ok(state)) => {
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = newest;
                    return Ok((newest, state));
                }
                // Nobody links what is not whole; but a power failure may keep the name and lose the content.
                Ok(Err(_)) => number -= 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound && number < newest => {
                    return Err(Error::Damaged {
                        path,
                        reason: "no entry of the account can be read".to_owned(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Its directory was removed meanwhile: there are newer ones.
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = 0;
                    return self.newest();
                }
                Err(error) => return Err(naming("read", &path)(error)),
            }
        }
    }

    /// Changes the account, unless `change` says that there is nothing to be changed.
    fn change<T>(&self, mut change: impl FnMut(&mut State) -> (T, bool)) -> Result<T, Error> {
        loop {
            let (number, mut state) = self.newest()?;
            let next = number + 1;
            let begins = next % SEGMENT == 0 || number == 0;
            let segment = self.segment(next);
            if begins {
                fs::create_dir_all(&segment).map_err(naming("make", &segment))?;
            }
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .map_err(|error| naming("read", Path::new("/dev/urandom"))(error.into()))?;
            let new = segment.join(format!("new-{:016x}", u64::from_ne_bytes(random)));
            let made = fs::File::create_new(&new).and_then(|file| {
                let time = file.metadata()?.modified()?;
                Ok((file, time))
            });
            let (mut file, time) = match made {
                // The directory was removed: this process slept for long.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = 0;
                    continue;
                }
                made => made.map_err(naming("make", &new))?,
            };
            let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            state.pass_to(time.as_secs());
            let (answer, is_change) = change(&mut state);
            if !is_change {
                let _ = fs::remove_file(&new);
                return Ok(answer);
            }
            state.by = format!("{} on {}", self.by, host());
            let text = serde_json::to_vec(&state).expect("a state is always JSON");
            let entry = self.entry(next);
            let linked =
                io::Write::write_all(&mut file, &text).and_then(|()| fs::hard_link(&new, &entry));
            let won = match linked {
                Ok(()) => true,
                // The answer of a network file system may have been lost, and the question asked twice.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    links(&new) == Some(2)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => {
                    let _ = fs::remove_file(&new);
                    return Err(naming("write", &entry)(error));
                }
            };
            let _ = fs::remove_file(&new);
            if !won {
                continue;
            }
            if begins {
                // Whoever slept for long may have made a directory anew that was removed.
                if Self::highest(&self.dir)? > Some(next / SEGMENT) {
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = 0;
                    let _ = fs::remove_dir_all(&segment);
                    continue;
                }
                self.forget((next / SEGMENT).checked_sub(2));
            }
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = next;
            return Ok(answer);
        }
    }

    /// Removes an old directory of entries: first its name, so that nobody can make an entry in it.
    fn forget(&self, segment: Option<u64>) {
        if let Some(segment) = segment {
            let old = self.dir.join(format!("old-{segment}"));
            if fs::rename(self.dir.join(segment.to_string()), &old).is_ok() {
                let _ = fs::remove_dir_all(&old);
            }
        }
    }
}

/// Number of names that a file has.
fn links(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|data| data.nlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(tokens: u64, microdollars: u64) -> Amount {
        Amount {
            tokens,
            microdollars,
        }
    }

    #[test]
    fn any_minute_holds_no_more_than_is_allowed() {
        let limits = Limits {
            requests_per_minute: Some(10),
            tokens_per_minute: Some(1_000),
            ..Limits::default()
        };
        let mut state = State::default();
        let mut granted = Vec::new();
        // A request every half second for five minutes, of tokens that vary.
        for half in 0..600_u64 {
            let now = 1_000 + half / 2;
            state.pass_to(now);
            let tokens = 60 + half % 7 * 30;
            match state.ask(&limits, amount(tokens, 0)) {
                Need::Granted(grant) => {
                    granted.push((now, tokens));
                    // Some take less, and more fits.
                    if half % 3 == 0 {
                        state.settle(grant, amount(tokens / 2, 0));
                        granted.last_mut().unwrap().1 = tokens / 2;
                    }
                }
                Need::Wait(time) => assert!(time >= SHORTEST && time <= LONGEST),
                Need::Over(why) => panic!("{why}"),
            }
        }
        for from in 1_000..1_300 {
            let within = granted
                .iter()
                .filter(|(at, _)| (from..from + 60).contains(at));
            assert!(within.clone().count() <= 10);
            assert!(within.map(|(_, tokens)| tokens).sum::<u64>() <= 1_000);
        }
        assert!(granted.len() > 30, "{}", granted.len());
        assert!(state.window.len() <= 61);
    }

    #[test]
    fn what_is_left_in_all_is_not_passed() {
        let limits = Limits {
            microdollars: Some(1_000_000),
            tokens: Some(5_000),
            ..Limits::default()
        };
        let mut state = State::default();
        let Need::Granted(grant) = state.ask(&limits, amount(100, 900_000)) else {
            panic!("there is room");
        };
        let Need::Over(why) = state.ask(&limits, amount(100, 200_000)) else {
            panic!("there is no room");
        };
        assert_eq!(
            why,
            "of $1.00 in all, $0.90 are spent or reserved, and the next request may cost $0.20"
        );
        state.settle(grant, amount(50, 100_000));
        assert_eq!((state.tokens, state.microdollars), (50, 100_000));
        assert!(matches!(
            state.ask(&limits, amount(100, 200_000)),
            Need::Granted(_)
        ));
        assert!(matches!(
            state.ask(&limits, amount(5_000, 0)),
            Need::Over(_)
        ));
    }

    #[test]
    fn many_share_an_account_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            tokens: Some(2_000),
            ..Limits::default()
        };
        // Enough for directories to be begun and removed.
        let granted: u64 = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|worker| {
                    let dir = dir.path();
                    scope.spawn(move || {
                        let account = Account::open(dir, limits, &format!("worker {worker}"));
                        let account = account.unwrap();
                        let mut granted = 0;
                        loop {
                            match account.ask(amount(2, 1)).unwrap() {
                                Need::Granted(grant) => {
                                    granted += 1;
                                    account.settle(grant, amount(1, 1)).unwrap();
                                }
                                Need::Over(_) => return granted,
                                Need::Wait(_) => panic!("nothing is to be waited for"),
                            }
                        }
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum()
        });
        let account = Account::open(dir.path(), limits, "a reader").unwrap();
        let state = account.state().unwrap();
        assert_eq!((state.requests, state.tokens), (granted, granted));
        assert_eq!(state.microdollars, granted);
        // The last ones may have met reservations of the others.
        assert!((1_990..=2_000).contains(&granted), "{granted}");
        assert!(fs::read_dir(dir.path()).unwrap().count() <= 3);
    }

    #[test]
    fn an_entry_without_content_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let account = Account::open(dir.path(), Limits::default(), "a").unwrap();
        for _ in 0..3 {
            account.ask(amount(1, 1)).unwrap();
        }
        fs::write(dir.path().join("0/3"), "").unwrap();
        let account = Account::open(dir.path(), Limits::default(), "b").unwrap();
        assert_eq!(account.state().unwrap().requests, 2);
        account.ask(amount(1, 1)).unwrap();
        assert_eq!(account.state().unwrap().requests, 3);
        assert!(dir.path().join("0/4").exists());
    }
}
