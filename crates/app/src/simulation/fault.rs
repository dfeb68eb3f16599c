//! What a simulated monitor can suffer from.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::time::{Timestamp, WallClock};

/// One fault, as it stands on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `slow:MILLIS`: installs that much later.
    Slow(Duration),
    /// `drop-answer`: installs, then the connection is closed before the answer; once.
    DropAnswer,
    /// `wrong-pin`: the QR code shows another pin than the listener's.
    WrongPin,
    /// `full-disk`: the store refuses to install.
    FullDisk,
    /// `clock:1970` or `clock:MILLIS`, with or without `:synchronised`: the wall clock starts there, and runs.
    Clock(WallClock),
    /// `refuse:CODE`: refuses every payload with this code.
    Refuse(ErrorCode),
}

/// At most one fault of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// All of these on one monitor.
    ///
    /// # Errors
    /// Where a kind stands there twice.
    pub fn together(faults: &[Fault]) -> Result<Self, String> {
        for (place, fault) in faults.iter().enumerate() {
            if faults[..place].iter().any(|other| other.kind() == fault.kind()) {
                let kind = fault.kind();
                return Err(format!(
                    "one monitor cannot have two faults of the kind {kind}; give one, or --faulty-every to spread them"
                ));
            }
        }
        Ok(Self(faults.to_vec()))
    }

    /// Each fault, as it is written on the command line.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    pub(super) fn delay(&self) -> Duration {
        let delay = self.0.iter().find_map(|fault| match fault {
            Fault::Slow(delay) => Some(*delay),
            _ => None,
        });
        delay.unwrap_or_default()
    }

    pub(super) fn clock(&self) -> Option<WallClock> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Clock(clock) => Some(*clock),
            _ => None,
        })
    }

    pub(super) fn refusal(&self) -> Option<ErrorCode> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Refuse(code) => Some(*code),
            _ => None,
        })
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl Fault {
    const fn kind(self) -> &'static str {
        match self {
            Self::Slow(_) => "slow",
            Self::DropAnswer => "drop-answer",
            Self::WrongPin => "wrong-pin",
            Self::FullDisk => "full-disk",
            Self::Clock(_) => "clock",
            Self::Refuse(_) => "refuse",
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, value) = text
            .split_once(':')
            .map_or((text, None), |(kind, value)| (kind, Some(value)));
        match (kind, value) {
            ("slow", Some(millis)) => number(millis).map(Duration::from_millis).map(Self::Slow),
            ("drop-answer", None) => Ok(Self::DropAnswer),
            ("wrong-pin", None) => Ok(Self::WrongPin),
            ("full-disk", None) => Ok(Self::FullDisk),
            ("clock", Some(value)) => clock(value).map(Self::Clock),
            ("refuse", Some(code)) => ErrorCode::from_name(code)
                .map(Self::Refuse)
                .ok_or_else(|| "expected a code of the error catalogue after refuse:".into()),
            _ => Err(
                "expected slow:MILLIS, drop-answer, wrong-pin, full-disk, clock:1970, clock:MILLIS (both also \
                      with :synchronised) or refuse:CODE"
                    .into(),
            ),
        }
    }
}

fn clock(text: &str) -> Result<WallClock, String> {
    let plain = text.strip_suffix(":synchronised");
    let now = match plain.unwrap_or(text) {
        "1970" => Timestamp::default(),
        millis => Timestamp::from_millis(number(millis)?),
    };
    Ok(WallClock {
        now,
        synchronised: plain.is_some(),
    })
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected a number of milliseconds".into())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Slow(delay) => write!(f, ":{}", delay.as_millis()),
            Self::Clock(clock) => {
                let synchronised = if clock.synchronised { ":synchronised" } else { "" };
                match clock.now.as_millis() {
                    0 => write!(f, ":1970{synchronised}"),
                    millis => write!(f, ":{millis}{synchronised}"),
                }
            }
            Self::Refuse(code) => write!(f, ":{code}"),
            Self::DropAnswer | Self::WrongPin | Self::FullDisk => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_fault_as_it_is_read() {
        let texts = [
            "slow:250",
            "drop-answer",
            "wrong-pin",
            "full-disk",
            "clock:1970",
            "clock:1970:synchronised",
            "clock:4102444800000",
            "clock:4102444800000:synchronised",
            "refuse:SignatureInvalid",
        ];
        for text in texts {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            "",
            "slow",
            "slow:fast",
            "slow:-1",
            "drop-answer:2",
            "clock",
            "clock:1970:set",
            "refuse:Nothing",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_two_faults_of_one_kind_on_one_monitor() {
        let codes = [
            Fault::Refuse(ErrorCode::StorageError),
            Fault::Refuse(ErrorCode::RateLimited),
        ];
        assert!(Faults::together(&codes).is_err());
        assert!(Faults::together(&[codes[0], Fault::FullDisk]).is_ok());
    }
}
