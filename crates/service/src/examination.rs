//! Use case: the device looks at itself.

use zmon_domain::checks::ConnectionTarget;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_ports::{
    CertificateFacts, Clock, ConfigurationStore, ConnectionTest, Examination, PairingListener, SelfExamination,
};

use crate::adapters::Ports;
use crate::provisioning::CentralStationProvisioningService;

impl<P: Ports> SelfExamination for CentralStationProvisioningService<P> {
    async fn examine(&self) -> Result<Examination, ProvisioningError> {
        self.to_its_end(|core| async move {
            let mut held = core.held.lock().await;
            core.tick(&mut held).await;
            let adapters = core.adapters();
            let active = adapters.store.active_credentials().await?;
            Ok(Examination {
                wall: adapters.clock.wall(),
                time_floor: held.time_floor.unwrap_or(core.profile.release_date),
                listening: adapters.listener.is_open().await,
                key_belongs: active.map(|active| {
                    let credentials = &active.credentials;
                    let (certificate, key) = (&credentials.client_certificate, &credentials.client_private_key);
                    adapters.certificates.key_belongs(certificate, key)
                }),
                retired: held.retired,
            })
        })
        .await
    }

    async fn reach_server(&self) -> Result<(), ProvisioningError> {
        self.to_its_end(|core| async move {
            let adapters = core.adapters();
            let (active, server_url, time) = {
                let held = core.held.lock().await;
                let installed = held.state.installed().ok_or_else(|| {
                    let why = "There is no server to reach: the device is not provisioned.";
                    ProvisioningError::new(ErrorCode::NotProvisioned, why)
                })?;
                let active = adapters
                    .store
                    .active_credentials()
                    .await?
                    .ok_or(ErrorCode::StorageError)?;
                (active, installed.settings.server_url.clone(), core.time_view(&held))
            };
            let target = ConnectionTarget {
                server_url: &server_url,
                credentials: &active.credentials,
                at: time.now(),
                synchronised: time.synchronised(),
            };
            adapters.connection.reach(target).await?;
            Ok(())
        })
        .await
    }
}
