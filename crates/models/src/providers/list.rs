//! Asks a provider for its list, in its own manner.

use super::{
    ListError, Listed, Listing, Provider, ProviderError, ProviderKind, anthropic,
    ask::{Answer, Ask, Pages, Question},
    generic, google, huggingface, llamacpp, ollama, openai, openrouter,
    read::Page,
    replicate, vllm,
};
use crate::Facts;
use callsheet_sources::{FetchError, Http};
use callsheet_types::Problem;
use callsheet_types::encoded;
use std::{collections::BTreeSet, time::Instant};

/// Fetches a provider's whole list, once.
///
/// With `etag`, which is an earlier list's [`Listing::revision`], only if it has changed. With
/// `ids` the listing holds only these, and providers that are asked about each model are asked
/// about no other. Cancel-safe.
pub async fn list(
    http: &Http,
    provider: &Provider,
    etag: Option<&str>,
    ids: Option<&[String]>,
    deadline: Instant,
) -> Result<Listed, ProviderError> {
    let ask = Ask::new(http, provider, deadline)?;
    // Of a part nothing is known by the tag of the whole.
    let etag = etag.filter(|_| ids.is_none() && provider.models.is_none());
    let pages = match provider.kind {
        ProviderKind::OpenRouter => {
            let path = provider.url.v1_path("/v1/models");
            ask.pages(&path, etag, openrouter::parse, str::to_owned).await?
        }
        ProviderKind::OpenAi => plain(&ask, etag, openai::parse).await?,
        ProviderKind::Vllm => plain(&ask, etag, vllm::parse).await?,
        ProviderKind::Generic => plain(&ask, etag, generic::parse).await?,
        ProviderKind::Anthropic => {
            let path = format!("{}?limit=1000", provider.url.v1_path("/v1/models"));
            let next = |last: &str| format!("{path}&after_id={}", encoded(last));
            ask.pages(&path, etag, anthropic::parse, next).await?
        }
        ProviderKind::Google => {
            let path = format!("{}?pageSize=1000", google_path(provider));
            let next = |token: &str| format!("{path}&pageToken={}", encoded(token));
            ask.pages(&path, etag, google::parse, next).await?
        }
        ProviderKind::LlamaCpp => Pages::New(llamacpp(&ask).await?, None),
        ProviderKind::Ollama => Pages::New(ollama(&ask, ids).await?, None),
        ProviderKind::Replicate => Pages::New(replicate(&ask, ids).await?, None),
        ProviderKind::HuggingFace => Pages::New(hugging_face(&ask, ids).await?, None),
    };
    let Pages::New(page, revision) = pages else { return Ok(Listed::NotModified) };
    let mut listing = Listing { revision, ..Listing::from(page) };
    match (ids, &provider.models) {
        (Some(ids), _) => {
            narrow(&mut listing, ids);
            listing.problems.retain(|problem| ids.contains(&problem.place));
        }
        // These are asked about nothing else.
        (None, Some(_))
            if matches!(provider.kind, ProviderKind::Replicate | ProviderKind::HuggingFace) => {}
        (None, Some(models)) => {
            for id in models {
                if !listing.models.contains_key(id) && !listing.unread.contains(id) {
                    let message = "is named in `models`, and is not on the list".to_owned();
                    listing.problems.push(Problem { place: id.clone(), message });
                }
            }
            narrow(&mut listing, models);
            if listing.models.is_empty() && listing.unread.is_empty() {
                return Err(ask.empty());
            }
        }
        (None, None) => {}
    }
    listing.problems.sort();
    Ok(Listed::New(listing))
}

fn narrow(listing: &mut Listing, ids: &[String]) {
    let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    listing.models.retain(|id, _| ids.contains(id.as_str()));
    listing.unread.retain(|id| ids.contains(id.as_str()));
    // It speaks of a part now, and the list's tag of the whole.
    listing.revision = None;
}

/// `OpenAI`'s list has no pages.
async fn plain(
    ask: &Ask<'_>,
    etag: Option<&str>,
    parse: fn(&[u8]) -> Result<Page, ListError>,
) -> Result<Pages, ProviderError> {
    let path = ask.provider.url.v1_path("/v1/models");
    ask.pages(&path, etag, parse, str::to_owned).await
}

