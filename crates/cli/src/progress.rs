//! What long work shows meanwhile, on a terminal's standard error.

use crate::context::Context;
use indicatif::ProgressBar;
use std::time::Duration;

/// A sign that something is going on; it goes away when dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins, unless nobody would see it or nobody wants it.
    pub(crate) fn start(context: &Context, what: &str) -> Self {
        if context.global.quiet || context.global.json {
            return Self(ProgressBar::hidden());
        }
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// Says what is going on now.
    pub(crate) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
