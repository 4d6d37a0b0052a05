//! The progress bar: a rate, and an estimate of the time that is left.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Before the number of sessions is known, and after.
const COUNTING: &str = "{spinner} {human_pos} sessions, {rate}, {elapsed}";
const KNOWN: &str = "[{bar:30}] {human_pos}/{human_len} sessions, {rate}, {eta} left";

/// A bar on standard error. How long it is to be, a thread of its own counts meanwhile.
pub(super) struct Bar {
    pub(super) bar: ProgressBar,
    /// Whether it is off the terminal, where nothing may draw it any more.
    ended: Arc<Mutex<bool>>,
}

impl Bar {
    pub(super) fn new(dir: &Path) -> Self {
        let bar = ProgressBar::new_spinner().with_style(style(COUNTING));
        bar.enable_steady_tick(Duration::from_millis(200));
        let ended = Arc::new(Mutex::new(false));
        let (counted, is_over, dir) = (bar.clone(), Arc::clone(&ended), dir.to_owned());
        // Without the thread there is no estimate.
        let _ = thread::Builder::new().spawn(move || {
            let Some(count) = count(&dir) else { return };
            let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
            if !*is_over {
                counted.set_length(count);
                counted.set_style(style(KNOWN));
            }
        });
        Bar { bar, ended }
    }

    /// Takes it off the terminal.
    pub(super) fn end(self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *ended = true;
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // What cannot be written there, nobody sees.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    })
}

/// How many entries may be sessions. Their names are read, and no more.
fn count(dir: &Path) -> Option<u64> {
    let entries = fs::read_dir(dir).ok()?;
    let names = entries.map_while(|entry| entry.ok().map(|entry| entry.file_name()));
    Some(names.filter(|name| !name.as_bytes().starts_with(b".")).count() as u64)
}
