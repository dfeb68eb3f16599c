//! The listener over real TLS, with clients that behave and clients that do not.

mod answers;
mod deadlines;
mod floods;
mod harness;
mod lifecycle;
mod sizes;
mod tls;
