//! Taking and settling jobs, and waiting for new ones.

use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Script, aio::MultiplexedConnection};

use super::{ReachError, Redis};
use crate::{
    SyncJob, TraceContext,
    delivery::{Fate, Receipt, Settled},
    dispatch::{Bell, Exchange, Source, Taken},
    outage::backoff,
};

/// Zero would mean for ever to Redis.
const SHORTEST_BLOCK: Duration = Duration::from_millis(10);

pub(crate) struct RedisSource {
    redis: Arc<Redis>,
    worker: String,
    script: Script,
    connection: Option<MultiplexedConnection>,
    /// Jobs that no release can read; they go with the next exchange.
    unreadable: Vec<Settled>,
}

impl RedisSource {
    pub(crate) fn new(redis: Arc<Redis>, worker: &str) -> Self {
        Self {
            redis,
            worker: worker.to_owned(),
            script: Script::new(include_str!("exchange.lua")),
            connection: None,
            unreadable: Vec::new(),
        }
    }

    async fn call(
        &mut self,
        settled: &[Settled],
        take: usize,
    ) -> Result<(u64, u64, Vec<Vec<u8>>), ReachError> {
        let Redis { keys, config, .. } = &*self.redis;
        let mut call = self.script.key(&keys.active);
        call.key(&keys.data)
            .key(&keys.in_flight)
            .key(&keys.meta)
            .arg(take)
            .arg(config.forget_after.as_micros().to_string())
            .arg(&self.worker);
        for Settled { receipt, fate } in settled.iter().chain(&self.unreadable) {
            call.arg(&receipt.id).arg(receipt.stamp).arg(match fate {
                Fate::Done => "done",
                Fate::Return => "return",
            });
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.redis.connection().await?),
        };
        let answer = call.invoke_async(connection).await;
        if answer.is_err() {
            self.connection = None;
        }
        self.redis.trusted(answer)
    }
}

impl Source for RedisSource {
    type Bell = RedisBell;

    fn bell(&self) -> RedisBell {
        RedisBell {
            redis: Arc::clone(&self.redis),
            connection: None,
            failures: 0,
        }
    }

    async fn exchange(&mut self, settled: &[Settled], take: usize) -> Result<Exchange, ReachError> {
        let (waiting, stamp, values) = self.call(settled, take).await?;
        self.unreadable.clear();
        let mut taken = Vec::with_capacity(values.len() / 4);
        let mut values = values.into_iter();
        while let (Some(id), Some(payload), Some(traceparent), Some(tracestate)) =
            (values.next(), values.next(), values.next(), values.next())
        {
            let receipt = Receipt { id, stamp };
            match SyncJob::decode(&payload) {
                Ok(job) => taken.push(Taken {
                    job,
                    trace: TraceContext {
                        traceparent: text(traceparent),
                        tracestate: text(tracestate),
                    },
                    receipt,
                }),
                Err(error) => {
                    let id = String::from_utf8_lossy(&receipt.id);
                    tracing::error!(%id, %error, "job dropped: its payload is not readable");
                    self.unreadable.push(Settled {
                        receipt,
                        fate: Fate::Done,
                    });
                }
            }
        }
        let more = waiting > 0 || !self.unreadable.is_empty();
        Ok(Exchange { taken, more })
    }
}

fn text(value: Vec<u8>) -> Option<String> {
    String::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty())
}

/// Waits in a blocking command, so it has a connection of its own: every other command on that
/// connection would wait as well.
pub(crate) struct RedisBell {
    redis: Arc<Redis>,
    connection: Option<MultiplexedConnection>,
    failures: u32,
}

impl Bell for RedisBell {
    async fn ring(&mut self) -> Result<(), ReachError> {
        if self.failures > 0 {
            tokio::time::sleep(backoff(self.failures)).await;
        }
        let rung = self.block().await;
        if rung.is_ok() {
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.connection = None;
        }
        rung
    }
}

impl RedisBell {
    /// Moves the head of the list onto itself as soon as there is one. That changes nothing, so a
    /// consumer that dies here takes no job with it; the jobs are taken by script.
    async fn block(&mut self) -> Result<(), ReachError> {
        let Redis {
            keys,
            config,
            client,
            ..
        } = &*self.redis;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let limits = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(config.connect_timeout))
                    .set_response_timeout(Some(config.block + config.response_timeout));
                none.insert(
                    client
                        .get_multiplexed_async_connection_with_config(&limits)
                        .await?,
                )
            }
        };
        redis::cmd("BLMOVE")
            .arg(&keys.active)
            .arg(&keys.active)
            .arg("LEFT")
            .arg("LEFT")
            .arg(config.block.max(SHORTEST_BLOCK).as_secs_f64())
            .query_async::<Option<Vec<u8>>>(connection)
            .await?;
        Ok(())
    }
}
