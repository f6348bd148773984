//! Small files that are replaced as a whole.

use serde::Serialize;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Replaces a file by the JSON of a value: a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The rename itself is durable only once its directory is.
    File::open(dir)?.sync_all()
}
