//! `check`: field diagnostics. Each check has a name, an outcome, what was found, and how to mend it.
//!
//! Nothing goes over the network unless that is asked for: a diagnosis may run from a timer, or where the network is what is
//! wrong. Where a service runs it is asked, because it alone has the store; otherwise the store is opened here. Nothing is changed
//! but what opening a store finishes: a change of its key that a power cut interrupted.

mod files;
mod finding;
mod installed;
mod machine;
mod sockets;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use zmon_local_api::{AuditVerdictView, ConfigurationView, ExaminationView};

pub(crate) use finding::Check;
use finding::{Finding, Outcome};

use super::output::Voice;
use super::reach::{Reach, Standing};
use super::{Exit, Failure, Inputs, ServiceArgs};
use crate::configuration::{Configuration, Faults};
use files::Before;
use sockets::Service;

/// How long the service may take for an answer; its audit is walked without a limit.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Try the server with the installed credentials, too: one mTLS request over the network, as the only check that sends
    /// anything
    #[arg(long)]
    online: bool,
}

/// The whole report.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    failed: usize,
    warnings: usize,
    /// Whether a service runs, so that it was asked.
    service_runs: bool,
    checks: Vec<Finding>,
}

/// What service or store tell, or why they do not.
struct Told {
    standing: Result<Standing, String>,
    examination: Result<ExaminationView, String>,
    verdict: Result<AuditVerdictView, String>,
    /// None where nothing is installed.
    configuration: Result<Option<ConfigurationView>, String>,
    /// None where the server was not tried.
    server: Option<Result<(), String>>,
}

impl Told {
    fn is_retired(&self) -> bool {
        self.examination.as_ref().is_ok_and(|examination| examination.retired)
    }
}

pub(super) async fn check(arguments: &CheckArgs, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    let loaded = Configuration::load_to_serve(inputs);
    let service = Service::find(&arguments.service, loaded.as_ref().ok(), inputs).await;
    let checks = checks(&loaded, &service, arguments.online).await;
    let count = |outcome| checks.iter().filter(|finding| finding.outcome == outcome).count();
    let report = Report {
        failed: count(Outcome::Fail),
        warnings: count(Outcome::Warning),
        service_runs: service.runs(),
        checks,
    };
    voice.say(&report, || words(&report));
    Ok(if report.failed == 0 { Exit::Done } else { Exit::Refused })
}

fn words(report: &Report) -> String {
    let width = Check::ALL.iter().map(|check| check.name().len()).max().unwrap_or(0);
    let mut text: String = report.checks.iter().map(|finding| finding.lines(width)).collect();
    text.push_str(&match (report.failed, report.warnings) {
        (0, 0) => "Nothing to mend.\n".to_owned(),
        (0, warnings) => format!("Nothing failed; {warnings} to look at.\n"),
        (failed, warnings) => format!("{failed} failed, {warnings} to look at.\n"),
    });
    text
}

/// One finding for each check, in the order of [`Check::ALL`].
async fn checks(loaded: &Result<Configuration, Faults>, service: &Service, online: bool) -> Vec<Finding> {
    let configuration = loaded.as_ref().ok();
    let looked = configuration.map(|configuration| (configuration, Before::look(configuration, service)));
    let told = match reach(service, looked.as_ref()).await {
        Ok(reach) => told(reach, online).await,
        Err(why) => Told {
            standing: Err(why.clone()),
            examination: Err(why.clone()),
            verdict: Err(why.clone()),
            configuration: Err(why),
            server: None,
        },
    };
    let mut findings = Vec::new();
    for check in Check::ALL {
        let examination = told.examination.as_ref().ok();
        let finding = match (check, &looked) {
            (Check::Configuration, _) => machine::configuration(loaded),
            (Check::Service, _) => service.finding(&told),
            (Check::Status, _) => installed::status(&told),
            (Check::Audit, _) => installed::audit(&told),
            (Check::Store, _) if service.runs() => files::held_store(&told),
            (Check::Clock, _) => machine::clock(examination),
            (Check::ClockSynchronised, _) => machine::synchronised(examination),
            (Check::ClientCertificate | Check::CaCertificate | Check::ServerCertificate, _) => {
                installed::certificates(*check, &told)
            }
            (Check::PrivateKey, _) => installed::private_key(&told),
            (Check::Server, _) => installed::server(&told),
            (Check::ControlSocket, _) => service.control_socket(configuration),
            (_, None) => check.does_not_apply("the configuration cannot be read"),
            (Check::TrustAnchor, Some((configuration, _))) => files::trust_anchor(configuration, &told),
            (Check::StateDirectory, Some((_, before))) => before.directory.clone(),
            (Check::StoreKey, Some((_, before))) => before.key.clone(),
            (Check::StoreEncryption, Some((_, before))) => before.encryption.clone(),
            (Check::Store, Some((_, before))) => before.store(&told),
            (Check::DiskSpace, Some((configuration, _))) => machine::disk_space(configuration),
            (Check::PairingPort, Some((configuration, _))) => machine::pairing_port(configuration, examination),
            (Check::ApplicationSocket, Some((configuration, _))) => service.application_socket(configuration),
            (Check::AdministratorPin, Some((configuration, _))) => files::administrator_pin(configuration, service),
        };
        findings.push(finding);
    }
    findings
}

/// The running service, or the store where none runs and nothing speaks against opening it.
async fn reach(service: &Service, looked: Option<&(&Configuration, Before)>) -> Result<Reach, String> {
    match service {
        Service::Runs { client, .. } => Ok(Reach::Service(client.clone())),
        Service::Hidden(why) | Service::Unknown(why) => Err(why.clone()),
        Service::Absent { .. } => {
            let (configuration, before) = looked.ok_or("the configuration cannot be read")?;
            before.may_be_opened()?;
            Reach::opened(configuration).await.map_err(|failure| failure.what())
        }
    }
}

async fn told(reach: Reach, online: bool) -> Told {
    let standing = in_time(reach.standing()).await;
    let examination = in_time(reach.examine()).await;
    let configuration = match &examination {
        Ok(examination) if examination.key_belongs.is_none() => Ok(None),
        Ok(_) => in_time(reach.show_configuration()).await.map(Some),
        Err(why) => Err(why.clone()),
    };
    let verdict = match &standing {
        Ok(_) => reach.verify_audit().await.map_err(|failure| failure.what()),
        Err(why) => Err(why.clone()),
    };
    let server = match &configuration {
        Ok(Some(_)) if online => Some(in_time(reach.test_connection()).await),
        _ => None,
    };
    reach.close().await;
    Told {
        standing,
        examination,
        verdict,
        configuration,
        server,
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|failure| failure.what()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
