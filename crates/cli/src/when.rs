//! Moments as people write them.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Reads a moment, or a day in UTC.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let day: Date = text.parse().ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}
