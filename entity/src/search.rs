//! What the API reads: events by what one looks for, and single ones.
//!
//! An answer and the dataset version that it belongs to come from one statement, so that no commit
//! can stand between them.

mod counts;
mod find;
mod single;
mod statements;

pub use counts::{ProviderCounts, counts};
pub use find::{Found, Gone, Position, Search, all, find, statement};
pub use single::{Event, event};
pub(crate) use statements::plannable;
