//! Requests per token: a bucket that fills again with time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Buckets by name of the token.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<HashMap<String, (f64, Instant)>>);

impl Buckets {
    /// Takes one of `per_minute` requests; when none is left, says after how many seconds there is one.
    pub(crate) fn take(&self, name: &str, per_minute: u32, now: Instant) -> Result<(), u64> {
        let most = f64::from(per_minute);
        let rate = most / 60.0;
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = buckets.entry(name.to_owned()).or_insert((most, now));
        *left = (*left + rate * now.saturating_duration_since(*at).as_secs_f64()).min(most);
        *at = now;
        if *left < 1.0 {
            return Err(((1.0 - *left) / rate).ceil().max(1.0) as u64);
        }
        *left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::default();
        let begin = Instant::now();
        for _ in 0..6 {
            assert_eq!(buckets.take("a", 6, begin), Ok(()));
        }
        assert_eq!(buckets.take("a", 6, begin), Err(10));
        assert_eq!(buckets.take("b", 6, begin), Ok(()));
        assert_eq!(buckets.take("a", 6, begin + Duration::from_secs(4)), Err(6));
        assert_eq!(
            buckets.take("a", 6, begin + Duration::from_secs(11)),
            Ok(())
        );
    }
}
