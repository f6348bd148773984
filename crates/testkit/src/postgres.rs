//! A PostgreSQL server for one test process: made in a temporary folder by the programs that are
//! installed, and gone with the process, however that ends.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Makes the server, says so, and ends it when nobody holds the other end of standard input any
/// more, whatever happened until then. Durability is what makes such a server slow, and nobody
/// needs it here.
const SCRIPT: &str = r#"
set -e
cd "$1"
folder=$1
programs=$2
leave() {
    set +e
    "$programs/pg_ctl" -D data -m immediate stop >/dev/null 2>&1
    cat ./*.log
    cd /
    rm -rf "$folder"
}
trap leave EXIT
trap '' PIPE
"$2/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync \
    ${4:+--pwfile=password} >init.log 2>&1
if [ -n "$4" ]; then
    printf 'local all all trust\nhostssl all all all scram-sha-256\n' >data/pg_hba.conf
fi
"$2/pg_ctl" -D data -l server.log -w start -o "-k $1 -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c max_connections=200 $3 $4" >start.log 2>&1
echo ready
cat >/dev/null
"#;

/// A server that is running.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    made: AtomicU64,
    /// The server lives as long as this is open.
    _held: ChildStdin,
}

/// Returns the server of this process, or why there is none; the first call starts it.
pub fn server() -> Result<&'static Postgres, &'static str> {
    static SERVER: OnceLock<Result<Postgres, String>> = OnceLock::new();
    let start = || Postgres::start(&Access::Socket);
    SERVER.get_or_init(start).as_ref().map_err(String::as_str)
}

/// How one comes to a server.
enum Access<'a> {
    /// By a socket in its folder, without a password.
    Socket,
    /// Encrypted only, and with a password.
    Tls { certificate: &'a str, key: &'a str, password: &'a str, port: u16 },
}

impl Postgres {
    /// Starts a server on `localhost` that speaks to nobody in clear text, and wants the password
    /// of the user `postgres`. Returns it with its address, in which no password is.
    pub fn start_with_tls(
        certificate: &str,
        key: &str,
        password: &str,
    ) -> Result<(Self, String), String> {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let server = Self::start(&Access::Tls { certificate, key, password, port })?;
        Ok((server, format!("postgres://postgres@localhost:{port}/postgres")))
    }

    fn start(access: &Access<'_>) -> Result<Self, String> {
        let programs = programs().ok_or("PostgreSQL is not installed (no initdb)")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
        let start = |folder: &Path| -> io::Result<_> {
            let servant = servant(folder)?;
            let (listen, tls) = prepare(access, folder, servant)?;
            let mut command = match servant {
                None => Command::new("sh"),
                Some((user, group)) => {
                    let mut command = Command::new("setpriv");
                    let ids = [format!("--reuid={user}"), format!("--regid={group}")];
                    command.args(ids).args(["--clear-groups", "sh"]);
                    command
                }
            };
            command.args(["-c", SCRIPT, "sh"]).arg(folder).arg(&programs);
            command.args([listen, tls]);
            // A signal to the tests' whole group must not end who cleans up after them.
            command.process_group(0);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn()?;
            let mut said = String::new();
            if let Some(stdout) = child.stdout.take() {
                let mut stdout = BufReader::new(stdout);
                stdout.read_line(&mut said)?;
                if said != "ready\n" {
                    stdout.read_to_string(&mut said)?;
                }
            }
            Ok((said, child.stdin.take()))
        };
        match start(&folder) {
            Ok((said, Some(held))) if said == "ready\n" => {
                Ok(Self { folder, programs, made: AtomicU64::new(0), _held: held })
            }
            Ok((said, _)) => Err(format!("PostgreSQL does not start: {said}")),
            Err(error) => {
                // Where not even the script ran, nobody else cleans up.
                let _ = fs::remove_dir_all(&folder);
                Err(format!("PostgreSQL does not start: {error}"))
            }
        }
    }

    /// Makes a database of its own for one test, and returns its address.
    pub fn database(&self) -> Result<String, String> {
        let name = format!("t{}", self.made.fetch_add(1, Ordering::Relaxed) + 1);
        self.execute(&format!("CREATE DATABASE {name}"))?;
        let folder = self.folder.display().to_string().replace('/', "%2F");
        Ok(format!("postgres://postgres@{folder}/{name}"))
    }

    /// Breaks every connection to the database of an address, as a server that restarts does.
    pub fn break_connections(&self, address: &str) -> Result<(), String> {
        let name = address.rsplit('/').next().unwrap_or_default();
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
    }

    fn execute(&self, sql: &str) -> Result<(), String> {
        let done = Command::new(self.programs.join("psql"))
            .arg("-h")
            .arg(&self.folder)
            .args(["-U", "postgres", "-d", "postgres", "-X", "-q", "-c", sql])
            .output()
            .map_err(|error| format!("psql does not start: {error}"))?;
        if done.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }
}

/// Writes what the server reads when it starts, and returns the settings for where it listens and
/// for encryption; without the latter it trusts whoever comes.
fn prepare(
    access: &Access<'_>,
    folder: &Path,
    servant: Option<(u32, u32)>,
) -> io::Result<(String, String)> {
    let Access::Tls { certificate, key, password, port } = access else {
        return Ok(("-c listen_addresses=".to_owned(), String::new()));
    };
    for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("password", password)] {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if let Some((user, group)) = servant {
            chown(&path, Some(user), Some(group))?;
        }
    }
    let folder = folder.display();
    Ok((
        format!("-c listen_addresses=localhost -c port={port}"),
        format!("-c ssl=on -c ssl_cert_file={folder}/tls.crt -c ssl_key_file={folder}/tls.key"),
    ))
}

/// Returns the folder of the newest installed PostgreSQL.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let mut found: Vec<_> = debian
        .map(|version| version.path())
        .filter(|path| path.join("bin/initdb").exists())
        .collect();
    found.sort_by_key(|path| version(path));
    found.pop().map(|newest| newest.join("bin")).or_else(|| {
        let path = env::var_os("PATH")?;
        let found = env::split_paths(&path).find(|folder| folder.join("initdb").exists())?;
        // The programs find each other beside themselves, not beside what links to them.
        let initdb = found.join("initdb").canonicalize().ok()?;
        initdb.parent().map(Path::to_owned)
    })
}

/// PostgreSQL refuses to run as root: returns the user and group as whom it runs then, to whom the
/// folder is given.
fn servant(folder: &Path) -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_wanted = fields.next() == Some(wanted);
            let (user, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            is_wanted.then_some((user, group))
        })
    };
    let (user, group): (u32, u32) =
        find("postgres").or_else(|| find("nobody")).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "there is no user postgres or nobody")
        })?;
    chown(folder, Some(user), Some(group))?;
    Ok(Some((user, group)))
}
