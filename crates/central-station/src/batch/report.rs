//! The report: a table for programs and a page for people.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::{Outcome, Summary};
use crate::ca::{now, written};
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
            "elapsed_ms",
            "receipt",
            "comparison_value",
        ])
        .map_err(failed)?;
    for outcome in outcomes {
        let (line, elapsed) = (outcome.line.to_string(), outcome.elapsed_ms.to_string());
        let cells = [
            &line,
            &outcome.device_id,
            &outcome.label,
            outcome.word(),
            &outcome.code,
            &outcome.detail,
            &outcome.time,
            &elapsed,
            &outcome.receipt,
            &outcome.comparison_value,
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

/// Works from a file, without a network and without scripts; colour is never the only sign.
const HEAD: &str = "\
<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>Provisioning report</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1a1a1a; }
h1 { margin: 0 0 .25rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.2rem; }
.counts { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.25rem 0; padding: 0; list-style: none; }
.counts li { border: 1px solid #bbb; border-radius: .5rem; padding: .5rem 1rem; min-width: 7rem; }
.counts strong { display: block; font-size: 1.8rem; line-height: 1.2; }
.counts .bad { border-color: #b3261e; color: #8c1d18; }
.counts .good { border-color: #2e7d32; color: #1b5e20; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .4rem .6rem; text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: #f1f1f1; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.id { white-space: nowrap; font-weight: 600; }
td.time { white-space: nowrap; font-variant-numeric: tabular-nums; }
td.what { overflow-wrap: anywhere; min-width: 16rem; }
.failed td:first-child { border-left: .3rem solid #b3261e; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } th { position: static; } tr { break-inside: avoid; } }
</style>
</head>
<body>
<h1>Provisioning report</h1>
";

fn page_into(page: &mut impl Write, outcomes: &[Outcome], summary: &Summary) -> std::io::Result<()> {
    page.write_all(HEAD.as_bytes())?;
    let at = written(now());
    writeln!(
        page,
        "<p>Written {} UTC. The same as a table for programs: <a href=\"report.csv\">report.csv</a>.</p>",
        readable(&at)
    )?;
    writeln!(page, "<ul class=\"counts\">")?;
    let class = |count: usize, class: &'static str| if count > 0 { class } else { "" };
    for (class, count, what) in [
        ("", summary.devices, "devices"),
        (class(summary.provisioned, "good"), summary.provisioned, "provisioned"),
        ("", summary.earlier, "of them in an earlier run"),
        (class(summary.failed, "bad"), summary.failed, "not provisioned"),
        ("", summary.not_begun, "of them not begun"),
    ] {
        // What there is none of is worth a word only where it is good or bad news.
        if count == 0 && what.starts_with("of them") {
            continue;
        }
        writeln!(page, "<li class=\"{class}\"><strong>{count}</strong> {what}</li>")?;
    }
    writeln!(page, "</ul>")?;
    if summary.not_begun > 0 {
        writeln!(
            page,
            "<p>The run was stopped. Run the same command again: it goes on from there.</p>"
        )?;
    }
    // What somebody has to act upon comes first.
    for (title, provisioned) in [("Not provisioned", false), ("Provisioned", true)] {
        let mut rows = outcomes
            .iter()
            .filter(|outcome| outcome.provisioned == provisioned)
            .peekable();
        if rows.peek().is_none() {
            continue;
        }
        let last = if provisioned { "<th>Receipt</th>" } else { "" };
        writeln!(
            page,
            "<h2>{title}</h2>\n<table>\n<thead><tr><th class=\"number\">Line</th><th>Device</th><th>Label</th><th>What happened</th>\
             <th>Time (UTC)</th><th class=\"number\">Took (s)</th>{last}</tr></thead>\n<tbody>"
        )?;
        for outcome in rows {
            row_into(page, outcome)?;
        }
        writeln!(page, "</tbody>\n</table>")?;
    }
    page.write_all(b"</body>\n</html>\n")
}

fn row_into(page: &mut impl Write, outcome: &Outcome) -> std::io::Result<()> {
    let device_id = if outcome.device_id.is_empty() {
        "not known"
    } else {
        &outcome.device_id
    };
    let (class, what, receipt) = if outcome.provisioned {
        // Made of a device id, which needs no escaping in an address.
        let receipt = escaped(&outcome.receipt);
        let link = format!("<td><a href=\"{receipt}\">receipt</a></td>");
        ("", outcome.word().to_owned(), link)
    } else {
        let what = format!(
            "<strong>{}</strong>: {}",
            escaped(&outcome.code),
            escaped(&outcome.detail)
        );
        (" class=\"failed\"", what, String::new())
    };
    writeln!(
        page,
        "<tr{class}><td class=\"number\">{}</td><td class=\"id\">{}</td><td>{}</td><td class=\"what\">{what}</td>\
         <td class=\"time\">{}</td><td class=\"number\">{:.1}</td>{receipt}</tr>",
        outcome.line,
        escaped(device_id),
        escaped(&outcome.label),
        readable(&escaped(&outcome.time)),
        outcome.elapsed_ms as f64 / 1_000.0,
    )
}

/// A time in RFC 3339 to the second, as people write it.
fn readable(time: &str) -> String {
    time.split(['.', 'Z']).next().unwrap_or_default().replacen('T', " ", 1)
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
