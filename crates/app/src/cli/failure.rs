//! Why a command failed: sentences for people, a problem document for programs.

use std::fmt;

use serde_json::{Value, json};

use super::Exit;
use crate::configuration::Faults;
use crate::control_client::ClientFault;

/// Why a command failed. Where a person can do something, the text has a line that begins with `next: `.
pub(super) enum Failure {
    Configuration(Faults),
    Client(ClientFault),
    Tampered(String),
    NotInTime(String),
    Usage(String),
    Other(String),
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<ClientFault> for Failure {
    fn from(fault: ClientFault) -> Self {
        Self::Client(fault)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(faults) => faults.fmt(f),
            Self::Client(fault) => fault.fmt(f),
            Self::Tampered(what) | Self::NotInTime(what) | Self::Usage(what) | Self::Other(what) => f.write_str(what),
        }
    }
}

impl Failure {
    /// What failed and why in one line, without what to do next.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Configuration(faults) => faults.in_one_line(),
            _ => what_and_next(&self.to_string()).0.into(),
        }
    }

    /// How the command ends.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Configuration,
            Self::Client(ClientFault::Unreachable { .. } | ClientFault::Ended) => Exit::Unreachable,
            Self::Client(ClientFault::Refused(_)) | Self::Other(_) => Exit::Refused,
            Self::Tampered(_) => Exit::Tampered,
            Self::NotInTime(_) => Exit::NotInTime,
            Self::Usage(_) => Exit::Usage,
        }
    }

    /// An RFC 9457 problem document: the service's own where it refused, and one in the same form where it did not come to
    /// that. `exitCode` is the command's.
    pub(super) fn problem(&self) -> Value {
        let mut document = match self {
            Self::Client(ClientFault::Refused(problem)) => json!(problem),
            _ => self.own_problem(),
        };
        document["exitCode"] = json!(self.exit() as u8);
        document
    }

    fn own_problem(&self) -> Value {
        let (code, title, next) = match self {
            Self::Configuration(_) => (
                "ConfigurationInvalid",
                "The configuration is faulty",
                "Mend each fault.",
            ),
            Self::Client(ClientFault::Ended) => ("ServiceEnded", "The service went away", "Start it again."),
            Self::Client(_) => ("ServiceUnreachable", "The service is not reachable", "Start it."),
            Self::Tampered(_) => (
                "AuditBroken",
                "The audit is not what was written",
                "Keep it as evidence.",
            ),
            Self::NotInTime(_) => ("NotInTime", "It did not happen in time", "Wait longer."),
            Self::Usage(_) => ("UsageInvalid", "The command line is not understood", "See --help."),
            Self::Other(_) => (
                "CommandFailed",
                "The command failed",
                "Mend what the detail says, then try again.",
            ),
        };
        let text = self.to_string();
        let (detail, given) = what_and_next(&text);
        let next = given.unwrap_or(next);
        let mut document = json!({
            "type": format!("urn:z-monitor:provisioning:{code}"),
            "title": title,
            "detail": detail,
            "code": code,
            "nextAction": next,
            "retryable": matches!(self, Self::Client(_) | Self::NotInTime(_)),
        });
        if let Self::Configuration(faults) = self {
            let faults = faults.0.iter();
            let faults = faults.map(|fault| json!({ "source": fault.source, "key": fault.key, "what": fault.what }));
            document["faults"] = faults.collect();
        }
        document
    }
}

fn what_and_next(text: &str) -> (&str, Option<&str>) {
    match text.split_once("\nnext: ") {
        Some((what, next)) => (what, Some(next)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Fault;

    #[test]
    fn says_what_failed_in_one_line() {
        let failure = Failure::Other("the file is gone\nnext: bring it back".into());
        assert_eq!(failure.what(), "the file is gone");
        let fault = |key: &str| Fault {
            source: "--set".into(),
            key: Some(key.into()),
            what: "unknown key".into(),
        };
        let faults = Faults(vec![fault("a"), fault("b")]);
        assert_eq!(
            Failure::from(faults).what(),
            "--set: a: unknown key; --set: b: unknown key"
        );
    }

    #[test]
    fn tells_a_program_what_a_person_is_told() {
        let failure = Failure::Other("the file is gone\nnext: bring it back".into());
        let problem = failure.problem();
        assert_eq!(
            (&problem["detail"], &problem["nextAction"], &problem["exitCode"]),
            (&json!("the file is gone"), &json!("bring it back"), &json!(1))
        );
        let unreachable = Failure::Client(ClientFault::Unreachable {
            socket: "/x.sock".into(),
            cause: "no".into(),
        });
        assert_eq!(unreachable.problem()["code"], "ServiceUnreachable");
        assert_eq!(unreachable.problem()["exitCode"], 69);
    }
}
