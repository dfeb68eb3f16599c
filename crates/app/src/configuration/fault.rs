//! What is wrong with a configuration.

use std::fmt;

/// One fault: where the value stands, which key, what was expected. Never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A file's path, `environment variable NAME`, `--set`, `default` or `not set`.
    pub source: String,
    /// The key; none where the source as a whole is at fault.
    pub key: Option<String>,
    /// What was expected, and why.
    pub what: String,
}

impl Fault {
    pub(super) fn new(source: impl Into<String>, key: Option<&str>, what: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            key: key.map(Into::into),
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// All faults of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// One after the other, where there is no room for lines.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let faults: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        faults.join("; ")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}
