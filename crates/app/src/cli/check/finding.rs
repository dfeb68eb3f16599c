//! The checks by their names, and what one of them finds.

use serde::Serialize;

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// As it should be.
    Pass,
    /// Something to know or to do soon; or this user may not look.
    Warning,
    /// To be mended.
    Fail,
    /// There is nothing to check here and now.
    NotApplicable,
}

macro_rules! checks {
    ($($name:ident $text:literal $about:literal;)*) => {
        /// One check. Its name stays the same from one version to the next.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Check { $(#[doc = $about] $name,)* }

        impl Check {
            /// Every one, in the order of the report.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What has to be so that it passes, for the documentation.
            pub(crate) const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

checks! {
    Configuration "configuration" "Every configuration key is set as it must be.";
    Service "service" "The service runs and answers on its control socket; a warning where none runs.";
    Status "status" "The last pairing did not fail, and the device is not retired.";
    TrustAnchor "trust-anchor" "The trust anchor is there, whole, and a secret one for its owner alone.";
    StateDirectory "state-directory" "The directory of the store belongs to the service's user and lets nobody else in.";
    StoreKey "store-key" "The key source gives a key, nobody else can read its file, and the key opens the wrapped key beside the database.";
    StoreEncryption "store-encryption" "The database is not a plain SQLite file.";
    Store "store" "The database opens with the device's key.";
    Audit "audit" "Every record of the audit is as it was written, and none is missing.";
    DiskSpace "disk-space" "There is room for the database to be encrypted anew, and 16 MiB at least.";
    Clock "clock" "The clock is not before the time floor.";
    ClockSynchronised "clock-synchronised" "The kernel says that the clock is synchronised; a warning where it does not.";
    ClientCertificate "client-certificate" "The client's chain is there and valid; a warning from 30 days before its end.";
    CaCertificate "ca-certificate" "The trust roots are there and valid; a warning from 30 days before the first one's end.";
    ServerCertificate "server-certificate" "The pinned server certificate is valid; a warning from 30 days before its end.";
    PrivateKey "private-key" "The private key is the client certificate's.";
    Server "server" "With `--online`: the server answers an mTLS request with the installed credentials and the pin.";
    PairingPort "pairing-port" "The pairing port is free, or held by our own service while pairing is open, on an address of this device.";
    ControlSocket "control-socket" "The control socket is the service's, for its owner and group alone.";
    ApplicationSocket "application-socket" "The monitor application's socket is the service's, for its owner and the configured group alone.";
    AdministratorPin "administrator-pin" "The administrator's PIN is set, in a file that is believed.";
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    name: &'static str,
    pub(super) outcome: Outcome,
    found: String,
    /// How to mend it, where there is something to mend.
    remedy: Option<String>,
}

impl Check {
    const fn ends(self, outcome: Outcome, found: String, remedy: Option<String>) -> Finding {
        Finding {
            name: self.name(),
            outcome,
            found,
            remedy,
        }
    }

    pub(super) fn passes(self, found: impl Into<String>) -> Finding {
        self.ends(Outcome::Pass, found.into(), None)
    }

    pub(super) fn warns(self, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.ends(Outcome::Warning, found.into(), Some(remedy.into()))
    }

    pub(super) fn fails(self, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.ends(Outcome::Fail, found.into(), Some(remedy.into()))
    }

    pub(super) fn does_not_apply(self, found: impl Into<String>) -> Finding {
        self.ends(Outcome::NotApplicable, found.into(), None)
    }

    /// This user may not look.
    pub(super) fn is_hidden(self, what: impl std::fmt::Display) -> Finding {
        let remedy = "run the command as root, or as the service's user: sudo -u zmon-provision zmon-provision check";
        self.warns(format!("{what} is not for this user to look at"), remedy)
    }
}

impl Finding {
    pub(super) fn found(&self) -> &str {
        &self.found
    }

    /// Two lines at most: outcome, name and what was found; how to mend it.
    pub(super) fn lines(&self, width: usize) -> String {
        let outcome = match self.outcome {
            Outcome::Pass => "pass",
            Outcome::Warning => "warn",
            Outcome::Fail => "FAIL",
            Outcome::NotApplicable => "n/a",
        };
        let remedy = self.remedy.as_ref().map(|remedy| {
            let indent = width + 8;
            format!("{:indent$}mend: {}\n", "", crate::text::shown(remedy))
        });
        format!(
            "{outcome:<4}  {:<width$}  {}\n{}",
            self.name,
            crate::text::shown(&self.found),
            remedy.unwrap_or_default()
        )
    }
}
