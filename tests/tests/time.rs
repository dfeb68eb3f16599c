//! Time on a device without a clock: what `protocol.md` says of the time floor, through the real service and store.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use serde_json::{Map, Value, json};
use zmon_domain::error::ErrorCode;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_domain::time::{MAX_AGE_OF_RELEASE, Timestamp};
use zmon_ports::{ProvisioningService, ProvisioningStore};
use zmon_testkit::pki::NOW;
use zmon_tests::bench::{Bench, assert_refused, is_closed, push};
use zmon_tests::device::{PIN, RELEASE_DATE, administrator};

const HOUR: Duration = Duration::from_secs(3_600);
/// What a clock without a battery says half a minute after power came.
const IN_1970: Timestamp = Timestamp::from_millis(30_000);
/// 2038-01-20: after the last second that fits 32 bits.
const IN_2038: Timestamp = Timestamp::from_unix_seconds(2_147_558_400);

fn back(by: Duration) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - u64::try_from(by.as_millis()).unwrap())
}

/// The floor in the device's store, after a restart.
async fn floor(bench: &mut Bench) -> Option<Timestamp> {
    bench.restart().await;
    bench.store.load().await.unwrap().time_floor
}

fn dated(mut payload: Map<String, Value>, timestamp: Timestamp) -> Map<String, Value> {
    payload.insert("timestamp".into(), json!(timestamp.as_millis()));
    payload.insert("expiresAt".into(), json!(timestamp.plus(HOUR).as_millis()));
    payload
}

/// When the clock is set to what it shall say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforePairing,
    MidSession,
    BeforeReboot,
}

