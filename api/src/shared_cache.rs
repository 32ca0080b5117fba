//! Placeholder until the shared cache is merged.
use bytes::Bytes;
/// A Redis.
#[derive(Debug, Clone)]
pub struct SharedCache;
pub(crate) struct Key(());
impl Key {
    pub(crate) fn new(_: String) -> Self {
        Self(())
    }
}
impl SharedCache {
    pub(crate) async fn get(&self, _: &Key) -> Option<Bytes> {
        None
    }
    pub(crate) fn put(&self, _: Key, _: Bytes) {}
}
