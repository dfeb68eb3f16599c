//! Use case: open pairing and make its QR code.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::info;
use zeroize::Zeroize;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::{Event, Session};
use zmon_domain::pairing::{MAX_PAIRING_TIME, PairingCode, SessionId, SessionPrivateKey};
use zmon_domain::qr::{QrCodeData, QrFields};
use zmon_domain::status::ProvisioningStatus;
use zmon_domain::time::Deadline;
use zmon_ports::{Clock, Entropy, PairingListener, PayloadEnvelope, QrRenderer};

use crate::adapters::Ports;
use crate::effects::{Core, Held};
use crate::provisioning::CentralStationProvisioningService;

impl<P: Ports> Core<P> {
    /// `inbound` is a handle on this service, for the listener.
    pub(crate) async fn generate(
        &self,
        inbound: CentralStationProvisioningService<P>,
        device_id: DeviceId,
        address: IpAddr,
    ) -> Result<QrCodeData, ProvisioningError> {
        if device_id != self.profile.device_id {
            let why = format!("This device is {}.", self.profile.device_id);
            return Err(ProvisioningError::new(ErrorCode::DeviceIdMismatch, why));
        }
        let mut held = self.held.lock().await;
        if held.stopping {
            return Err(ErrorCode::ShuttingDown.into());
        }
        if held.retired {
            return Err(ErrorCode::DeviceRetired.into());
        }
        self.tick(&mut held).await;
        match held.state.status() {
            ProvisioningStatus::Unprovisioned
            | ProvisioningStatus::ProvisioningFailed
            | ProvisioningStatus::Deprovisioned => {}
            ProvisioningStatus::ReadyToPair => {
                self.advance(&mut held, Event::Cancelled)
                    .await?
                    .fault
                    .map_or(Ok(()), Err)?;
            }
            ProvisioningStatus::PairingReceived => return Err(ErrorCode::PairingInProgress.into()),
            ProvisioningStatus::Provisioned => return Err(ErrorCode::AlreadyProvisioned.into()),
        }
        let opened = self.open(&mut held, inbound, address).await;
        if opened.is_err() {
            self.adapters().listener.close().await;
        }
        opened
    }

    async fn open(
        &self,
        held: &mut Held,
        inbound: CentralStationProvisioningService<P>,
        address: IpAddr,
    ) -> Result<QrCodeData, ProvisioningError> {
        let adapters = self.adapters();
        let started = adapters.clock.monotonic();
        let pairing_code = PairingCode::from_random(&mut self.random()?);
        let private_key = SessionPrivateKey::take(&mut self.random()?);
        let listener = adapters
            .listener
            .open(inbound, address, pairing_code.clone())
            .await
            .map_err(|fault| {
                let why = "The monitor cannot listen for the Central Station on its address and port.";
                ProvisioningError::new(ErrorCode::NetworkError, why).with_cause(fault.cause)
            })?;
        let pairing_time = self.profile.pairing_time.min(MAX_PAIRING_TIME);
        let timestamp = self.time_view(held).now();
        let fields = QrFields {
            device_id: self.profile.device_id.clone(),
            serial_number: self.profile.serial_number.clone(),
            ip_address: address,
            port: listener.port,
            pairing_code: pairing_code.clone(),
            timestamp,
            key: adapters.envelope.session_public_key(&private_key),
            pin: listener.pin,
        };
        let mac = adapters.envelope.qr_mac(&fields.to_authenticated_text());
        let content = QrCodeData::content(&fields, mac.as_ref())?;
        let images = adapters
            .renderer
            .render(&content)
            .map_err(|fault| ProvisioningError::from(ErrorCode::QrContentTooLong).with_cause(fault.cause))?;
        let session = Session {
            id: SessionId::from_random(self.random()?),
            pairing_code,
            private_key: Arc::new(private_key),
            public_key: fields.key,
            expires_at: timestamp.plus(pairing_time),
            deadline: Deadline::new(adapters.clock.monotonic(), pairing_time),
            demands: self.profile.demands,
        };
        let qr_code = QrCodeData::new(fields, session.expires_at, content, images);
        let elapsed = adapters.clock.monotonic().since(started);
        info!(
            elapsed_us = elapsed.as_micros() as u64,
            port = listener.port,
            "qr code generated"
        );

        if let Some(fault) = self.advance(held, Event::PairingOpened(Box::new(session))).await?.fault {
            // Without its audit record there is no pairing.
            self.advance(held, Event::Cancelled).await?;
            return Err(fault);
        }
        held.qr_code = Some(qr_code.clone());
        Ok(qr_code)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], ProvisioningError> {
        let mut bytes = [0; N];
        self.adapters().entropy.fill(&mut bytes).map_err(|fault| {
            bytes.zeroize();
            ProvisioningError::new(ErrorCode::UnknownError, "The device has no source of randomness.")
                .with_cause(fault.cause)
        })?;
        Ok(bytes)
    }
}
