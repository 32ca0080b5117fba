//! What a provider wants to see, from the references to it to the headers that are sent.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use entity::provider::{Access, OWN_HEADERS, Reference};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt;

/// A file that holds more than this is no secret.
const LARGEST: u64 = 64 << 10;

/// Why a provider can't be shown what it wants to see. Names references, never what is behind them.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It is not set where the worker runs.
    #[error("{what} is in the variable {name}, which is not set in the worker's environment")]
    NoVariable {
        /// What it would have been.
        what: String,
        /// The variable.
        name: String,
    },
    /// It can't be read where the worker runs.
    #[error("{what} is in the file {file}, which can't be read: {source}")]
    NoFile {
        /// What it would have been.
        what: String,
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is something, but it can't be sent.
    #[error("{what} from {reference} is {problem}")]
    Unusable {
        /// What it would have been.
        what: String,
        /// Where it is from.
        reference: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header that can't be chosen.
    #[error("the header `{name}` can't be set for a provider")]
    Header {
        /// Its name.
        name: String,
    },
}

/// The headers that show a provider what it wants to see; none of them is ever printed.
pub(super) async fn resolve(access: &Access) -> Result<HeaderMap, CredentialError> {
    let mut headers = HeaderMap::new();
    for (name, reference) in &access.headers {
        let chosen = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .filter(|name| !OWN_HEADERS.contains(&name.as_str()))
            .ok_or_else(|| CredentialError::Header { name: name.clone() })?;
        let what = format!("the header `{chosen}`");
        let value = read(&what, reference).await?;
        headers.insert(chosen, sensitive(&what, reference, value)?);
    }
    if let Some(basic) = &access.basic {
        let what = "the password";
        if basic
            .username
            .contains(|c: char| c == ':' || c.is_control())
        {
            return Err(CredentialError::Unusable {
                what: "the user".to_owned(),
                reference: "the provider's settings".to_owned(),
                problem: "not one that can be sent: it holds a colon or a control character",
            });
        }
        let mut pair = format!("{}:", basic.username).into_bytes();
        pair.extend(read(what, &basic.password).await?);
        let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
        let value = sensitive(what, &basic.password, value.into_bytes())?;
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(bearer) = &access.bearer {
        let what = "the bearer token";
        let mut value = b"Bearer ".to_vec();
        value.extend(read(what, bearer).await?);
        headers.insert(AUTHORIZATION, sensitive(what, bearer, value)?);
    }
    Ok(headers)
}

async fn read(what: &str, reference: &Reference) -> Result<Vec<u8>, CredentialError> {
    let value = match reference {
        Reference::Value(value) => return Ok(value.clone().into_bytes()),
        Reference::Env(name) => {
            std::env::var_os(name)
                .map(OsString::into_vec)
                .ok_or_else(|| CredentialError::NoVariable {
                    what: what.to_owned(),
                    name: name.clone(),
                })?
        }
        Reference::File(file) => {
            contents(file)
                .await
                .map_err(|source| CredentialError::NoFile {
                    what: what.to_owned(),
                    file: file.display().to_string(),
                    source,
                })?
        }
    };
    if value.is_empty() {
        return Err(unusable(what, reference, "empty"));
    }
    Ok(value)
}

/// What is in a file, white space at its end taken off.
async fn contents(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for whoever writes to it.
    if !tokio::fs::metadata(file).await?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut contents = Vec::new();
    let opened = tokio::fs::File::open(file).await?;
    let read = opened.take(LARGEST + 1).read_to_end(&mut contents).await?;
    if read as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 64 KiB"));
    }
    contents.truncate(contents.trim_ascii_end().len());
    Ok(contents)
}

fn sensitive(
    what: &str,
    reference: &Reference,
    value: Vec<u8>,
) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
        .map_err(|_| unusable(what, reference, "not one that can be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(what: &str, reference: &Reference, problem: &'static str) -> CredentialError {
    CredentialError::Unusable {
        what: what.to_owned(),
        reference: match reference {
            Reference::Value(_) => "the provider's settings".to_owned(),
            elsewhere => elsewhere.to_string(),
        },
        problem,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use entity::provider::Basic;

    use super::*;

    fn bearer(reference: Reference) -> Access {
        Access {
            bearer: Some(reference),
            ..Access::default()
        }
    }

    fn file(contents: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(contents).unwrap();
        file
    }

    async fn refused(access: &Access) -> String {
        resolve(access).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn values_variables_and_files_become_headers_that_are_not_printed() {
        let secret = file(b"s3cret \n\n");
        // Cargo sets it for every test.
        let variable = "CARGO_PKG_NAME".to_owned();
        let access = Access {
            headers: [
                ("x-plain".to_owned(), Reference::Value("one".to_owned())),
                ("x-env".to_owned(), Reference::Env(variable)),
                ("x-file".to_owned(), Reference::File(secret.path().into())),
            ]
            .into(),
            basic: Some(Basic {
                username: "user".to_owned(),
                password: Reference::File(secret.path().into()),
            }),
            bearer: None,
        };
        let headers = resolve(&access).await.unwrap();
        for (name, value) in [
            ("x-plain", "one"),
            ("x-env", "worker"),
            ("x-file", "s3cret"),
            ("authorization", "Basic dXNlcjpzM2NyZXQ="),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        let printed = format!("{headers:?}");
        for value in ["one", "worker", "s3cret", "dXNl"] {
            assert!(!printed.contains(value), "{printed}");
        }
        let token = bearer(Reference::File(secret.path().into()));
        assert_eq!(
            resolve(&token).await.unwrap()[AUTHORIZATION],
            "Bearer s3cret"
        );
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let missing = bearer(Reference::Env("FANFARE_NO_SUCH_SECRET".to_owned()));
        assert_eq!(
            refused(&missing).await,
            "the bearer token is in the variable FANFARE_NO_SUCH_SECRET, which is not set in the \
             worker's environment"
        );
        let nowhere = refused(&bearer(Reference::File("/no/such/secret".into()))).await;
        let start = "the bearer token is in the file /no/such/secret, which can't be read: No such";
        assert!(nowhere.starts_with(start), "{nowhere}");
        let directory = refused(&bearer(Reference::File("/tmp".into()))).await;
        assert!(directory.ends_with("it is not a file"), "{directory}");
        let empty = file(b" \n");
        let empty = refused(&bearer(Reference::File(empty.path().into()))).await;
        assert!(
            empty.starts_with("the bearer token from the file "),
            "{empty}"
        );
        assert!(empty.ends_with(" is empty"), "{empty}");
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_sent_is_not_told() {
        let split = file(b"s3cret\r\nhost: elsewhere");
        let header = Access {
            headers: [("x-key".to_owned(), Reference::File(split.path().into()))].into(),
            ..Access::default()
        };
        let told = refused(&header).await;
        assert!(
            told.starts_with("the header `x-key` from the file "),
            "{told}"
        );
        assert!(told.ends_with(" is not one that can be sent in a header"));
        let value = refused(&bearer(Reference::Value("s3cret\0".to_owned()))).await;
        assert_eq!(
            value,
            "the bearer token from the provider's settings is not one that can be sent in a header"
        );
        for text in [told, value] {
            assert!(!text.contains("s3cret"), "{text}");
        }
        let basic = Access {
            basic: Some(Basic {
                username: "us:er".to_owned(),
                password: Reference::Value("s3cret".to_owned()),
            }),
            ..Access::default()
        };
        assert!(refused(&basic).await.contains("holds a colon"));
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_a_bound() {
        let largest = file(&[b'x'; LARGEST as usize]);
        let access = bearer(Reference::File(largest.path().into()));
        assert!(resolve(&access).await.is_ok());
        let larger = file(&[b'x'; LARGEST as usize + 1]);
        let told = refused(&bearer(Reference::File(larger.path().into()))).await;
        assert!(told.ends_with("it is larger than 64 KiB"), "{told}");
    }

    #[tokio::test]
    async fn headers_that_frame_a_request_cannot_be_chosen() {
        for name in ["host", "Transfer-Encoding", "content-length", "no name"] {
            let access = Access {
                headers: [(name.to_owned(), Reference::Value("1".to_owned()))].into(),
                ..Access::default()
            };
            let told = refused(&access).await;
            assert_eq!(
                told,
                format!("the header `{name}` can't be set for a provider")
            );
        }
    }
}
