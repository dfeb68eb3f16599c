//! Pictures, codes, files and lists that somebody else has made or damaged.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::cell::Cell;
use std::io::Cursor;
use std::path::Path;

use image::{GrayImage, ImageFormat, Luma};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use zmon_central_station::audit::AuditExport;
use zmon_central_station::batch::{Defaults, Fleet};
use zmon_central_station::home::AnchorKind;
use zmon_central_station::scan::{parse, scan};
use zmon_central_station::{Family, Station, sha256};
use zmon_domain::audit::{AUDIT_FORMAT, AuditEntry, AuditEvent, AuditHead, AuditRecord};
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::qr::QrFields;
use zmon_domain::result::ReceiptClaims;
use zmon_domain::secret::SecretBytes;
use zmon_domain::settings::{Language, MeasurementUnit, ServerUrl, SyncInterval};
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::keys::{derive_qr_key, parse_key, qr_mac};
use zmon_payload_envelope::seal::SigningKey;
use zmon_ports::QrRenderer;
use zmon_qr_render::QrImageRenderer;
use zmon_testkit::mutation::{any_bytes, cases, changed, changed_text};

const DEVICE: &str = "ZM-1";
const MASTER_KEY: &str = "provisioning-master.key";

struct Site {
    folder: TempDir,
    station: Station,
    /// What the monitor's screen says, with and without `mac`.
    content: String,
    plain: String,
    png: Vec<u8>,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::create(&folder.path().join("home"), "Test CA", AnchorKind::Hmac).unwrap();
    let device_id = device();
    let fields = QrFields {
        device_id: device_id.clone(),
        serial_number: SerialNumber::parse("SN-1").unwrap(),
        ip_address: [10, 1, 50, 104].into(),
        port: 9443,
        pairing_code: PairingCode::parse("X7Y9Z2").unwrap(),
        timestamp: Timestamp::from_millis(1_795_435_200_000),
        key: SessionPublicKey::new([7; 32]),
        pin: TlsPin::new([9; 32]),
    };
    let qr_key = derive_qr_key(
        &parse_key(station.derive(&device_id).unwrap().expose()).unwrap(),
        &device_id,
    );
    let content = fields.to_content_with_mac(&qr_mac(&qr_key, &fields.to_authenticated_text()));
    Site {
        png: QrImageRenderer.render(&content).unwrap().png,
        plain: fields.to_content(),
        content,
        station,
        folder,
    }
}

fn device() -> DeviceId {
    DeviceId::parse(DEVICE).unwrap()
}

/// A picture that is one, with anything on it.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    (1_u32..120, 1_u32..120, any::<u64>(), 0_u8..3).prop_map(|(width, height, mut seed, kind)| {
        let picture = GrayImage::from_fn(width, height, |x, y| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let random = (seed >> 33) as u8;
            Luma([match kind {
                0 => random,
                // Black and white modules.
                1 => {
                    if random < 128 {
                        0
                    } else {
                        255
                    }
                }
                // Squares in squares, as finder patterns are.
                _ => {
                    if (x % 21).max(y % 21) % 3 == 0 {
                        random & 1
                    } else {
                        255
                    }
                }
            }])
        });
        let mut png = Vec::new();
        picture.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
        png
    })
}

/// The monitor's own picture, with stripes, spots and noise over it.
fn spoiled(png: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let whole = image::load_from_memory(png).unwrap().to_luma8();
    prop::collection::vec((0_u32..300, 0_u32..300, 1_u32..40, 1_u32..40, any::<u8>()), 0..12).prop_map(move |spots| {
        let mut picture = whole.clone();
        for (left, top, width, height, value) in spots {
            for x in left..(left + width).min(300) {
                for y in top..(top + height).min(300) {
                    picture.put_pixel(x, y, Luma([value]));
                }
            }
        }
        let mut png = Vec::new();
        picture.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
        png
    })
}

#[test]
fn it_believes_no_code_that_was_changed() {
    let site = site();
    proptest!(cases(400), |(content in changed_text(&site.content), noise in any::<String>())| {
        let fault = site.station.scan_text(&content).unwrap_err();
        prop_assert_eq!(fault.family(), Family::Scan);
        prop_assert!(!fault.to_string().contains("X7Y9Z2"), "{}", fault);
        prop_assert!(site.station.scan_text(&noise).is_err());
    });
}

/// Without a `mac` nothing proves where a code is from; what it says, it says in one spelling.
#[test]
fn it_reads_one_spelling_of_a_code() {
    let plain = site().plain;
    proptest!(cases(400), |(content in changed_text(&plain))| {
        if let Ok(scanned) = parse(content.clone()) {
            let seed = SecretBytes::take(&mut [1; 32]);
            let fields = scanned.verify(&SigningKey::Ed25519 { seed }).unwrap();
            prop_assert_eq!(fields.to_content(), content);
        }
    });
}

#[test]
fn it_survives_any_bytes_for_a_picture() {
    let site = site();
    proptest!(cases(300), |(bytes in any_bytes(600), changed in changed(site.png.as_slice()))| {
        prop_assert_eq!(scan(&bytes).unwrap_err().family(), Family::Scan);
        if let Ok(monitor) = site.station.scan(&changed) {
            prop_assert_eq!(monitor.qr.to_content(), site.plain.as_str());
        }
    });
}

