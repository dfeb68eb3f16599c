//! The kiosk page: its files, and what stands between it and everybody else on the device.

mod files;
mod guard;

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{ALLOW, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::secret::SecretText;

use crate::problem::Problem;
use crate::routes::{Answer, Api, answer, refusal};
use crate::server::Served;
use files::Files;
use guard::Guard;

/// Below this path is the API, which needs the token.
const API: &str = "/v1/";
/// The one path of the API that does not: a watchdog has no token.
const HEALTH: &str = "/v1/health";

/// Nothing from elsewhere, nothing inline, nobody around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What every answer says to the browser.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// What the page needs to know.
#[derive(Clone, Debug)]
pub struct KioskSettings {
    /// Who presents it may see the QR code and act.
    pub token: SecretText,
    /// What the page speaks as long as no language is installed.
    pub language: Language,
    /// How it looks where nobody chose.
    pub theme: Theme,
}

macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it stands in the configuration and in the page.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one of that spelling.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.as_str() == name)
            }
        }
    };
}

choices! {
    /// A language that the page speaks.
    Language {
        /// English.
        English = "EN",
        /// Spanish.
        Spanish = "ES",
    }
}

choices! {
    /// How the page looks.
    Theme {
        /// As the browser prefers.
        Auto = "auto",
        /// For a dark room.
        Dark = "dark",
        /// For a bright room.
        Bright = "bright",
    }
}

/// The page and its guard.
#[derive(Debug)]
pub(crate) struct Kiosk {
    files: Files,
    guard: Guard,
}

impl Kiosk {
    pub(crate) fn new(settings: KioskSettings, device_id: &DeviceId, port: u16) -> Self {
        Self {
            files: Files::new(settings.language, settings.theme, device_id),
            guard: Guard::new(settings.token, port),
        }
    }

    /// Answers one request: with a file of the page, or with what the API says once the guard lets it through.
    pub(crate) async fn answer<S, B>(self: &Arc<Self>, api: &Api<S>, request: Request<B>) -> Answer
    where
        S: Served,
        B: Body<Data = Bytes> + Unpin + Send,
    {
        let mut answer = match self.guard.check(&request) {
            Err((own, why)) => refused(&Problem::own(own, why)),
            Ok(()) => match self.files.at(request.uri().path()) {
                Some(_) if request.method() != Method::GET => only_get(),
                Some(file) => answer(file.media_type, file.bytes.clone()),
                None => api.answer(request).await,
            },
        };
        let headers: &mut HeaderMap = answer.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        answer
    }
}

fn refused(problem: &Problem) -> Answer {
    let mut answer = refusal(problem);
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn only_get() -> Answer {
    let mut answer = refusal(&Problem::from(&ProvisioningError::from(ErrorCode::MethodNotAllowed)));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    answer
}
