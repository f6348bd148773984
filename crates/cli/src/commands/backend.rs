//! `callsheet backend`

use super::{print, print_json};
use crate::{
    api::{Api, Needs},
    args::{Add, Backend, Change},
    context::Context,
    failure::Failure,
    table::Table,
};
use callsheet_fleet::registry::BackendView;
use callsheet_types::DiscoverySource;
use callsheet_types::encoded;
use http::Method;

pub(super) async fn run(context: &Context, command: Backend) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Fleet).await?;
    match command {
        Backend::List => list(context, &api).await,
        Backend::Show { name } => show(context, &api, &name).await,
        Backend::Add(add) => self::add(context, &api, &add).await,
        Backend::Remove(change) => {
            let path = path(&change, "");
            changed(context, &api, Method::DELETE, &path, &change, "removed").await
        }
        Backend::Drain(change) => {
            let path = path(&change, "/drain");
            changed(context, &api, Method::POST, &path, &change, "drained").await
        }
        Backend::Resume(change) => {
            let path = path(&change, "/resume");
            changed(context, &api, Method::POST, &path, &change, "resumed").await
        }
    }
}

async fn list(context: &Context, api: &Api) -> Result<(), Failure> {
    let backends: Vec<BackendView> = api.send(Method::GET, "/api/v1/backends", None::<&()>).await?;
    if context.global.json {
        return print_json(&backends);
    }
    if backends.is_empty() && !context.global.quiet {
        return print("no backends; `callsheet backend add URL --name NAME` adds one\n");
    }
    let mut table =
        Table::new(&["NAME", "TYPE", "STATUS", "MODELS", "PENDING", "LATENCY", "SOURCE", "URL"]);
    for backend in &backends {
        table.row([
            backend.name.clone(),
            backend.backend_type.to_string(),
            status(backend),
            backend.models.len().to_string(),
            backend.pending_requests.to_string(),
            backend.avg_latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            source(backend).to_owned(),
            backend.url.clone(),
        ]);
    }
    print(&table.to_string())
}

async fn show(context: &Context, api: &Api, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/backends/{}", encoded(name));
    let backend: BackendView = api.send(Method::GET, &path, None::<&()>).await?;
    if context.global.json {
        return print_json(&backend);
    }
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let mut facts = Table::new(&["name", &backend.name]);
    let mut fact = |name: &str, value: String| facts.row([name.to_owned(), value]);
    fact("type", backend.backend_type.to_string());
    fact("url", backend.url.clone());
    fact("status", status(&backend));
    fact("last check", format!("{:.0}", backend.last_health_check));
    if let Some(error) = &backend.last_error {
        fact("last error", error.clone());
    }
    fact("pending", backend.pending_requests.to_string());
    fact("requests", backend.total_requests.to_string());
    fact("first byte", or_unknown(backend.avg_latency_ms.map(|ms| format!("{ms} ms"))));
    fact("whole answer", or_unknown(backend.avg_total_ms.map(|ms| format!("{ms} ms"))));
    fact("priority", backend.priority.to_string());
    fact("weight", backend.weight.to_string());
    fact("zone", backend.zone.clone().unwrap_or_else(|| "-".to_owned()));
    fact(
        "max concurrent",
        backend.max_concurrent.map_or_else(|| "no limit".to_owned(), |max| max.to_string()),
    );
    fact("source", source(&backend).to_owned());
    let mut models = Table::new(&["MODEL", "CONTEXT", "TOOLS", "VISION", "JSON"]);
    let yes_no = |value: Option<bool>| match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    for model in &backend.models {
        models.row([
            model.id.clone(),
            or_unknown(model.context_length.map(|tokens| tokens.to_string())),
            yes_no(model.supports_tools).to_owned(),
            yes_no(model.supports_vision).to_owned(),
            yes_no(model.supports_json_mode).to_owned(),
        ]);
    }
    print(&format!("{facts}\n{models}"))
}

async fn add(context: &Context, api: &Api, add: &Add) -> Result<(), Failure> {
    let path = format!("/api/v1/backends?dry_run={}", add.dry_run);
    let backend: BackendView = api.send(Method::POST, &path, Some(&add.spec())).await?;
    said(context, &backend, add.dry_run, "added")
}

async fn changed(
    context: &Context,
    api: &Api,
    method: Method,
    path: &str,
    change: &Change,
    done: &str,
) -> Result<(), Failure> {
    let backend: BackendView = api.send(method, path, None::<&()>).await?;
    said(context, &backend, change.dry_run, done)
}

fn path(change: &Change, verb: &str) -> String {
    format!("/api/v1/backends/{}{verb}?dry_run={}", encoded(&change.name), change.dry_run)
}

fn said(
    context: &Context,
    backend: &BackendView,
    dry_run: bool,
    done: &str,
) -> Result<(), Failure> {
    if context.global.json {
        return print_json(backend);
    }
    if context.global.quiet {
        return Ok(());
    }
    let name = &backend.name;
    if dry_run {
        return print(&format!("{name} would be {done}; nothing was changed\n"));
    }
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let mut text = match done {
        "removed" => format!("{name} removed"),
        "drained" => {
            let pending = counted(backend.pending_requests as usize, "request");
            format!("{name} is draining, {pending} under way")
        }
        _ => format!(
            "{name} {done}: {}, {}",
            status(backend),
            counted(backend.models.len(), "model")
        ),
    };
    if let Some(error) = &backend.last_error {
        text.push_str(&format!(" ({error})"));
    }
    print(&(text + "\n"))
}

fn status(backend: &BackendView) -> String {
    match backend.ejected_for_ms {
        Some(_) => format!("{}, ejected", backend.status),
        None => backend.status.to_string(),
    }
}

fn source(backend: &BackendView) -> &'static str {
    match backend.discovery_source {
        DiscoverySource::Static => "config",
        DiscoverySource::Manual => "added",
        DiscoverySource::MDNS => "mdns",
    }
}
