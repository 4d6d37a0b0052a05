//! What an application decides: the cookie, and how long sessions live.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderMap};

use crate::record::Session;
use crate::time::UnixMillis;

/// The `SameSite` attribute of a cookie: when a browser sends it with requests that other sites cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only where the user follows a link. The default.
    Lax,
    /// Always; browsers then insist on `Secure`.
    None,
}

type AddrOf = dyn Fn(&HeaderMap, &Extensions) -> Option<String> + Send + Sync;

/// The options of a [`SessionManager`](super::SessionManager).
///
/// The defaults are the safe ones: `Secure`, `HttpOnly`, `SameSite=Lax`, a cookie that ends with the browser; a session
/// ends after 14 days without an access, or 90 days after its creation or its last login, and one that has neither user
/// nor data after an hour without an access.
///
/// ```
/// use std::time::Duration;
/// use sessiondir::web::Config;
/// let config = Config::new().cookie_name("__Host-sid").idle(Some(Duration::from_secs(30 * 60)));
/// assert!(config.check().is_ok());
/// assert!(config.cookie_domain("example.org").check().is_err(), "__Host- has no domain");
/// ```
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "options, each on its own")]
pub struct Config {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) domain: Option<String>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) max_age: Option<Duration>,
    idle: Option<Duration>,
    bare_idle: Option<Duration>,
    lifetime: Option<Duration>,
    pub(super) rotate_at_login: bool,
    pub(super) strict: bool,
    pub(super) addr: Option<Arc<AddrOf>>,
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "session".into(),
            path: "/".into(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            max_age: None,
            idle: Some(14 * DAY),
            bare_idle: Some(HOUR),
            lifetime: Some(90 * DAY),
            rotate_at_login: true,
            strict: false,
            addr: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

/// An option that cannot be, or two that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(&'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Config::default()
    }

    /// The cookie's name; `session` by default. With `__Host-` before it browsers take it from nobody but this host.
    #[must_use]
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The path under which browsers send the cookie; `/` by default.
    #[must_use]
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The domain to whose hosts browsers send the cookie; by default to this host only.
    #[must_use]
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether browsers send the cookie over HTTPS only; true by default. False is for development.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether scripts of the page are kept from the cookie; true by default.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// When browsers send the cookie with requests that other sites cause.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// How long browsers keep the cookie after an access (in whole seconds, and as exactly as accesses are noted);
    /// `None`, the default: until they end.
    #[must_use]
    pub fn cookie_max_age(mut self, max_age: Option<Duration>) -> Self {
        self.max_age = max_age;
        self
    }

    /// How long a session that has a user or data lives without an access; 14 days by default. `None`: for ever.
    #[must_use]
    pub fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// The same for a session that has neither user nor data, but tokens only: an hour by default. Such sessions are
    /// what robots leave.
    #[must_use]
    pub fn idle_without_user_and_data(mut self, idle: Option<Duration>) -> Self {
        self.bare_idle = idle;
        self
    }

    /// How long a session lives after its creation or last login, whatever its use; 90 days by default. `None`: for ever.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Whether a stored session gets a new ID when its user changes to another one, against session fixation; true by
    /// default.
    #[must_use]
    pub fn rotate_at_login(mut self, rotate: bool) -> Self {
        self.rotate_at_login = rotate;
        self
    }

    /// Whether any save by somebody else since the session was loaded is an error
    /// ([`Error::Conflict`](super::Error::Conflict)); by default changes are merged, key by key.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Where a new session's `addr` comes from: by default it has none. Behind a proxy this is a header that the proxy
    /// sets. What is empty or longer than 64 bytes is left out.
    #[must_use]
    pub fn addr(
        mut self,
        addr: impl Fn(&HeaderMap, &Extensions) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.addr = Some(Arc::new(addr));
        self
    }

    /// Refuses what cannot be; a manager does so before anything else.
    ///
    /// # Errors
    /// A name, path or domain that no cookie can have; `SameSite=None`, `__Host-` or `__Secure-` without `Secure`;
    /// `__Host-` with a domain or another path than `/`; a life of less than a millisecond (the cookie: a second) or
    /// more than the format's 253402300799999 milliseconds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let has_prefix = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let refuse = |what| Err(ConfigError(what));
        if self.name.is_empty() || !self.name.bytes().all(is_token) {
            return refuse("the cookie's name is to be letters, digits and any of !#$%&'*+-.^_`|~");
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(is_attribute) {
            return refuse("the cookie's path is to start with '/', and to be printable ASCII without ';'");
        }
        if self.domain.as_ref().is_some_and(|domain| domain.is_empty() || !domain.bytes().all(is_attribute)) {
            return refuse("the cookie's domain is to be printable ASCII without ';'");
        }
        if !self.secure && self.same_site == SameSite::None {
            return refuse("browsers ignore a cookie of SameSite=None that is not Secure");
        }
        if !self.secure && (has_prefix("__Host-") || has_prefix("__Secure-")) {
            return refuse("browsers ignore a cookie named __Host- or __Secure- that is not Secure");
        }
        if has_prefix("__Host-") && (self.domain.is_some() || self.path != "/") {
            return refuse(
                "browsers ignore a cookie named __Host- that has a domain or another path than '/'",
            );
        }
        let most = Duration::from_millis(UnixMillis::MAX.as_millis());
        let outside = |life: Option<Duration>, least: u64| {
            life.is_some_and(|life| life < Duration::from_millis(least) || life > most)
        };
        if outside(self.idle, 1) || outside(self.bare_idle, 1) || outside(self.lifetime, 1) {
            return refuse("a session's life is to be from 1 ms to 253402300799999 ms");
        }
        if outside(self.max_age, 1000) {
            return refuse("a cookie's life is to be from 1 s to 253402300799 s");
        }
        Ok(())
    }

    /// How long a session lives without an access, unless the application has said so itself.
    pub(super) fn idle_of(&self, session: &Session) -> Option<Duration> {
        if is_bare(session) { self.bare_idle } else { self.idle }
    }

    /// When a session that begins now ends, whatever its use.
    pub(super) fn end(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.lifetime.map(|lifetime| now.plus(lifetime))
    }

    /// Somebody logs in: the lifetime begins anew. An earlier end than it would have given is the application's.
    pub(super) fn begin_again(&self, session: &mut Session, now: UnixMillis) {
        let first_end = self.end(session.created());
        if session.expires() >= first_end && first_end.is_some() {
            session.set_expires(self.end(now));
        }
    }
}

/// Whether a session has neither user nor data.
pub(super) fn is_bare(session: &Session) -> bool {
    !session.has_user() && session.attributes().len() == 0
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 6265, section 4.1.1: `av-octet`, without the space.
fn is_attribute(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}