/// An address without a version is where the server is mounted, and Google's version is its own.
fn google_path(provider: &Provider) -> String {
    let path = provider.url.v1_path("/v1/models");
    if path == provider.url.root_path("/v1/models") {
        provider.url.root_path("/v1beta/models")
    } else {
        path
    }
}

/// Writes an id of the form `owner/name` so that it can stand in a path; `None` where it has
/// another form, or would lead elsewhere.
fn encoded_pair(id: &str) -> Option<String> {
    let (owner, name) = id.split_once('/')?;
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    (is_name(owner) && is_name(name) && !name.contains('/'))
        .then(|| format!("{}/{}", encoded(owner), encoded(name)))
}

async fn llamacpp(ask: &Ask<'_>) -> Result<Page, ProviderError> {
    let path = ask.provider.url.v1_path("/v1/models");
    let body = ask.body(ask.url(&path)).await.map_err(|error| ask.failed(error))?;
    let props = ask.body(ask.url(&ask.provider.url.root_path("/props"))).await;
    let props = match props {
        Ok(props) => Some(props),
        // Not every build has them, and a build may keep them to itself.
        Err(FetchError::Status { status: 401 | 403 | 404 | 405 | 501, .. }) => None,
        Err(error) => return Err(ask.failed(error)),
    };
    let page = llamacpp::parse(&body, props.as_deref());
    let page = page.map_err(|error| ask.unusable(&path, error))?;
    if page.is_empty() { Err(ask.empty()) } else { Ok(page) }
}

async fn ollama(ask: &Ask<'_>, ids: Option<&[String]>) -> Result<Page, ProviderError> {
    let url = &ask.provider.url;
    let tags = url.root_path("/api/tags");
    let tags = ask.pages(&tags, None, ollama::parse_tags, str::to_owned).await?;
    let Pages::New(mut page, _) = tags else { return Err(ask.empty()) };
    if let Some(ids) = ids {
        page.models.retain(|name, _| ids.contains(name));
    }
    let show = ask.url(&url.root_path("/api/show"));
    let names: Vec<_> = page.models.keys().cloned().collect();
    let answers = ask.each(names, |_| Question::Post(show.clone())).await;
    for (name, answer) in answers {
        let Some(mut facts) = page.models.remove(&name) else { continue };
        match answer {
            Answer::Told(body) => match ollama::parse_show(&mut facts, &body) {
                Ok(problems) => page.add_read(&name, facts, problems),
                Err(error) => {
                    page.add_unread(&name, ask.unusable("/api/show", error).explain());
                }
            },
            // It was deleted since the list was made.
            Answer::Gone => page.note(&name, "is on the list, and is not there"),
            Answer::Failed(error) => page.add_unread(&name, error.explain()),
        }
    }
    // What is not loaded is served in a window that shows only when it is.
    match ask.body(ask.url(&url.root_path("/api/ps"))).await {
        Ok(body) => match ollama::parse_loaded(&body) {
            Ok(loaded) => {
                for (name, window) in loaded {
                    if let Some(facts) = page.models.get_mut(&name) {
                        facts.context_window = Some(window);
                    }
                }
            }
            Err(error) => page.note("/api/ps", ask.unusable("/api/ps", error).explain()),
        },
        Err(FetchError::Status { status: 404 | 405, .. }) => {}
        Err(error) => page.note("/api/ps", error.explain()),
    }
    Ok(page)
}

async fn replicate(ask: &Ask<'_>, ids: Option<&[String]>) -> Result<Page, ProviderError> {
    let provider = ask.provider;
    let configured = provider.models.as_deref().unwrap_or_default();
    let wanted: BTreeSet<&String> = ids.unwrap_or(configured).iter().collect();
    if wanted.is_empty() && ids.is_none() {
        let (provider, kind) = (provider.name.clone(), provider.kind);
        return Err(ProviderError::NothingAsked { provider, kind });
    }
    let mut page = Page::default();
    let mut named = Vec::new();
    for id in wanted {
        match encoded_pair(id) {
            Some(_) => named.push(id.clone()),
            None => page.note(id, "is no model of Replicate; expected owner/name"),
        }
    }
    let question = |id: &str| {
        let path = format!("/v1/models/{}", encoded_pair(id).unwrap_or_default());
        Question::Get(ask.url(&provider.url.v1_path(&path)))
    };
    let refused =
        read_each(ask, &mut page, named, question, |_, body| replicate::parse(body)).await;
    settle(ask, page, refused, ids)
}

