//! Where choices come from: shuffled decks, or every combination in turn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::bytes::Hasher;
use crate::family::PoolId;

/// Decides what a draw is free to decide.
pub(crate) trait Choose {
    /// Which of a pool's `cards` choices; `cards` is not 0.
    fn card(&mut self, pool: PoolId, cards: usize) -> usize;
    /// A number below `bound`; `bound` is not 0.
    fn below(&mut self, bound: u64) -> u64;

    /// A number between bounds, both included. Their distance must fit.
    fn between(&mut self, (low, high): (i64, i64)) -> i64 {
        let distance = high.wrapping_sub(low) as u64;
        low.wrapping_add(self.below(distance.saturating_add(1)) as i64)
    }
}

/// A stream of random numbers for one purpose. Independent of every other purpose's, so that what is added to one
/// changes nothing in another.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(seed: u64, purpose: &[&str]) -> Self {
        let mut hash = Hasher::default();
        hash.number(seed);
        for part in purpose {
            hash.part(part.as_bytes());
        }
        Stream(ChaCha8Rng::from_seed(hash.finish().0))
    }

    /// A number below `bound`. Written out here because the drawn cases must not change with a library's version.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let bound = bound.max(1);
        // Numbers from the last, incomplete stretch would favour low results.
        let fair = u64::MAX - u64::MAX % bound;
        loop {
            let number = self.0.next_u64();
            if number < fair {
                return number % bound;
            }
        }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// Random choices; each pool is a deck that is dealt to its end before it is shuffled again.
pub(crate) struct Decks {
    pub(crate) stream: Stream,
    decks: Vec<Vec<usize>>,
}

impl Decks {
    pub(crate) fn new(stream: Stream, pools: usize) -> Self {
        Decks {
            stream,
            decks: vec![Vec::new(); pools],
        }
    }
}

impl Choose for Decks {
    fn card(&mut self, pool: PoolId, cards: usize) -> usize {
        let deck = &mut self.decks[pool];
        if deck.is_empty() {
            deck.extend(0..cards);
            self.stream.shuffle(deck);
        }
        deck.pop().unwrap_or_default()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.stream.below(bound)
    }
}

/// Every combination of choices, one after another: the decisions of one draw are the digits of a number, and
/// [`Combinations::advance`] counts it up.
#[derive(Default)]
pub(crate) struct Combinations {
    digits: Vec<(u64, u64)>,
    position: usize,
}

impl Combinations {
    /// Goes on to the next combination; `false` when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        self.position = 0;
        while let Some((digit, bound)) = self.digits.pop() {
            if digit + 1 < bound {
                self.digits.push((digit + 1, bound));
                return true;
            }
        }
        false
    }
}

impl Choose for Combinations {
    fn card(&mut self, _: PoolId, cards: usize) -> usize {
        self.below(cards as u64) as usize
    }

    fn below(&mut self, bound: u64) -> u64 {
        if self.position == self.digits.len() {
            self.digits.push((0, bound));
        }
        let digit = self.digits[self.position].0;
        self.position += 1;
        digit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decks_deal_every_card_before_any_twice() {
        let mut decks = Decks::new(Stream::new(1, &["test"]), 1);
        for _ in 0..5 {
            let mut dealt: Vec<_> = (0..7).map(|_| decks.card(0, 7)).collect();
            dealt.sort_unstable();
            assert_eq!(dealt, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn combinations_come_once_each_though_later_choices_depend_on_earlier_ones() {
        let mut combinations = Combinations::default();
        let mut seen = Vec::new();
        loop {
            let first = combinations.below(3);
            let second = if first == 1 { combinations.below(2) } else { 9 };
            seen.push((first, second));
            if !combinations.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    }

    #[test]
    fn streams_stay_as_they_are() {
        let mut stream = Stream::new(7, &["gron", "ungron"]);
        let numbers: Vec<_> = (0..6).map(|_| stream.below(100)).collect();
        assert_eq!(numbers, [5, 70, 63, 74, 0, 66]);
    }
}
