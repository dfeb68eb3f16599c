//! Step 11: what the device's configuration demands beyond the checks. The connection test comes first: a person is asked about
//! what works, and about nothing else.

use core::net::IpAddr;

use super::{Approved, Credentials};
use crate::confirmation::{ComparisonValue, ConfirmationRequest};
use crate::pairing::{SessionId, Sha256Digest};
use crate::settings::ServerUrl;
use crate::time::{TimeView, Timestamp};

/// What the device's configuration demands in step 11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// That the server is reached with the new credentials.
    pub connection_test: bool,
    /// That a person at the device accepts.
    pub confirmation: bool,
}

/// After step 10.
#[derive(Debug)]
pub enum Certified {
    /// Its server has to be reached with its credentials.
    Test(Untested),
    /// No test is demanded.
    NoTest(Tested),
}

/// After the connection test, where one is demanded.
#[derive(Debug)]
pub enum Tested {
    /// A person at the device has to accept it.
    Confirm(Unconfirmed),
    /// Nothing.
    Done(Approved),
}

impl Certified {
    pub(super) fn demanded(approved: Approved, demands: Demands, time: TimeView) -> Self {
        let confirmation = demands.confirmation;
        if demands.connection_test {
            return Self::Test(Untested {
                approved,
                confirmation,
                time,
            });
        }
        Self::NoTest(Tested::confirmed_if(approved, confirmation))
    }
}

impl Tested {
    fn confirmed_if(approved: Approved, confirmation: bool) -> Self {
        if confirmation {
            Self::Confirm(Unconfirmed(approved))
        } else {
            Self::Done(approved)
        }
    }
}

/// A payload whose server has to be reached with its credentials.
#[derive(Debug)]
pub struct Untested {
    approved: Approved,
    confirmation: bool,
    time: TimeView,
}

/// What a connection test tries.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTarget<'a> {
    /// The server.
    pub server_url: &'a ServerUrl,
    /// What to be there with, and whom to believe.
    pub credentials: &'a Credentials,
    /// The moment for which the server's certificate is judged.
    pub at: Timestamp,
    /// Where false, a certificate that becomes valid later is good, too.
    pub synchronised: bool,
}

/// Made by a connection test after the server was reached, and by nobody else.
#[derive(Debug)]
pub struct ServerReached(());

impl ServerReached {
    /// To be called by a connection test.
    #[must_use]
    pub const fn after_test() -> Self {
        Self(())
    }
}

impl Untested {
    /// What is to be tried.
    #[must_use]
    pub fn target(&self) -> ConnectionTarget<'_> {
        ConnectionTarget {
            server_url: &self.approved.settings.server_url,
            credentials: &self.approved.credentials,
            at: self.time.now(),
            synchronised: self.time.synchronised(),
        }
    }

    /// The test succeeded.
    #[must_use]
    pub fn tested(self, _: ServerReached) -> Tested {
        let approved = Approved {
            tested: true,
            ..self.approved
        };
        Tested::confirmed_if(approved, self.confirmation)
    }
}

/// A payload that a person has to accept. What is inside comes out when the state machine has heard that they do, and in no
/// other way.
#[derive(Debug)]
pub struct Unconfirmed(Approved);

impl Unconfirmed {
    /// The session that brought it.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.0.session
    }

    /// Whether the server was reached with it.
    pub(crate) const fn tested(&self) -> bool {
        self.0.tested
    }

    /// What the person is asked about.
    #[must_use]
    pub fn request(&self, sender: Option<IpAddr>, body_sha256: &Sha256Digest) -> ConfirmationRequest {
        let settings = &self.0.settings;
        ConfirmationRequest {
            sender,
            server_url: settings.server_url.clone(),
            device_label: settings.device_label.clone(),
            comparison: ComparisonValue::of(body_sha256),
        }
    }

    /// The person has accepted.
    pub(crate) fn confirmed(self) -> Approved {
        self.0
    }
}
