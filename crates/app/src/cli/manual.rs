//! The command line as data: for man pages, completions, and `docs/command-line.md`.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};

use super::check::Check;
use super::{Cli, Exit};

/// What no release has.
const DEVELOPMENT: [&str; 2] = ["simulate-device", "simulate"];

/// The program's command line, without what is for development alone.
#[must_use]
pub fn command() -> Command {
    let whole = Cli::command();
    let released = |command: &&Command| !DEVELOPMENT.contains(&command.get_name()) && !command.is_hide_set();
    Command::new("zmon-provision")
        .version(crate::release::VERSION)
        .about(whole.get_about().cloned().unwrap_or_default())
        .args(whole.get_arguments().cloned())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(whole.get_subcommands().filter(released).cloned())
}

const HEAD: &str = "\
# The command line of the device

<!-- Generated from the code, with `cargo xtask docs --write`; edits here are lost. -->

`zmon-provision` speaks to the running service through its control socket. Commands that read (`audit`, `config`, `check`) and
`store rotate-key` open the store themselves where no service runs.

Every command takes `--json`: then each thing that it says is one JSON object in a line of standard output, and what goes wrong
is one problem document (RFC 9457) in a line of standard error, with `code`, `detail`, `nextAction` and `exitCode`. Where the
service refused, it is the service's own, with a code of the [error catalogue](error-catalogue.md). `serve` says what it has to say
in its log.

```sh
zmon-provision pair --png qr.png                 # shows the QR code and waits; 0 once the monitor is provisioned
zmon-provision check                             # what is wrong with this monitor, and how to mend it
zmon-provision apply /media/usb/body --receipt /media/usb/receipt   # by hand: `zmon-station seal` wrote the body
zmon-provision watch --until provisioned --timeout 600              # for a script that waits
zmon-provision status --json | jq .status
```

## Exit codes

| code | meaning |
| --- | --- |
";

const CHECKS: &str = "
## What `check` checks

Each check ends with pass, warn, FAIL or n/a (in JSON `pass`, `warning`, `fail`, `not-applicable`). A warning is something to
know or to do soon, or something that this user may not look at. The command ends with 1 where a check failed, otherwise with 0. It
shows no secret, and asks the running service for what only that can see; where none runs it opens the store itself, as the store's
own user. It sends nothing over the network unless `--online` asks for it: a diagnosis may run from a timer, or where the network
is what is wrong.

| name | passes where |
| --- | --- |
";

/// `docs/command-line.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    // Writing to a `String` cannot fail.
    for exit in Exit::ALL {
        let _ = writeln!(text, "| {} | {} |", *exit as u8, exit.about());
    }
    text.push_str(CHECKS);
    for check in Check::ALL {
        let _ = writeln!(text, "| `{}` | {} |", check.name(), check.about());
    }
    text.push_str("\n## Commands\n");
    let mut command = command();
    command.build();
    for subcommand in command.get_subcommands() {
        describe(subcommand, &mut text);
    }
    text
}

/// A command with its options, and then those below it.
fn describe(command: &Command, text: &mut String) {
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let leaf = command.get_subcommands().next().is_none();
    if leaf {
        let name = name.trim_start_matches("zmon-provision ");
        let _ = write!(text, "\n### `{name}`\n\n```text\n{}\n```\n", help(command));
    }
    for subcommand in command.get_subcommands() {
        describe(subcommand, text);
    }
}

/// As `--help` shows it, but for what every command takes.
fn help(command: &Command) -> String {
    let mut command = command.clone().disable_help_flag(true);
    for global in ["config", "json"] {
        if command.get_arguments().any(|argument| argument.get_id() == global) {
            command = command.mut_arg(global, |argument| argument.hide(true));
        }
    }
    command.render_long_help().to_string().trim().into()
}