#[test]
fn it_finds_no_monitor_in_noise_and_the_right_one_or_none_under_spots() {
    let site = site();
    let read = Cell::new(0);
    proptest!(cases(48), |(noise in noise(), spoiled in spoiled(&site.png))| {
        prop_assert_eq!(scan(&noise).unwrap_err().family(), Family::Scan);
        if let Ok(monitor) = site.station.scan(&spoiled) {
            read.set(read.get() + 1);
            prop_assert_eq!(monitor.qr.to_content(), site.plain.as_str());
        }
    });
    assert!(read.get() > 0, "not one picture was read");
}

#[test]
fn it_survives_a_damaged_list() {
    const LIST: &str = "picture,label,device_id,server_url,sync_interval,unit,language,server_cert\n\
        a.png,Bed 1,ZM-1,https://h.example/,10,METRIC,EN,s.pem\n\"b.png\",\"Bed, 2\",,,,,,\n";
    let defaults = Defaults {
        server_url: ServerUrl::parse("https://central.example.org/").ok(),
        sync_interval: SyncInterval::default(),
        measurement_unit: MeasurementUnit::Metric,
        language: Language::parse("EN").unwrap(),
        server_certificate: None,
    };
    proptest!(cases(400), |(list in changed_text(LIST))| {
        let rows: Vec<_> = match Fleet::read(list.as_bytes(), Path::new("/ward"), &defaults) {
            Ok(rows) => rows.collect(),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                return Ok(());
            }
        };
        prop_assert!(rows.len() <= list.lines().count());
        for row in rows {
            match row {
                Ok(row) => prop_assert!(row.line > 1),
                Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|fault| fault.line > 0)),
            }
        }
    });
}

/// Each file of the station's folder, damaged.
#[test]
fn it_names_a_damaged_file_and_repeats_nothing_of_it() {
    let site = site();
    let retired = DeviceId::parse("ZM-9").unwrap();
    site.station
        .retire(&retired, Some("lost"), Timestamp::from_millis(1))
        .unwrap();
    let home = site.folder.path().join("home");
    let files = prop::sample::select(vec![MASTER_KEY, "ca.key", "ca.pem", "retired"]);
    let place = any::<prop::sample::Index>();
    proptest!(cases(64), |(file in files, place in place, noise in any_bytes(200), random in any::<bool>())| {
        let path = home.join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        let at = place.index(damaged.len());
        damaged[at] ^= 0x41;
        std::fs::write(&path, if random { &noise } else { &damaged }).unwrap();
        let attempts = [
            site.station.derive(&device()).map(drop),
            site.station.issue(&device()).map(drop),
            site.station.scan_text(&site.content).map(drop),
            site.station.retired().map(drop),
        ];
        std::fs::write(&path, &whole).unwrap();
        let secret = String::from_utf8_lossy(&whole);
        for fault in attempts.into_iter().filter_map(Result::err) {
            let said = format!("{fault} {fault:?}");
            prop_assert!(!secret.lines().any(|line| line.len() > 20 && said.contains(line)), "{}", said);
            prop_assert!(fault.family() != Family::Local || said.contains(file) || said.contains("certificate"), "{}", said);
        }
    });
}

/// An export with five records, and what a receipt of its end says.
fn export() -> (String, AuditHead) {
    let (mut head, mut lines) = (AuditHead::EMPTY, String::new());
    for number in 0..5 {
        let entry = AuditEntry::new(AuditEvent::ALL[number]).with_detail("Bed 7, \"left\"");
        let at = Timestamp::from_millis(1_795_435_200_000 + number as u64);
        let record = AuditRecord::following(head, at, &entry, sha256);
        head = record.as_head();
        let line = json!({
            "sequence": record.sequence, "at": record.at.as_millis(), "event": record.event, "session": record.session,
            "code": record.code, "detail": record.detail, "previous": record.previous.to_hex(), "hash": record.hash.to_hex(),
        });
        lines.push_str(&format!("{line}\n"));
    }
    let first = json!({ "format": AUDIT_FORMAT, "deviceId": DEVICE, "count": head.count, "head": head.head.to_hex() });
    (format!("{first}\n{lines}"), head)
}

#[test]
fn it_finds_every_change_of_an_exported_audit() {
    let (whole, head) = export();
    let receipt = ReceiptClaims {
        device_id: device(),
        body_sha256: Sha256Digest::new([1; 32]),
        certificate_sha256: Sha256Digest::new([2; 32]),
        completed_at: Timestamp::from_millis(1),
        audit: head,
    };
    let check = |export: &[u8]| AuditExport::open(export)?.check(std::slice::from_ref(&receipt));
    assert_eq!(check(whole.as_bytes()).unwrap().findings, []);
    proptest!(cases(400), |(changed in changed(whole.as_bytes()), noise in any_bytes(300))| {
        prop_assert!(check(&noise).is_err());
        if let Ok(report) = check(&changed) {
            // What is not in the chain is the spelling of the lines and the name of the monitor.
            prop_assert!(!report.findings.is_empty() || report.whole == head, "{:?}", report);
        }
    });
}
