//! The reference Central Station: everything the other side of the protocol has to do, as a library.
//!
//! [`Station`] is the whole of it: a folder of keys, and every act of a provisioning as a call. The program
//! `zmon-station` is these calls with files around them.
//!
//! ```
//! use zmon_central_station::ca::now;
//! use zmon_central_station::home::AnchorKind;
//! use zmon_central_station::payload::DeviceConfiguration;
//! use zmon_central_station::push::{Answer, Patience};
//! use zmon_central_station::receipt::Expected;
//! use zmon_central_station::{FaultCode, Station};
//! use zmon_domain::identity::DeviceId;
//! use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerUrl, SyncInterval};
//! use zmon_domain::time::MAX_PAYLOAD_LIFETIME;
//!
//! # fn screen(line: &str) -> String {
//! #     use zmon_domain::pairing::{PairingCode, SessionPublicKey, TlsPin};
//! #     use zmon_payload_envelope::keys::{derive_qr_key, parse_key, qr_mac};
//! #     let fields = zmon_domain::qr::QrFields {
//! #         device_id: DeviceId::parse("ZM-2025-001").unwrap(),
//! #         serial_number: zmon_domain::identity::SerialNumber::parse("SN-1").unwrap(),
//! #         ip_address: [127, 0, 0, 1].into(),
//! #         port: 1,
//! #         pairing_code: PairingCode::parse("X7Y9Z2").unwrap(),
//! #         timestamp: now(),
//! #         key: SessionPublicKey::new([9; 32]),
//! #         pin: TlsPin::new([1; 32]),
//! #     };
//! #     let qr_key = derive_qr_key(&parse_key(line).unwrap(), &fields.device_id);
//! #     fields.to_content_with_mac(&qr_mac(&qr_key, &fields.to_authenticated_text()))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! // Once for the hospital: master key and certificate authority in a new folder.
//! let station = Station::create(&folder.path().join("station"), "Ward 3 CA", AnchorKind::Hmac)?;
//!
//! // Once for each monitor, at commissioning: the line that is carried to it.
//! let device_id = DeviceId::parse("ZM-2025-001")?;
//! let line = station.derive(&device_id)?;
//!
//! // The monitor shows its QR code. `scan` takes a picture, `scan_text` the text; both verify its `mac`.
//! # let text = screen(line.expose());
//! let monitor = station.scan_text(&text)?;
//! assert_eq!(monitor.device_id(), &device_id);
//!
//! // What the monitor is to become. Every value passes the rule that the monitor applies.
//! let configuration = DeviceConfiguration {
//!     server_url: ServerUrl::parse("https://central.example.org/")?,
//!     sync_interval: SyncInterval::from_seconds(10)?,
//!     device_label: DeviceLabel::parse("Bed 7")?,
//!     measurement_unit: MeasurementUnit::parse("METRIC")?,
//!     language: Language::parse("EN")?,
//!     ca_certificate: station.certificate_authority()?.certificate_pem().into(),
//!     server_certificate: None,
//! };
//! let client = station.issue(&device_id)?;
//! let body = station.seal(&monitor, &configuration, &client, now(), MAX_PAYLOAD_LIFETIME)?;
//!
//! // Keep the body until the receipt is there: where the answer was lost, push the same body again.
//! match station.push(&monitor, body.as_bytes(), Patience::default()).await {
//!     Ok(Answer::Provisioned { receipt }) => {
//!         let expected = Expected {
//!             device_id: &device_id,
//!             body: Some(body.as_bytes()),
//!             certificate_sha256: Some(client.sha256),
//!         };
//!         let claims = station.verify_receipt(&receipt, expected, Some(&client.der))?;
//!         println!("{} is provisioned: entry {} of its audit", claims.device_id, claims.audit.count);
//!     }
//!     Ok(Answer::Refused(refusal)) => println!("{}: {}", refusal.code, refusal.next_action),
//!     // Here: no monitor listens.
//!     Err(fault) => assert_eq!(fault.code, FaultCode::NoConnection),
//! }
//!
//! // The monitor is lost: from now on nothing is made for it.
//! station.retire(&device_id, Some("lost in transport"), now())?;
//! assert_eq!(station.issue(&device_id).unwrap_err().code, FaultCode::DeviceRetired);
//! # Ok(())
//! # }
//! ```
//!
//! For many monitors there is [`batch`]; [`check`] says what a monitor would object to, before any is
//! involved, and [`audit`] whether a monitor's audit is still what it was.
pub mod audit;
pub mod batch;
pub mod ca;
pub mod check;
pub mod cli;
pub mod destruction;

mod fault;
pub mod home;
pub mod payload;
pub mod push;
pub mod receipt;
mod retired;
pub mod scan;
mod station;
mod values;

pub use fault::{Family, Fault, FaultCode};
pub use retired::Retired;
pub use station::{Monitor, Station};
pub use zmon_payload_envelope::sha256;
