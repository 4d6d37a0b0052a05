//! What the tower layer costs a request, in CPU time of the whole process: the same axum handler without it and with it,
//! round by round in one run. `cargo bench --bench layer`

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http::header::COOKIE;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use sessiondir::web::{Config, RequestSession, SessionLayer, SessionManager};
use sessiondir::{Durability, Naming, Options, Session, SessionStore};
use tower::ServiceExt;

const ROUNDS: usize = 15;
const REQUESTS: u32 = 4_000;
/// How many browsers ask at a time.
const AT_ONCE: u32 = 8;

fn cpu() -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |time: TimeVal| {
        let micros = u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000;
        Duration::from_micros(micros + u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// CPU time a request.
async fn measure(
    app: &Router,
    path: &'static str,
    cookie: &str,
) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let start = cpu()?;
    let browsers = (0..AT_ONCE).map(|_| {
        let (app, cookie) = (app.clone(), cookie.to_owned());
        tokio::spawn(async move {
            for _ in 0..REQUESTS / AT_ONCE {
                let request = Request::get(path).header(COOKIE, &cookie).body(Body::empty())?;
                let response = app.clone().oneshot(request).await?;
                assert!(response.status().is_success());
                // What would be written to the browser.
                axum::body::to_bytes(response.into_body(), usize::MAX).await?;
            }
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        })
    });
    for browser in browsers.collect::<Vec<_>>() {
        browser.await??;
    }
    Ok(cpu()?.saturating_sub(start) / REQUESTS)
}

async fn page(session: RequestSession) -> Result<String, sessiondir::web::Error> {
    Ok(format!("Hello, {}", session.user::<String>()?.unwrap_or_default()))
}

async fn count(session: RequestSession) -> Result<String, sessiondir::web::Error> {
    session.modify("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?;
    page(session).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let tmp = tempfile::tempdir()?;
    let store = Options::new()
        .create(true)
        .naming(Naming::Hashed)
        .durability(Durability::Process)
        .open(tmp.path().join("sessions"))?;
    let mut session = Session::new();
    session.set_user("ada")?;
    session.insert("profile", &"x".repeat(600))?;
    let cookie = format!("session={}", store.create(&mut session)?.expose());
    let manager = SessionManager::new(store, Config::new())?;

    let plain: Router = Router::new().route("/", get(async || "Hello, ada".to_owned()));
    let layered: Router = Router::new()
        .route("/", get(async || "Hello, ada".to_owned()))
        .route("/page", get(page))
        .route("/count", get(count))
        .layer(SessionLayer::new(manager));
    let contenders = [
        ("handler alone", &plain, "/"),
        ("+ layer, session not looked at", &layered, "/"),
        ("+ layer, session read", &layered, "/page"),
        ("+ layer, session changed (process)", &layered, "/count"),
    ];
    let mut times = contenders.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, app, path), times) in contenders.iter().zip(&mut times) {
            times.push(measure(app, path, &cookie).await?);
        }
    }
    println!("CPU time a request, {AT_ONCE} at a time, median of {ROUNDS} rounds of {REQUESTS}:");
    let mut alone = Duration::ZERO;
    for ((name, ..), times) in contenders.iter().zip(&mut times) {
        times.sort();
        let median = times[ROUNDS / 2];
        if alone.is_zero() {
            alone = median;
        }
        let more = median.saturating_sub(alone);
        println!("{name:36} {:7.1} us  (+{:.1} us)", median.as_secs_f64() * 1e6, more.as_secs_f64() * 1e6);
    }
    Ok(())
}
