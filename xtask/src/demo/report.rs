//! What the demonstration shows, tidy and aligned.

use std::time::Duration;

use crate::process::Stopwatch;

/// Longest line of facts in characters.
const WIDTH: usize = 96;

/// Opens a chapter.
pub(super) fn chapter(number: usize, title: &str) {
    println!("\n{number}  {title}\n");
}

/// A claim that was checked a moment ago.
pub(super) fn shown(claim: &str) {
    println!("   ok  {claim}");
}

/// A claim that was checked a moment ago, and how long that took.
pub(super) fn shown_after(claim: &str, watch: Stopwatch) {
    println!("   ok  {claim:<64} {:>8.1} s", watch.elapsed().as_secs_f64());
}

/// Text of another program, or more about a claim.
pub(super) fn quoted(text: &str) {
    for line in text.lines() {
        println!("       {line}");
    }
}

/// What another program says about itself, one fact a line: long lines are broken after commas and indented further.
pub(super) fn facts(text: &str) {
    for line in text.lines() {
        quoted(&broken(line));
    }
}

fn broken(line: &str) -> String {
    let mut lines = vec![String::new()];
    for part in line.split_inclusive(", ") {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + part.len() > WIDTH {
            lines.push(format!("    {part}"));
        } else {
            lines[last].push_str(part);
        }
    }
    let trimmed: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    trimmed.join("\n")
}

/// How long something may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// What this project aims at.
    pub(super) goal: Duration,
    /// What the specification demands.
    pub(super) ceiling: Duration,
}

/// One measurement.
pub(super) struct Timing {
    pub(super) who: &'static str,
    pub(super) what: String,
    pub(super) took: Duration,
    pub(super) limits: Option<Limits>,
}

impl Timing {
    /// Of something that has no limits of its own.
    pub(super) fn new(who: &'static str, what: impl Into<String>, took: Duration) -> Self {
        Self {
            who,
            what: what.into(),
            took,
            limits: None,
        }
    }

    /// With its limits.
    pub(super) fn within(self, limits: Limits) -> Self {
        Self {
            limits: Some(limits),
            ..self
        }
    }
}

/// The measurements as a table, in milliseconds.
pub(super) fn table(timings: &[Timing]) {
    println!();
    println!(
        "       {:<9}{:<36}{:>9}  {:>9}  {:>9}",
        "who", "what", "ms", "goal", "ceiling"
    );
    for timing in timings {
        println!("       {}", row(timing));
    }
    println!("       (the development variant on this machine; the goals are those of a release on the device)");
}

fn row(timing: &Timing) -> String {
    let Timing {
        who,
        what,
        took,
        limits,
    } = timing;
    let head = format!("{who:<9}{what:<36}{:>9.1}", millis(*took));
    match limits {
        None => head,
        Some(Limits { goal, ceiling }) => {
            let verdict = if took <= goal { "goal met" } else { "goal missed" };
            format!("{head}  {:>9.0}  {:>9.0}  {verdict}", millis(*goal), millis(*ceiling))
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_breaks_long_facts_after_commas() {
        assert_eq!(broken("Server: a, every 10 s"), "Server: a, every 10 s");
        let long = format!("Certificate: CN={0}, serial {0}, until {0}", "x".repeat(40));
        let expected = format!("Certificate: CN={0},\n    serial {0},\n    until {0}", "x".repeat(40));
        assert_eq!(broken(&long), expected);
    }

    #[test]
    fn it_lines_measurements_up_with_their_limits() {
        let limits = Limits {
            goal: Duration::from_millis(5),
            ceiling: Duration::from_millis(500),
        };
        let quick = Timing::new("device", "QR code", Duration::from_micros(4_940)).within(limits);
        assert_eq!(
            row(&quick),
            "device   QR code                                   4.9          5        500  goal met"
        );
        let slow = Timing::new("device", "QR code", Duration::from_millis(6)).within(limits);
        assert!(row(&slow).ends_with("goal missed"));
        let free = Timing::new("station", "push", Duration::from_millis(6));
        assert_eq!(row(&free), "station  push                                      6.0");
    }
}
