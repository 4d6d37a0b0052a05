//! The session's cookie, in requests and in responses.

use std::borrow::Cow;

use cookie::time::Duration as CookieDuration;
use cookie::{Cookie, CookieBuilder};
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::{Config, SameSite};
use crate::names::SessionId;

/// What a request's cookies say of the session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// There is no cookie of our name.
    Nothing,
    /// There is one, and it can be no session ID.
    Invalid,
    Id(SessionId),
}

/// The first cookie of our name counts: browsers send the one of the longest path first, and a second one may be
/// another host's of the same domain.
///
/// No more than RFC 6265 (section 5.4) has browsers send is understood. A name with other white space before it, say, is
/// another name: a neighbour could set that one where it could not set ours (`__Host-`).
pub(super) fn sent(headers: &HeaderMap, name: &str) -> Sent {
    let pairs =
        headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    for pair in pairs {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if trimmed(&pair[..equals]) == name.as_bytes() {
            let value = trimmed(&pair[equals + 1..]);
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            return SessionId::new(bare.unwrap_or(value)).map_or(Sent::Invalid, Sent::Id);
        }
    }
    Sent::Nothing
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

impl Config {
    /// The `Set-Cookie` that gives a browser `id`.
    pub(super) fn set_cookie(&self, id: &SessionId) -> Option<HeaderValue> {
        let mut cookie = self.cookie(id.expose().to_owned());
        if let Some(max_age) = self.max_age {
            let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
            cookie = cookie.max_age(CookieDuration::seconds(seconds));
        }
        header(&cookie.build())
    }

    /// The `Set-Cookie` that takes the ID from it.
    pub(super) fn remove_cookie(&self) -> Option<HeaderValue> {
        header(&self.cookie("").removal().build())
    }

    fn cookie(&self, value: impl Into<Cow<'static, str>>) -> CookieBuilder<'static> {
        let mut cookie = Cookie::build((self.name.clone(), value))
            .path(self.path.clone())
            .secure(self.secure)
            .http_only(self.http_only)
            .same_site(match self.same_site {
                SameSite::Strict => cookie::SameSite::Strict,
                SameSite::Lax => cookie::SameSite::Lax,
                SameSite::None => cookie::SameSite::None,
            });
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain.clone());
        }
        cookie
    }
}

/// Name, path and domain were checked, and an ID is as it is, so this is a header.
fn header(cookie: &Cookie<'_>) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(cookie.to_string()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The response is made for this session: no shared cache may give it to somebody else (RFC 9111, section 4.1).
pub(super) fn vary(headers: &mut HeaderMap) {
    if !lists(headers, &VARY, &["cookie", "*"]) {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
}

/// Adds a cookie. A cache that stored it would give it to everybody.
pub(super) fn append(headers: &mut HeaderMap, cookie: HeaderValue) {
    headers.append(SET_COOKIE, cookie);
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

fn lists(headers: &HeaderMap, name: &HeaderName, items: &[&str]) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| items.iter().any(|wanted| item.trim().eq_ignore_ascii_case(wanted)))
}
