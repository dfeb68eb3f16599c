//! What the device is doing when its power goes: each act with the state that it begins in.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc::channel;

use tempfile::TempDir;
use zmon_domain::identity::DeviceId;
use zmon_domain::qr::QrFields;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_payload_envelope::sha256;
use zmon_testkit::pki::{DAY, Identity, Key, KeyType, Pki, Template, Texts};
use zmon_tests::station::{SERVER_HOST, Station};

use crate::site::{DEVICE, Ended, Service, Site, copy};
use crate::trace::Tracer;
use crate::verdict::{Expected, Goal, Snapshot};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// On an empty folder.
    FirstStart,
    Provision,
    /// With as many large certificates as a payload may have.
    ProvisionMuch,
    /// Of a device that was de-provisioned.
    Reprovision,
    ReprovisionMuch,
    /// A payload with a wrong pairing code.
    Refuse,
    Deprovision,
    DeprovisionMuch,
    /// Of the database key, while a configuration is installed.
    Rotate,
    /// After a power cut: what was committed is still in the log alone.
    Recover,
}

impl Act {
    pub(crate) const ALL: [Self; 10] = [
        Self::FirstStart,
        Self::Provision,
        Self::ProvisionMuch,
        Self::Reprovision,
        Self::ReprovisionMuch,
        Self::Refuse,
        Self::Deprovision,
        Self::DeprovisionMuch,
        Self::Rotate,
        Self::Recover,
    ];
}

/// States to begin in, and the station on the other side.
pub(crate) struct World {
    pub(crate) station: &'static Station,
    much: &'static Texts,
    states: TempDir,
    /// What these states hold; nothing before the first start.
    old: BTreeMap<Act, Snapshot>,
}

/// What came of an act: what would be new, whether that was acknowledged, and the service if it still runs.
pub(crate) struct Performed {
    pub(crate) goal: Option<Goal>,
    pub(crate) acknowledged: bool,
    pub(crate) service: Service,
}

impl World {
    pub(crate) fn new() -> Self {
        let states = tempfile::tempdir().unwrap();
        let (station, much) = station();
        let mut world = Self {
            station,
            much,
            states,
            old: BTreeMap::new(),
        };
        let site = Site::new(world.station);
        fs::create_dir(world.before(Act::FirstStart)).unwrap();
        let make = |act: Act, then: &[Act]| {
            let mut performed = world.perform(act, &site, None);
            assert!(performed.acknowledged, "{}", performed.service.log());
            if act == Act::Provision {
                copy(&site.state(), &world.before(Act::Recover));
            }
            performed.service.stop();
            for next in then {
                copy(&site.state(), &world.before(*next));
            }
        };
        make(Act::FirstStart, &[Act::Provision, Act::ProvisionMuch]);
        make(Act::Provision, &[Act::Deprovision, Act::Rotate]);
        make(Act::ProvisionMuch, &[Act::DeprovisionMuch]);
        make(Act::Deprovision, &[Act::Reprovision, Act::Refuse]);
        make(Act::DeprovisionMuch, &[Act::ReprovisionMuch]);
        for act in Act::ALL.into_iter().filter(|act| *act != Act::FirstStart) {
            copy(&world.before(act), &site.state());
            world.old.insert(act, Snapshot::read(&site.state(), &site).unwrap());
        }
        world
    }

    /// The state that an act begins in.
    pub(crate) fn before(&self, act: Act) -> PathBuf {
        self.states.path().join(format!("{act:?}"))
    }

    /// Puts the state to begin in, starts the program and lets it act, as far as it comes.
    pub(crate) fn perform(&self, act: Act, site: &Site, tracer: Option<&Tracer>) -> Performed {
        copy(&self.before(act), &site.state());
        let mut performed = Performed {
            goal: None,
            acknowledged: false,
            service: site.serve(tracer),
        };
        // Where it ended early, what was performed until then is told.
        let _: Result<(), Ended> = self.steps(act, site, &mut performed);
        performed
    }