/// Step 8, written from the protocol's words alone: a payload made at [`NOW`] for an hour, on a device never provisioned.
fn accepts(wall: Timestamp, synchronised: bool) -> bool {
    let now = wall.as_millis().max(RELEASE_DATE.as_millis());
    let (made, expires) = (NOW.as_millis(), NOW.as_millis() + 3_600_000);
    expires > now && !(synchronised && made > now + 300_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_a_payload_whenever_the_clock_allows_it_and_at_no_other_time() {
    let clocks = [
        IN_1970,
        back(HOUR),
        NOW,
        NOW.plus(HOUR - Duration::from_secs(1)),
        NOW.plus(HOUR),
        IN_2038,
    ];
    let mut accepted = 0;
    for wall in clocks {
        for synchronised in [true, false] {
            for when in [When::BeforePairing, When::MidSession, When::BeforeReboot] {
                let mut bench = Bench::new().await;
                if when != When::MidSession {
                    bench.blueprint.clock.set_wall(wall, synchronised);
                }
                if when == When::BeforeReboot {
                    bench.restart().await;
                }
                let qr = bench.open().await;
                if when == When::MidSession {
                    bench.blueprint.clock.set_wall(wall, synchronised);
                }
                let answer = push(&qr, bench.station.body(qr.fields(), NOW)).await;
                let case = format!("{wall:?}, synchronised {synchronised}, {when:?}");
                if accepts(wall, synchronised) {
                    assert_eq!(answer.status, 200, "{case}: {}", answer.json());
                    // From the payload, whatever the wall clock says.
                    assert_eq!(floor(&mut bench).await, Some(NOW), "{case}");
                    accepted += 1;
                } else {
                    assert_eq!(answer.json()["code"], "PayloadExpired", "{case}");
                    assert_refused(&answer, 410, ErrorCode::PayloadExpired);
                    assert_eq!(floor(&mut bench).await, None, "{case}");
                }
            }
        }
    }
    // Of the twelve clocks: right, and almost an hour ahead, both ways; 1970 and an hour back where not synchronised.
    assert_eq!(accepted, 6 * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_a_session_for_its_ten_minutes_while_the_wall_clock_jumps() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    let clock = &bench.blueprint.clock;
    for (wall, synchronised) in [(back(HOUR), false), (IN_2038, true), (IN_1970, false), (NOW, true)] {
        clock.set_wall(wall, synchronised);
        clock.advance(Duration::from_secs(149));
        assert_eq!(bench.status().await, Status::ReadyToPair, "{wall:?}");
    }
    clock.advance(Duration::from_secs(4));
    assert_refused(&push(&qr, bench.body(&qr)).await, 410, ErrorCode::SessionExpired);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_floor_over_a_reboot_into_1970_and_gives_it_up_with_the_configuration() {
    let mut bench = Bench::new().await;
    let qr = bench.open().await;
    assert_eq!(push(&qr, bench.body(&qr)).await.status, 200);
    bench.blueprint.clock.set_wall(IN_1970, false);
    bench.restart().await;
    assert_eq!(bench.status().await, Status::Provisioned);
    assert_eq!(floor(&mut bench).await, Some(NOW));

    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    assert_eq!(floor(&mut bench).await, None);
    // A payload from before the old floor is good again; one from before the release never is.
    let qr = bench.open().await;
    let old = Timestamp::from_millis(RELEASE_DATE.as_millis() - 2 * 3_600_000);
    let payload = dated(bench.station.payload(qr.fields(), NOW), old);
    let answer = push(&qr, bench.station.seal(qr.fields(), &payload)).await;
    assert_refused(&answer, 410, ErrorCode::PayloadExpired);
    let qr = bench.open().await;
    let payload = dated(bench.station.payload(qr.fields(), NOW), back(HOUR));
    let answer = push(&qr, bench.station.seal(qr.fields(), &payload)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(floor(&mut bench).await, Some(back(HOUR)));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lets_no_station_push_the_floor_beyond_the_certificate_or_the_age_of_the_release() {
    let mut bench = Bench::new().await;
    bench.blueprint.clock.set_wall(IN_1970, false);
    let years = |years: u64| HOUR * 24 * u32::try_from(366 * years).unwrap();
    // The client certificate lives for ten years.
    for (timestamp, status, code) in [
        (NOW.plus(years(11)), 422, ErrorCode::InvalidCertificate),
        (
            RELEASE_DATE.plus(MAX_AGE_OF_RELEASE + HOUR),
            410,
            ErrorCode::PayloadExpired,
        ),
    ] {
        let qr = bench.open().await;
        let payload = dated(bench.station.payload(qr.fields(), NOW), timestamp);
        assert_refused(
            &push(&qr, bench.station.seal(qr.fields(), &payload)).await,
            status,
            code,
        );
        assert_eq!(floor(&mut bench).await, None, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_believes_an_early_certificate_only_while_the_clock_is_not_synchronised() {
    // The certificates begin a day before NOW.
    let early = back(HOUR * 48);
    for (synchronised, accepted) in [(true, false), (false, true)] {
        let bench = Bench::new().await;
        bench.blueprint.clock.set_wall(early, synchronised);
        let qr = bench.open().await;
        let answer = push(&qr, bench.station.body(qr.fields(), early)).await;
        if accepted {
            assert_eq!(answer.status, 200, "{}", answer.json());
        } else {
            assert_refused(&answer, 422, ErrorCode::InvalidCertificate);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_a_new_payload_after_a_power_cut_in_the_middle_of_pairing_that_set_the_clock_to_1970() {
    let mut bench = Bench::new().await;
    let before = bench.open().await;
    let old = bench.body(&before);
    bench.blueprint.clock.set_wall(IN_1970, false);
    bench.restart().await;
    // The session is gone with its port, whatever the clock says.
    assert_eq!(bench.status().await, Status::Unprovisioned);
    assert!(is_closed(&before).await);
    let after = bench.open().await;
    assert_eq!(
        after.fields().timestamp,
        RELEASE_DATE,
        "never shown as older than the software"
    );
    assert_refused(&push(&after, old).await, 400, ErrorCode::EnvelopeInvalid);
    assert_eq!(floor(&mut bench).await, None);
    let qr = bench.open().await;
    let answer = push(&qr, bench.station.body(qr.fields(), NOW)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(floor(&mut bench).await, Some(NOW));
}
