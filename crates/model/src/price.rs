//! What tokens cost.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Name, Usage};

const BUILT_IN: &str = include_str!("../prices.toml");

/// Prices of models by name, each with its date and source.
#[derive(Clone, Debug)]
pub struct Prices(BTreeMap<String, Price>);

/// What a model's tokens cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// When the price was looked up, as `YYYY-MM-DD`.
    pub date: String,
    /// Where.
    pub source: String,
    /// The most tokens that the model reads, where that is known.
    pub context: Option<u64>,
    rates: Rates,
    /// From how many tokens of a request on it is charged at other rates; the largest first.
    above: Vec<(u64, Rates)>,
}

/// Prices by kind in picodollars for a token, which are microdollars for a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    cache_write_hour: u64,
    output: u64,
}

/// A model without a price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no price is known for {name}, so a limit on cost cannot hold: add it to a file of prices, or run without that limit"
)]
pub struct UnknownPrice {
    /// The model.
    pub name: Name,
}

/// A file of prices that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// It cannot be read.
    #[error("the prices in {file} cannot be read", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what such a file should be.
    #[error("the prices in {place} are wrong: {what}")]
    Wrong {
        /// Where they stand.
        place: String,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    date: String,
    source: String,
    #[serde(default)]
    model: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    context: Option<u64>,
    input: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_hour: Option<f64>,
    output: f64,
    #[serde(default)]
    above: Vec<Above>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Above {
    tokens: u64,
    input: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_hour: Option<f64>,
    output: f64,
}

impl Prices {
    /// The prices that come with the program.
    ///
    /// # Errors
    /// Never, as a test makes sure.
    pub fn built_in() -> Result<Self, PriceError> {
        Self::parse(BUILT_IN, "the built-in table")
    }

    /// Reads prices; `place` says in an error's message where they stand.
    ///
    /// # Errors
    /// When they are not what they should be.
    pub fn parse(text: &str, place: &str) -> Result<Self, PriceError> {
        let wrong = |what: String| PriceError::Wrong {
            place: place.to_owned(),
            what,
        };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let dated = file.date.len() == 10
            && file
                .date
                .bytes()
                .enumerate()
                .all(|(index, byte)| match index {
                    4 | 7 => byte == b'-',
                    _ => byte.is_ascii_digit(),
                });
        if !dated || file.source.trim().is_empty() {
            return Err(wrong(
                "expected `date` as YYYY-MM-DD and a `source`".to_owned(),
            ));
        }
        let mut prices = BTreeMap::new();
        for entry in file.model {
            let name: Name = entry
                .name
                .parse()
                .map_err(|error| wrong(format!("{error}")))?;
            let rates = Rates::new(
                entry.input,
                [entry.cache_read, entry.cache_write, entry.cache_write_hour],
                entry.output,
            );
            let mut above = Vec::new();
            for tier in entry.above {
                let rates = Rates::new(
                    tier.input,
                    [tier.cache_read, tier.cache_write, tier.cache_write_hour],
                    tier.output,
                );
                above.push((
                    tier.tokens,
                    rates.map_err(|what| wrong(format!("{name}: {what}")))?,
                ));
            }
            above.sort_by_key(|(tokens, _)| std::cmp::Reverse(*tokens));
            let price = Price {
                date: file.date.clone(),
                source: file.source.clone(),
                context: entry.context,
                rates: rates.map_err(|what| wrong(format!("{name}: {what}")))?,
                above,
            };
            if prices.insert(key(&name), price).is_some() {
                return Err(wrong(format!("{name} has two prices")));
            }
        }
        Ok(Prices(prices))
    }

    /// Reads prices from a file.
    ///
    /// # Errors
    /// When it cannot be read, or they are not what they should be.
    pub fn open(file: &Path) -> Result<Self, PriceError> {
        let text = std::fs::read_to_string(file).map_err(|source| PriceError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(&text, &file.display().to_string())
    }

    /// Lets other prices take the place of these, model by model.
    #[must_use]
    pub fn overridden_by(mut self, other: Prices) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The price of a model.
    ///
    /// # Errors
    /// When it has none here. A run that has a limit on its cost must not start then.
    pub fn price(&self, name: &Name) -> Result<&Price, UnknownPrice> {
        self.0
            .get(&key(name))
            .ok_or_else(|| UnknownPrice { name: name.clone() })
    }
}

/// OpenAI's two dialects cost the same.
fn key(name: &Name) -> String {
    match name.provider() {
        "openai-chat" => format!("openai/{}", name.model()),
        _ => name.to_string(),
    }
}

impl Rates {
    fn new(input: f64, caches: [Option<f64>; 3], output: f64) -> Result<Self, String> {
        let [read, write, hour] = caches.map(|price| rate(price.unwrap_or(input)));
        Ok(Rates {
            input: rate(input)?,
            cache_read: read?,
            cache_write: write?,
            cache_write_hour: hour?,
            output: rate(output)?,
        })
    }
}

/// Picodollars for a token from dollars for a million.
fn rate(dollars: f64) -> Result<u64, String> {
    let rate = (dollars * 1e6).round();
    // The largest price of today is 600 dollars; a million is a mistake.
    let fits = (0.0..=1e12).contains(&rate) && (rate / 1e6 - dollars).abs() < 1e-9;
    let wrong =
        || format!("{dollars} is no price: expected dollars for a million tokens, to six places");
    fits.then_some(rate as u64).ok_or_else(wrong)
}

impl Price {
    /// What one request and its reply cost, rounded up to a nanodollar. Long requests may cost more for each
    /// token, so usage must not be added up before.
    pub fn cost(&self, usage: &Usage) -> Cost {
        let tier = self
            .above
            .iter()
            .find(|(tokens, _)| usage.request() > *tokens);
        let rates = tier.map_or(&self.rates, |(_, rates)| rates);
        let hour = usage.cache_write_hour.min(usage.cache_write);
        let pico: u128 = [
            (usage.input, rates.input),
            (usage.cache_read, rates.cache_read),
            (usage.cache_write - hour, rates.cache_write),
            (hour, rates.cache_write_hour),
            (usage.output, rates.output),
        ]
        .iter()
        .map(|(tokens, rate)| u128::from(*tokens) * u128::from(*rate))
        .sum();
        Cost(u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

/// An amount of money in nanodollars, written as that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(pub u64);

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl fmt::Display for Cost {
    /// As dollars: two places, or four below a dollar, rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, places) = if self.0 < 1_000_000_000 {
            (100_000, 4)
        } else {
            (10_000_000, 2)
        };
        let units = self.0.div_ceil(unit);
        let whole = 10_u64.pow(places);
        let places = places as usize;
        write!(f, "${}.{:0places$}", units / whole, units % whole)
    }
}

impl FromStr for Cost {
    type Err = WrongCost;

    /// Reads dollars, such as `2600`, `12.5` or `$0.03`.
    fn from_str(text: &str) -> Result<Self, WrongCost> {
        let number = text.strip_prefix('$').unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let read = || {
            let fits = digits(whole) && digits(part) && part.len() <= 9;
            let whole: u64 = whole.parse().ok().filter(|_| fits)?;
            let part: u64 = format!("{part:0<9}").parse().ok()?;
            whole.checked_mul(1_000_000_000)?.checked_add(part)
        };
        read().map(Cost).ok_or_else(|| WrongCost(text.to_owned()))
    }
}

/// A text that is no amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no amount: write dollars, such as 2600 or 12.50")]
pub struct WrongCost(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    const OWN: &str = r#"
date = "2026-11-25"
source = "the server's own page"

[[model]]
name = "compatible/m"
context = 8192
input = 2.0
cache_read = 0.0125
cache_write = 2.5
cache_write_hour = 4
output = 10.0
above = [{ tokens = 200, input = 4.0, output = 20.0 }, { tokens = 100, input = 3.0, output = 15.0 }]
"#;

    #[test]
    fn kinds_and_lengths_have_their_prices() {
        let prices = Prices::parse(OWN, "test").unwrap();
        let price = prices.price(&name("compatible/m")).unwrap();
        assert_eq!(
            (price.date.as_str(), price.context),
            ("2026-11-25", Some(8_192))
        );
        let cost = |input, cache_read, cache_write, cache_write_hour, output| {
            let usage = Usage {
                input,
                cache_read,
                cache_write,
                cache_write_hour,
                output,
                reasoning: output,
            };
            price.cost(&usage).0
        };
        // Nanodollars: a dollar for a million tokens is 1,000 for one.
        assert_eq!(cost(1, 0, 0, 0, 0), 2_000);
        assert_eq!(cost(0, 2, 0, 0, 0), 25);
        assert_eq!(cost(0, 1, 0, 0, 0), 13);
        assert_eq!(cost(0, 0, 10, 4, 0), 6 * 2_500 + 4 * 4_000);
        assert_eq!(cost(10, 0, 0, 0, 3), 20_000 + 30_000);
        assert_eq!(cost(60, 40, 0, 0, 1), 120_000 + 500 + 10_000);
        // Longer than 100 tokens, longer than 200.
        assert_eq!(cost(61, 40, 0, 0, 1), 3_000 * 101 + 15_000);
        assert_eq!(cost(0, 201, 0, 0, 1), 4_000 * 201 + 20_000);
        assert_eq!(cost(u64::MAX, u64::MAX, 0, 0, u64::MAX), u64::MAX);
    }

    #[test]
    fn the_built_in_table_is_whole() {
        let prices = Prices::built_in().unwrap();
        assert!(prices.0.len() > 50);
        for (name, price) in &prices.0 {
            let rates = price.rates;
            assert!(
                rates.cache_read <= rates.input && rates.input < rates.output,
                "{name}"
            );
            assert!(rates.cache_write >= rates.input, "{name}");
        }
        let usage = Usage {
            input: 1_000_000,
            output: 1_000_000,
            ..Usage::default()
        };
        let price = prices.price(&name("anthropic/claude-opus-4-5")).unwrap();
        assert_eq!(price.cost(&usage), Cost(30_000_000_000));
        let chat = prices.price(&name("openai-chat/gpt-5")).unwrap();
        assert_eq!(chat, prices.price(&name("openai/gpt-5")).unwrap());
    }

    #[test]
    fn a_file_of_ones_own_goes_before() {
        let own = OWN.replace("compatible/m", "anthropic/claude-opus-4-5");
        let prices = Prices::built_in()
            .unwrap()
            .overridden_by(Prices::parse(&own, "test").unwrap());
        let price = prices.price(&name("anthropic/claude-opus-4-5")).unwrap();
        assert_eq!(price.source, "the server's own page");
        assert!(prices.price(&name("openai/gpt-5")).is_ok());
    }

    #[test]
    fn an_unknown_price_is_an_error_that_helps() {
        let error = Prices::built_in()
            .unwrap()
            .price(&name("compatible/qwen3"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no price is known for compatible/qwen3, so a limit on cost cannot hold: add it to a file of prices, or run without that limit"
        );
    }

    #[test]
    fn wrong_files_are_refused() {
        for (from, to, what) in [
            ("2026-11-25", "yesterday", "expected `date`"),
            ("the server's own page", " ", "expected `date`"),
            ("compatible/m", "m", "names no model"),
            (
                "input = 2.0",
                "input = -2.0",
                "compatible/m: -2 is no price",
            ),
            ("input = 2.0", "input = nan", "NaN is no price"),
            ("input = 2.0", "input = 0.0000001", "is no price"),
            ("input = 2.0\n", "", "missing field `input`"),
            ("cache_read", "cache_reed", "unknown field `cache_reed`"),
        ] {
            let error = Prices::parse(&OWN.replace(from, to), "own.toml")
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("the prices in own.toml are wrong: "),
                "{error}"
            );
            assert!(error.contains(what), "{what}: {error}");
        }
        let twice = format!("{OWN}\n{}", &OWN[OWN.find("[[").unwrap()..]);
        assert!(Prices::parse(&twice, "own.toml").is_err());
    }

    #[test]
    fn amounts_are_read_and_written() {
        for (text, nano, written) in [
            ("2600", 2_600_000_000_000, "$2600.00"),
            ("12.5", 12_500_000_000, "$12.50"),
            ("$0.03", 30_000_000, "$0.0300"),
            ("0.000000001", 1, "$0.0001"),
            ("1.001", 1_001_000_000, "$1.01"),
        ] {
            let cost: Cost = text.parse().unwrap();
            assert_eq!((cost.0, cost.to_string().as_str()), (nano, written));
        }
        for text in [
            "",
            "$",
            "-1",
            "1,5",
            "1.",
            ".5",
            "1e3",
            "0.0000000001",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Cost>().is_err(), "{text}");
        }
    }

    proptest! {
        /// More tokens never cost less, within one price.
        #[test]
        fn cost_grows_with_usage(input in 0..90_u64, cache_read in 0..9_u64, output in 0..1_000_u64, more in 1..100_u64) {
            let prices = Prices::parse(OWN, "test").unwrap();
            let price = prices.price(&name("compatible/m")).unwrap();
            let usage = Usage { input, cache_read, output, ..Usage::default() };
            let larger = Usage { output: output + more, ..usage };
            prop_assert!(price.cost(&larger) > price.cost(&usage));
        }
    }
}
