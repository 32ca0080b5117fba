//! How much of its pools a process uses.

use sea_orm::DatabaseConnection;

use super::{Database, Kind, Reader};

/// The pools of a [`Database`], to look at; closed with it. They do not keep an embedded database locked.
#[derive(Debug, Clone)]
pub struct Pools {
    kind: Kind,
    pools: Vec<Pool>,
}

#[derive(Debug, Clone)]
struct Pool {
    name: &'static str,
    connections: DatabaseConnection,
    /// It has connections in hand that rest between two questions.
    readers: Vec<Reader>,
}

/// How a pool is used at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// `write` or `read`.
    pub name: &'static str,
    /// Open connections at which someone is.
    pub used: u64,
    /// Open connections at which nobody is.
    pub idle: u64,
    /// Connections that it may have.
    pub max: u64,
}

impl Pools {
    pub(super) fn of(db: &Database) -> Self {
        let write = Pool {
            name: "write",
            connections: db.write.clone(),
            readers: vec![db.primary_reader.clone()],
        };
        let read = Pool {
            name: "read",
            connections: db.read.clone(),
            readers: vec![db.reader.clone()],
        };
        let pools = match db.kind {
            // One pool does both.
            Kind::Postgres if !db.has_replica => vec![write],
            Kind::Postgres => vec![write, read],
            // Its readers leave every connection to the pool.
            Kind::Sqlite => vec![write, read],
        };
        Self {
            kind: db.kind,
            pools,
        }
    }

    /// How each is used now. It waits for nothing. Where reads go to the same pool as writes, that is
    /// `write`.
    pub fn look(&self) -> impl Iterator<Item = PoolUse> + '_ {
        self.pools.iter().map(|pool| pool.look(self.kind))
    }
}

impl Pool {
    fn look(&self, kind: Kind) -> PoolUse {
        let (open, idle, max) = match kind {
            Kind::Postgres => {
                let pool = self.connections.get_postgres_connection_pool();
                (
                    pool.size(),
                    pool.num_idle(),
                    pool.options().get_max_connections(),
                )
            }
            Kind::Sqlite => {
                let pool = self.connections.get_sqlite_connection_pool();
                (
                    pool.size(),
                    pool.num_idle(),
                    pool.options().get_max_connections(),
                )
            }
        };
        let resting: usize = self.readers.iter().map(Reader::resting).sum();
        // Each is read at a moment of its own.
        let idle = u64::try_from(idle + resting)
            .unwrap_or(u64::MAX)
            .min(open.into());
        PoolUse {
            name: self.name,
            used: u64::from(open) - idle,
            idle,
            max: max.into(),
        }
    }
}
