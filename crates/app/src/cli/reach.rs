//! What commands look at: the running service through its socket, or the store itself while no service runs.

use zmon_domain::access::{Peer, ReadOf};
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::checks::ConnectionTarget;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::State;
use zmon_domain::time::Timestamp;
use zmon_https_outbound::HttpsConnectionTest;
use zmon_local_api::{
    AuditPageView, AuditVerdictView, ConfigurationView, CredentialsView, ExaminationView, FailureView, Problem,
};
use zmon_ports::{
    AuditPage, AuditStore, CertificateFacts, Clock, ConfigurationStore, ConnectionTest, Examination, ProvisioningStore,
    StoreFault, StoredState,
};
use zmon_sqlcipher_certstore::SqlcipherStore;
use zmon_x509_facts::WebpkiCertificateFacts;

use super::{Failure, Inputs, ServiceArgs, client};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, application_socket};
use crate::control_client::{ClientFault, ControlClient};
use crate::{release, wiring};

/// One of the two.
pub(super) enum Reach {
    /// A service runs.
    Service(ControlClient),
    /// None runs; this process has the store for itself.
    Store(Box<OwnStore>),
}

/// Where the device stands, as far as both can tell.
pub(super) struct Standing {
    pub(super) status: String,
    pub(super) failure: Option<FailureView>,
    /// What is wrong with the storage while the device goes on.
    pub(super) warning: Option<String>,
}

/// The store, opened by a command.
pub(super) struct OwnStore {
    store: SqlcipherStore,
    device_id: String,
}

impl Reach {
    /// For what the control socket tells. A socket that was named is the only place to look.
    pub(super) async fn of_control(service: &ServiceArgs, inputs: &Inputs) -> Result<Self, Failure> {
        let client = client(service, inputs)?;
        if service.socket.is_some() || client.is_served().await? {
            return Ok(Self::Service(client));
        }
        Self::store(inputs).await
    }

    /// For what the application's socket alone tells.
    pub(super) async fn of_application(service: &ServiceArgs, inputs: &Inputs) -> Result<Self, Failure> {
        if let Some(socket) = &service.socket {
            return Ok(Self::Service(ControlClient::new(socket)));
        }
        let application = ControlClient::new(&application_socket(inputs)?);
        if application.is_served().await? {
            return Ok(Self::Service(application));
        }
        if client(service, inputs)?.is_served().await? {
            return Err(Failure::Other(
                "the service runs, but has no socket for the monitor application: application.group is not set\nnext: set it \
                 and start the service again, or stop the service and repeat the command as its user"
                    .into(),
            ));
        }
        Self::store(inputs).await
    }

    /// The store, where no service runs.
    pub(super) async fn store(inputs: &Inputs) -> Result<Self, Failure> {
        Self::opened(&Configuration::load_to_serve(inputs)?).await
    }

    /// The store of this configuration, where no service runs.
    pub(super) async fn opened(configuration: &Configuration) -> Result<Self, Failure> {
        // Opening would make one.
        if !configuration.store_path.exists() {
            return Err(Failure::Other(format!(
                "no service runs, and there is no store at {}\nnext: start the service (`zmon-provision serve`), or name the \
                 configuration that it was started with",
                configuration.store_path.display()
            )));
        }
        let store = wiring::open_store(configuration).await.map_err(Failure::Other)?;
        let device_id = configuration.device_id.as_str().into();
        Ok(Self::Store(Box::new(OwnStore { store, device_id })))
    }

    /// Has to be called at the end: leaves nothing of the store open.
    pub(super) async fn close(self) {
        if let Self::Store(own) = self {
            own.store.close().await;
        }
    }

    /// Up to `limit` records, the first of them number `from`.
    pub(super) async fn audit_page(&self, from: u64, limit: u32) -> Result<AuditPageView, Failure> {
        match self {
            Self::Service(client) => Ok(client.audit_page(from, limit).await?),
            Self::Store(own) => {
                let page = AuditPage {
                    head: own.store.audit_head().await?,
                    records: own.store.audit_records(from, limit).await?,
                };
                Ok(AuditPageView::new(&own.device_id, &page))
            }
        }
    }

    /// Walks the whole chain.
    pub(super) async fn verify_audit(&self) -> Result<AuditVerdictView, Failure> {
        match self {
            Self::Service(client) => Ok(client.verify_audit().await?),
            Self::Store(own) => Ok(AuditVerdictView::from(&own.store.verify_audit().await?)),
        }
    }

    /// Encrypts everything with a new key. Says who did it, and whether the former key is destroyed.
    pub(super) async fn rotate_key(&self) -> Result<(&'static str, bool), Failure> {
        match self {
            Self::Service(client) => {
                let warning = client.rotate_key().await?.storage_warning;
                Ok(("the running service did it", warning.is_none()))
            }
            Self::Store(own) => Ok(("no service is running", own.rotate_key().await?)),
        }
    }

