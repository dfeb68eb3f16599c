//! The running service and its sockets.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use super::Told;
use super::finding::{Check, Finding};
use crate::cli::ServiceArgs;
use crate::configuration::{self, Configuration, Inputs};
use crate::control_client::ControlClient;
use crate::control_socket::MODE;

/// What stands at the control socket.
pub(super) enum Service {
    /// Somebody listens.
    Runs {
        client: ControlClient,
        socket: PathBuf,
        user: u32,
        group: u32,
        process: Option<i32>,
    },
    /// Nobody does.
    Absent { socket: PathBuf },
    /// This user may not connect.
    Hidden(String),
    /// The socket's place is not known, or something else than a socket is there.
    Unknown(String),
}

impl Service {
    pub(super) async fn find(arguments: &ServiceArgs, loaded: Option<&Configuration>, inputs: &Inputs) -> Self {
        let socket = match (&arguments.socket, loaded) {
            (Some(socket), _) => socket.clone(),
            (None, Some(configuration)) => configuration.control_socket.clone(),
            // Other keys may be faulty.
            (None, None) => match configuration::control_socket(inputs) {
                Ok(socket) => socket,
                Err(faults) => return Self::Unknown(faults.in_one_line()),
            },
        };
        let connected = UnixStream::connect(&socket).await;
        match connected.and_then(|stream| stream.peer_cred()) {
            Ok(peer) => Self::Runs {
                client: ControlClient::new(&socket),
                socket,
                user: peer.uid(),
                group: peer.gid(),
                process: peer.pid(),
            },
            Err(fault) => match fault.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => Self::Absent { socket },
                ErrorKind::PermissionDenied => Self::Hidden(format!("the control socket {}", socket.display())),
                _ => Self::Unknown(format!("{}: {fault}", socket.display())),
            },
        }
    }

    pub(super) const fn runs(&self) -> bool {
        matches!(self, Self::Runs { .. })
    }

    /// Whose files the device's have to be, where a service says it.
    pub(super) const fn user(&self) -> Option<u32> {
        match self {
            Self::Runs { user, .. } => Some(*user),
            Self::Absent { .. } | Self::Hidden(_) | Self::Unknown(_) => None,
        }
    }

    pub(super) fn finding(&self, told: &Told) -> Finding {
        let check = Check::Service;
        match self {
            Self::Runs { socket, .. } if told.standing.is_err() => {
                let why = told.standing.as_ref().err().map(String::as_str).unwrap_or_default();
                check.fails(
                    format!("something listens at {}, but does not answer: {why}", socket.display()),
                    "start the service again: systemctl restart zmon-provision; see its log: journalctl -u zmon-provision",
                )
            }
            Self::Runs {
                socket, user, process, ..
            } => {
                let process = process.map(|number| format!(", process {number}")).unwrap_or_default();
                check.passes(format!("it runs as user {user}{process}, at {}", socket.display()))
            }
            Self::Absent { socket } => check.warns(
                format!("none runs at {}; the store is opened here", socket.display()),
                "start it: systemctl start zmon-provision; where it does not stay up: journalctl -u zmon-provision",
            ),
            Self::Hidden(what) => check.is_hidden(what),
            Self::Unknown(why) => check.fails(why, "mend control.socket, or name the socket with --socket"),
        }
    }

    pub(super) fn control_socket(&self, configuration: Option<&Configuration>) -> Finding {
        let check = Check::ControlSocket;
        match self {
            Self::Runs {
                socket, user, group, ..
            } => {
                let group = configuration.and_then(|loaded| loaded.control_group).unwrap_or(*group);
                judge(check, socket, *user, group)
            }
            Self::Absent { .. } => check.does_not_apply("no service runs"),
            Self::Hidden(what) | Self::Unknown(what) => check.does_not_apply(what.as_str()),
        }
    }

    pub(super) fn application_socket(&self, configuration: &Configuration) -> Finding {
        let check = Check::ApplicationSocket;
        let application = &configuration.application;
        match (self, application.group) {
            (_, None) => check.does_not_apply("application.group is not set: there is no such socket"),
            (Self::Runs { user, .. }, Some(group)) => judge(check, &application.socket, *user, group),
            (_, Some(_)) => check.does_not_apply("no service runs"),
        }
    }
}

fn judge(check: Check, socket: &Path, user: u32, group: u32) -> Finding {
    let shown = socket.display();
    let restart = "find out who changed it, then start the service again: it makes its sockets anew";
    let found = match fs::symlink_metadata(socket) {
        Ok(found) => found,
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => return check.is_hidden(shown),
        Err(fault) => return check.fails(format!("{shown}: {fault}"), restart),
    };
    let mode = found.mode() & 0o7777;
    if !found.file_type().is_socket() {
        check.fails(format!("{shown} is not a socket"), restart)
    } else if mode != MODE {
        check.fails(format!("{shown} has mode {mode:o} instead of {MODE:o}"), restart)
    } else if (found.uid(), found.gid()) != (user, group) {
        let whose = format!("{}:{} instead of {user}:{group}", found.uid(), found.gid());
        check.fails(format!("{shown} belongs to {whose}"), restart)
    } else {
        check.passes(format!("{shown} is for user {user} and group {group} alone"))
    }
}
