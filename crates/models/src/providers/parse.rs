use super::{
    ListError, Listing, ProviderKind, anthropic, generic, google, huggingface, llamacpp, ollama,
    openai, openrouter, read::Page, replicate, vllm,
};

/// Reads one answer of a provider's list. Pure, and whatever the bytes are, it does not panic.
///
/// Of those that answer several questions it reads the first, and [`super::list`] asks the others;
/// of Replicate, which has no list, it reads one model, under the name that it gives itself.
pub fn parse(kind: ProviderKind, body: &[u8]) -> Result<Listing, ListError> {
    let page = match kind {
        ProviderKind::OpenRouter => openrouter::parse(body),
        ProviderKind::OpenAi => openai::parse(body),
        ProviderKind::Anthropic => anthropic::parse(body),
        ProviderKind::Google => google::parse(body),
        ProviderKind::Ollama => ollama::parse_tags(body),
        ProviderKind::Vllm => vllm::parse(body),
        ProviderKind::LlamaCpp => llamacpp::parse(body, None),
        ProviderKind::HuggingFace => huggingface::parse_router(body),
        ProviderKind::Generic => generic::parse(body),
        ProviderKind::Replicate => replicate::parse(body).map(|(facts, problems)| {
            let mut page = Page::default();
            let name = facts.name.clone().unwrap_or_default();
            page.add_read(&name, facts, problems);
            page
        }),
    }?;
    Ok(page.into())
}

impl From<Page> for Listing {
    fn from(page: Page) -> Self {
        let Page { models, unread, problems, next: _ } = page;
        Self { models, problems, unread, revision: None }
    }
}
