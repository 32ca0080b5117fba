//! Pushing in bulk.

use redis::Script;

use super::{ReachError, Redis};
use crate::{Push, SyncJob};

/// Redis does nothing else while a script runs; this many jobs keep it for a few milliseconds.
const BATCH: usize = 500;

/// Metadata of a job that waits for longer than this is lost, which costs its trace only.
const META_LIFE_SECONDS: u32 = 7 * 24 * 3600;

impl Redis {
    pub(crate) async fn push(&self, jobs: &[Push]) -> Result<usize, ReachError> {
        if jobs.is_empty() {
            return Ok(0);
        }
        let script = Script::new(include_str!("push.lua"));
        let mut connection = self.connection().await?;
        let mut queued = 0;
        for batch in jobs.chunks(BATCH) {
            let mut call = script.key(&self.keys.active);
            call.key(&self.keys.data)
                .key(&self.keys.in_flight)
                .key(&self.keys.meta)
                .arg(self.config.redeliver_after.as_micros().to_string())
                .arg(META_LIFE_SECONDS);
            for Push { job, trace } in batch {
                call.arg(id(job))
                    .arg(job.encode())
                    .arg(trace.traceparent.as_deref().unwrap_or_default())
                    .arg(trace.tracestate.as_deref().unwrap_or_default());
            }
            queued += self.trusted(call.invoke_async::<usize>(&mut connection).await)?;
        }
        Ok(queued)
    }
}

fn id(job: &SyncJob) -> String {
    job.run.to_string()
}
