//! Of payloads that race for one session, one wins, and every other one hears of a conflict (`threats.md`, row 5).

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zmon_domain::error::ErrorCode;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_ports::ProvisioningService;
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};
use zmon_tests::bench::{Bench, address};
use zmon_tests::device::{LOOPBACK, PIN, administrator};
use zmon_tests::quick;

/// Of the service and the state machine.
const RACES: usize = 10_000;
/// With everything real, from TLS to the store.
const REAL_RACES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_payloads_wins_ten_thousand_times() {
    let device = quick::start(5).await.unwrap();
    let (mut in_progress, mut too_late) = (0, 0);
    let mut race = 0;
    while race < RACES {
        let qr = device
            .generate_provisioning_qr_code(&quick::device_id(), LOOPBACK)
            .await
            .unwrap();
        let code = qr.fields().pairing_code.clone();
        if code.expose().bytes().all(|letter| letter.is_ascii_digit()) {
            // Two spellings of it are one body, which gets one receipt twice. The next session ends this one.
            continue;
        }
        race += 1;
        let line = Arc::new(tokio::sync::Barrier::new(2));
        let racers = [code.expose().to_uppercase(), code.expose().to_lowercase()].map(|spelling| {
            let (device, code, line) = (device.clone(), code.clone(), Arc::clone(&line));
            let body = quick::body(&qr.fields().key, &spelling);
            tokio::spawn(async move {
                line.wait().await;
                device.apply_configuration(body, &code, None).await
            })
        });
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap().map_err(|refusal| refusal.code()) {
                Ok(_) => winners += 1,
                Err(ErrorCode::PairingInProgress) => in_progress += 1,
                Err(ErrorCode::AlreadyProvisioned) => too_late += 1,
                Err(other) => panic!("race {race}: {other}"),
            }
        }
        assert_eq!(winners, 1, "race {race}");
        device.deprovision_device(administrator(PIN)).await.unwrap();
    }
    assert_eq!(in_progress + too_late, RACES);
    println!("{in_progress} losers came while the winner was at work, {too_late} after it");
    assert!(in_progress > 0, "they never raced");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_pushes_wins_over_https_and_the_other_gets_409() {
    let bench = Bench::new().await;
    let mut in_progress = 0;
    for race in 0..REAL_RACES {
        let qr = bench.open().await;
        let to = address(&qr);
        let client = HttpsClient::new(qr.fields().pin);
        let mut racers = Vec::new();
        for _ in 0..2 {
            let (body, mut stream) = (bench.body(&qr), client.tls(to).await.unwrap());
            let head = format!(
                "POST /provisioning/configure HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/jose\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // All but the last byte is there before either one may win.
            let (last, rest) = body.split_last().unwrap();
            stream.write_all(&[head.as_bytes(), rest].concat()).await.unwrap();
            stream.flush().await.unwrap();
            racers.push((stream, *last));
        }
        let racers = racers.into_iter().map(|(mut stream, last)| {
            tokio::spawn(async move {
                stream.write_all(&[last]).await.unwrap();
                stream.flush().await.unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                HttpAnswer::parse(&answer).unwrap()
            })
        });
        let racers: Vec<_> = racers.collect();
        let mut statuses = Vec::new();
        for racer in racers {
            let answer = racer.await.unwrap();
            in_progress += usize::from(answer.json()["code"] == ErrorCode::PairingInProgress.as_str());
            statuses.push(answer.status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "race {race}");
        assert_eq!(bench.status().await, Status::Provisioned);
        bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    }
    println!("{in_progress} of {REAL_RACES} losers came while the winner was at work");
}
