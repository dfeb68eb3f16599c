//! Values as people read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970 as `2026-11-01T00:00:00Z`; a time that no calendar holds as the number.
#[must_use]
pub fn utc(millis: u64) -> String {
    i64::try_from(millis / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{millis} ms since 1970"))
}

/// `9:05` for 545 seconds.
#[must_use]
pub fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Text that others wrote, fit for a terminal: control characters are replaced.
#[must_use]
pub fn shown(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_people_read_them() {
        assert_eq!(utc(1_793_491_200_999), "2026-11-01T00:00:00Z");
        assert_eq!(utc(u64::MAX), format!("{} ms since 1970", u64::MAX));
        assert_eq!(minutes(545), "9:05");
        assert_eq!(minutes(0), "0:00");
    }

    #[test]
    fn lets_nobody_write_to_the_terminal_by_a_name() {
        assert_eq!(shown("CN=\u{1b}[2Jx\ny"), "CN=\u{fffd}[2Jx\u{fffd}y");
    }
}
