//! Addresses of what GitHub has.

use callsheet_types::{Repository, encoded};

/// Returns an address below a host. Slashes in refs and paths divide, as GitHub takes them; what
/// is between them is encoded.
pub(super) fn below(host: &str, parts: &[&str]) -> String {
    let mut url = host.trim_end_matches('/').to_owned();
    for part in parts.iter().flat_map(|part| part.split('/')) {
        url.push('/');
        url.push_str(&segment(part));
    }
    url
}

/// Returns an address below `{api}/repos/{owner}/{repo}`.
pub(super) fn of_repository(api: &str, repository: &Repository, parts: &[&str]) -> String {
    let root = below(api, &["repos", repository.as_str()]);
    below(&root, parts)
}

fn segment(part: &str) -> String {
    match part {
        // Clients resolve these, encoded or not; so that nothing else is asked for, they are
        // encoded twice, and are not found.
        "." => "%252E".to_owned(),
        ".." => "%252E%252E".to_owned(),
        part => encoded(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_divide_and_everything_else_is_encoded() {
        let repository = Repository::new("o/r.x").unwrap();
        let url = of_repository("http://h/api/v3/", &repository, &["git/ref/heads", "feature/ä b"]);
        assert_eq!(url, "http://h/api/v3/repos/o/r.x/git/ref/heads/feature/%C3%A4%20b");
        let url = below("http://h", &["o/r", "c", "a/../x#y?z%2F"]);
        assert_eq!(url, "http://h/o/r/c/a/%252E%252E/x%23y%3Fz%252F");
    }
}
