//! `callsheet files lock`

use super::{publishes, resolved};
use crate::{
    api::{Api, Needs},
    args::LockFiles,
    commands::{print, print_json, write_file},
    context::Context,
    failure::Failure,
};
use callsheet_files::{ResolveAsked, lock::Lock};

pub(super) async fn run(context: &Context, asked: &LockFiles) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let wanted = ResolveAsked {
        publishes: publishes(&asked.of).unwrap_or_default(),
        addresses: asked.addresses.clone(),
        // What has no digest in its registry is only known once it is here.
        fetch: true,
        ..ResolveAsked::default()
    };
    let sets = resolved(context, &api, &wanted).await?;
    let lock = Lock::of(&sets)?;
    let text = lock.write()?;
    let path = &asked.output;
    let is_same = std::fs::read_to_string(path).is_ok_and(|before| before == text);
    if !is_same && !asked.check {
        write_file(path, text.as_bytes())?;
    }
    if context.global.json {
        print_json(&lock)?;
    } else if !context.global.quiet {
        let files: usize = lock.sets.iter().map(|set| set.files.len()).sum();
        let (sets, path) = (lock.sets.len(), path.display());
        print(&match (is_same, asked.check) {
            (true, _) => format!("{path} is up to date: {sets} models, {files} files\n"),
            (false, true) => format!("{path} would change: {sets} models, {files} files\n"),
            (false, false) => format!("{path} pins {sets} models, {files} files\n"),
        })?;
    }
    if asked.check && !is_same { Err(Failure::said(4)) } else { Ok(()) }
}
