//! When a request is tried again: pure, the random number among its arguments.

use super::{
    HttpSettings,
    error::{Failure, FetchError},
};
use http::StatusCode;
use jiff::Timestamp;
use std::time::Duration;

/// No pause that nobody asked for is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Returns whether a status may be another one in a moment.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Returns the pause before the next attempt, or `None` if there is to be none: the failure stays,
/// the attempts are used up, or the server asks for more time than is left.
///
/// `chance` is from 0 to 1 and spreads the pauses of many who failed at once.
pub(super) fn pause(
    failure: &Failure,
    attempt: u32,
    left: Duration,
    settings: &HttpSettings,
    chance: f64,
) -> Option<Duration> {
    if !failure.may_retry || attempt >= settings.attempts {
        return None;
    }
    let asked = match &failure.error {
        FetchError::Status { retry_after, .. } | FetchError::RateLimited { retry_after, .. } => {
            *retry_after
        }
        _ => None,
    };
    let pause = asked.unwrap_or_else(|| {
        let doubled = settings.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        doubled.min(LONGEST_PAUSE).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    });
    (pause < left).then_some(pause)
}

/// Reads a `Retry-After` header: seconds, or a date. A date that is over asks for no pause.
pub(super) fn after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Duration::try_from(date.timestamp().duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::Place;

    fn status(status: u16, retry_after: Option<u64>) -> Failure {
        let error = FetchError::Status {
            url: Place::default(),
            status,
            said: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        };
        let may_retry = is_passing(StatusCode::from_u16(status).unwrap());
        Failure { error, may_retry }
    }

    #[test]
    fn a_pause_doubles_and_fits_in_what_is_left() {
        let settings = HttpSettings {
            attempts: 4,
            first_pause: Duration::from_millis(100),
            ..HttpSettings::default()
        };
        let minute = Duration::from_mins(1);
        for (failure, attempt, left, chance, expected) in [
            (status(503, None), 1, minute, 1.0, Some(100)),
            (status(503, None), 1, minute, 0.0, Some(50)),
            (status(500, None), 3, minute, 1.0, Some(400)),
            (status(500, None), 4, minute, 1.0, None),
            (status(404, None), 1, minute, 1.0, None),
            (status(429, Some(2)), 1, minute, 0.0, Some(2000)),
            (status(429, Some(60)), 1, minute, 0.0, None),
            (status(401, Some(2)), 1, minute, 0.0, None),
            (status(503, None), 1, Duration::from_millis(50), 1.0, None),
        ] {
            let pause = pause(&failure, attempt, left, &settings, chance);
            assert_eq!(pause, expected.map(Duration::from_millis), "{failure:?} {attempt}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Fri, 01 May 2026 10:01:30 GMT", Some(90)),
            ("Fri, 01 May 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
