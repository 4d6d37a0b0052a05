//! The demo as its users meet it: the program `examples/demo`, over HTTP.
//!
//! With its twin in Python: `ports/python/tests/test_rust_demo.py`.

#[path = "demo/admin.rs"]
mod admin;
#[path = "demo/browser.rs"]
mod browser;
#[path = "demo/client.rs"]
mod client;
#[path = "demo/hostile.rs"]
mod hostile;
#[path = "demo/processes.rs"]
mod processes;
#[path = "demo/session3.rs"]
mod session3;
#[path = "demo/successor.rs"]
mod successor;
