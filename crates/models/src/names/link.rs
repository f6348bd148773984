/// Vendors whose names differ between catalogs, and the one of these names that stands for all.
const VENDORS: [(&str, &str); 8] = [
    ("deepseek-ai", "deepseek"),
    ("meta-llama", "meta"),
    ("mistralai", "mistral"),
    ("qwen", "alibaba"),
    ("x-ai", "xai"),
    ("z-ai", "zhipuai"),
    ("zai", "zhipuai"),
    ("zai-org", "zhipuai"),
];

/// Returns the form in which canonical ids are compared: `x-ai/Grok-4.3` and `xai/grok-4-3` are
/// one model, and `qwen/qwen3-8b:free` is `alibaba/qwen3-8b` on other terms. It is not shown to
/// anybody.
pub fn link(canonical: &str) -> String {
    let id = canonical.split(':').next().unwrap_or(canonical).to_lowercase();
    let id = id.replace(['.', '_', ' '], "-");
    let Some((vendor, name)) = id.split_once('/') else { return id };
    let known = VENDORS.iter().find(|(other, _)| *other == vendor);
    format!("{}/{name}", known.map_or(vendor, |(_, vendor)| *vendor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_model_are_one() {
        for (a, b) in [
            ("anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
            ("x-ai/grok-4.3", "xai/grok-4.3"),
            ("qwen/Qwen3_8B:free", "alibaba/qwen3-8b"),
            ("Llama 3", "llama-3"),
        ] {
            assert_eq!(link(a), link(b));
        }
        assert_ne!(link("anthropic/claude-sonnet-4.5"), link("anthropic/claude-sonnet-4.6"));
        assert_eq!(link(&link("z-ai/glm-5.1")), link("z-ai/glm-5.1"));
        assert_eq!(link(""), "");
    }
}
