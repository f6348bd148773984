use crate::StoreUrlError;
use callsheet_types::BackendUrl;
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where blobs are: a folder, or `s3://BUCKET/PREFIX`. Who may read and write a bucket is never
/// part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BlobsUrl {
    /// A folder: `/path`, or `file:///path`.
    Directory(PathBuf),
    /// A bucket, and what stands before each key.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without a slash at its ends; may be empty.
        prefix: String,
        /// Where it answers; what [`crate::S3Access`] says where nothing is said.
        endpoint: Option<BackendUrl>,
    },
}

impl BlobsUrl {
    /// Says where the bucket's server answers, before what the environment says. A folder has none.
    pub fn with_endpoint(mut self, address: &str) -> Result<Self, StoreUrlError> {
        let Self::S3 { endpoint, .. } = &mut self else {
            return Err(StoreUrlError("a folder has no endpoint".to_owned()));
        };
        let parsed = address.parse().map_err(|_| {
            StoreUrlError("expected an address such as https://s3.example.com".to_owned())
        })?;
        *endpoint = Some(parsed);
        Ok(self)
    }
}

const NO_PLACE: &str = "it is neither an absolute path nor file:///path nor s3://bucket/prefix";

impl FromStr for BlobsUrl {
    type Err = StoreUrlError;

    /// Does not repeat the text in its error: somebody may have written keys into it.
    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let wrong = |why: &str| Err(StoreUrlError(why.to_owned()));
        if let Some(place) = text.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            if place.contains('@') {
                return wrong(
                    "the address of a bucket has no keys in it: they are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                );
            }
            if !is_bucket(bucket) {
                return wrong(
                    "after s3:// comes the name of a bucket: 3 to 63 letters, digits, `.`, `_` or `-`",
                );
            }
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            if !prefix.is_empty() && !prefix.split('/').all(is_segment) {
                return wrong(
                    "what stands before the keys in a bucket has parts of letters, digits, `.`, `_`, `-` or `=`, with one `/` between two",
                );
            }
            return Ok(Self::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
                endpoint: None,
            });
        }
        let path = match text.strip_prefix("file://") {
            Some(path) if path.contains(['%', '?', '#']) => {
                return wrong("with `%`, `?` or `#` in it, a folder is written as a plain path");
            }
            Some(path) => path,
            None => text,
        };
        if !Path::new(path).is_absolute() || path.contains('\0') {
            return wrong(NO_PLACE);
        }
        Ok(Self::Directory(path.into()))
    }
}

/// More than Amazon gives today, and what others and former days have given.
fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && is_segment(name)
        && !name.contains('=')
}

/// What needs no escaping anywhere, so that a key is the same in every program.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-=".contains(&b))
}

impl fmt::Display for BlobsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix, .. } => {
                f.write_str(&super::join(&format!("s3://{bucket}"), prefix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_and_shown() {
        for (text, shown) in [
            ("/var/lib/blobs", "/var/lib/blobs"),
            ("/a b/100%", "/a b/100%"),
            ("file:///var/lib/blobs", "/var/lib/blobs"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://my.bucket-1/a/b=c/", "s3://my.bucket-1/a/b=c"),
        ] {
            let url: BlobsUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn a_bucket_may_have_an_endpoint_and_a_folder_has_none() {
        let bucket: BlobsUrl = "s3://bucket".parse().unwrap();
        let with = bucket.clone().with_endpoint("http://127.0.0.1:9000/").unwrap();
        let BlobsUrl::S3 { endpoint: Some(endpoint), .. } = &with else { panic!("{with:?}") };
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:9000");
        assert_eq!(with.to_string(), "s3://bucket");
        for bad in ["", "hush.test", "https://me:hush@h", "s3://hush"] {
            let error = bucket.clone().with_endpoint(bad).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{bad}: {error}");
        }
        BlobsUrl::Directory("/a".into()).with_endpoint("http://h").unwrap_err();
    }

    #[test]
    fn what_is_no_place_is_refused_without_being_repeated() {
        for bad in [
            "",
            "blobs",
            "./hush",
            "~/hush",
            "file://hush/blobs",
            "file:///a%20hush",
            "/hu\0sh",
            "https://hush.test/bucket",
            "S3://bucket",
            "s3://",
            "s3:///hush",
            "s3://ab",
            "s3://-bucket",
            "s3://key:hush@bucket/prefix",
            "s3://bucket:hush",
            "s3://bucket//hush",
            "s3://bucket/hush//",
            "s3://bucket/../hush",
            "s3://bucket/./hush",
            "s3://bucket/hush?region=a",
            "s3://bucket/h ush",
        ] {
            let error = bad.parse::<BlobsUrl>().unwrap_err().to_string();
            assert!(!error.contains("hush"), "{bad}: {error}");
        }
    }
}
