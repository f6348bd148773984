//! A real S3-compatible server on port 0 for one test: Moto, which `cargo xtask test` installs. It
//! checks signatures, and is gone with who started it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

const PROGRAM: &str = include_str!("s3.py");

/// A server that is running.
pub struct FakeS3 {
    /// Where it answers.
    pub url: String,
    /// The id of the keys that may do everything.
    pub key_id: String,
    /// The secret of these keys.
    pub secret: String,
    child: Child,
    control: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// Returns the folder in which `cargo xtask test` installs Moto: a virtual environment of Python.
pub fn folder() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache"))
    })?;
    Some(cache.join("callsheet-tests").join("moto"))
}

impl FakeS3 {
    /// Starts a server without buckets, or says why there is none.
    pub fn start() -> Result<Self, String> {
        let python = folder().map(|folder| folder.join("bin/python"));
        let python = python.filter(|python| python.exists()).ok_or_else(|| {
            "Moto is not installed (`cargo xtask test` does that where python3 is there)".to_owned()
        })?;
        let failed = |error: io::Error| format!("Moto does not start: {error}");
        let mut command = Command::new(python);
        // Nothing of the user's own keys and settings is for a server of tests.
        for (name, _) in env::vars_os().filter(|(name, _)| {
            name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("MOTO_"))
        }) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["-c", PROGRAM])
            .envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("Moto has no standard input and output".to_owned());
        };
        let mut stdout = BufReader::new(stdout);
        let mut said = String::new();
        stdout.read_line(&mut said).map_err(failed)?;
        let said: Value = serde_json::from_str(&said)
            .map_err(|error| format!("Moto does not start: it says {said:?} ({error})"))?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            url: text("url"),
            key_id: text("id"),
            secret: text("secret"),
            child,
            control: Mutex::new((stdin, stdout)),
        })
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, bucket: &str) -> Result<(), String> {
        self.tell(&json!({"do": "create_bucket", "Bucket": bucket})).map(drop)
    }

    /// Puts a text under a key, whatever is there.
    pub fn put(&self, bucket: &str, key: &str, text: &str) -> Result<(), String> {
        self.tell(&json!({"do": "put_object", "Bucket": bucket, "Key": key, "Body": text}))
            .map(drop)
    }

    /// Returns the keys in a bucket, and when each was written.
    pub fn keys(&self, bucket: &str) -> Result<BTreeMap<String, String>, String> {
        let said = self.tell(&json!({"do": "list_objects_v2", "Bucket": bucket}))?;
        serde_json::from_value(said["keys"].clone()).map_err(|error| error.to_string())
    }

    /// Sends a signal to the server, such as that to stand still or to go on.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    fn tell(&self, what: &Value) -> Result<Value, String> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *control;
        let mut said = String::new();
        writeln!(stdin, "{what}")
            .and_then(|()| stdout.read_line(&mut said))
            .map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
        match said["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(said),
        }
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
