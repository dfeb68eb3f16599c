//! What a watchdog hears of the service.

use zmon_ports::{Health, HealthAccess, ListenerHealth, ProvisioningService};
use zmon_tests::bench::Bench;
use zmon_tests::device::LOOPBACK;
use zmon_tests::quick;

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_of_store_listener_and_clock_as_they_are() {
    let bench = Bench::new().await;
    let idle = Health {
        store_open: true,
        listener: ListenerHealth::Closed,
        time_synchronised: true,
    };
    assert_eq!(bench.device.health().await, idle);
    bench.open().await;
    let open = Health {
        listener: ListenerHealth::Open,
        ..idle
    };
    assert_eq!(bench.device.health().await, open);
    assert!(open.is_good());
    bench.store.close().await;
    let health = bench.device.health().await;
    assert!(!health.store_open && !health.is_good(), "{health:?}");
}

#[tokio::test]
async fn it_misses_a_listener_that_a_session_needs() {
    let device = quick::start(7).await.unwrap();
    assert_eq!(device.health().await.listener, ListenerHealth::Closed);
    device
        .generate_provisioning_qr_code(&quick::device_id(), LOOPBACK)
        .await
        .unwrap();
    let health = device.health().await;
    assert_eq!(health.listener, ListenerHealth::Missing);
    assert!(!health.is_good());
}
