//! Random numbers that anybody can draw again: SplitMix64 (Steele, Lea and Flood 2014), ten lines in any language.

/// A stream of random numbers that a seed names.
#[derive(Clone, Debug)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Draws { state: seed }
    }

    /// The next number: any of 2^64.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`, each as likely as any other but for one part in 2^64 / `count`; `count` is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// A number from 0 up to, and without, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of the standard normal distribution (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_reference_implementation() {
        // The first numbers of seed 1234567, as Vigna's splitmix64.c gives them.
        let mut draws = Draws::new(1_234_567);
        for expected in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ] {
            assert_eq!(draws.bits(), expected);
        }
    }

    #[test]
    fn each_place_is_as_likely() {
        let mut draws = Draws::new(1);
        let mut counts = [0_u32; 5];
        for _ in 0..50_000 {
            counts[draws.below(5)] += 1;
        }
        // Four standard errors.
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 360),
            "{counts:?}"
        );
        let normals: Vec<f64> = (0..50_000).map(|_| draws.normal()).collect();
        let mean = normals.iter().sum::<f64>() / 5e4;
        let square = normals.iter().map(|value| value * value).sum::<f64>() / 5e4;
        assert!(mean.abs() < 0.018 && (square - 1.0).abs() < 0.026);
    }
}
