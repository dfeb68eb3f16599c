//! The report: a table for programs and a page for people.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::{Outcome, Summary};
use crate::fault::Fault;
use crate::home::at;

/// Writes `report.csv` and `report.html`, replacing those of an earlier run.
pub(super) fn write(folder: &Path, outcomes: &[Outcome], summary: &Summary) -> Result<(), Fault> {
    let path = folder.join("report.csv");
    let mut table =
        csv::Writer::from_path(&path).map_err(|error| Fault::local(format!("{}: {error}.", path.display())))?;
    let failed = |error: csv::Error| Fault::local(format!("Cannot write report.csv: {error}."));
    table
        .write_record([
            "line",
            "device_id",
            "label",
            "outcome",
            "code",
            "detail",
            "time",
            "receipt",
        ])
        .map_err(failed)?;
    for outcome in outcomes {
        let line = outcome.line.to_string();
        let cells = [
            &line,
            &outcome.device_id,
            &outcome.label,
            outcome.word(),
            &outcome.code,
            &outcome.detail,
            &outcome.time,
            &outcome.receipt,
        ]
        .map(|cell: &str| harmless(cell));
        table.write_record(&cells).map_err(failed)?;
    }
    table.flush().map_err(at("write", &path))?;

    let path = folder.join("report.html");
    let file = std::fs::File::create(&path).map_err(at("create", &path))?;
    let mut page = BufWriter::new(file);
    page_into(&mut page, outcomes, summary)
        .and_then(|()| page.flush())
        .map_err(at("write", &path))
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.into()
    }
}

fn page_into(page: &mut impl Write, outcomes: &[Outcome], summary: &Summary) -> std::io::Result<()> {
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>Provisioning report</title>\n<style>\n\
         body {{ font: 16px/1.5 sans-serif; margin: 2rem; color: #1a1a1a; }}\n\
         table {{ border-collapse: collapse; }}\n\
         th, td {{ border: 1px solid #999; padding: .3rem .6rem; text-align: left; vertical-align: top; }}\n\
         .failed {{ background: #fdecea; }}\n</style>\n</head>\n<body>\n<h1>Provisioning report</h1>\n\
         <p>{} devices: <strong>{} provisioned</strong> ({} of them in an earlier run), <strong>{} not \
         provisioned</strong>.</p>\n<table>\n<thead><tr><th>Line</th><th>Device</th><th>Label</th><th>Outcome</th>\
         <th>What happened</th><th>Time (UTC)</th><th>Receipt</th></tr></thead>\n<tbody>\n",
        summary.devices, summary.provisioned, summary.earlier, summary.failed
    )?;
    for outcome in outcomes {
        let class = if outcome.provisioned { "" } else { " class=\"failed\"" };
        writeln!(
            page,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}: {}</td><td>{}</td><td>{}</td></tr>",
            outcome.line,
            escaped(&outcome.device_id),
            escaped(&outcome.label),
            outcome.word(),
            escaped(&outcome.code),
            escaped(&outcome.detail),
            escaped(&outcome.time),
            escaped(&outcome.receipt)
        )?;
    }
    page.write_all(b"</tbody>\n</table>\n</body>\n</html>\n")
}

/// Text, whatever it says.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
