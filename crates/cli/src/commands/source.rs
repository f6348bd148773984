//! `callsheet source`

use super::{files::publishes, print, print_json};
use crate::{
    api::{Api, Needs},
    args::{AddSource, Of, Source as Command},
    context::Context,
    failure::Failure,
    table::Table,
};
use callsheet_files::{
    Publishes, SourceView,
    source::{Origin, SourceKind, SourceSpec},
};
use callsheet_server::{SourceAsked, SourceRemoved, SourcesPage};
use callsheet_types::encoded;
use http::Method;
use std::path::PathBuf;

pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    match command {
        Command::List(of) => list(context, &api, &of).await,
        Command::Show { of, source } => {
            let path = format!("/api/v1/sources/{}{}", encoded(&source), query(&of, ""));
            let view: SourceView = api.send(Method::GET, &path, None::<&()>).await?;
            show(context, &view)
        }
        Command::Add(asked) => add(context, &api, &asked).await,
        Command::Remove { of, source, dry_run } => {
            let more = format!("dry_run={dry_run}");
            let path = format!("/api/v1/sources/{}{}", encoded(&source), query(&of, &more));
            let removed: SourceRemoved = api.send(Method::DELETE, &path, None::<&()>).await?;
            if context.global.json {
                return print_json(&removed);
            }
            if context.global.quiet {
                return Ok(());
            }
            let word = match (removed.is_switched_off, dry_run) {
                (true, false) => "switched off; `source add` with its key brings it back",
                (true, true) => "would be switched off",
                (false, false) => "removed",
                (false, true) => "would be removed",
            };
            let restored = removed.restored.map(|origin| {
                let (whose, is) = (whose(origin), if dry_run { "would be" } else { "is" });
                format!("; {whose} {is} in force again")
            });
            print(&format!("{source} {word}{}\n", restored.unwrap_or_default()))
        }
    }
}

fn query(of: &Of, more: &str) -> String {
    let publishes = of.publishes.as_deref().map(|said| format!("publishes={said}&"));
    format!("?{}{more}", publishes.unwrap_or_default())
}

async fn list(context: &Context, api: &Api, of: &Of) -> Result<(), Failure> {
    let path = format!("/api/v1/sources{}", query(of, ""));
    let page: SourcesPage = api.send(Method::GET, &path, None::<&()>).await?;
    if context.global.json {
        return print_json(&page);
    }
    let mut table = Table::new(&["KEY", "NAME", "PUBLISHES", "PLACE", "REFS", "SYNCED", "SAID BY"]);
    for view in &page.sources {
        let refs: Vec<_> = view.configured_refs.iter().map(ToString::to_string).collect();
        let cached: Vec<_> =
            view.cached_refs.iter().map(|found| found.reference.to_string()).collect();
        let said =
            |names: Vec<String>| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        table.row([
            view.key.clone(),
            view.name.clone(),
            view.publishes.to_string(),
            view.place.clone(),
            said(refs),
            said(cached),
            origin(view).to_owned(),
        ]);
    }
    print(&table.to_string())
}

fn origin(view: &SourceView) -> &'static str {
    match view.origin {
        Some(Origin::Shipped) => "shipped",
        Some(Origin::Overlay) => "overlay",
        Some(Origin::Added) => "added",
        Some(Origin::Config) => "config",
        None => "nobody",
    }
}

fn whose(origin: Origin) -> &'static str {
    match origin {
        Origin::Shipped => "the one that is shipped",
        Origin::Overlay => "that of the overlay file",
        Origin::Added => "the one that was added",
        Origin::Config => "that of the config file",
    }
}

fn show(context: &Context, view: &SourceView) -> Result<(), Failure> {
    if context.global.json {
        return print_json(view);
    }
    let mut text = format!(
        "{} ({})\n  publishes: {}\n  place: {}\n  said by: {}\n",
        view.name,
        view.key,
        view.publishes,
        view.place,
        origin(view)
    );
    for found in &view.cached_refs {
        let counts = found.counts;
        let commit = found.commit.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "  {}: {} models, {} files, {} {commit}\n    {}\n",
            found.reference,
            counts.models,
            counts.files,
            found.mode.replace('_', " "),
            found.url
        ));
    }
    for missing in &view.missing_refs {
        text.push_str(&format!("  {missing}: not synced\n"));
    }
    print(&text)
}

async fn add(context: &Context, api: &Api, asked: &AddSource) -> Result<(), Failure> {
    let kind = asked.kind.as_deref().map(|kind| match kind {
        "http" => SourceKind::Http,
        "filesystem" => SourceKind::Filesystem,
        "zip" => SourceKind::Zip,
        _ => SourceKind::GitHub,
    });
    // What is said of this folder means the same wherever the daemon runs.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let spec = SourceSpec {
        kind,
        publishes: publishes(&asked.of).unwrap_or(Publishes::Models),
        name: asked.name.clone(),
        repo: asked.repo.clone(),
        refs: asked.refs.clone(),
        registry_path: asked.registry_path.clone(),
        path: asked.path.clone(),
        asset: asked.asset.clone(),
        url: asked.url.clone(),
        directory: asked.directory.as_ref().map(absolute),
        web: asked.web.clone(),
        raw: asked.raw.clone(),
        api: asked.api.clone(),
        token_env: asked.token_env.clone(),
        token_file: asked.token_file.as_ref().map(absolute),
    };
    let wanted = SourceAsked { key: asked.key.clone(), spec };
    let path = format!("/api/v1/sources?dry_run={}", asked.dry_run);
    let view: SourceView = api.send(Method::POST, &path, Some(&wanted)).await?;
    if context.global.json {
        return print_json(&view);
    }
    if context.global.quiet {
        return Ok(());
    }
    let word = if asked.dry_run { "would be added" } else { "added" };
    print(&format!(
        "{} {word}; `callsheet files sync --source {}` fetches it\n",
        asked.key, asked.key
    ))
}
