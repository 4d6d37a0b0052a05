//! Sessions for web applications: the manager, the tower layer, the extractor for axum.

#![allow(clippy::redundant_closure_for_method_calls, reason = "what requests do reads better alike")]

mod browser;
mod commits;
mod cookies;
mod failures;
mod layer;
mod lives;
mod many;
mod merging;
mod reviews;
mod scenarios;
mod tokens;
