//! How commands end.

macro_rules! exits {
    ($($name:ident $code:literal $about:literal;)*) => {
        /// How a command ends. The numbers above 64 are those of `sysexits.h`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Exit { $(#[doc = $about] $name = $code,)* }

        impl Exit {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it means.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

exits! {
    Done 0 "It is done; with `check`: nothing failed.";
    Refused 1 "The service refused, or the act itself failed; with `check`: something failed; with `pair`: the monitor was not provisioned.";
    Usage 2 "The command line is not understood.";
    Tampered 65 "The audit is not what was written (`EX_DATAERR`).";
    Unreachable 69 "The service is not reachable, or went away (`EX_UNAVAILABLE`).";
    NotInTime 75 "What was waited for did not happen in time (`EX_TEMPFAIL`).";
    Configuration 78 "The configuration is faulty, or the device is not commissioned (`EX_CONFIG`).";
}
