//! Questions to one provider, all of them within one deadline and with its credentials.

use super::{ListError, Provider, ProviderError, ProviderKind, read::Page};
use bytes::Bytes;
use callsheet_sources::{FetchError, Fetched, Http, Request, bearer, secret_value};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use std::{collections::BTreeSet, time::Instant};

/// How many pages a list may have.
const MAX_PAGES: usize = 200;
/// How many questions about single models are open at once.
const AT_ONCE: usize = 8;

pub(super) struct Ask<'a> {
    http: &'a Http,
    pub(super) provider: &'a Provider,
    deadline: Instant,
    headers: HeaderMap,
}

/// All pages of a list.
pub(super) enum Pages {
    /// They are as they were.
    NotModified,
    /// Their models, and their entity tag where there was one page.
    New(Page, Option<String>),
}

/// What became of a question about one model.
pub(super) enum Answer {
    /// Its answer.
    Told(Bytes),
    /// There is no such model.
    Gone,
    /// Nobody knows.
    Failed(ProviderError),
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        http: &'a Http,
        provider: &'a Provider,
        deadline: Instant,
    ) -> Result<Self, ProviderError> {
        let mut headers = HeaderMap::new();
        match (&provider.key, provider.kind) {
            (None, _) if provider.must_have_key => {
                let place = provider.key_place.clone().unwrap_or_else(|| "nothing".to_owned());
                return Err(ProviderError::NoKey { provider: provider.name.clone(), place });
            }
            (None, _) => {}
            (Some(key), ProviderKind::Anthropic) => {
                headers.insert("x-api-key", secret_value(key));
            }
            // As a header, and not in the address as examples have it: addresses are logged.
            (Some(key), ProviderKind::Google) => {
                headers.insert("x-goog-api-key", secret_value(key));
            }
            (Some(key), _) => {
                headers.insert(header::AUTHORIZATION, bearer(key));
            }
        }
        if provider.kind == ProviderKind::Anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        Ok(Self { http, provider, deadline, headers })
    }

    /// Returns the address of something on the provider's host.
    pub(super) fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.origin())
    }

    fn origin(&self) -> String {
        let url = &self.provider.url;
        let scheme = if url.is_tls() { "https" } else { "http" };
        format!("{scheme}://{}", url.authority())
    }

    fn request(&self, url: String, etag: Option<&str>) -> Request {
        Request {
            headers: self.headers.clone(),
            etag: etag.map(str::to_owned),
            deadline: self.deadline.saturating_duration_since(Instant::now()),
            ..Request::new(url)
        }
    }

    pub(super) async fn get(&self, url: String, etag: Option<&str>) -> Result<Fetched, FetchError> {
        self.http.get(&self.request(url, etag)).await
    }

    /// Gets something that is not asked for conditionally.
    pub(super) async fn body(&self, url: String) -> Result<Bytes, FetchError> {
        Ok(match self.get(url, None).await? {
            Fetched::Fresh { body, .. } => body,
            // Cannot be: nothing was said that it could be unmodified since.
            Fetched::NotModified => Bytes::new(),
        })
    }

    /// Asks about a model by its name.
    pub(super) async fn post(&self, url: String, name: &str) -> Result<Bytes, FetchError> {
        let body = json!({ "model": name }).to_string();
        Ok(match self.http.post_json(&self.request(url, None), body).await? {
            Fetched::Fresh { body, .. } => body,
            Fetched::NotModified => Bytes::new(),
        })
    }

    pub(super) fn failed(&self, mut source: FetchError) -> ProviderError {
        match &mut source {
            FetchError::Status { said, .. } => *said = self.without_key(said),
            FetchError::Redirect { reason, .. } => *reason = self.without_key(reason),
            // What was left for this question says little; people know the whole.
            FetchError::Deadline { deadline, .. } => *deadline = self.provider.timeout,
            _ => {}
        }
        ProviderError::Fetch { provider: self.provider.name.clone(), source }
    }

    pub(super) fn unusable(&self, path: &str, mut source: ListError) -> ProviderError {
        if let ListError::Error(said) | ListError::Strays(said) = &mut source {
            *said = self.without_key(said);
        }
        let provider = self.provider.name.clone();
        ProviderError::Unusable { provider, path: path.to_owned(), source }
    }

    /// Takes the key out of what a provider said: some repeat it to whoever brings a wrong one.
    fn without_key(&self, said: &str) -> String {
        match &self.provider.key {
            Some(key) => without(said, key.expose()),
            None => said.to_owned(),
        }
    }

    pub(super) fn empty(&self) -> ProviderError {
        ProviderError::Empty { provider: self.provider.name.clone() }
    }

    /// Gets all pages of a list. A later page that fails refuses the whole: half a list looks like
    /// one from which the other half is gone.
    ///
    /// `next` makes the next page's path of what a page says of it.
    pub(super) async fn pages(
        &self,
        first: &str,
        etag: Option<&str>,
        parse: impl Fn(&[u8]) -> Result<Page, ListError>,
        next: impl Fn(&str) -> String,
    ) -> Result<Pages, ProviderError> {
        let mut all = Page::default();
        let mut path = first.to_owned();
        let mut seen = BTreeSet::from([path.clone()]);
        for number in 0..MAX_PAGES {
            let asked = etag.filter(|_| number == 0);
            let fetched = self.get(self.url(&path), asked).await;
            let (body, etag, headers) = match fetched.map_err(|error| self.failed(error))? {
                Fetched::NotModified => return Ok(Pages::NotModified),
                Fetched::Fresh { body, etag, headers } => (body, etag, headers),
            };
            let mut page = parse(&body).map_err(|error| self.unusable(&path, error))?;
            let told = page.next.take().map(|token| next(&token));
            let link = headers.get(header::LINK).and_then(|link| link.to_str().ok());
            let told = told.or_else(|| super::huggingface::next_link(link?));
            let had = all.models.len() + all.unread.len();
            for (id, facts) in page.models {
                all.add(&id, facts);
            }
            all.unread.extend(page.unread);
            all.problems.extend(page.problems);
            let is_stuck = all.models.len() + all.unread.len() == had;
            let Some(told) = told else {
                if all.is_empty() {
                    return Err(self.empty());
                }
                return Ok(Pages::New(all, etag.filter(|_| number == 0)));
            };
            path = self.on_host(told).map_err(|error| self.unusable(&path, error))?;
            // A page that brings nothing and names another one is on its way round.
            if is_stuck || !seen.insert(path.clone()) {
                break;
            }
        }
        Err(self.unusable(first, ListError::Endless))
    }

    /// Returns the path of an address on the provider's own host: the key goes nowhere else.
    fn on_host(&self, link: String) -> Result<String, ListError> {
        if link.starts_with('/') && !link.starts_with("//") {
            return Ok(link);
        }
        let path = link.strip_prefix(&self.origin()).filter(|path| path.starts_with('/'));
        path.map(str::to_owned).ok_or_else(|| {
            // Its query may hold what pages are found by; people need the host.
            ListError::Strays(link.split('?').next().unwrap_or_default().to_owned())
        })
    }

    /// Asks about several models at once, a few at a time; the answers come in no order.
    pub(super) async fn each(
        &self,
        ids: impl IntoIterator<Item = String>,
        question: impl Fn(&str) -> Question,
    ) -> Vec<(String, Answer)> {
        let mut open = Vec::new();
        for id in ids {
            let question = question(&id);
            open.push(async move {
                let answer = match question {
                    Question::Get(url) => self.body(url).await,
                    Question::Post(url) => self.post(url, &id).await,
                };
                let answer = match answer {
                    Ok(body) => Answer::Told(body),
                    Err(FetchError::Status { status: 404, .. }) => Answer::Gone,
                    Err(error) => Answer::Failed(self.failed(error)),
                };
                (id, answer)
            });
        }
        stream::iter(open).buffer_unordered(AT_ONCE).collect().await
    }
}

