//! Two APIs over one PostgreSQL, and who fills it.

use std::net::{Ipv4Addr, SocketAddr};

use testkit::{Process, Signal, eventually};

use crate::client::Client;
use crate::feed::{Feeds, upcoming};
use crate::names::Names;
use crate::world::{PATIENCE, Serving, World, ends_well};

pub(crate) const PROVIDER: &str = "north";
pub(crate) const TOKEN: &str = "0123456789abcdef";

pub(crate) struct Apis {
    pub(crate) world: World,
    pub(crate) feeds: Feeds,
    pub(crate) names: Names,
    /// One port at two addresses, as replicas have it.
    pub(crate) addresses: [SocketAddr; 2],
    running: [Option<Process>; 2],
    /// Scheduler and worker.
    _others: Serving,
}

impl Apis {
    /// With 60 events, and the settings besides.
    pub(crate) async fn start(settings: &[(&'static str, &str)]) -> Self {
        Self::serving(settings, upcoming(60, "A show")).await
    }

    pub(crate) async fn serving(settings: &[(&'static str, &str)], feed: String) -> Self {
        let mut world = World::postgres()
            .await
            .with("FANFARE_ADMIN_TOKEN", TOKEN)
            .with("FANFARE_TRUSTED_PROXIES", "127.0.0.0/8");
        for (name, value) in settings {
            world = world.with(name, value);
        }
        let feeds = Feeds::start();
        feeds.set(PROVIDER, feed);
        world.apply(&[(PROVIDER, &feeds.url(PROVIDER))]).await;
        let others = world.all().await;
        world.sync(PROVIDER).await;
        let [second, third, ..] = *uuid::Uuid::new_v4().as_bytes();
        let port = testkit::free_port();
        let address = |last| Ipv4Addr::new(127, second, third, last);
        let addresses = [11, 12].map(|last| SocketAddr::from((address(last), port)));
        let mut apis = Self {
            names: Names::serve(&addresses.map(v4)).await,
            world,
            feeds,
            addresses,
            running: [None, None],
            _others: others,
        };
        apis.start_api(0).await;
        apis.start_api(1).await;
        apis
    }

    /// Starts one at its address, and returns when it is ready.
    pub(crate) async fn start_api(&mut self, which: usize) {
        self.begin(which);
        let api = self.client(which);
        let what = format!("api {which} is ready");
        eventually(PATIENCE, what, async || {
            let answer = api.try_get("/readyz").await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Starts one at its address, ready or not.
    pub(crate) fn begin(&mut self, which: usize) {
        let address = self.addresses[which].to_string();
        self.running[which] = Some(self.world.start(&["api", "--listen", &address]));
    }

    /// Asks one to go, and returns when it has gone well.
    pub(crate) async fn stop(&mut self, which: usize) {
        let process = self.running[which].take().unwrap();
        process.signal(Signal::TERM);
        ends_well(&process).await;
    }

    pub(crate) async fn kill(&mut self, which: usize) {
        let process = self.running[which].take().unwrap();
        process.signal(Signal::KILL);
        process.wait(PATIENCE).await;
    }

    /// Past nginx.
    pub(crate) fn client(&self, which: usize) -> Client {
        Client::new(&format!("http://{}", self.addresses[which]))
    }

    /// How many reads each has answered, by its own count.
    pub(crate) async fn asked(&self) -> [u64; 2] {
        let mut asked = [0; 2];
        for which in [0, 1] {
            let metrics = self.client(which).get("/metrics").await;
            let counts = metrics.text().lines().filter(|line| {
                line.starts_with("http_server_request_duration_seconds_count{")
                    && line.contains(r#"http_route="/v1/"#)
            });
            let number = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
            asked[which] = counts.map(|line| number(line).unwrap()).sum();
        }
        asked
    }

    /// Changes all events, and returns when both APIs tell of it.
    pub(crate) async fn change(&self, title: &str) {
        self.feeds.set(PROVIDER, upcoming(60, title));
        self.world.sync(PROVIDER).await;
        for which in [0, 1] {
            let api = self.client(which);
            eventually(PATIENCE, "the API tells the change", async || {
                let answer = api.get("/v1/events/search?limit=1").await;
                answer.text().contains(title)
            })
            .await;
        }
    }
}

pub(crate) fn v4(address: SocketAddr) -> Ipv4Addr {
    match address {
        SocketAddr::V4(address) => *address.ip(),
        SocketAddr::V6(_) => panic!("{address} is none of ours"),
    }
}
