use callsheet_types::{BackendType, BackendUrl, Secret};
use callsheet_upstream::{Options, Request, TlsError, Upstream};

/// How a backend is reached: its address, its key and its connections.
#[derive(Debug)]
pub struct Link {
    url: BackendUrl,
    backend_type: BackendType,
    api_key: Option<Secret>,
    authority: String,
    upstream: Upstream,
    /// How a request to each endpoint that is called begins; it is the same every time.
    calls: [(&'static str, Request); 3],
}

const CALLED: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];

impl Link {
    /// Prepares for a backend; nothing is connected yet.
    pub fn new(
        url: BackendUrl,
        backend_type: BackendType,
        api_key: Option<Secret>,
        options: Options,
    ) -> Result<Self, TlsError> {
        let upstream = Upstream::new(&url, options)?;
        let authority = url.authority();
        let calls = CALLED.map(|endpoint| {
            let path = url.v1_path(endpoint);
            (endpoint, begin("POST", &path, &authority, api_key.as_ref(), backend_type))
        });
        Ok(Self { url, backend_type, api_key, authority, upstream, calls })
    }

    /// Returns whether another link shows the backend the same key.
    pub fn has_same_key(&self, other: &Self) -> bool {
        self.api_key == other.api_key
    }

    /// Returns the connections.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Begins a request to one of OpenAI's endpoints, given as `/v1/…`, with the backend's key.
    pub fn request(&self, method: &str, endpoint: &str) -> Request {
        let prepared = self.calls.iter().find(|(known, _)| method == "POST" && *known == endpoint);
        match prepared {
            Some((_, beginning)) => Request::like(beginning),
            None => self.begin(method, &self.url.v1_path(endpoint)),
        }
    }

    /// Begins a request to an endpoint that stands beside `/v1`, such as `/api/tags`.
    pub fn root_request(&self, method: &str, endpoint: &str) -> Request {
        self.begin(method, &self.url.root_path(endpoint))
    }

    fn begin(&self, method: &str, path: &str) -> Request {
        begin(method, path, &self.authority, self.api_key.as_ref(), self.backend_type)
    }
}

fn begin(
    method: &str,
    path: &str,
    authority: &str,
    api_key: Option<&Secret>,
    backend_type: BackendType,
) -> Request {
    let mut request = Request::new(method, path, authority);
    if let Some(key) = api_key {
        let key = key.expose();
        request.header("authorization", format!("Bearer {key}").as_bytes());
        if backend_type == BackendType::Anthropic {
            // Its own endpoints, the model list among them, know these two headers only.
            request.header("x-api-key", key.as_bytes());
            request.header("anthropic-version", b"2023-06-01");
        }
    }
    request
}
