//! Release 0.1.0 as Redis and other releases see it, frozen: its scripts, what it gives them, and how it
//! reads what they answer.

use queue::{Push, SyncJob, TraceContext};
use redis::aio::MultiplexedConnection;
use redis::{Script, ScriptInvocation};
use serde::Deserialize;
use uuid::Uuid;

use crate::world::World;

const PUSH: &str = include_str!("../fixtures/0.1.0/push.lua");
const EXCHANGE: &str = include_str!("../fixtures/0.1.0/exchange.lua");

/// Carries out a fixture's commands, in the world's queue.
pub(crate) async fn write(world: &World, commands: &str) {
    let mut redis = world.redis().await;
    for line in commands.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line
            .split(' ')
            .map(|word| word.replacen("{fanfare}", &format!("{{{}}}", world.namespace), 1));
        let mut command = redis::cmd(&words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query_async::<()>(&mut redis).await.unwrap();
    }
}

/// Its scheduler and its worker, in one.
pub(crate) struct FirstRelease {
    redis: MultiplexedConnection,
    keys: [String; 4],
}

/// A job in its hands.
pub(crate) struct Taken {
    id: String,
    stamp: u64,
    payload: Vec<u8>,
    traceparent: String,
    tracestate: String,
}

/// The payload as it reads it; what it does not know, it leaves aside.
#[derive(Deserialize)]
struct Payload {
    run: Uuid,
}

impl FirstRelease {
    pub(crate) async fn on(world: &World) -> Self {
        Self {
            redis: world.redis().await,
            keys: ["active", "data", "inflight", "meta"].map(|name| world.key(name)),
        }
    }

    pub(crate) async fn push(&mut self, jobs: &[Push]) {
        let script = Script::new(PUSH);
        let mut call = script.prepare_invoke();
        self.keys(&mut call);
        call.arg("600000000").arg(604_800);
        for Push { job, trace } in jobs {
            call.arg(job.run.to_string())
                .arg(format!(r#"{{"run":"{}"}}"#, job.run))
                .arg(trace.traceparent.as_deref().unwrap_or_default())
                .arg(trace.tracestate.as_deref().unwrap_or_default());
        }
        call.invoke_async::<u64>(&mut self.redis).await.unwrap();
    }

    /// Settles jobs as `done` or `return`, and takes up to `take` others.
    pub(crate) async fn exchange(&mut self, take: usize, settled: &[(&Taken, &str)]) -> Vec<Taken> {
        let script = Script::new(EXCHANGE);
        let mut call = script.prepare_invoke();
        self.keys(&mut call);
        call.arg(take).arg("3600000000").arg("first");
        for (taken, fate) in settled {
            call.arg(&taken.id).arg(taken.stamp).arg(*fate);
        }
        let answer: (u64, u64, Vec<Vec<u8>>) = call.invoke_async(&mut self.redis).await.unwrap();
        let (_, stamp, values) = answer;
        assert_eq!(values.len() % 4, 0, "four values a job");
        let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
        let jobs = values.chunks(4).map(|values| Taken {
            id: text(&values[0]),
            stamp,
            payload: values[1].clone(),
            traceparent: text(&values[2]),
            tracestate: text(&values[3]),
        });
        jobs.collect()
    }

    fn keys(&self, call: &mut ScriptInvocation<'_>) {
        for key in &self.keys {
            call.key(key);
        }
    }
}

impl Taken {
    pub(crate) fn read(&self) -> Push {
        let Payload { run } = serde_json::from_slice(&self.payload).unwrap();
        assert_eq!(self.id, run.to_string(), "a job's id is its run's");
        let header = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Push {
            job: SyncJob { run },
            trace: TraceContext {
                traceparent: header(&self.traceparent),
                tracestate: header(&self.tracestate),
            },
        }
    }
}
