//! Injects the release date, `SOURCE_DATE_EPOCH` (seconds since 1970) where the build sets it, else the committed one; and
//! the commit, `ZMON_COMMIT` where the build sets it.

/// 2026-11-01T00:00:00Z.
const COMMITTED_RELEASE_DATE: i64 = 1_793_491_200;

#[expect(
    clippy::disallowed_methods,
    reason = "a build script takes its arguments from the environment"
)]
fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    let seconds = std::env::var("SOURCE_DATE_EPOCH").map_or(COMMITTED_RELEASE_DATE, |text| {
        text.parse()
            .expect("SOURCE_DATE_EPOCH must be a whole number of seconds since 1970")
    });
    println!("cargo:rustc-env=ZMON_RELEASE_DATE={seconds}");
    println!("cargo:rerun-if-env-changed=ZMON_COMMIT");
    let commit = std::env::var("ZMON_COMMIT").unwrap_or_else(|_| "development".into());
    println!("cargo:rustc-env=ZMON_COMMIT={commit}");
}
