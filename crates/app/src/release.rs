//! Which software this is and when it was released: injected by the build, never read from a clock.

use zmon_domain::time::Timestamp;

/// Version and commit, for people.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ZMON_COMMIT"), ")");
/// The version alone.
pub const NUMBER: &str = env!("CARGO_PKG_VERSION");
/// The commit alone.
pub const COMMIT: &str = env!("ZMON_COMMIT");

const SECONDS: &str = env!("ZMON_RELEASE_DATE");

/// The first time floor of a device that runs this software.
#[must_use]
pub fn date() -> Timestamp {
    // The build script has parsed it already.
    Timestamp::from_unix_seconds(SECONDS.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lies_after_the_project_began() {
        assert!(super::date().as_millis() >= 1_700_000_000_000, "{}", super::SECONDS);
    }
}
