//! Whoever has not seen the screen can neither end a technician's session nor delay anybody else.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zmon_domain::status::ProvisioningStatus as Status;
use zmon_testkit::https_client::HttpsClient;
use zmon_tests::bench::{Bench, address, push, until};

const FLOODERS: u8 = 12;
const REQUESTS: usize = 80;
/// So many that no flooder is done before the honest push has won.
const ENDLESS: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn it_lets_no_flood_end_a_session_or_delay_another_address() {
    let bench = Bench::new().await;
    // Sealed rightly, to the key of a screen that is gone: the device has to try each with its key.
    let old = bench.open().await;
    let foreign = bench.body(&old);
    let qr = bench.open().await;
    let (pin, at) = (qr.fields().pin, address(&qr));
    let flooder = move |address: u8,
                        body: Vec<u8>,
                        requests: usize,
                        refused: Arc<AtomicUsize>,
                        limited: Arc<AtomicUsize>| async move {
        let client = HttpsClient::new(pin).from(IpAddr::V4(Ipv4Addr::new(127, 0, 7, address)));
        for _ in 0..requests {
            let answer = client.push(at, body.clone()).await.unwrap();
            match answer.status {
                400 => refused.fetch_add(1, Ordering::Relaxed),
                429 => {
                    assert_eq!(answer.header("retry-after"), "5");
                    limited.fetch_add(1, Ordering::Relaxed)
                }
                // The honest push has won in the meantime.
                409 => return true,
                other => panic!("{other}: {}", answer.json()),
            };
        }
        false
    };
    let counters = || (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (refused, limited) = counters();
    let flood = |requests: usize, refused: &Arc<AtomicUsize>, limited: &Arc<AtomicUsize>| {
        let flooders = (1..=FLOODERS).map(|address| {
            tokio::spawn(flooder(
                address,
                foreign.clone(),
                requests,
                Arc::clone(refused),
                Arc::clone(limited),
            ))
        });
        flooders.collect::<Vec<_>>()
    };
    for flooder in flood(REQUESTS, &refused, &limited) {
        assert!(!flooder.await.unwrap());
    }
    // Three attempts for each address while the clock stands still, and nothing more.
    let flooders = usize::from(FLOODERS);
    assert_eq!(refused.load(Ordering::Relaxed), 3 * flooders);
    assert_eq!(limited.load(Ordering::Relaxed), (REQUESTS - 3) * flooders);
    assert_eq!(bench.status().await, Status::ReadyToPair);

    let (refused, limited) = counters();
    let flooders = flood(ENDLESS, &refused, &limited);
    until(async || limited.load(Ordering::Relaxed) > 20).await;
    let answer = push(&qr, bench.body(&qr)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    for flooder in flooders {
        assert!(flooder.await.unwrap(), "the flood was over before");
    }
    assert_eq!(bench.status().await, Status::Provisioned);
    assert_eq!(refused.load(Ordering::Relaxed), 0);
}
