//! What went wrong and what to do next, for whoever stands at the monitor. Nothing here repeats a key or a certificate.

use std::error::Error as StdError;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use zmon_ports::{ConnectionFault, ConnectionStage};

fn fault(stage: ConnectionStage, reason: impl Into<String>, cause: &dyn Display) -> ConnectionFault {
    ConnectionFault {
        stage,
        reason: reason.into(),
        cause: cause.to_string(),
    }
}

/// The time was over in this stage.
pub(crate) fn silent(stage: ConnectionStage, time: Duration) -> ConnectionFault {
    let next = match stage {
        ConnectionStage::NameResolution => "Check the monitor's DNS servers.",
        ConnectionStage::Connect => "Check the server's address, cable and firewall.",
        ConnectionStage::Handshake | ConnectionStage::Request => "Check that the server works and speaks HTTPS.",
    };
    let reason = format!("there was no answer within {:.1} s. {next}", time.as_secs_f32());
    fault(stage, reason, &"deadline")
}

pub(crate) fn unresolved(name: &str, cause: &dyn Display) -> ConnectionFault {
    let reason = format!("{name} has no address here. Check the server's name and the monitor's DNS servers.");
    fault(ConnectionStage::NameResolution, reason, cause)
}

pub(crate) fn not_connected(address: SocketAddr, cause: &io::Error) -> ConnectionFault {
    let reason = match cause.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {address}. Check that the server runs, its address and its port.")
        }
        _ => format!("{address} cannot be reached. Check the server's address, cable and firewall."),
    };
    fault(ConnectionStage::Connect, reason, cause)
}

/// What no payload that passed step 10 should be.
pub(crate) fn unusable(cause: &dyn Display) -> ConnectionFault {
    let reason = "the credentials cannot be used for TLS. Issue them anew at the Central Station.";
    fault(ConnectionStage::Handshake, reason, cause)
}

pub(crate) fn handshake_failed(cause: &io::Error) -> ConnectionFault {
    let reason = match tls_error(cause) {
        Some(error) => tls_reason(error),
        None => ended(),
    };
    fault(ConnectionStage::Handshake, reason, cause)
}

/// In TLS 1.3 a server refuses a client certificate after the handshake: what fails then is the first read.
pub(crate) fn no_answer(cause: &(dyn StdError + 'static)) -> ConnectionFault {
    match tls_error(cause) {
        Some(error) => fault(ConnectionStage::Handshake, tls_reason(error), error),
        None => fault(ConnectionStage::Request, ended(), cause),
    }
}

pub(crate) fn certificate_refused(status: u16) -> ConnectionFault {
    let reason = format!("the server answers HTTP {status}. {REFUSED_CLIENT}");
    fault(ConnectionStage::Request, reason, &status)
}

const REFUSED_CLIENT: &str =
    "It does not take the client certificate: check that the server trusts the CA that issued it.";

fn ended() -> String {
    "the server ended the connection without an answer. It may not speak HTTPS, or not take the client certificate."
        .into()
}

fn tls_reason(error: &TlsError) -> String {
    use AlertDescription as Alert;
    match error {
        TlsError::InvalidCertificate(certificate) => {
            let what = match certificate {
                CertificateError::UnknownIssuer => "is not from a CA of the payload",
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "does not name the host of the server's URL"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
                CertificateError::ApplicationVerificationFailure => "is not the pinned one of the payload",
                _ => "is not acceptable",
            };
            format!("the server's certificate {what}. Check the server, and what the Central Station sends about it.")
        }
        TlsError::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => format!("the server refused. {REFUSED_CLIENT}"),
        _ => "the server does not speak TLS as this monitor does. Check that its port is the one for HTTPS.".into(),
    }
}

/// The TLS library's error, wherever it is wrapped.
fn tls_error<'a>(outermost: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(outermost);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<TlsError>() {
            return Some(found);
        }
        // The source of an `io::Error` is that of its content: the content itself would be passed over.
        let content = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match content {
            Some(content) => Some(content),
            None => error.source(),
        };
    }
    None
}
