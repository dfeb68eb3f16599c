//! What service or store tell: where the device stands, what is installed, the audit.

use zmon_local_api::CertificateView;

use super::Told;
use super::finding::{Check, Finding};
use crate::text::utc;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// From here on the end of a certificate is near.
const NEAR: u64 = 30 * DAY;
/// Where the device itself could not be asked.
const UNASKED: &str = "neither a service nor the store can be asked: see the checks service and store";

pub(super) fn status(told: &Told) -> Finding {
    let check = Check::Status;
    match &told.standing {
        Err(_) => check.does_not_apply(UNASKED),
        Ok(_) if told.is_retired() => check.fails(
            "an administrator retired this device: it pairs with nobody",
            "commission it again: put a trust anchor made by `zmon-station derive` in its place, then start the service",
        ),
        Ok(standing) => match &standing.failure {
            Some(failure) => check.fails(
                format!("{}: {}: {}", standing.status, failure.code, failure.message),
                failure.next_action.as_str(),
            ),
            None => match &standing.warning {
                Some(warning) => check.warns(
                    format!("{}; {warning}", standing.status),
                    "check the storage, and replace the card where it fails",
                ),
                None => check.passes(standing.status.as_str()),
            },
        },
    }
}

pub(super) fn audit(told: &Told) -> Finding {
    let check = Check::Audit;
    let Ok(verdict) = &told.verdict else {
        return match (&told.standing, &told.verdict) {
            (Ok(_), Err(why)) => check.fails(why, "see the check store; keep database and keys as evidence"),
            _ => check.does_not_apply(UNASKED),
        };
    };
    match verdict.sequence {
        None => check.passes(format!("{} records, intact", verdict.count.unwrap_or_default())),
        Some(sequence) => check.fails(
            format!(
                "record {sequence}: {}; from there on nothing can be relied upon",
                verdict.why.as_deref().unwrap_or_default()
            ),
            "keep database and keys as evidence, and compare the last export and the receipts: `zmon-station audit-check`",
        ),
    }
}

pub(super) fn certificates(check: Check, told: &Told) -> Finding {
    let (configuration, examination) = match (&told.configuration, &told.examination) {
        (Ok(Some(configuration)), Ok(examination)) => (configuration, examination),
        (Ok(None), _) => return check.does_not_apply("nothing is installed"),
        (Err(why), Ok(_)) => return check.fails(why, "see the checks store and audit"),
        _ => return check.does_not_apply(UNASKED),
    };
    let certificates = &configuration.certificates;
    let list = match check {
        Check::ClientCertificate => &certificates.client,
        Check::CaCertificate => &certificates.ca,
        _ => &certificates.server,
    };
    // As the device believes.
    let now = examination.now.max(examination.time_floor);
    validity(check, list, now, examination.clock_synchronised)
}

fn validity(check: Check, list: &[CertificateView], now: u64, synchronised: bool) -> Finding {
    let again = "have the Central Station issue new certificates: an administrator de-provisions the monitor, then it is \
                 provisioned anew";
    let Some(first) = list.iter().min_by_key(|certificate| certificate.not_after) else {
        return match check {
            Check::ServerCertificate => check.does_not_apply("no server certificate is pinned"),
            _ => check.fails("none is installed", again),
        };
    };
    let until = format!("{} is valid until {}", first.subject, utc(first.not_after));
    if let Some(early) = list.iter().find(|certificate| certificate.not_before > now) {
        let found = format!("{} is valid only from {}", early.subject, utc(early.not_before));
        let clock = "see the checks clock and clock-synchronised; where the clock is right, the station's is wrong";
        return if synchronised {
            check.fails(found, clock)
        } else {
            check.warns(found, clock)
        };
    }
    let left = first.not_after.saturating_sub(now);
    let days = left / DAY;
    if left == 0 {
        check.fails(format!("{} ended at {}", first.subject, utc(first.not_after)), again)
    } else if left < NEAR {
        check.warns(format!("{until}: {days} days are left"), again)
    } else {
        check.passes(format!("{until}: {days} days are left"))
    }
}

pub(super) fn private_key(told: &Told) -> Finding {
    let check = Check::PrivateKey;
    match told.examination.as_ref().map(|examination| examination.key_belongs) {
        Err(_) => check.does_not_apply(UNASKED),
        Ok(None) => check.does_not_apply("nothing is installed"),
        Ok(Some(true)) => check.passes("it is the client certificate's"),
        Ok(Some(false)) => check.fails(
            "it is not the client certificate's: no server will accept the monitor",
            "provision the monitor anew, after an administrator has de-provisioned it; keep the audit as evidence",
        ),
    }
}

pub(super) fn server(told: &Told) -> Finding {
    let check = Check::Server;
    let url = match &told.configuration {
        Ok(Some(configuration)) => configuration.settings.server_url.as_str(),
        Ok(None) => return check.does_not_apply("nothing is installed"),
        Err(_) => return check.does_not_apply(UNASKED),
    };
    match &told.server {
        None => check.does_not_apply(format!("{url} is not tried without --online")),
        Some(Ok(())) => check.passes(format!("{url} answers, and takes the client certificate")),
        Some(Err(why)) => check.fails(
            format!("{url}: {why}"),
            "see to the stage that failed: name server, network and firewall, the server and its certificate, the clock; \
             then repeat the check",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    fn certificate(not_before: u64, not_after: u64) -> CertificateView {
        CertificateView {
            serial: "01".into(),
            subject: "CN=ZM".into(),
            issuer: "CN=CA".into(),
            not_before: not_before * DAY,
            not_after: not_after * DAY,
            sha256: "00".into(),
        }
    }

    #[test]
    fn warns_from_thirty_days_before_the_first_end_and_fails_at_it() {
        let list = [certificate(0, 1000), certificate(0, 100)];
        for (day, expected) in [
            (70, Outcome::Pass),
            (71, Outcome::Warning),
            (99, Outcome::Warning),
            (100, Outcome::Fail),
            (2000, Outcome::Fail),
        ] {
            let finding = validity(Check::ClientCertificate, &list, day * DAY, true);
            assert_eq!(finding.outcome, expected, "on day {day}: {finding:?}");
        }
    }

    #[test]
    fn believes_a_beginning_that_lies_ahead_as_far_as_the_clock_is_believed() {
        let list = [certificate(10, 1000)];
        for (synchronised, expected) in [(true, Outcome::Fail), (false, Outcome::Warning)] {
            let finding = validity(Check::CaCertificate, &list, 9 * DAY, synchronised);
            assert_eq!(finding.outcome, expected);
        }
        assert_eq!(
            validity(Check::CaCertificate, &list, 10 * DAY, true).outcome,
            Outcome::Pass
        );
    }

    #[test]
    fn misses_no_certificate_but_a_pinned_one() {
        assert_eq!(validity(Check::ClientCertificate, &[], 0, true).outcome, Outcome::Fail);
        assert_eq!(
            validity(Check::ServerCertificate, &[], 0, true).outcome,
            Outcome::NotApplicable
        );
    }
}
