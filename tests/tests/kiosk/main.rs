//! The kiosk page in Chromium: every state at both sizes, in both languages and both lights, and a device's whole life.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

mod gallery;
mod life;
mod others;
mod screen;