/// Asks about models one by one, and adds what is said of them. Returns a failure, if there was one.
async fn read_each(
    ask: &Ask<'_>,
    page: &mut Page,
    ids: impl IntoIterator<Item = String>,
    question: impl Fn(&str) -> Question,
    read: impl Fn(&str, &[u8]) -> Result<(Facts, Vec<String>), ListError>,
) -> Option<ProviderError> {
    let mut refused = None;
    for (id, answer) in ask.each(ids, question).await {
        match answer {
            Answer::Told(body) => match read(&id, &body) {
                Ok((facts, problems)) => page.add_read(&id, facts, problems),
                Err(error) => page.add_unread(&id, ask.unusable(&id, error).explain()),
            },
            Answer::Gone => page.note(&id, "is not there"),
            Answer::Failed(error) => {
                page.add_unread(&id, error.explain());
                refused = Some(error);
            }
        }
    }
    refused
}

/// Where no model could be read, nobody is told so one by one.
fn settle(
    ask: &Ask<'_>,
    page: Page,
    refused: Option<ProviderError>,
    ids: Option<&[String]>,
) -> Result<Page, ProviderError> {
    match refused {
        Some(error) if page.models.is_empty() => Err(error),
        _ if page.is_empty() && ids.is_none() => Err(ask.empty()),
        _ => Ok(page),
    }
}

async fn hugging_face(ask: &Ask<'_>, ids: Option<&[String]>) -> Result<Page, ProviderError> {
    let served = router(ask).await?;
    let Some(wanted) = ids.or(ask.provider.models.as_deref()) else {
        return served.ok_or_else(|| ask.empty());
    };
    let mut page = Page::default();
    let mut repositories = BTreeSet::new();
    for name in wanted {
        // `ID:PROVIDER` is the router's; its repository is ID's.
        let id = name.split(':').next().unwrap_or_default();
        if encoded_pair(id).is_some() {
            repositories.insert(id.to_owned());
        } else if ids.is_none() {
            let filter = match name.strip_prefix("search:") {
                Some(words) => format!("search={}", encoded(words.trim())),
                None => format!("author={}", encoded(name)),
            };
            let path = format!("/api/models?{filter}&{}&limit=1000", fields());
            let path = ask.provider.url.root_path(&path);
            let pages = ask.pages(&path, None, huggingface::parse_hub, str::to_owned).await?;
            if let Pages::New(found, _) = pages {
                for (id, facts) in found.models {
                    page.add(&id, facts);
                }
                page.problems.extend(found.problems);
            }
        }
    }
    let question = |id: &str| {
        let id = encoded_pair(id).unwrap_or_default();
        let path = format!("/api/models/{id}?{}", fields());
        Question::Get(ask.url(&ask.provider.url.root_path(&path)))
    };
    let read = huggingface::parse_repository;
    let refused = read_each(ask, &mut page, repositories, question, read).await;
    if let Some(served) = served {
        let own: BTreeSet<String> = page.models.keys().cloned().collect();
        for (id, facts) in served.models {
            if let Some(known) = page.models.get_mut(&id) {
                huggingface::add_served(known, &facts);
            } else if id.split_once(':').is_some_and(|(base, _)| own.contains(base)) {
                page.add(&id, facts);
            }
        }
        page.problems.extend(served.problems);
    }
    settle(ask, page, refused, ids)
}

fn fields() -> String {
    huggingface::FIELDS.map(|field| format!("expand[]={field}")).join("&")
}

/// Returns what the router serves; a mirror of the hub may have none.
async fn router(ask: &Ask<'_>) -> Result<Option<Page>, ProviderError> {
    let url = &ask.provider.url;
    let is_public = url.is_tls() && url.host() == "huggingface.co";
    let path = url.v1_path("/v1/models");
    let address = if is_public {
        "https://router.huggingface.co/v1/models".to_owned()
    } else {
        ask.url(&path)
    };
    let body = match ask.body(address).await {
        Ok(body) => body,
        Err(FetchError::Status { status: 404, .. }) if !is_public => return Ok(None),
        Err(error) => return Err(ask.failed(error)),
    };
    let page = huggingface::parse_router(&body).map_err(|error| ask.unusable(&path, error))?;
    if page.is_empty() { Err(ask.empty()) } else { Ok(Some(page)) }
}
