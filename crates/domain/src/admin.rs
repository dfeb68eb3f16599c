//! Evidence that an administrator authorised an act.

use alloc::string::String;

/// Made by an administrator check after it has succeeded, and by nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdministratorAuthorised {
    by: String,
}

impl AdministratorAuthorised {
    /// To be called by an administrator check. `by` says who, for the audit.
    #[must_use]
    pub fn after_check(by: impl Into<String>) -> Self {
        Self { by: by.into() }
    }

    /// Who it was.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }
}
