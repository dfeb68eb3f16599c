//! The cases of x509-limbo, which are no part of this project: what it expects, what this device says and what
//! rustls-webpki says without the device's own rules. `-- --nocapture` shows the table.

mod cases;
mod differences;

use std::path::Path;

use cases::{Case, Kind, Verdict};
use differences::DIFFERENCES;
use zmon_testkit::skip::skip;

/// Most cases that this device may accept although they are to be refused.
const MOST_FALSE_ACCEPTS: usize = 5;

/// The verdicts on one case.
struct Row<'a> {
    case: &'a Case,
    /// With the refusal.
    ours: Result<(), String>,
    webpki: Verdict,
}

impl Row<'_> {
    fn ours(&self) -> Verdict {
        Verdict::of(&self.ours)
    }

    fn differs(&self) -> bool {
        self.ours() != self.case.expected_result
    }
}

#[test]
fn it_differs_from_x509_limbo_only_where_the_list_says_so_and_why() {
    let Some(file) = cases::file() else {
        return skip(
            "it differs from x509-limbo only where the list says so",
            "shared/vectors/x509-limbo-194.json does not lie in a folder above the checkout",
        );
    };
    let cases = read(&file);
    let rows: Vec<_> = cases.iter().map(row).collect();
    report(&rows);

    for row in &rows {
        let (id, ours) = (&row.case.id, row.ours());
        let listed = DIFFERENCES.iter().find(|difference| difference.id == *id);
        match listed {
            Some(difference) => assert!(
                row.differs() && difference.ours == ours,
                "{id}: is listed, but this device says {ours:?} {:?}",
                row.ours
            ),
            None => assert!(!row.differs(), "{id}: this device says {ours:?} {:?}", row.ours),
        }
        assert!(
            !(row.case.expected_result == Verdict::Refuse && ours == Verdict::Accept && webpki_knows_better(row)),
            "{id}: is refused by rustls-webpki alone"
        );
    }
    for difference in DIFFERENCES {
        assert!(
            rows.iter().any(|row| row.case.id == difference.id),
            "{}: is listed, but no case",
            difference.id
        );
    }
}

#[test]
fn it_accepts_few_cases_falsely_and_none_that_are_about_cas_uses_or_weak_keys() {
    let accepted = DIFFERENCES
        .iter()
        .filter(|difference| difference.ours == Verdict::Accept);
    let accepted: Vec<_> = accepted.map(|difference| difference.id).collect();
    assert!(accepted.len() <= MOST_FALSE_ACCEPTS, "{accepted:?}");
    for id in accepted {
        assert!(
            id.starts_with("crl::") || id.starts_with("pathlen::max-chain-depth"),
            "{id}"
        );
    }
    for (index, difference) in DIFFERENCES.iter().enumerate() {
        assert!(!difference.why.is_empty(), "{}", difference.id);
        assert!(
            DIFFERENCES[..index].iter().all(|other| other.id != difference.id),
            "{}",
            difference.id
        );
    }
}

fn read(file: &Path) -> Vec<Case> {
    let cases = cases::read(file);
    assert_eq!(cases.len(), 194, "the cases that the list was written for");
    cases
}

fn row(case: &Case) -> Row<'_> {
    Row {
        case,
        ours: case.ours(),
        webpki: Verdict::of(&case.webpki()),
    }
}

/// Lists of revoked certificates are given to rustls-webpki alone; a payload has none.
fn webpki_knows_better(row: &Row<'_>) -> bool {
    row.webpki == Verdict::Refuse && !row.case.has_revocation_lists()
}

#[expect(clippy::print_stdout, reason = "a table for whoever asks for it")]
fn report(rows: &[Row<'_>]) {
    println!("{:<8} {:<8} {:<8} case", "expected", "ours", "webpki");
    for row in rows {
        let told = row
            .ours
            .as_ref()
            .err()
            .map(|refusal| format!("  {refusal}"))
            .unwrap_or_default();
        let (expected, ours, webpki) = (row.case.expected_result, row.ours(), row.webpki);
        println!("{expected:<8} {ours:<8} {webpki:<8} {}{told}", row.case.id);
    }
    let expected = |row: &Row<'_>| row.case.expected_result;
    figures("this device", rows.iter().map(|row| (expected(row), row.ours())));
    figures(
        "rustls-webpki alone",
        rows.iter().map(|row| (expected(row), row.webpki)),
    );
    let servers = rows
        .iter()
        .filter(|row| row.case.validation_kind == Kind::Server && !row.case.has_depth_limit());
    figures(
        "rustls-webpki alone, servers without a limit of depth",
        servers.map(|row| (expected(row), row.webpki)),
    );
}

/// From pairs of what is expected and what was said.
#[expect(clippy::print_stdout, reason = "a table for whoever asks for it")]
fn figures(who: &str, verdicts: impl Iterator<Item = (Verdict, Verdict)>) {
    let verdicts: Vec<_> = verdicts.collect();
    let wrong = |said| {
        verdicts
            .iter()
            .filter(|(expected, is)| expected != is && *is == said)
            .count()
    };
    println!(
        "{who}: of {} cases {} accepted and {} refused wrongly",
        verdicts.len(),
        wrong(Verdict::Accept),
        wrong(Verdict::Refuse)
    );
}
