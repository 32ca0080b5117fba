use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future};
use testkit::eventually;

use super::*;

const MEMORY: usize = IN_MEMORY * CHUNK;

/// Lengths at which something else happens.
const LENGTHS: [usize; 8] = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    MEMORY - 1,
    MEMORY,
    MEMORY + 1,
    MEMORY + 3 * CHUNK + 17,
];

fn spools(most_bytes: u64) -> (tempfile::TempDir, Spools) {
    let folder = tempfile::tempdir().unwrap();
    let spools = Spools::new(Some(folder.path().to_owned()), most_bytes);
    (folder, spools)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

async fn filled(spools: &Spools, bytes: &[u8], step: usize) -> Spool {
    let (mut writer, spool) = spools.create();
    for piece in bytes.chunks(step) {
        writer.write(piece).await.unwrap();
    }
    writer.finish().await.unwrap();
    spool
}

async fn read(spool: &Spool) -> io::Result<Vec<u8>> {
    let pieces: Vec<Bytes> = spool.read().try_collect().await?;
    assert!(
        pieces
            .iter()
            .all(|piece| (1..=CHUNK).contains(&piece.len()))
    );
    Ok(pieces.concat())
}

#[tokio::test]
async fn what_is_written_is_read_wherever_it_lies() {
    let (_folder, spools) = spools(u64::MAX);
    for len in LENGTHS {
        let bytes = bytes(len);
        for step in [1 + len / 7, usize::MAX] {
            let spool = filled(&spools, &bytes, step).await;
            assert_eq!(spool.len_if_finished(), Some(len as u64));
            for _ in 0..2 {
                assert!(read(&spool).await.unwrap() == bytes, "{len} by {step}");
            }
        }
    }
}

#[tokio::test]
async fn readers_that_come_early_late_and_together_get_the_same() {
    let (_folder, spools) = spools(u64::MAX);
    let bytes = bytes(MEMORY + 3 * CHUNK + 17);
    let (mut writer, spool) = spools.create();
    let reader = || {
        let spool = spool.clone();
        tokio::spawn(async move { read(&spool).await })
    };
    let mut readers = vec![reader(), reader()];
    for (at, piece) in bytes.chunks(100_000).enumerate() {
        writer.write(piece).await.unwrap();
        if at % 20 == 0 {
            readers.push(reader());
        }
    }
    assert_eq!(spool.len_if_finished(), None);
    writer.finish().await.unwrap();
    readers.extend([reader(), reader()]);
    assert!(readers.len() > 5);
    for read in future::join_all(readers).await {
        assert!(read.unwrap().unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_reader_gets_what_is_there_before_the_writer_ends() {
    let (_folder, spools) = spools(u64::MAX);
    let (mut writer, spool) = spools.create();
    let mut reader = pin!(spool.read());
    for _ in 0..IN_MEMORY + 3 {
        assert!(future::poll_immediate(reader.next()).await.is_none());
        writer.write(&bytes(CHUNK)).await.unwrap();
        let piece = reader.next().await.unwrap().unwrap();
        assert!(piece == bytes(CHUNK));
    }
    assert!(future::poll_immediate(reader.next()).await.is_none());
    writer.finish().await.unwrap();
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_reader_that_stalls_does_not_stop_the_writer() {
    let (_folder, spools) = spools(u64::MAX);
    let (mut writer, spool) = spools.create();
    writer.write(&bytes(CHUNK)).await.unwrap();
    let mut stalled = pin!(spool.read());
    stalled.next().await.unwrap().unwrap();
    for _ in 0..2 * IN_MEMORY {
        writer.write(&bytes(CHUNK)).await.unwrap();
    }
    writer.finish().await.unwrap();
    let rest: Vec<Bytes> = stalled.try_collect().await.unwrap();
    assert_eq!(rest.len(), 2 * IN_MEMORY);
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_its_readers_an_error() {
    let (_folder, spools) = spools(u64::MAX);
    for len in LENGTHS {
        let (mut writer, spool) = spools.create();
        let early = spool.clone();
        let early = tokio::spawn(async move { read(&early).await });
        writer.write(&bytes(len)).await.unwrap();
        drop(writer);
        assert_eq!(spool.len_if_finished(), None);
        for read in [early.await.unwrap(), read(&spool).await] {
            let error = read.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len}");
        }
    }
}

#[tokio::test]
async fn nothing_follows_a_readers_error() {
    let (_folder, spools) = spools(u64::MAX);
    let (mut writer, spool) = spools.create();
    writer.write(&bytes(CHUNK + 1)).await.unwrap();
    drop(writer);
    let items: Vec<bool> = spool.read().map(|item| item.is_ok()).collect().await;
    assert_eq!(items, [true, false]);
}

#[tokio::test]
async fn all_together_stay_within_the_budget_and_give_it_back() {
    let most = MEMORY as u64 + 1_000_000;
    let (_folder, spools) = spools(most);
    let first = filled(&spools, &bytes(MEMORY + 400_000), 70_000).await;
    let reader = Box::pin(first.read());
    let (mut writer, second) = spools.create();
    writer.write(&bytes(600_000)).await.unwrap();
    assert_eq!(spools.held_bytes(), most);
    let error = writer.write(&[0]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("temporary data would exceed the limit of {most} bytes, all answers together")
    );
    assert!(matches!(error, SpoolError::Full { .. }));
    drop(writer);
    assert!(read(&second).await.is_err());
    drop(second);
    assert_eq!(spools.held_bytes(), MEMORY as u64 + 400_000);
    drop(first);
    assert_eq!(
        spools.held_bytes(),
        MEMORY as u64 + 400_000,
        "a reader still holds it"
    );
    drop(reader);
    assert_eq!(spools.held_bytes(), 0);
    drop(filled(&spools, &bytes(MEMORY + 1_000_000), CHUNK).await);
    assert_eq!(spools.held_bytes(), 0);
}

#[tokio::test]
async fn a_spool_that_was_too_large_once_cannot_be_finished() {
    let (_folder, spools) = spools(10);
    let (mut writer, spool) = spools.create();
    writer.write(&bytes(6)).await.unwrap();
    writer.write(&bytes(6)).await.unwrap_err();
    assert!(matches!(
        writer.write(&bytes(1)).await,
        Err(SpoolError::Broken)
    ));
    assert!(matches!(writer.finish().await, Err(SpoolError::Broken)));
    assert_eq!(spool.len_if_finished(), None);
    assert!(read(&spool).await.is_err());
}

#[test]
fn a_write_that_was_not_waited_for_breaks_the_spool() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .max_blocking_threads(1)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_folder, spools) = spools(u64::MAX);
        let (mut writer, spool) = spools.create();
        writer.write(&bytes(MEMORY)).await.unwrap();
        let (let_the_disk_go_on, disk_is_slow) = std::sync::mpsc::channel::<()>();
        let disk = tokio::task::spawn_blocking(move || disk_is_slow.recv());
        let chunk = bytes(CHUNK);
        let write = Box::pin(writer.write(&chunk));
        assert!(future::poll_immediate(write).await.is_none());
        drop(let_the_disk_go_on);
        disk.await.unwrap().unwrap_err();
        let again = writer.write(&chunk).await;
        assert!(matches!(again, Err(SpoolError::Broken)));
        assert!(matches!(writer.finish().await, Err(SpoolError::Broken)));
        assert!(read(&spool).await.is_err());
        drop(spool);
        // The write that nobody waits for still ends by itself.
        let given_back = async || spools.held_bytes() == 0;
        eventually(
            Duration::from_secs(10),
            "the space is given back",
            given_back,
        )
        .await;
    });
}

#[tokio::test]
async fn nothing_is_in_the_folder_at_any_time() {
    let (folder, spools) = spools(u64::MAX);
    let names = || folder.path().read_dir().unwrap().count();
    let (mut writer, spool) = spools.create();
    writer.write(&bytes(MEMORY + CHUNK)).await.unwrap();
    assert!(spool.stored.file.get().is_some());
    assert_eq!(names(), 0);
    drop((writer, spool));
    assert_eq!((names(), spools.held_bytes()), (0, 0));
}

#[tokio::test]
async fn a_short_spool_makes_no_file() {
    let (_folder, spools) = spools(u64::MAX);
    let spool = filled(&spools, &bytes(MEMORY), CHUNK).await;
    assert!(spool.stored.file.get().is_none());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_when_it_is_needed() {
    let spools = Spools::new(Some("/nowhere/at/all".into()), u64::MAX);
    assert!(
        read(&filled(&spools, &bytes(MEMORY), CHUNK).await)
            .await
            .is_ok()
    );
    let (mut writer, spool) = spools.create();
    let error = writer.write(&bytes(MEMORY + CHUNK)).await.unwrap_err();
    assert_eq!(error.to_string(), "write temporary data to /nowhere/at/all");
    drop(writer);
    assert!(read(&spool).await.is_err());
}
