//! What a benchmark prints.

use std::io::Write;

/// One line on the standard output. A reader that has left is no fault.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
