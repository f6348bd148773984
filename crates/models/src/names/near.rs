//! What somebody may have meant who wrote a name wrongly.

/// The most bytes of a text that may be a name written wrongly: to measure how far it is from others
/// takes time by the length of both.
pub(crate) const LONGEST: usize = 100;

/// Returns up to three of the known names that a text is nearly one of, the nearest first.
pub(crate) fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    if text.len() > LONGEST {
        return Vec::new();
    }
    let text = text.to_lowercase();
    let at_most = (text.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (distance(&text, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= at_most || is_part(&text, name))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// `context` is nearly `context_window`, and `a` is nearly nothing.
fn is_part(text: &str, name: &str) -> bool {
    text.len() >= 4 && name.to_lowercase().contains(text)
}

/// Returns how many letters must be put in, left out, changed or swapped with their neighbour.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let changed = last[j] + usize::from(a[i] != b[j]);
            let mut best = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (a, b, count) in
            [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3), ("äb", "ab", 1)]
        {
            assert_eq!(distance(a, b), count, "{a} {b}");
            assert_eq!(distance(b, a), count, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let known = ["context_window", "context_window_trained", "license", "prices"];
        for (text, near) in [
            ("contxt_window", &["context_window"][..]),
            ("licence", &["license"]),
            ("Prices", &["prices"]),
            ("context", &["context_window", "context_window_trained"]),
            ("x", &[]),
            ("temperature", &[]),
        ] {
            assert_eq!(closest(text, known), near, "{text}");
        }
    }
}
