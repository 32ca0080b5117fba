//! What a provider wants to see before it answers: extra headers and credentials, by reference.
//!
//! Only references are stored and shown. Whoever fetches resolves them, each time anew, so that a
//! secret that was renewed counts from the next fetch on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use sea_orm::FromJsonQueryResult;
use serde::{Deserialize, Serialize};

/// How a provider is to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Access {
    /// Extra headers, by their lower-case names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Reference>,
    /// Basic credentials (RFC 7617).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    /// A bearer token (RFC 6750).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Reference>,
}

impl Access {
    /// Whether nothing beyond the address is needed.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

/// Basic credentials (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basic {
    /// Who asks; shown.
    pub username: String,
    /// Where the password is.
    pub password: Reference,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// In this variable of the worker's environment.
    Env(String),
    /// In this file of the worker's machine, white space at its end taken off.
    File(PathBuf),
    /// Here: for what is no secret, since it is stored and shown.
    Value(String),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_open() {
            return f.write_str("none");
        }
        let mut separator = "";
        for (name, reference) in &self.headers {
            write!(f, "{separator}header {name} from {reference}")?;
            separator = ", ";
        }
        if let Some(Basic { username, password }) = &self.basic {
            write!(
                f,
                "{separator}basic {username} with the password from {password}"
            )?;
            separator = ", ";
        }
        if let Some(token) = &self.bearer {
            write!(f, "{separator}bearer token from {token}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Value(value) => write!(f, "the value {value}"),
        }
    }
}
