//! Who may ask: the page itself, in the kiosk's browser, and nobody else.
//!
//! Against other sites, which the same browser may be made to show: `Host` has to be the page's own, so that no name that
//! was bound to loopback leads here (DNS rebinding); `Origin` and `Sec-Fetch-Site` tell what another site set off, and there
//! are no cookies that would go along. Against other users of the device, who reach loopback as well: the token.

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, Request};
use subtle::ConstantTimeEq;
use zmon_domain::secret::SecretText;

use super::{API, HEALTH};
use crate::problem::{HOST_FOREIGN, ORIGIN_FOREIGN, Own, TOKEN_REQUIRED};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Which refusal, and why.
pub(super) type Refused = (Own, &'static str);

#[derive(Debug)]
pub(super) struct Guard {
    token: SecretText,
    hosts: [String; 2],
}

impl Guard {
    pub(super) fn new(token: SecretText, port: u16) -> Self {
        Self {
            token,
            hosts: ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}")),
        }
    }

    /// Looks at the head of a request; its body is not read before.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Refused> {
        let (headers, path) = (request.headers(), request.uri().path());
        let host = only(headers, HOST)
            .filter(|host| self.hosts.iter().any(|own| own == host))
            // A request line with an address of its own would be another answer to the same question.
            .filter(|_| request.uri().authority().is_none())
            .ok_or((HOST_FOREIGN, "Host is not the page's own address."))?;
        let reads = request.method() == Method::GET;
        if reads && !path.starts_with(API) {
            // The page's own files hold nothing that is not in the program; the kiosk's start file leads here from elsewhere.
            return Ok(());
        }
        let site = headers.get_all(SEC_FETCH_SITE);
        if site.iter().any(|site| site != "same-origin") {
            return Err((ORIGIN_FOREIGN, "Another site set this request off."));
        }
        let origin = headers.get_all(ORIGIN).iter().count();
        let own = only(headers, ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") == Some(host));
        if !own && (origin > 0 || !reads) {
            return Err((ORIGIN_FOREIGN, "Origin is not the page's own address."));
        }
        if reads && path == HEALTH {
            return Ok(());
        }
        let token = only(headers, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let right = token.is_some_and(|token| token.as_bytes().ct_eq(self.token.expose().as_bytes()).into());
        right
            .then_some(())
            .ok_or((TOKEN_REQUIRED, "Authorization does not have the kiosk's token."))
    }
}

/// A header that is there exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}
