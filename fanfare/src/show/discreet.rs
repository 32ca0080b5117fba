//! Addresses as they may be shown: the user and password in one, and what follows its question mark, may be
//! keys. An operator who needs them whole asks for JSON.

use std::borrow::Cow;

const SCHEME_END: &str = "://";

/// The text, with `***` for users and passwords of addresses in it, and `?…` for their queries.
pub(crate) fn discreet(text: &str) -> Cow<'_, str> {
    if !text.contains(SCHEME_END) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(SCHEME_END) {
        let (before, address) = rest.split_at(begin + SCHEME_END.len());
        shown.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '`' | '\'' | '"' | '<' | '>');
        let (address, after) = address.split_at(address.find(ends).unwrap_or(address.len()));
        let whole = address.trim_end_matches([':', ',', ';', '.', ')']);
        shown.push_str(&one(whole));
        shown.push_str(&address[whole.len()..]);
        rest = after;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// What follows an address' scheme.
fn one(address: &str) -> String {
    // A password may hold anything, and what is behind the last sign may be no host.
    let (user, place) = match address.rsplit_once('@') {
        Some((user, place)) if is_example(user) => (format!("{user}@"), place),
        Some((_, place)) => ("***@".to_owned(), place),
        None => (String::new(), address),
    };
    match place.split_once('?') {
        Some((path, query)) if query != "mode=rwc" => format!("{user}{path}?…"),
        _ => format!("{user}{place}"),
    }
}

/// What an error says that one should write.
fn is_example(user: &str) -> bool {
    user.trim_start_matches('[')
        .eq_ignore_ascii_case("user:password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_addresses_are_not_shown() {
        for (text, shown) in [
            ("nothing to hide? @ all: yes", "nothing to hide? @ all: yes"),
            (
                "at https://host/path, it was",
                "at https://host/path, it was",
            ),
            (
                "get http://host/a?key=secret: refused",
                "get http://host/a?…: refused",
            ),
            (
                "`http://me:se/cr@et@host:1/?x=1`!",
                "`http://***@host:1/?…`!",
            ),
            ("a://u:p@h -> b://u:p@h?k", "a://***@h -> b://***@h?…"),
            ("what://u:secret@:no?where", "what://***@:no?…"),
            ("x://host/?k=who@where", "x://***@where"),
        ] {
            assert_eq!(discreet(text), shown);
        }
    }

    #[test]
    fn what_one_should_write_is_shown() {
        for text in [
            "such as postgres://user:password@host:5432/fanfare or sqlite://fanfare.db?mode=rwc",
            "write redis://[user:password@]host[:port][/database], or rediss:// for tls",
        ] {
            assert_eq!(discreet(text), text);
        }
    }
}
