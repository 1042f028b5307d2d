//! Inputs from seeds: bytes and words are exchanged, doubled, taken out, and parts of seeds put together.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Inputs that were made are kept as seeds of others, so many of them.
const KEPT: usize = 256;

/// Numbers at whose edges programs are wrong, as they are written in text.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
];

/// Makes inputs, the same for the same seeds and number.
pub struct Mutator {
    random: ChaCha8Rng,
    pool: Vec<Vec<u8>>,
    seeds: usize,
    words: Vec<Vec<u8>>,
    longest: usize,
}

impl Mutator {
    /// Begins with these seeds; no input has more than `longest` bytes.
    #[must_use]
    pub fn new(seeds: Vec<Vec<u8>>, longest: usize, number: u64) -> Self {
        let words = words(&seeds);
        let mut pool = seeds;
        pool.push(Vec::new());
        Mutator {
            random: ChaCha8Rng::seed_from_u64(number),
            seeds: pool.len(),
            pool,
            words,
            longest,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end.max(1) as u64) as usize
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let from = self.below(self.pool.len());
        let mut input = self.pool[from].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        input.truncate(self.longest);
        if self.below(64) == 0 {
            if self.pool.len() < self.seeds + KEPT {
                self.pool.push(input.clone());
            } else {
                let place = self.seeds + self.below(KEPT);
                self.pool[place].clone_from(&input);
            }
        }
        input
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = 1 << self.below(9);
        let end = (start + 1 + self.below(most)).min(length);
        start..end.max(start)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let length = input.len();
        let at = self.below(length + 1);
        match self.below(11) {
            0 if length > 0 => input[at % length] ^= 1 << self.below(8),
            1 if length > 0 => input[at % length] = self.random.next_u32() as u8,
            2 => input.insert(at, self.random.next_u32() as u8),
            3 => drop(input.drain(self.range(length))),
            4 => {
                let part = input[self.range(length)].to_vec();
                let times = 1 << self.below(5);
                input.splice(at..at, part.repeat(times));
            }
            5 | 6 if !self.words.is_empty() => {
                let word = self.below(self.words.len());
                let word = self.words[word].clone();
                let end = if self.below(2) == 0 {
                    at
                } else {
                    (at + word.len()).min(length)
                };
                input.splice(at..end, word);
            }
            7 => self.number(input),
            8 => {
                let other = self.below(self.pool.len());
                let other = self.pool[other].clone();
                let part = self.range(other.len());
                let end = self.below(2) * (length - at) + at;
                input.splice(at..end, other[part].to_vec());
            }
            9 => {
                let edges = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'/'];
                let edge = edges[self.below(edges.len())];
                let range = self.range(length);
                input[range].fill(edge);
            }
            _ => {
                let number =
                    [0, 1, 0x7fff_ffff, u64::MAX, 1 << 63, 1 << 32, 511, 513][self.below(8)];
                let bytes = number.to_le_bytes();
                let width = [2, 4, 8][self.below(3)];
                let end = (at + width).min(length);
                input.splice(at..end, bytes[..width].to_vec());
            }
        }
    }

    /// Puts another number in place of one in text.
    fn number(&mut self, input: &mut Vec<u8>) {
        let start = self.below(input.len() + 1);
        let digit = |byte: &u8| byte.is_ascii_digit();
        let Some(at) = input[start..].iter().position(digit) else {
            return;
        };
        let at = start + at;
        let end = input[at..].iter().position(|byte| !digit(byte));
        let end = end.map_or(input.len(), |length| at + length);
        let number = NUMBERS[self.below(NUMBERS.len())];
        input.splice(at..end, number.bytes());
    }
}

/// The words of seeds, and what stands in quotes, each once.
#[must_use]
pub fn words(seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    for seed in seeds {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        for word in seed.split(|byte| !plain(byte)) {
            if (2..=40).contains(&word.len()) {
                words.push(word.to_vec());
                words.push([b"\"", word, b"\":"].concat());
            }
        }
    }
    for mark in [
        "{", "}", "[", "]", "\"", "\\u0000", "\\ud800", "null", "\n\n", "..", "é", "\u{feff}",
    ] {
        words.push(mark.as_bytes().to_vec());
    }
    words.extend(NUMBERS.iter().map(|number| number.as_bytes().to_vec()));
    words.sort();
    words.dedup();
    words
}
