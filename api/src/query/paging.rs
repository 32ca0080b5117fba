//! Parameters that several routes share.

use super::Parameter;

/// Most items on one page.
pub(crate) const MOST_ITEMS: u64 = 1_000;

pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    wanted: "a whole number from 1 to 1000",
    example: "limit=100",
};

/// A page's size.
pub(super) fn limit(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse()
        .ok()
        .filter(|limit| (1..=MOST_ITEMS).contains(limit))
}