/// How one model is asked about.
pub(super) enum Question {
    /// At an address of its own.
    Get(String),
    /// At one address, by name.
    Post(String),
}

const HIDDEN: &str = "[key]";
/// What is shorter is no secret, and stands in many words.
const SHORTEST_KEY: usize = 4;

/// Returns a text without a key, and without the beginning of one where the text was cut off.
fn without(text: &str, key: &str) -> String {
    if key.len() < SHORTEST_KEY {
        return text.to_owned();
    }
    let text = text.replace(key, HIDDEN);
    let (body, end) = text.strip_suffix('…').map_or((text.as_str(), ""), |body| (body, "…"));
    // A key is ASCII, so that each of its lengths is a place to cut at.
    let cut = (SHORTEST_KEY..key.len()).rev().find(|length| body.ends_with(&key[..*length]));
    match cut {
        Some(length) => format!("{}{HIDDEN}{end}", &body[..body.len() - length]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_of_what_is_said() {
        for (said, expected) in [
            ("wrong key sk-12345, really sk-12345", "wrong key [key], really [key]"),
            ("wrong key sk-12…", "wrong key [key]…"),
            ("wrong key sk-1", "wrong key [key]"),
            ("ask for another", "ask for another"),
            ("", ""),
        ] {
            assert_eq!(without(said, "sk-12345"), expected, "{said}");
        }
        assert_eq!(without("a xyz", "xyz"), "a xyz");
    }
}
