//! What has to hold for any bytes, for the fuzz target and for the test that replays what it found.
//!
//! Not part of the interface: the fuzz target lives outside the crate and needs a way in.

use super::{Addresses, Publishes, Registry};

/// Reads a registry file; what was read is written, and compiled, and read again without loss. The
/// first byte, a digit, says which kind of file it is.
pub fn registry(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let publishes = Publishes::ALL[usize::from(kind) % Publishes::ALL.len()];
    let Ok(registry) = Registry::parse(publishes, data) else { return };
    let loaded = Registry::load(&registry.compile());
    assert_eq!(loaded.as_ref(), Some(&registry));
    for addresses in [Addresses::None, Addresses::BeforeKey("https://host/a".to_owned())] {
        let written = registry.write(&addresses);
        let again = Registry::parse(publishes, written.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("{error}: {written}"));
        assert!(registry.difference(&again) == super::Difference::default(), "{written}");
        assert_eq!(again.programs, registry.programs);
        assert_eq!(again.write(&addresses), written);
    }
    if publishes != Publishes::Programs {
        let addresses = Addresses::Archive("https://host/all.zip".to_owned());
        let written = registry.write(&addresses);
        let again = Registry::parse(publishes, written.as_bytes());
        // A file may have the archive's name for a folder's, or in another case.
        let Ok(again) = again else { return };
        for file in &registry.files {
            assert_eq!(again.file(file.key.as_str()).map(|file| file.digest), Some(file.digest));
        }
        assert_eq!(again.write(&addresses), written);
    }
}
