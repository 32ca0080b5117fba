//! Who used the processors.

use std::fmt;
use std::time::Duration;

use crate::cpu;

/// CPU time up to a moment.
pub(super) struct Meter {
    server: Option<u32>,
    postgres: u32,
    before: [Duration; 3],
}

/// Cores in use, on average.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    pub(super) server: f64,
    pub(super) client: f64,
    pub(super) postgres: f64,
}

impl Meter {
    /// Looks at a server, if there is one, at the clients that this process starts, and at the
    /// database.
    pub(super) fn start(server: Option<u32>, postgres: u32) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            postgres,
            before: used(server, postgres)?,
        })
    }

    /// What was used since the start, in which the work itself took so many seconds.
    pub(super) fn read(&self, seconds: f64) -> anyhow::Result<Cpu> {
        let after = used(self.server, self.postgres)?;
        let cores = |at: usize| after[at].saturating_sub(self.before[at]).as_secs_f64() / seconds;
        Ok(Cpu {
            server: cores(0),
            client: cores(1),
            postgres: cores(2),
        })
    }
}

fn used(server: Option<u32>, postgres: u32) -> anyhow::Result<[Duration; 3]> {
    Ok([
        server.map_or(Ok(Duration::ZERO), cpu::of)?,
        cpu::of_ended_children()?,
        cpu::of_family(postgres)?,
    ])
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.server > 0.0 {
            write!(f, "server {:.2}, ", self.server)?;
        }
        write!(
            f,
            "client {:.2}, PostgreSQL {:.2}",
            self.client, self.postgres
        )
    }
}
