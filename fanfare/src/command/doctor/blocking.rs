//! Looks at files, which may keep who asks for ever: where a network file system's server is away, no
//! call returns, and none can be taken back.

use std::fmt::Display;
use std::time::Duration;

use super::finding::{Finding, Group};

/// What a look at one place may take, on a disk that is slow.
const WITHIN: Duration = Duration::from_secs(5);

/// What was seen there, or that nothing was seen in time.
pub(super) async fn look<T: Send + 'static>(
    group: Group,
    check: &'static str,
    place: impl Display,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Finding> {
    look_within(WITHIN, look)
        .await
        .ok_or_else(|| too_slow(group, check, &place))
}

/// `None` if it takes longer. Its thread goes on, and ends with the process.
async fn look_within<T: Send + 'static>(
    within: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let looking = tokio::task::spawn_blocking(look);
    tokio::time::timeout(within, looking).await.ok()?.ok()
}

fn too_slow(group: Group, check: &'static str, place: &dyn Display) -> Finding {
    group.error(
        check,
        format!("{place}: no answer from the file system within {} s", WITHIN.as_secs()),
        "`findmnt --target PATH` tells what it lies on: see whether that server is there, and whether the disk keeps \
         up",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_does_not_end_is_given_up() {
        let (free, freed) = mpsc::channel::<()>();
        let seen = look_within(Duration::from_millis(50), move || freed.recv()).await;
        assert!(seen.is_none());
        drop(free);
        let seen = look(Group::Program, "file", "/", || 7).await;
        assert_eq!(seen, Ok(7));
        let finding = too_slow(Group::Program, "file", &"/mnt/away");
        assert!(
            finding.found.starts_with("/mnt/away: no answer"),
            "{finding:?}"
        );
    }
}