    fn steps(&self, act: Act, site: &Site, performed: &mut Performed) -> Result<(), Ended> {
        performed.service.ready()?;
        match act {
            Act::FirstStart | Act::Recover => performed.acknowledged = true,
            Act::Refuse => {
                let qr = site.pair()?;
                let mut payload = self.station.payload(&qr, qr.timestamp);
                payload["pairingCode"] = "WRONG2".into();
                let answer = site.push(&qr, self.station.seal(&qr, &payload))?;
                assert_eq!(answer.status, 403, "{}", answer.json());
                performed.acknowledged = true;
            }
            Act::Provision | Act::ProvisionMuch | Act::Reprovision | Act::ReprovisionMuch => {
                let qr = site.pair()?;
                let (body, goal) = self.payload(act, &qr);
                performed.goal = Some(goal);
                let answer = site.push(&qr, body)?;
                assert_eq!(answer.status, 200, "{}", answer.json());
                performed.acknowledged = true;
            }
            Act::Deprovision | Act::DeprovisionMuch => {
                performed.goal = Some(Goal::Erased);
                let answer = site.deprovision()?;
                assert_eq!(answer.status, 200, "{}", answer.json());
                performed.acknowledged = true;
            }
            Act::Rotate => {
                performed.goal = Some(Goal::Rotated);
                let answer = site.rotate_key()?;
                assert_eq!(answer.status, 200, "{}", answer.json());
                performed.acknowledged = true;
            }
        }
        Ok(())
    }

    /// A good body for this QR code, and what it is to bring about.
    pub(crate) fn payload(&self, act: Act, qr: &QrFields) -> (Vec<u8>, Goal) {
        let mut payload = self.station.payload(qr, qr.timestamp);
        if matches!(act, Act::ProvisionMuch | Act::ReprovisionMuch) {
            payload["clientCertificate"] = self.much.client_certificate.clone().into();
            payload["clientPrivateKey"] = self.much.client_private_key.clone().into();
            payload["caCertificate"] = self.much.ca_certificate.clone().into();
            payload["serverCertificate"] = self.much.server_certificate.clone().into();
        }
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        let body = self.station.seal(qr, &payload);
        let goal = Goal::Installed {
            body_sha256: sha256(&body),
            client_certificate: text("clientCertificate"),
            client_private_key: text("clientPrivateKey"),
            ca_certificate: text("caCertificate"),
        };
        (body, goal)
    }

    /// What is right after a cut during an act.
    pub(crate) fn expected(&self, act: Act, goal: Option<Goal>, acknowledged: bool) -> Expected<'_> {
        Expected {
            old: self.old.get(&act),
            goal,
            acknowledged,
        }
    }
}

/// The station of every world, and as much as a payload may hold. Made once: keys of that size take their time.
fn station() -> &'static (Station, Texts) {
    static STATION: OnceLock<(Station, Texts)> = OnceLock::new();
    STATION.get_or_init(|| {
        let mut station = Station::hmac(&DeviceId::parse(DEVICE).unwrap());
        // The fixtures are valid around a day in the future; these are valid now.
        let earlier = |template: &mut Template| template.not_before -= 365 * DAY;
        let ca = Template::ca("Ward CA")
            .but(earlier)
            .self_signed(Key::new(KeyType::P256));
        station.pki = Pki {
            client: Template::client(DEVICE).but(earlier).issued_by(&ca),
            server: Template::server(SERVER_HOST).but(earlier).issued_by(&ca),
            ca,
        };
        (station, much(earlier))
    })
}

/// Eight roots and a client with RSA keys of 4096 bits.
fn much(earlier: impl Fn(&mut Template) + Copy) -> Texts {
    // The making of a key takes its time, so there are two.
    let (send, made) = channel();
    for _ in 0..2 {
        let send = send.clone();
        std::thread::spawn(move || send.send(Key::new(KeyType::Rsa(4096))));
    }
    let (of_ca, of_client) = (made.recv().unwrap(), made.recv().unwrap());
    let roots: Vec<Identity> = (1..=8)
        .map(|number| {
            let template = Template::ca(&format!("Ward CA {number}")).but(earlier);
            template.self_signed(of_ca.clone())
        })
        .collect();
    let client = Template::client(DEVICE).but(earlier).issued_for(of_client, &roots[0]);
    let server = Template::server(SERVER_HOST).but(earlier).issued_by(&roots[0]);
    Texts {
        client_certificate: client.pem(),
        client_private_key: client.key.pkcs8_pem(),
        ca_certificate: roots.iter().map(Identity::pem).collect(),
        server_certificate: Some(server.pem()),
    }
}

/// The status that stands in a device's answer, as a persisted one.
pub(crate) fn status_named(name: &str) -> Status {
    Status::from_name(name).unwrap()
}
