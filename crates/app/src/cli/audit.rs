//! `audit`: list, verify, export. The audit may be long: it goes through in pieces, and memory stays flat.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zmon_domain::audit::{AUDIT_FORMAT, AuditEvent};
use zmon_domain::error::ErrorCode;
use zmon_domain::time::Timestamp;
use zmon_local_api::AuditRecordView;
use zmon_ports::Clock;

use super::output::{Voice, print, print_json};
use super::reach::Reach;
use super::{Exit, Failure, Inputs, ServiceArgs};
use crate::clock::SystemClock;
use crate::files::{NewFile, PRIVATE};
use crate::text::{shown, utc};

/// Records in one piece.
const PIECE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List records, the oldest first
    List(ListArgs),
    /// Walk the whole chain; ends with 65 and names the record where one was changed, removed or moved
    Verify {
        #[command(flatten)]
        service: ServiceArgs,
    },
    /// Write every record with every field as JSON Lines, the audit's head first
    Export {
        #[command(flatten)]
        service: ServiceArgs,
        /// File to write, mode 0600, instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// From this time on: 2026-11-25, 2026-11-25T08:30:00Z, or 90m, 12h, 7d back from now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Up to this time, in the same forms
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only this event, for example "provisioning failed"; as often as needed
    #[arg(long, value_name = "EVENT", value_parser = event)]
    event: Vec<AuditEvent>,
    /// Only refusals with this code, for example SignatureInvalid; as often as needed
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Vec<ErrorCode>,
    /// Only this pairing session: 16 hexadecimal digits
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Only the newest of them, at most this many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

impl ListArgs {
    fn wants(&self, record: &AuditRecordView) -> bool {
        let is_event = |event: &AuditEvent| event.as_str() == record.event;
        let is_code = |code: &ErrorCode| Some(code.as_str()) == record.code.as_deref();
        self.since.is_none_or(|since| record.at >= since.as_millis())
            && self.until.is_none_or(|until| record.at <= until.as_millis())
            && (self.event.is_empty() || self.event.iter().any(is_event))
            && (self.code.is_empty() || self.code.iter().any(is_code))
            && (self.session.is_none() || self.session == record.session)
    }
}

pub(super) async fn audit(command: &AuditCommand, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    let service = match command {
        AuditCommand::List(arguments) => &arguments.service,
        AuditCommand::Verify { service } | AuditCommand::Export { service, .. } => service,
    };
    let reach = Reach::of_control(service, inputs).await?;
    let outcome = match command {
        AuditCommand::List(arguments) => list(&reach, arguments, inputs, voice).await,
        AuditCommand::Verify { .. } => verify(&reach, voice).await,
        AuditCommand::Export { out: None, .. } => export(&reach, &mut io::stdout().lock()).await.map(drop),
        AuditCommand::Export { out: Some(path), .. } => export_to(&reach, path, voice).await,
    };
    reach.close().await;
    outcome.map(|()| Exit::Done)
}

async fn list(reach: &Reach, arguments: &ListArgs, inputs: &Inputs, voice: Voice) -> Result<(), Failure> {
    let coloured = voice.live && inputs.environment.iter().all(|(name, _)| name != "NO_COLOR");
    let mut newest = VecDeque::new();
    let mut from = 1;
    loop {
        let piece = reach.audit_page(from, PIECE).await?.records;
        let Some(last) = piece.last() else { break };
        from = last.sequence + 1;
        let mut text = String::new();
        for record in piece.iter().filter(|record| arguments.wants(record)) {
            let line = if voice.json {
                serde_json::to_string(record).unwrap_or_default() + "\n"
            } else {
                line(record, coloured)
            };
            match arguments.limit {
                None => text.push_str(&line),
                Some(limit) => {
                    newest.push_back(line);
                    newest.drain(..newest.len().saturating_sub(limit));
                }
            }
        }
        print(&text);
    }
    for line in newest {
        print(&line);
    }
    Ok(())
}

fn line(record: &AuditRecordView, coloured: bool) -> String {
    let mut text = format!("{:>6}  {}  {}", record.sequence, utc(record.at), shown(&record.event));
    if let Some(code) = &record.code {
        // Yellow: something was refused.
        let (on, off) = if coloured {
            ("\u{1b}[33m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        text.push_str(&format!(" {on}{}{off}", shown(code)));
    }
    if let Some(session) = &record.session {
        text.push_str(&format!(" (session {})", shown(session)));
    }
    if let Some(detail) = record.detail.as_deref().filter(|detail| !detail.is_empty()) {
        text.push_str(&format!(": {}", shown(detail)));
    }
    text + "\n"
}

async fn verify(reach: &Reach, voice: Voice) -> Result<(), Failure> {
    let verdict = reach.verify_audit().await?;
    if voice.json {
        print_json(&verdict);
    }
    match (verdict.sequence, &verdict.why) {
        (Some(sequence), why) => Err(Failure::Tampered(format!(
            "the audit is broken at record {sequence}: {}; from there on nothing can be relied upon\nnext: keep the database \
             and its key as evidence, and compare the last export and the receipts with it (`zmon-station audit-check`)",
            shown(why.as_deref().unwrap_or_default())
        ))),
        _ if voice.json => Ok(()),
        _ => {
            print(&format!(
                "The audit is intact: {} records, the last has the hash {}.\n",
                verdict.count.unwrap_or_default(),
                shown(verdict.head.as_deref().unwrap_or_default()),
            ));
            Ok(())
        }
    }
}

async fn export_to(reach: &Reach, path: &Path, voice: Voice) -> Result<(), Failure> {
    let failed = |fault: io::Error| Failure::Other(format!("{} cannot be written: {fault}", path.display()));
    let mut file = NewFile::begin(path, PRIVATE).map_err(failed)?;
    let count = export(reach, &mut file).await?;
    file.put().map_err(failed)?;
    voice.say(&json!({ "file": path, "records": count }), || {
        format!("{count} records are in {}.\n", path.display())
    });
    Ok(())
}

/// The first line of an export.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    format: &'a str,
    device_id: &'a str,
    count: u64,
    head: &'a str,
}

/// Everything up to the head that stood at the beginning; gives the number of records.
async fn export(reach: &Reach, out: &mut impl Write) -> Result<u64, Failure> {
    let failed = |fault: io::Error| Failure::Other(format!("the export cannot be written: {fault}"));
    let mut piece = reach.audit_page(1, PIECE).await?;
    let count = piece.count;
    let head = Head {
        format: AUDIT_FORMAT,
        device_id: &piece.device_id,
        count,
        head: &piece.head,
    };
    serde_json::to_writer(&mut *out, &head).map_err(|fault| failed(fault.into()))?;
    out.write_all(b"\n").map_err(failed)?;
    let mut written = 0;
    while !piece.records.is_empty() && written < count {
        for record in piece.records.iter().filter(|record| record.sequence <= count) {
            serde_json::to_writer(&mut *out, record).map_err(|fault| failed(fault.into()))?;
            out.write_all(b"\n").map_err(failed)?;
            written = record.sequence;
        }
        piece = reach.audit_page(written + 1, PIECE).await?;
    }
    out.flush().map_err(failed)?;
    Ok(count)
}

fn event(text: &str) -> Result<AuditEvent, String> {
    AuditEvent::from_name(text).ok_or_else(|| {
        let names: Vec<_> = AuditEvent::ALL.iter().map(|event| event.as_str()).collect();
        format!("expected one of: {}", names.join(", "))
    })
}

fn code(text: &str) -> Result<ErrorCode, String> {
    ErrorCode::from_name(text).ok_or_else(|| "expected a code of the error catalogue, such as SignatureInvalid".into())
}

/// A time in UTC, or so long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let time = time(text).or_else(|| time(&format!("{text}T00:00:00Z")));
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let back = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(unit)?);
        let now = SystemClock.wall().now.as_millis();
        let back = u64::try_from(back.as_millis()).ok()?;
        Some(Timestamp::from_millis(now.saturating_sub(back)))
    };
    let then = time.map(|time| Timestamp::from_unix_seconds(time.unix_timestamp()));
    then.or_else(ago).ok_or_else(|| {
        "expected a date such as 2026-11-25, a time such as 2026-11-25T08:30:00Z, or 90m, 12h or 7d for so long ago"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AuditRecordView {
        AuditRecordView {
            sequence: 12,
            at: 1_793_491_200_000,
            event: "provisioning failed".into(),
            session: Some("0123456789abcdef".into()),
            code: Some("SignatureInvalid".into()),
            detail: Some("why\u{1b}[2J\n".into()),
            previous: "0".repeat(64),
            hash: "1".repeat(64),
        }
    }

    #[test]
    fn lists_a_record_in_one_line_that_no_terminal_obeys() {
        let plain = line(&record(), false);
        assert_eq!(
            plain,
            "    12  2026-11-01T00:00:00Z  provisioning failed SignatureInvalid (session 0123456789abcdef): why\u{fffd}[2J\u{fffd}\n"
        );
        assert!(line(&record(), true).contains("\u{1b}[33mSignatureInvalid\u{1b}[0m"));
        let bare = AuditRecordView {
            session: None,
            code: None,
            detail: Some(String::new()),
            ..record()
        };
        assert_eq!(line(&bare, true), "    12  2026-11-01T00:00:00Z  provisioning failed\n");
    }

    #[test]
    fn takes_times_as_people_write_them() {
        let millis = |text| moment(text).unwrap().as_millis();
        assert_eq!(millis("2026-11-01"), 1_793_491_200_000);
        assert_eq!(millis("2026-11-01T02:00:00+02:00"), 1_793_491_200_000);
        let now = SystemClock.wall().now.as_millis();
        let back = now - millis("2h");
        assert!(back.abs_diff(7_200_000) < 60_000, "{back}");
        assert_eq!(millis("99999999999d"), 0);
        for text in [
            "",
            "x",
            "7",
            "d",
            "7w",
            "2026-13-01",
            "2026-11-01T00:00:00",
            "-1d",
            "\u{e4}",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn knows_every_event_and_code_by_its_name() {
        for known in AuditEvent::ALL {
            assert_eq!(event(known.as_str()), Ok(*known));
        }
        assert!(event("party").unwrap_err().contains("provisioning failed"));
        assert_eq!(code("SignatureInvalid"), Ok(ErrorCode::SignatureInvalid));
        assert!(code("signature").is_err());
    }
}
