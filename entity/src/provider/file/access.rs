//! Extra headers and credentials of a provider file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::provider::{Access, Basic as StoredBasic, Reference};

/// As the file has them.
pub(super) type Headers = BTreeMap<String, Source>;

/// Exactly one of its fields says where a value is.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "where the value is: { env = \"VARIABLE\" } or { file = \"PATH\" }"
)]
pub(super) struct Source {
    env: Option<String>,
    file: Option<PathBuf>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    username: String,
    password: Source,
}

/// Headers that are the exchange's own, or that nobody is to be told apart by: no provider can have
/// them set. By their lower-case names.
pub const OWN_HEADERS: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

pub(super) fn headers(headers: &Headers) -> Result<BTreeMap<String, Reference>, String> {
    let mut checked = BTreeMap::new();
    for (name, source) in headers {
        let lower = name.to_ascii_lowercase();
        // RFC 9110, section 5.6.2.
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if lower.is_empty() || !lower.chars().all(token) {
            return Err(format!("`{name}` is not the name of a header"));
        }
        if OWN_HEADERS.contains(&lower.as_str()) {
            return Err(format!(
                "the header `{name}` can't be set: it is the exchange's own"
            ));
        }
        let reference = reference(source)?;
        if let Reference::Value(value) = &reference
            && value.chars().any(char::is_control)
        {
            return Err(format!(
                "the value of the header `{name}` holds a control character"
            ));
        }
        if matches!(reference, Reference::Value(_)) && looks_secret(&lower) {
            return Err(format!(
                "the header `{name}` looks like a secret, which must not stand here: give \
                 {{ env = \"VARIABLE\" }} or {{ file = \"PATH\" }}"
            ));
        }
        if checked.insert(lower, reference).is_some() {
            return Err(format!("the header `{name}` is there twice"));
        }
    }
    Ok(checked)
}

fn looks_secret(name: &str) -> bool {
    [
        "auth", "cookie", "key", "pass", "secret", "session", "sign", "token",
    ]
    .iter()
    .any(|part| name.contains(part))
}

pub(super) fn basic(basic: &Basic) -> Result<StoredBasic, String> {
    if basic.username.contains(':') || basic.username.chars().any(char::is_control) {
        return Err("a user name can't hold a colon or a control character (RFC 7617)".to_owned());
    }
    Ok(StoredBasic {
        username: basic.username.clone(),
        password: secret(&basic.password)?,
    })
}

/// A reference that is not the value itself.
pub(super) fn secret(source: &Source) -> Result<Reference, String> {
    match reference(source)? {
        Reference::Value(_) => Err(
            "a secret must not stand here: give { env = \"VARIABLE\" } or { file = \"PATH\" }"
                .to_owned(),
        ),
        reference => Ok(reference),
    }
}

pub(super) fn one_authorization(access: &Access) -> Result<(), String> {
    let ways = usize::from(access.basic.is_some())
        + usize::from(access.bearer.is_some())
        + usize::from(access.headers.contains_key("authorization"));
    if ways > 1 {
        return Err(
            "give one of `basic`, `bearer` and a header `authorization`, not several".to_owned(),
        );
    }
    Ok(())
}

fn reference(source: &Source) -> Result<Reference, String> {
    let given = (&source.env, &source.file, &source.value);
    match given {
        (Some(env), None, None) if !env.is_empty() => Ok(Reference::Env(env.clone())),
        (None, Some(file), None) if file.is_absolute() => Ok(Reference::File(file.clone())),
        (None, Some(file), None) => Err(format!(
            "the file `{}` must be an absolute path: every worker reads it",
            file.display()
        )),
        (None, None, Some(value)) => Ok(Reference::Value(value.clone())),
        _ => Err(
            "say where the value is with one of { env = \"VARIABLE\" }, { file = \"PATH\" } and, \
             for what is no secret, { value = \"TEXT\" }"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    fn problem(lines: &str) -> String {
        let text = format!(
            "[[provider]]\nname = \"a\"\nurl = \"http://a.example\"\nformat = \"plan-list\"\n\
             interval = \"1m\"\n{lines}\n"
        );
        let error = super::super::parse(&text, &["plan-list"]).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        error.problems[0].to_string()
    }

    #[test]
    fn secrets_never_stand_in_the_file() {
        for line in [
            r#"bearer = { value = "hunter2" }"#,
            r#"basic = { username = "me", password = { value = "hunter2" } }"#,
            r#"headers = { X-Api-Key = { value = "hunter2" } }"#,
            r#"headers = { Authorization = { value = "hunter2" } }"#,
            r#"bearer = "hunter2""#,
            r#"basic = { username = "me", password = "hunter2" }"#,
            r#"basic = "me:hunter2""#,
            r#"headers = { X-Api-Key = "hunter2" }"#,
            r#"headers = "hunter2""#,
        ] {
            let problem = problem(line);
            assert!(problem.starts_with("line 6: "), "{problem}");
            let answers = [r#"{ env = "VARIABLE" }"#, "expected"];
            assert!(
                answers.iter().any(|answer| problem.contains(answer)),
                "{problem}"
            );
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, expected) in [
            (
                r#"headers = { "X Key" = { env = "K" } }"#,
                "not the name of a header",
            ),
            (
                r#"headers = { Host = { value = "b" } }"#,
                "the exchange's own",
            ),
            (
                r#"headers = { Cookie = { env = "K" } }"#,
                "the exchange's own",
            ),
            (
                r#"headers = { A = { value = "b\nc" } }"#,
                "control character",
            ),
            (
                r#"headers = { A = { value = "b" }, a = { value = "b" } }"#,
                "there twice",
            ),
            (r#"bearer = {}"#, "say where the value is"),
            (
                r#"bearer = { env = "A", file = "/b" }"#,
                "say where the value is",
            ),
            (r#"bearer = { file = "b" }"#, "absolute path"),
            (
                r#"bearer = { env = "A" }
headers = { Authorization = { env = "A" } }"#,
                "not several",
            ),
            (
                r#"basic = { username = "a:b", password = { env = "A" } }"#,
                "colon",
            ),
        ] {
            let problem = problem(line);
            assert!(problem.contains(expected), "{line}: {problem}");
        }
    }
}
