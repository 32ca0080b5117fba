//! `fanfare demo`: simulator and every role in one process, on an embedded database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use entity::host::Politeness;
use entity::provider::{self, Summary};
use entity::{Access, Database, DatabaseUrl, Session, dataset};
use queue::QueueConfig;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker::fetch::{self, Networks};

use crate::cli::Demo;
use crate::command::roles::{Roles, parse_providers};
use crate::listen::listen;
use crate::options::DatabaseOptions;
use crate::progress::{Progress, Standing};
use crate::screen::Screen;
use crate::{show, stop};

/// How often a simulated provider is visited.
const INTERVAL: &str = "5s";
/// How often the simulated feeds change.
const ROUND: Duration = Duration::from_secs(5);
/// How often the demo says what has changed.
const NEWS: Duration = Duration::from_secs(10);

/// Runs the demo until a signal.
pub(crate) async fn run(options: Demo, name: &str, screen: &Screen) -> anyhow::Result<()> {
    let mut api = options.api.config(DatabaseOptions::EMBEDDED_READERS)?;
    api.exposes_metrics = options.observe.observe_listen.is_none();
    let shutdown = stop::on_signal()?;
    let listener = listen(options.api.listen.listen, "--listen").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    let folder = Folder::of(options.data.as_deref())?;
    let db = database(folder.path()).await?;
    let kept = kept(&db).await?;
    // Providers outlast those who fetch from them.
    let providers = CancellationToken::new();
    let _providers_end = providers.clone().drop_guard();
    let simulator = simulate(&options, &providers).await?;
    let specs = parse_providers(&simulator.providers_toml(INTERVAL))?;
    provider::apply(&db, &specs, true, false)
        .await
        .context("can't set up the simulated providers")?;
    show::line(&format!(
        "Fanfare demo: {} with about {} each, all in this process.",
        show::count(u64::from(options.providers), "simulated provider"),
        show::count(u64::from(options.events), "event"),
    ));
    if let Some(kept) = kept {
        show::line(&kept);
    }
    let roles = Roles {
        db: db.clone(),
        queue: queue::open(QueueConfig::default()).await?,
        listener,
        api,
        scheduler: scheduler::Config {
            tick: Duration::from_millis(200),
            ..scheduler::Config::default()
        },
        worker: worker::Config {
            drain: Duration::from_secs(5),
            // All simulated providers live on one host, which is ours.
            politeness: Politeness {
                concurrency: 16,
                ..Politeness::default()
            },
            fetch: fetch::Config {
                allow: Networks::loopback(),
                ..fetch::Config::default()
            },
            ..worker::Config::new(name.to_owned())
        },
        observe: options.observe,
    };
    let telling = tell(&db, address, folder.path(), &shutdown, screen);
    let running = roles.run(shutdown.clone());
    let (told, ran) = tokio::join!(telling, running);
    providers.cancel();
    simulator.stopped().await;
    db.close().await;
    show::line("Stopped.");
    ran.and(told)
}

/// The folder of the demo's database: the operator's, or a fresh one that goes with the demo.
enum Folder {
    Kept(PathBuf),
    Fresh(TempDir),
}

impl Folder {
    fn of(data: Option<&Path>) -> anyhow::Result<Self> {
        match data {
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| {
                    format!(
                        "can't make the folder {}: give one that can be written with --data",
                        path.display()
                    )
                })?;
                Ok(Self::Kept(path.to_owned()))
            }
            None => tempfile::Builder::new()
                .prefix("fanfare-demo-")
                .tempdir()
                .map(Self::Fresh)
                .context("can't make a temporary folder: give one with --data"),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Fresh(folder) => folder.path(),
        }
    }
}

async fn database(folder: &Path) -> anyhow::Result<Database> {
    let url = DatabaseUrl::sqlite_file(&folder.join("fanfare.db"));
    let mut config = entity::Config::new(url);
    config.access = Access::Roles;
    config.session = Session::default();
    let db = entity::connect(&config).await?;
    migration::migrate(&db.write)
        .await
        .with_context(|| format!("can't use the database in {}", folder.display()))?;
    Ok(db)
}