    /// Where the device stands.
    pub(super) async fn standing(&self) -> Result<Standing, Failure> {
        match self {
            Self::Service(client) => {
                let view = client.status().await?;
                Ok(Standing {
                    status: view.status,
                    failure: view.failure,
                    warning: view.storage_warning.map(|warning| warning.message),
                })
            }
            Self::Store(own) => {
                let state = State::from(own.store.load().await?.persisted);
                Ok(Standing {
                    status: state.status().as_str().into(),
                    failure: None,
                    warning: None,
                })
            }
        }
    }

    /// What nobody but the device itself can see.
    pub(super) async fn examine(&self) -> Result<ExaminationView, Failure> {
        match self {
            Self::Service(client) => Ok(client.examination().await?),
            Self::Store(own) => {
                let stored = own.store.load().await?;
                let active = own.store.active_credentials().await?;
                let key_belongs = active.map(|active| {
                    let credentials = &active.credentials;
                    let (certificate, key) = (&credentials.client_certificate, &credentials.client_private_key);
                    WebpkiCertificateFacts.key_belongs(certificate, key)
                });
                Ok(ExaminationView::from(&Examination {
                    wall: SystemClock.wall(),
                    time_floor: floor_of(&stored),
                    listening: false,
                    key_belongs,
                    retired: stored.retirement.is_some(),
                }))
            }
        }
    }

    /// Tries the server with the installed credentials.
    pub(super) async fn test_connection(&self) -> Result<(), Failure> {
        match self {
            Self::Service(client) => {
                client.test_connection().await?;
                Ok(())
            }
            Self::Store(own) => {
                let active = own.store.active_configuration().await?.ok_or_else(not_provisioned)?;
                let credentials = own.store.active_credentials().await?.ok_or_else(not_provisioned)?;
                let wall = SystemClock.wall();
                let target = ConnectionTarget {
                    server_url: &active.settings.values().server_url,
                    credentials: &credentials.credentials,
                    at: own.now().await?,
                    synchronised: wall.synchronised,
                };
                let reached = HttpsConnectionTest::default().reach(target).await;
                reached.map(drop).map_err(|fault| refused(&fault.into()))
            }
        }
    }

    /// What is installed, for a person to look at.
    pub(super) async fn show_configuration(&self) -> Result<ConfigurationView, Failure> {
        match self {
            Self::Service(client) => Ok(client.configuration().await?),
            Self::Store(own) => {
                let active = own.store.active_configuration().await?.ok_or_else(not_provisioned)?;
                Ok(ConfigurationView::redacted(&active))
            }
        }
    }

    /// What the monitor application works with; a record of the audit.
    pub(super) async fn read_configuration(&self) -> Result<ConfigurationView, Failure> {
        match self {
            Self::Service(client) => Ok(client.configuration().await?),
            Self::Store(own) => {
                let active = own.store.active_configuration().await?.ok_or_else(not_provisioned)?;
                own.record(ReadOf::Configuration).await?;
                Ok(ConfigurationView::whole(&active))
            }
        }
    }

    /// Certificates and private key; a record of the audit.
    pub(super) async fn read_credentials(&self) -> Result<CredentialsView, Failure> {
        match self {
            Self::Service(client) => Ok(client.credentials().await?),
            Self::Store(own) => {
                let active = own.store.active_credentials().await?.ok_or_else(not_provisioned)?;
                own.record(ReadOf::Credentials).await?;
                Ok(CredentialsView::from(active))
            }
        }
    }
}

impl OwnStore {
    async fn rotate_key(&self) -> Result<bool, Failure> {
        let entry = AuditEntry::new(AuditEvent::DatabaseKeyRotated).with_detail("while no service was running");
        let at = self.now().await?;
        self.store.rotate_key(at, &[entry]).await?;
        let destroyed = self.store.destroy_former_key().await.is_ok();
        if !destroyed {
            let entry = AuditEntry::new(AuditEvent::FormerKeyKept);
            self.store.record(at, &[entry], None).await?;
        }
        Ok(destroyed)
    }

    async fn record(&self, what: ReadOf) -> Result<(), Failure> {
        let reader = Peer {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            pid: u32::try_from(rustix::process::getpid().as_raw_pid()).ok(),
        };
        let entry = what.entry(format_args!("{reader}, from the store while no service ran"));
        self.store.record(self.now().await?, &[entry], None).await?;
        Ok(())
    }

    /// By the wall clock, but never before the time floor.
    async fn now(&self) -> Result<Timestamp, Failure> {
        let floor = floor_of(&self.store.load().await?);
        Ok(SystemClock.wall().now.max(floor))
    }
}

fn floor_of(stored: &StoredState) -> Timestamp {
    stored.time_floor.unwrap_or(release::date())
}

impl From<StoreFault> for Failure {
    fn from(fault: StoreFault) -> Self {
        Self::Other(fault.cause)
    }
}

/// As the service words it.
fn not_provisioned() -> Failure {
    refused(&ProvisioningError::from(ErrorCode::NotProvisioned))
}

fn refused(error: &ProvisioningError) -> Failure {
    Failure::Client(ClientFault::Refused(Box::new(Problem::from(error))))
}
