//! What can go wrong at the station: a code for programs, in families that say who has to act.

use std::fmt;

/// Who or what has to change. Programs tell families apart by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The command line.
    Usage,
    /// A file or a setting on this machine.
    Local,
    /// The picture, or what it says.
    Scan,
    /// The connection, or the certificate at its other end.
    Network,
    /// The receipt.
    Receipt,
}

impl Family {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Local => "local",
            Self::Scan => "scan",
            Self::Network => "network",
            Self::Receipt => "receipt",
        }
    }

    /// The program's exit code for it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Local => 3,
            Self::Scan => 4,
            Self::Network => 5,
            Self::Receipt => 7,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident, $family:ident, $title:literal, $next:literal;)*) => {
        /// What failed, in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FaultCode { $($(#[$doc])* $code,)* }

        impl FaultCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as programs read it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// Its family.
            #[must_use]
            pub const fn family(self) -> Family {
                match self { $(Self::$code => Family::$family,)* }
            }

            /// Short, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// What to do next.
            #[must_use]
            pub const fn next_action(self) -> &'static str {
                match self { $(Self::$code => $next,)* }
            }
        }
    };
}

codes! {
    /// A value on the command line breaks a rule.
    ArgumentInvalid, Usage, "A value is not acceptable",
        "Correct the named value and run the command again.";
    /// A file cannot be used.
    FileUnusable, Local, "A file or folder cannot be used",
        "Correct the named file or folder and run the command again.";
    /// A certificate authority or a payload cannot be made.
    CannotMake, Local, "Something could not be made",
        "Check the station's folder and the named part, then run the command again.";
    /// The device is on the list of retired ones.
    DeviceRetired, Local, "The device is retired",
        "Use another monitor, or have whoever keeps the station's list of retired devices look into it.";
    /// The list of devices has faults.
    FleetInvalid, Local, "The list of devices has faults; nothing was sent",
        "Correct every named line and run the command again.";
    /// The run was stopped before this device's turn.
    Interrupted, Local, "The run was stopped before this device's turn",
        "Run the same command again: it goes on where it stopped.";
    /// No readable code, or more than one.
    PictureUnreadable, Scan, "The picture shows no readable QR code",
        "Take a sharp picture, straight from the front, that shows the monitor's code alone.";
    /// The code is not a monitor's.
    QrNotOurs, Scan, "The QR code is not a Z Monitor's",
        "Open pairing at the monitor and take a picture of the code on its screen.";
    /// The `mac` is missing, superfluous or wrong.
    QrForged, Scan, "The QR code is not from a monitor of this station",
        "Look whether something is stuck over the screen, and which station commissioned the monitor.";
    /// Another device than expected.
    OtherDevice, Scan, "The picture is another device's",
        "Compare bed, monitor and picture, correct the list, and run the command again.";
    /// No connection stands.
    NoConnection, Network, "The monitor cannot be reached",
        "Check network and firewall, and that the QR code is on the screen; then push the same body again.";
    /// The TLS handshake failed, for example over the pin.
    TlsFailed, Network, "The monitor that answers is not the one of the QR code",
        "Scan the code that is on the screen now; if it fails again, look who answers at this address.";
    /// The request was sent, the answer is not known.
    AnswerLost, Network, "The answer was lost",
        "Push the same body again: a monitor that has installed it gives the same receipt.";
    /// An answer that the protocol does not know.
    AnswerUnknown, Network, "The answer is not one of the protocol",
        "Look who answers at this address: it is not a Z Monitor of protocol version 1.";
    /// The receipt is not what it should be.
    ReceiptInvalid, Receipt, "The receipt cannot be relied on",
        "Look at the monitor before you rely on it: it may not hold this configuration.";
}

/// With one full stop at its end, whoever has written it.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    format!("{text}.")
}

/// A fault: what failed, why, and what to do next. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What failed, in one word.
    pub code: FaultCode,
    detail: String,
}

impl Fault {
    /// What failed and why, in a sentence without a secret.
    pub fn new(code: FaultCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: sentence(&detail.into()),
        }
    }

    /// A fault of this machine's files.
    pub fn local(detail: impl Into<String>) -> Self {
        Self::new(FaultCode::FileUnusable, detail)
    }

    pub(crate) fn receipt(detail: impl Into<String>) -> Self {
        Self::new(FaultCode::ReceiptInvalid, detail)
    }

    /// Who or what has to change.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.code.family()
    }

    /// What failed and why.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}
