//! Where what talks to servers is driven, while whoever asks for it blocks.

use std::{
    io,
    sync::{Mutex, PoisonError},
};
use tokio::runtime::{self, Handle, Runtime};

/// Returns the runtime of all connections: one thread for as long as the process lives.
pub(crate) fn drivers() -> io::Result<Handle> {
    static DRIVERS: Mutex<Option<Runtime>> = Mutex::new(None);
    let mut drivers = DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(drivers) = &*drivers {
        return Ok(drivers.handle().clone());
    }
    let made = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_io()
        .enable_time()
        .build()?;
    Ok(drivers.insert(made).handle().clone())
}
