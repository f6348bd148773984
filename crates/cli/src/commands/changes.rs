//! `callsheet changes`

use super::{print, print_json};
use crate::{
    api::{Api, Needs},
    args::Changes,
    context::Context,
    failure::Failure,
};
use callsheet_server::{ChangeView, FeedPage};
use callsheet_types::encoded;
use http::Method;
use serde_json::{Map, Value};

pub(super) async fn run(context: &Context, asked: &Changes) -> Result<(), Failure> {
    if asked.watch {
        return watch(context, asked).await;
    }
    let api = Api::find(context, Needs::Store).await?;
    let mut left = asked.limit.unwrap_or(usize::MAX);
    let mut since = asked.since.clone();
    let mut all: Vec<ChangeView> = Vec::new();
    while left > 0 {
        let mut path = format!("/api/v1/changes?limit={}", left.min(1000));
        path.push_str(&query(since.as_deref(), asked.kind.as_deref()));
        let page: FeedPage = api.send(Method::GET, &path, None::<&()>).await?;
        left -= page.changes.len().min(left);
        since = Some(page.next.to_string());
        if context.global.json {
            all.extend(page.changes);
        } else {
            page.changes.iter().try_for_each(|change| print(&line(change)))?;
        }
        if !page.has_more {
            break;
        }
    }
    if context.global.json {
        return print_json(&all);
    }
    Ok(())
}

fn query(since: Option<&str>, kind: Option<&str>) -> String {
    let mut query = String::new();
    for (key, value) in [("since", since), ("kind", kind)] {
        if let Some(value) = value {
            query.push_str(&format!("&{key}={}", encoded(value)));
        }
    }
    query
}

/// Prints each change as it comes, until the reader or the daemon goes away.
async fn watch(context: &Context, asked: &Changes) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Feed).await?;
    let path = format!(
        "/api/v1/changes?limit=1000{}",
        query(asked.since.as_deref(), asked.kind.as_deref())
    );
    let mut left = asked.limit.unwrap_or(usize::MAX);
    let mut events = api.events(&path).await?;
    while left > 0 {
        let Some(data) = events.next().await? else {
            return Err(
                Failure::new(anyhow::anyhow!("the feed ended")).hint("has the daemon stopped?")
            );
        };
        left -= 1;
        if context.global.json {
            // One line each, so that another program can read them as they come.
            print(&format!("{data}\n"))?;
        } else {
            print(&line(&serde_json::from_str(&data)?))?;
        }
    }
    Ok(())
}

fn line(change: &ChangeView) -> String {
    let ChangeView { cursor, at, actor, source, kind, key, action, .. } = change;
    let at = at.strftime("%Y-%m-%d %H:%M:%S");
    let action = action.as_str();
    let fields = fields(change.before.as_ref(), change.after.as_ref());
    let fields = if fields.is_empty() { String::new() } else { format!(": {fields}") };
    format!("{cursor}  {at}  {actor}  {source}  {kind} {key} {action}{fields}\n")
}

/// Names the fields that differ, where both sides have fields.
fn fields(before: Option<&Value>, after: Option<&Value>) -> String {
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else {
        return String::new();
    };
    let mut fields = Vec::new();
    for name in differing(before, after) {
        match (before.get(name), after.get(name)) {
            // Pins, parameters and the like are fields by themselves.
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                let inner = differing(before, after).into_iter();
                fields.extend(inner.map(|inner| format!("{name}.{inner}")));
            }
            _ => fields.push(name.to_owned()),
        }
    }
    fields.join(", ")
}

fn differing<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut names: Vec<&str> = before.keys().chain(after.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| before.get(*name) != after.get(*name));
    names
}
