//! Tests that cannot test here say so.

use std::fs::OpenOptions;
use std::io::Write as _;

/// The file that collects what was skipped in one run of the gate.
const LOG: &str = "SKIPPED_TESTS_LOG";

/// Says that the test `name` is left out, and why; the test returns right after.
///
/// The test harness counts the test as passed. The gate (`cargo xtask test`) names a file in `SKIPPED_TESTS_LOG`, and counts
/// and repeats each line of it as a skipped test; so call this once per test, and only where nothing was tested.
///
/// ```no_run
/// # let scanner: Option<std::path::PathBuf> = None;
/// let Some(scanner) = scanner else {
///     return zmon_testkit::skip::skip("it is read by a second decoder", "zbarimg is not installed");
/// };
/// # drop(scanner);
/// ```
///
/// # Panics
/// Where the log cannot be written: a skipped test that nobody hears of would count as passed.
#[expect(clippy::print_stderr, reason = "a person who runs one test sees it too")]
pub fn skip(name: &str, reason: &str) {
    let line = format!("{name}: {reason}\n");
    eprint!("skipped: {line}");
    #[expect(
        clippy::disallowed_methods,
        reason = "the gate hands the file's name to every test through the environment"
    )]
    let Some(log) = std::env::var_os(LOG) else {
        return;
    };
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("cannot write to {}, which {LOG} names: {error}", log.display());
    }
}
