//! What is installed, row by row. Everything here is called inside a transaction.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use zmon_domain::certificate::{CertificateSummary, CertifiedBundle};
use zmon_domain::checks::{Credentials, Installation};
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::{ActiveConfiguration, CertificateTexts, InstalledConfiguration, Receipt};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{RecordedSettings, SettingChange};
use zmon_domain::time::Timestamp;

use crate::audit::digest;
use crate::connection::erase_shared;
use crate::fault::{Fault, from_millis, to_millis};

const CLIENT: &str = "client";
const CLIENT_KEY: &str = "client key";
const CA: &str = "ca";
const SERVER: &str = "server";

/// Removes credentials, certificate facts, settings and receipt.
pub(crate) async fn clear(connection: &mut SqliteConnection) -> Result<(), Fault> {
    for statement in [
        "DELETE FROM certificates",
        "DELETE FROM credentials",
        "DELETE FROM settings",
        "UPDATE device SET completed_at_ms = NULL, body_sha256 = NULL, receipt = NULL",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes everything but the receipt and the status.
pub(crate) async fn write(connection: &mut SqliteConnection, installation: &Installation) -> Result<(), Fault> {
    let change = installation.change();
    for (key, value) in installation.settings().to_pairs() {
        sqlx::query("INSERT INTO settings VALUES (?, ?, ?, ?)")
            .bind(key)
            .bind(value)
            .bind(to_millis(change.at)?)
            .bind(&change.by)
            .execute(&mut *connection)
            .await?;
    }
    let credentials = installation.credentials();
    let certificates = installation.certificates();
    write_pem(connection, CLIENT, &credentials.client_certificate).await?;
    write_pem(connection, CLIENT_KEY, credentials.client_private_key.expose()).await?;
    write_pem(connection, CA, &credentials.ca_certificate).await?;
    write_facts(connection, CLIENT, certificates.client()).await?;
    write_facts(connection, CA, certificates.ca()).await?;
    if let Some(server) = &credentials.server_certificate {
        write_pem(connection, SERVER, server).await?;
        write_facts(connection, SERVER, certificates.server()).await?;
    }
    sqlx::query("UPDATE device SET time_floor_ms = ?, completed_at_ms = ?, body_sha256 = ?")
        .bind(to_millis(installation.time_floor())?)
        .bind(to_millis(installation.completed_at())?)
        .bind(installation.body_sha256().as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// The last of what is written: it speaks of the audit as this transaction leaves it.
pub(crate) async fn write_receipt(connection: &mut SqliteConnection, receipt: &Receipt) -> Result<(), Fault> {
    sqlx::query("UPDATE device SET receipt = ?")
        .bind(&receipt.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// One of them is a private key, so all are erased from memory once SQLite has them.
async fn write_pem(connection: &mut SqliteConnection, role: &str, pem: &str) -> Result<(), Fault> {
    let pem: Arc<str> = Arc::from(pem);
    let outcome = sqlx::query("INSERT INTO credentials VALUES (?, ?)")
        .bind(role)
        .bind(Arc::clone(&pem))
        .persistent(false)
        .execute(&mut *connection)
        .await;
    erase_shared(connection, pem).await?;
    outcome?;
    Ok(())
}

async fn write_facts(
    connection: &mut SqliteConnection,
    role: &str,
    certificates: &[CertificateSummary],
) -> Result<(), Fault> {
    for (position, certificate) in (0_i64..).zip(certificates) {
        sqlx::query("INSERT INTO certificates VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(role)
            .bind(position)
            .bind(&certificate.serial)
            .bind(&certificate.subject)
            .bind(&certificate.issuer)
            .bind(to_millis(certificate.not_before)?)
            .bind(to_millis(certificate.not_after)?)
            .bind(certificate.sha256.as_bytes().as_slice())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Reads what [`write`] wrote, and the receipt.
pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<InstalledConfiguration, Fault> {
    let settings = read_settings(connection).await?.values().clone();
    let certificates = read_certificates(connection).await?;
    let (completed_at, body_sha256, receipt) = read_completion(connection).await?;
    Ok(InstalledConfiguration {
        settings,
        certificates,
        completed_at,
        body_sha256,
        receipt,
    })
}

/// What the monitor application works with, but for the private key.
pub(crate) async fn read_active(connection: &mut SqliteConnection) -> Result<ActiveConfiguration, Fault> {
    Ok(ActiveConfiguration {
        settings: read_settings(connection).await?,
        certificates: read_certificates(connection).await?,
        texts: CertificateTexts {
            client: required_pem(connection, CLIENT).await?,
            ca: required_pem(connection, CA).await?,
            server: read_pem(connection, SERVER).await?,
        },
        completed_at: read_completion(connection).await?.0,
    })
}

async fn read_settings(connection: &mut SqliteConnection) -> Result<RecordedSettings, Fault> {
    let rows: Vec<(String, String, i64, String)> =
        sqlx::query_as("SELECT key, value, changed_at_ms, changed_by FROM settings")
            .fetch_all(connection)
            .await?;
    let stored = |(key, value, at, by): (String, String, i64, String)| {
        let change = SettingChange {
            at: from_millis(at)?,
            by,
        };
        Ok::<_, Fault>((key, value, change))
    };
    let rows: Vec<_> = rows.into_iter().map(stored).collect::<Result<_, _>>()?;
    RecordedSettings::from_stored(|wanted| {
        let found = rows.iter().find(|(key, ..)| key == wanted);
        found.map(|(_, value, change)| (value.as_str(), change.clone()))
    })
    .map_err(|fault| Fault::refused(fault.to_string()))
}

async fn read_certificates(connection: &mut SqliteConnection) -> Result<CertifiedBundle, Fault> {
    let client = read_facts(connection, CLIENT).await?;
    let ca = read_facts(connection, CA).await?;
    let server = read_facts(connection, SERVER).await?;
    let certificates = CertifiedBundle::from_stored(client, ca, server).ok_or_else(|| {
        Fault::refused("the store says PROVISIONED, but the client certificate or the CA certificate is missing")
    })?;
    require_pem(connection, certificates.server()).await?;
    Ok(certificates)
}

/// The PEM texts, for whoever speaks mTLS with them.
pub(crate) async fn read_credentials(connection: &mut SqliteConnection) -> Result<Credentials, Fault> {
    let client_private_key = SecretText::new(required_pem(connection, CLIENT_KEY).await?);
    Ok(Credentials {
        client_certificate: required_pem(connection, CLIENT).await?,
        client_private_key,
        ca_certificate: required_pem(connection, CA).await?,
        server_certificate: read_pem(connection, SERVER).await?,
    })
}

async fn read_pem(connection: &mut SqliteConnection, role: &str) -> Result<Option<String>, Fault> {
    Ok(sqlx::query_scalar("SELECT pem FROM credentials WHERE role = ?")
        .bind(role)
        .persistent(false)
        .fetch_optional(connection)
        .await?)
}

async fn required_pem(connection: &mut SqliteConnection, role: &str) -> Result<String, Fault> {
    read_pem(connection, role).await?.ok_or_else(|| missing(role))
}

fn missing(role: &str) -> Fault {
    Fault::refused(format!(
        "the store says PROVISIONED, but the PEM text of the {role} is missing"
    ))
}

/// Whether the PEM texts are there, without touching what they say.
async fn require_pem(connection: &mut SqliteConnection, server: &[CertificateSummary]) -> Result<(), Fault> {
    let roles: Vec<String> = sqlx::query_scalar("SELECT role FROM credentials")
        .fetch_all(connection)
        .await?;
    let server = (!server.is_empty()).then_some(SERVER);
    for role in [CLIENT, CLIENT_KEY, CA].into_iter().chain(server) {
        if !roles.iter().any(|found| found == role) {
            return Err(missing(role));
        }
    }
    Ok(())
}

async fn read_facts(connection: &mut SqliteConnection, role: &str) -> Result<Vec<CertificateSummary>, Fault> {
    let rows = sqlx::query("SELECT * FROM certificates WHERE role = ? ORDER BY position")
        .bind(role)
        .fetch_all(connection)
        .await?;
    let read = |(position, row): (i64, &SqliteRow)| {
        if row.try_get::<i64, _>("position")? != position {
            return Err(Fault::refused(format!(
                "a certificate is missing in the chain of the {role}"
            )));
        }
        Ok(CertificateSummary {
            serial: row.try_get("serial")?,
            subject: row.try_get("subject")?,
            issuer: row.try_get("issuer")?,
            not_before: from_millis(row.try_get("not_before_ms")?)?,
            not_after: from_millis(row.try_get("not_after_ms")?)?,
            sha256: digest(row, "sha256")?,
        })
    };
    (0_i64..).zip(&rows).map(read).collect()
}

pub(crate) async fn read_completion(
    connection: &mut SqliteConnection,
) -> Result<(Timestamp, Sha256Digest, Receipt), Fault> {
    let row = sqlx::query(
        "SELECT completed_at_ms, body_sha256, receipt FROM device
         WHERE completed_at_ms IS NOT NULL AND body_sha256 IS NOT NULL AND receipt IS NOT NULL",
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| Fault::refused("the store says PROVISIONED, but the record of the installation is incomplete"))?;
    Ok((
        from_millis(row.try_get("completed_at_ms")?)?,
        digest(&row, "body_sha256")?,
        Receipt(row.try_get("receipt")?),
    ))
}
