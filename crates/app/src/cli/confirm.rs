//! The question of step 11, put to a person at a terminal: is this configuration for this monitor?

use std::io::{IsTerminal, stdin, stdout};

use clap::Args;
use tokio::sync::oneshot;
use zmon_local_api::ConfirmationView;

use super::output::{Voice, print};
use super::{Exit, Failure, ServiceArgs};
use crate::control_client::ControlClient;
use crate::text::shown;

#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// Accept without asking
    #[arg(long, conflicts_with = "refuse")]
    accept: bool,
    /// Refuse without asking
    #[arg(long)]
    refuse: bool,
}

pub(super) async fn confirm(client: &ControlClient, arguments: &ConfirmArgs, voice: Voice) -> Result<Exit, Failure> {
    let Some(view) = client.status().await?.confirmation else {
        // The service says it best, with the reason.
        client.answer_confirmation(false).await?;
        return Ok(Exit::Done);
    };
    if !voice.json {
        print(&facts(&view));
    }
    let accept = if arguments.accept || arguments.refuse {
        arguments.accept
    } else if !voice.json && at_a_terminal() {
        ask().await.unwrap_or(false)
    } else {
        let what = "there is no terminal to ask at\nnext: say --accept or --refuse";
        return Err(Failure::Other(what.into()));
    };
    let status = client.answer_confirmation(accept).await?;
    voice.say_status(&status);
    Ok(Exit::Done)
}

/// What the person has to compare.
pub(super) fn facts(view: &ConfirmationView) -> String {
    format!(
        "Is this configuration for this monitor?\n  Sender:           {}\n  Server:           {}\n  Device label:     \
         {}\n  Comparison value: {} (the station shows the same)\n",
        view.sender_address.as_deref().map_or("carried by hand".into(), shown),
        shown(&view.server_url),
        shown(&view.device_label),
        shown(&view.comparison_value),
    )
}

/// The same for whoever cannot answer here.
pub(super) fn question(view: &ConfirmationView) -> String {
    facts(view) + "Answer at the monitor's screen, or with `zmon-provision confirm`.\n"
}

/// Whether somebody can be asked here.
pub(super) fn at_a_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Asks on the terminal; whoever types anything but yes refuses. The thread that reads is left behind where the answer is
/// no longer needed: it ends with the program.
pub(super) fn ask() -> oneshot::Receiver<bool> {
    print("Accept? [y/N] ");
    let (answered, answer) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = stdin().read_line(&mut line);
        let yes = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        // Nobody may be waiting any more.
        let _ = answered.send(read.is_ok() && yes);
    });
    answer
}
