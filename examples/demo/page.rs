//! What all pages have in common: the frame, the headers, the escapes.

use std::fmt::{self, Display, Write};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use sessiondir::web::Error;

use crate::Site;

/// Where the stylesheet is.
pub(crate) const STYLE: &str = "/style.css";
/// Nothing but our own stylesheet and our own forms; no page of ours in somebody else's frame.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Text of any origin, to stand in HTML, also in an attribute's quotes.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
}

struct Escape<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A page. `body` is HTML.
pub(crate) fn page(title: &str, body: impl Display) -> Html<String> {
    framed(title, "", body)
}

/// A page of a site that may have /admin.
pub(crate) fn page_of(site: &Site, title: &str, body: impl Display) -> Html<String> {
    framed(title, if site.admin { " <a href=\"/admin\">sessions</a>" } else { "" }, body)
}

fn framed(title: &str, more: &str, body: impl Display) -> Html<String> {
    let title = Escaped(title);
    Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} – sessiondir demo</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE}\">\n\
         <header><b>sessiondir</b> <nav><a href=\"/\">counter</a> <a href=\"/test/\">test</a>{more}</nav></header>\n\
         <main>\n<h1>{title}</h1>\n{body}\n</main>\n</html>\n"
    ))
}

/// A page that says one thing.
pub(crate) fn notice(status: StatusCode, text: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    (status, page(title, format_args!("<p>{}</p>", Escaped(text)))).into_response()
}

/// A redirect of status 302, as Session3's demo has them; axum's have others.
pub(crate) fn found(to: &'static str) -> Response {
    (StatusCode::FOUND, [(LOCATION, to)]).into_response()
}

pub(crate) async fn style() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("style.css"))
}

pub(crate) async fn not_found() -> Response {
    notice(StatusCode::NOT_FOUND, "There is no such page.")
}

pub(crate) async fn method_not_allowed() -> Response {
    notice(StatusCode::METHOD_NOT_ALLOWED, "This page does not take such a request.")
}

/// The last hand that every response goes through.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions().get::<Error>() {
        // The session could not be loaded or committed, and the response is a bare one.
        let text = match error.status() {
            StatusCode::SERVICE_UNAVAILABLE => "Sessions are not available now. Please try again.",
            _ => "This page cannot be shown: something went wrong. The log has more.",
        };
        let (parts, body) = notice(response.status(), text).into_parts();
        *response.body_mut() = Body::new(body);
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().extend(parts.headers);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let is_style = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/css"));
    if !is_style {
        // The pages show a session's ID and its user, and are not to be found later by somebody else.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
