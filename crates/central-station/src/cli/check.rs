//! `check`: a dry run without a device.

use std::path::PathBuf;

use crate::Station;
use crate::ca::now;
use crate::check::{Against, Findings, check};
use crate::values::device;
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;
use zmon_domain::identity::DeviceId;
use zmon_domain::time::Timestamp;

use super::commands::{read, read_text};
use super::{Outcome, Report};

/// A device would object.
const OBJECTIONS: u8 = 8;

#[derive(Args)]
pub(super) struct Check {
    /// The unsealed payload, JSON.
    payload: PathBuf,
    /// The monitor that it is for.
    #[arg(long, value_parser = device)]
    device_id: Option<DeviceId>,
    /// Picture of the monitor's QR code, to compare session and pairing code with.
    #[arg(long, value_name = "PNG")]
    qr: Option<PathBuf>,
    /// The moment to judge for, in milliseconds since 1970, instead of now.
    #[arg(long, value_name = "MS")]
    at: Option<u64>,
}

pub(super) fn dry_run(station: &Station, arguments: &Check) -> Outcome {
    let payload = Zeroizing::new(read_text(&arguments.payload)?);
    let picture = arguments.qr.as_deref().map(read).transpose()?;
    let monitor = picture.map(|png| station.scan(&png)).transpose()?;
    let findings = check(
        &payload,
        Against {
            device_id: arguments.device_id.as_ref(),
            qr: monitor.as_ref().map(|monitor| &monitor.qr),
            now: arguments.at.map_or_else(now, Timestamp::from_millis),
        },
    );
    Ok(Report {
        text: sentences(&findings),
        exit_code: if findings.objections.is_empty() { 0 } else { OBJECTIONS },
        json: json!(findings),
    })
}

fn sentences(findings: &Findings) -> String {
    let mut lines = vec![match findings.objections.len() {
        0 => "A monitor would object to nothing that was checked.".to_owned(),
        1 => "A monitor would object to one thing:".to_owned(),
        number => format!("A monitor would object to {number} things, and tell the first:"),
    }];
    for objection in &findings.objections {
        let field = objection.field.as_deref().unwrap_or("the payload");
        let block = objection.pem_block.map(|number| format!(", PEM block {number}"));
        let rule = objection.rule.map(|rule| format!(" [{rule}]"));
        lines.push(format!(
            "- {field}{}: {}{} ({})",
            block.unwrap_or_default(),
            objection.detail,
            rule.unwrap_or_default(),
            objection.code
        ));
    }
    // One thing to do for all objections of a kind.
    let mut actions: Vec<&str> = Vec::new();
    for action in findings.objections.iter().map(|objection| objection.next_action) {
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    if !actions.is_empty() {
        lines.push("What to do next:".to_owned());
        lines.extend(actions.iter().map(|action| format!("- {action}")));
    }
    if !findings.unchecked.is_empty() {
        lines.push("Not checked:".to_owned());
        lines.extend(findings.unchecked.iter().map(|what| format!("- {what}")));
    }
    lines.join("\n")
}
