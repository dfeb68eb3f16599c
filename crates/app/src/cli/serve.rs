//! `serve`: the device, or a mock of one.

use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use tracing::error;

use super::{Exit, Failure, lasting_runtime, no_runtime};
use crate::configuration::{Configuration, Inputs};
use crate::wiring::{self, ServeFault};
use crate::{shutdown, telemetry};

/// What work that cannot be interrupted gets when the service has ended.
const STOP_TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[cfg(feature = "mock")]
    #[command(flatten)]
    mock: mock::MockArgs,
}

#[cfg_attr(
    not(feature = "mock"),
    expect(unused_variables, reason = "every argument is the mock's")
)]
pub(super) fn serve(arguments: &ServeArgs, inputs: &Inputs) -> Result<Exit, Failure> {
    #[cfg(feature = "mock")]
    if arguments.mock.asked_for() {
        let (runtime, served) = arguments.mock.serve(inputs)?;
        return Ok(ended(runtime, served));
    }
    let configuration = Configuration::load_to_serve(inputs)?;
    telemetry::start(configuration.log);
    #[cfg(feature = "simulation")]
    tracing::warn!(
        "SIMULATION: this program installs what no station sealed or signed, when it is told to; it must never be on a monitor"
    );
    let runtime = lasting_runtime()?;
    let served = runtime.block_on(async {
        let asked = shutdown::asked().map_err(no_runtime)?;
        Ok::<_, Failure>(wiring::serve(configuration, asked).await)
    })?;
    Ok(ended(runtime, served))
}

fn ended(runtime: Runtime, served: Result<(), ServeFault>) -> Exit {
    // A name that the resolver still looks for keeps nobody from switching off.
    runtime.shutdown_timeout(STOP_TIME);
    match served {
        Ok(()) => Exit::Done,
        Err(fault) => {
            error!(cause = %fault, "the service cannot run");
            match fault {
                ServeFault::Cannot(_) => Exit::Refused,
                ServeFault::NotCommissioned(_) => Exit::Configuration,
            }
        }
    }
}

#[cfg(feature = "mock")]
mod mock {
    use std::time::Duration;

    use clap::Args;
    use tokio::runtime::Runtime;
    use zmon_domain::error::ErrorCode;
    use zmon_service::MockOptions;

    use crate::cli::{Failure, lasting_runtime, no_runtime};
    use crate::configuration::{self, Inputs, Log, LogFormat};
    use crate::wiring::ServeFault;
    use crate::{mock, shutdown, telemetry};

    #[derive(Debug, Args)]
    pub(super) struct MockArgs {
        /// Serve a made-up device on the control socket: no network, no store, no keys, nothing real. Not in the programs for
        /// devices
        #[arg(long)]
        mock: bool,
        /// How long the mock's checks of a payload take, and one that comes by itself is on its way, in milliseconds
        #[arg(long, value_name = "MILLIS", default_value_t = 1000, requires = "mock")]
        mock_delay: u64,
        /// The code of the error catalogue with which the mock refuses every payload
        #[arg(long, value_name = "CODE", value_parser = error_code, requires = "mock")]
        mock_fail: Option<ErrorCode>,
        /// Let a payload come to the mock by itself once pairing is open
        #[arg(long, requires = "mock")]
        mock_auto: bool,
        /// Let the mock ask a person to accept the payload
        #[arg(long, requires = "mock")]
        mock_confirm: bool,
    }

    fn error_code(name: &str) -> Result<ErrorCode, String> {
        ErrorCode::from_name(name).ok_or_else(|| "expected a code of docs/error-catalogue.md".into())
    }

    impl MockArgs {
        pub(super) const fn asked_for(&self) -> bool {
            self.mock
        }

        pub(super) fn serve(&self, inputs: &Inputs) -> Result<(Runtime, Result<(), ServeFault>), Failure> {
            let socket = configuration::control_socket(inputs)?;
            telemetry::start(Log {
                level: tracing::Level::INFO,
                format: LogFormat::Text,
                journal_stream: None,
            });
            let options = MockOptions {
                delay: Duration::from_millis(self.mock_delay),
                failure: self.mock_fail,
                auto_provision: self.mock_auto,
                confirmation: self.mock_confirm,
            };
            let runtime = lasting_runtime()?;
            let served = runtime.block_on(async {
                let asked = shutdown::asked().map_err(no_runtime)?;
                Ok::<_, Failure>(mock::serve(&socket, options, asked).await)
            })?;
            Ok((runtime, served))
        }
    }
}
