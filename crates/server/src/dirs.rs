//! The user's folders, as the XDG specification has them, or Windows.

use std::{env, path::PathBuf};

/// Returns a base folder: that of a variable, else one below the user's home. A relative path
/// counts as unset.
pub fn base_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| {
        let home = env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())?;
        Some(home.join(below_home))
    })
}

/// Returns where the user's config files are.
pub(crate) fn config_base() -> Option<PathBuf> {
    let windows = cfg!(windows).then(|| base_dir("APPDATA", "AppData/Roaming")).flatten();
    windows.or_else(|| base_dir("XDG_CONFIG_HOME", ".config"))
}

/// Returns where the user's caches are.
pub(crate) fn cache_base() -> Option<PathBuf> {
    let windows = cfg!(windows).then(|| base_dir("LOCALAPPDATA", "AppData/Local")).flatten();
    windows.or_else(|| base_dir("XDG_CACHE_HOME", ".cache"))
}
