//! What travels through the queue.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One run to be synced. It carries identity, not state: a worker reads the rest from the database.
///
/// Its JSON is a public interface. Fields may be added; unknown ones are ignored when decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SyncJob {
    /// The run's id, which is the job's id in the queue as well.
    pub run: Uuid,
}

impl SyncJob {
    /// The compact JSON that is stored in the queue.
    pub(crate) fn encode(&self) -> String {
        format!(r#"{{"run":"{}"}}"#, self.run)
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> SyncJob {
        SyncJob {
            run: Uuid::from_u128(0x0192_f0c1_2d3e_7a4b_8c5d_6e7f_8091_a2b3),
        }
    }

    #[test]
    fn wire_form_is_compact_json_with_the_runs_id() {
        let wire = r#"{"run":"0192f0c1-2d3e-7a4b-8c5d-6e7f8091a2b3"}"#;
        assert_eq!(job().encode(), wire);
        assert_eq!(serde_json::to_string(&job()).unwrap(), wire);
        assert_eq!(SyncJob::decode(wire.as_bytes()).unwrap(), job());
    }

    #[test]
    fn fields_of_a_later_release_are_ignored() {
        let wire = br#"{"v":2,"run":"0192f0c1-2d3e-7a4b-8c5d-6e7f8091a2b3","hint":{"a":[1]}}"#;
        assert_eq!(SyncJob::decode(wire).unwrap(), job());
    }
}