/// What an earlier start left, in a sentence.
async fn kept(db: &Database) -> anyhow::Result<Option<String>> {
    let events = events(&provider::list(&db.read).await?);
    Ok((events > 0).then(|| {
        format!(
            "Found {} of an earlier start.",
            show::count(events, "event")
        )
    }))
}

fn events(providers: &[Summary]) -> u64 {
    providers
        .iter()
        .map(|provider| (provider.events + provider.events_gone).unsigned_abs())
        .sum()
}

async fn simulate(
    options: &Demo,
    shutdown: &CancellationToken,
) -> anyhow::Result<simulator::Simulator> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("can't listen on loopback for the simulated providers")?;
    let config = simulator::Config {
        providers: options.providers as usize,
        events: options.events as usize,
        round_every: Some(ROUND),
        ..simulator::Config::default()
    };
    Ok(simulator::start(listener, config, shutdown.child_token()))
}

/// Says what was synced, what to try, and then what goes on.
async fn tell(
    db: &Database,
    address: std::net::SocketAddr,
    folder: &Path,
    shutdown: &CancellationToken,
    screen: &Screen,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let begun = chrono::Utc::now();
    let Some(providers) = first_round(db, begun, shutdown, screen).await? else {
        return Ok(());
    };
    let failing = providers
        .iter()
        .filter(|provider| provider.consecutive_failures > 0)
        .count();
    show::line(&format!(
        "Synced {}, {}, in {:.1} s.{}",
        show::count(providers.len() as u64, "provider"),
        show::count(events(&providers), "event"),
        started.elapsed().as_secs_f64(),
        if failing > 0 {
            format!(" {failing} failed, and will be tried again.")
        } else {
            String::new()
        }
    ));
    show::line(&format!(
        "\nTry:\n  \
         curl 'http://{address}/v1/events/search?starts_at=2026-07-01&ends_at=2026-07-07'\n  \
         curl http://{address}/v1/providers\n  \
         curl -i http://{address}/v1/health\n\
         or read http://{address}/docs in a browser.\n\n\
         The feeds change every {} s and are synced again every {INTERVAL}. Data is in {}.\n\
         Ctrl-C ends the demo.\n",
        ROUND.as_secs(),
        folder.display()
    ));
    news(db, shutdown).await
}

/// Waits until each provider has been visited; `None` if the demo ends before that.
async fn first_round(
    db: &Database,
    begun: chrono::DateTime<chrono::Utc>,
    shutdown: &CancellationToken,
    screen: &Screen,
) -> anyhow::Result<Option<Vec<Summary>>> {
    const PAUSE: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(300);
    let started = Instant::now();
    let mut progress = Progress::new(screen);
    while !shutdown.is_cancelled() {
        let providers = provider::list(&db.read).await?;
        let visited = |provider: &Summary| {
            provider.consecutive_failures > 0
                || provider.last_success_at.is_some_and(|at| at >= begun)
        };
        if providers.iter().all(visited) {
            return Ok(Some(providers));
        }
        progress.tell(standing(&providers, visited));
        if started.elapsed() > LONGEST {
            shutdown.cancel();
            bail!(
                "the first round is not over after five minutes: start again with --log info to see why"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

fn standing(providers: &[Summary], visited: impl Fn(&Summary) -> bool) -> Standing {
    let count = |wanted: &dyn Fn(&Summary) -> bool| {
        providers.iter().filter(|provider| wanted(provider)).count() as u64
    };
    Standing {
        done: count(&visited),
        total: providers.len() as u64,
        failed: count(&|provider| provider.consecutive_failures > 0),
        events: (events(providers), "found"),
    }
}

/// One line now and then while the feeds evolve.
async fn news(db: &Database, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut last = dataset::version(&db.read).await?.number;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(NEWS) => {}
        }
        let changes = dataset::changes_since(db, last).await?;
        let version = dataset::version(&db.read).await?.number;
        show::line(&format!(
            "{}  {} since version {last}: {} new, {} changed, {} gone, {} returned; now version {version}",
            chrono::Local::now().format("%H:%M:%S"),
            show::count(changes.total(), "change"),
            changes.created,
            changes.updated,
            changes.gone,
            changes.returned,
        ));
        last = version;
    }
}
