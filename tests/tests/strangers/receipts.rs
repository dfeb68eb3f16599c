//! A lost answer is not a lost provisioning: after the grace period the monitor's own command gives the receipt.

use std::process::Command;
use std::time::Duration;

use tokio::net::UnixListener;
use zmon_domain::identity::DeviceId;
use zmon_local_api::PairingDefaults;
use zmon_testkit::pki::Identity;
use zmon_testkit::skip::skip;
use zmon_tests::bench::{Bench, is_closed, push, until};
use zmon_tests::device::LOOPBACK;
use zmon_tests::programs::{program, said};
use zmon_tests::station::Station;

use crate::live::Strangers;
use crate::site::{key_text, write_private};

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_the_grace_period_and_everybody_verifies_it() {
    let strangers = match Strangers::find() {
        Ok(strangers) => strangers,
        Err(reason) => return skip("receipts after the grace period", &reason),
    };
    after_grace(&strangers, Station::hmac, "provisioning-master.key", [17; 32]).await;
    after_grace(&strangers, Station::ed25519, "ed25519-signing.key", [18; 32]).await;
}

/// A device whose time can be moved; its control API is asked by the device's own program.
async fn after_grace(strangers: &Strangers, station: fn(&DeviceId) -> Station, key_file: &str, key: [u8; 32]) {
    let bench = Bench::with(station).await;
    let qr = bench.open().await;
    let body = bench.body(&qr);
    let answer = push(&qr, body.clone()).await.json();
    bench.blueprint.clock.advance(Duration::from_secs(120));
    until(async || is_closed(&qr).await).await;

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let defaults = PairingDefaults {
        device_id: bench.blueprint.device_id.clone(),
        ip_address: LOOPBACK,
    };
    let listener = UnixListener::bind(at("control.sock")).unwrap();
    let server = tokio::spawn(zmon_local_api::serve(
        listener,
        bench.device.clone(),
        defaults,
        std::future::pending(),
    ));
    let mut status = Command::new(program("zmon-provision"));
    let receipt = said(status.args(["status", "--receipt", "--socket"]).arg(at("control.sock")));
    server.abort();
    assert_eq!(receipt.strip_suffix('\n'), answer["receipt"].as_str());

    std::fs::create_dir(at("station")).unwrap();
    let [ca, client] = [&bench.station.pki.ca, &bench.station.pki.client].map(Identity::pem);
    write_private(&at("station").join(key_file), &key_text(&key));
    for (name, text) in [
        ("station/ca.pem", ca.as_str()),
        ("certificate.pem", &client),
        ("receipt", &receipt),
        ("body", std::str::from_utf8(&body).unwrap()),
    ] {
        write_private(&at(name), text);
    }
    strangers.everybody_verifies(&at("station"), &at("receipt"), &at("body"), &at("certificate.pem"));
    // The control: of another body nobody takes it for the receipt.
    write_private(&at("body"), "another");
    strangers.nobody_verifies(
        "body",
        &at("station"),
        &at("receipt"),
        &at("body"),
        &at("certificate.pem"),
    );
}
