//! What long work shows meanwhile, on a terminal's standard error.

use crate::context::Context;
use callsheet_files::Progress as Step;
use indicatif::{ProgressBar, ProgressStyle};
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

    /// Shows a step of work on files.
    pub(crate) fn step(&self, step: &Step) {
        match step {
            Step::Discovering { address } => {
                self.spin();
                self.say(&format!("looking for {address}"));
            }
            Step::Fetching { address, files, is_archive } => {
                let how = if *is_archive { ", as one archive" } else { "" };
                let files =
                    if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
                self.say(&format!("fetching {files} of {address}{how}"));
            }
            Step::Bytes { done, total } => {
                self.measure(
                    *total,
                    "{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}",
                );
                self.0.set_position(*done);
            }
            Step::Files { done, total } => {
                self.measure(Some(*total), "{spinner} {msg} {wide_bar} {pos}/{len}");
                self.0.set_position(*done);
            }
        }
    }

    fn spin(&self) {
        self.0.set_style(ProgressStyle::default_spinner());
    }

    fn measure(&self, total: Option<u64>, template: &str) {
        match (total, ProgressStyle::with_template(template)) {
            (Some(total), Ok(style)) => {
                self.0.set_style(style);
                self.0.set_length(total);
            }
            _ => self.spin(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
