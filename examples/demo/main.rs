//! The demo: Session3's interactive test application, the endpoints of its successor, and a page for the operator.
//!
//! `cargo run --release --features web --example demo -- [DIR] [--host H] [--port N] [--admin]`, then visit
//! <http://localhost:8080/>. Start it twice on one directory, or beside `ports/python/examples/quixote_demo.py`: they
//! show the same sessions.

mod admin;
mod home;
mod page;
mod successor;
mod user;

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::{Router, routing::get};
use clap::Parser;
use sessiondir::web::{Config, SessionLayer, SessionManager};
use sessiondir::{DirectoryStore, Options, SessionStore};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long requests may still take after a signal.
const GRACE: Duration = Duration::from_secs(5);
/// The most that a form may send, in bytes.
const FORM_MOST: usize = 16 << 10;

/// The sessiondir demo: a web site on a directory of sessions.
///
/// For development: it speaks plain HTTP, and its cookie is not Secure.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// The directory of the sessions; made if it is not there
    #[arg(value_name = "DIR", default_value = "./sessions")]
    directory: PathBuf,
    /// The name or address to listen at
    #[arg(long, default_value = "localhost")]
    host: String,
    /// The port; 0 for any that is free
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Serve /admin, to loopback peers only: lists and deletes everybody's sessions
    #[arg(long)]
    admin: bool,
}

/// What the pages share.
struct Site {
    manager: SessionManager<DirectoryStore>,
    directory: PathBuf,
    host: String,
    admin: bool,
}

impl Site {
    /// Does something with the store on a thread where it may block.
    async fn with_store<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Site, &DirectoryStore) -> T + Send + 'static,
    ) -> T {
        let site = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&site, site.manager.store())).await;
        done.expect("a store does not panic")
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if log::set_logger(&Log).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { directory, host, port, admin } = arguments;
    let resolved = (host.as_str(), port).to_socket_addrs();
    let resolved = resolved.map_err(|error| format!("--host {host}: {error}"))?;
    let mut addresses: Vec<SocketAddr> = resolved.collect();
    if admin && !addresses.iter().all(|address| is_loopback(address.ip())) {
        return Err(format!("--admin is for loopback only, and --host {host} is not").into());
    }
    // Of `localhost` the address that everybody tries.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let listener = TcpListener::bind(&addresses[..])
        .map_err(|error| format!("cannot listen at {host}, port {port}: {error}"))?;
    listener.set_nonblocking(true)?;

    let store = Options::new().create(true).open(&directory)?;
    store.setup()?;
    // Not Secure: this is plain HTTP. The name is Quixote's, so that a browser can go to and fro.
    let config = Config::new().cookie_name("QX_session").secure(false);
    let manager = SessionManager::new(store, config)?;

    let port = listener.local_addr()?.port();
    let name = host.parse::<Ipv6Addr>().map_or_else(|_| host.clone(), |address| format!("[{address}]"));
    let told = format!(
        "http://{name}:{port}/ shows the sessions in {}; the cookie is not Secure: for development only",
        directory.display()
    );
    let site = Arc::new(Site { manager, directory, host, admin });
    let runtime = tokio::runtime::Runtime::new()?;
    let served = runtime.block_on(serve(listener, site, &told));
    runtime.shutdown_timeout(GRACE);
    Ok(served?)
}

fn app(site: Arc<Site>) -> Router {
    let mut pages = Router::new().merge(home::pages()).nest("/test", successor::pages());
    if site.admin {
        pages = pages.merge(admin::pages(&site));
    }
    pages
        .route("/test", get(async || page::found("/test/")))
        .route("/test/", get(successor::index))
        .route(page::STYLE, get(page::style))
        .fallback(page::not_found)
        .method_not_allowed_fallback(page::method_not_allowed)
        .layer(SessionLayer::new(site.manager.clone()))
        .layer(middleware::from_fn(page::finish))
        .layer(DefaultBodyLimit::max(FORM_MOST))
        .with_state(site)
}

async fn serve(listener: TcpListener, site: Arc<Site>, told: &str) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // Before anybody is told that there is a server: a signal that comes then is to be a graceful end.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whoever started it may not read its output.
    let _ = writeln!(std::io::stdout(), "{told}");

    let (stop, mut stopped) = watch::channel(());
    let app = app(site).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.changed().await;
    });
    let late = async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        let _ = stop.send(());
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! { served = server.into_future() => served, () = late => Ok(()) }
}

/// Whether `address` is this machine's own, also where it is written as one of IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The log, on standard error.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::max_level() {
            let _ = writeln!(std::io::stderr(), "{}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}
