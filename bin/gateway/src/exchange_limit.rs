//! How many key exchanges an API key may begin.
//!
//! The secret service keeps each secret for an hour and has room for so many: without a limit, one key could fill it and
//! lock everybody else out. A client exchanges once in three quarters of an hour. One bucket for each key, in this
//! gateway's memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use privatemode_service::ApiError;

use crate::accounts::KeyId;

/// A bucket of exchanges for each key, refilled evenly over the minute.
pub(crate) struct ExchangeLimit {
    per_minute: u32,
    /// Keys are authenticated before they come here, so there are at most as many buckets as keys.
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl ExchangeLimit {
    pub(crate) fn new(per_minute: u32) -> ExchangeLimit {
        ExchangeLimit { per_minute, buckets: Mutex::default() }
    }

    /// Counts an exchange of `key` at `now`, or says how long to wait.
    fn take(&self, key: &KeyId, now: Instant) -> Result<(), Duration> {
        let full = f64::from(self.per_minute);
        let per_second = full / 60.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { left: full, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * per_second).min(full);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / per_second));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// As `take`, with the refusal as the caller gets it.
    pub(crate) fn admit(&self, key: &KeyId) -> Result<(), ApiError> {
        self.take(key, Instant::now()).map_err(|wait| {
            let seconds = wait.as_secs().saturating_add(1);
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_exchanges",
                format!(
                    "This API key began more than {} key exchanges in a minute. A proxy needs one in 45 minutes: do not \
                     start one for each request. Try again in {seconds} s.",
                    self.per_minute
                ),
            )
            .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_exhausts_its_bucket_waits_and_others_do_not() {
        let limit = ExchangeLimit::new(3);
        let (one, other) = (KeyId::from_database("one".into()), KeyId::from_database("other".into()));
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limit.take(&one, start), Ok(()));
        }
        assert_eq!(limit.take(&one, start), Err(Duration::from_secs(20)));
        assert_eq!(limit.take(&other, start), Ok(()));
        assert_eq!(limit.take(&one, start + Duration::from_secs(21)), Ok(()));
        assert!(limit.take(&one, start + Duration::from_secs(21)).is_err());
        // An hour of silence fills the bucket and no more.
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| limit.take(&one, later).is_ok()).count(), 3);
        // A clock that steps back is no credit.
        assert!(limit.take(&one, start).is_err());
    }

    #[test]
    fn the_refusal_says_when_to_come_back() {
        let limit = ExchangeLimit::new(1);
        let key = KeyId::from_database("key".into());
        limit.admit(&key).unwrap();
        let refusal = limit.admit(&key).unwrap_err();
        assert_eq!((refusal.status, refusal.code), (StatusCode::TOO_MANY_REQUESTS, "too_many_exchanges"));
        let wait: u64 = refusal.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=61).contains(&wait));
    }
}
