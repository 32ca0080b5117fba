//! The shipped configuration, with a test's ports, folder and addresses in the place of a container's.

use std::path::{Path, PathBuf};

/// Files of the configuration by name.
#[derive(Clone)]
pub(crate) struct Conf(Vec<(String, String)>);

impl Conf {
    /// As it is shipped.
    pub(crate) fn shipped() -> Self {
        let folder = std::fs::read_dir(folder()).unwrap();
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        };
        Self(folder.map(read).collect())
    }

    /// Puts one file in the place of another one.
    pub(crate) fn put(mut self, from: &str, to: &str) -> Self {
        let text = self.file(from).clone();
        *self.file(to) = text;
        self
    }

    /// Replaces what stands in a file.
    ///
    /// # Panics
    /// If it does not stand there: the configuration has changed, and the test has to as well.
    pub(crate) fn with(mut self, file: &str, from: &str, to: &str) -> Self {
        let text = self.file(file);
        assert!(text.contains(from), "{file} has no `{from}`");
        *text = text.replace(from, to);
        self
    }

    /// Replaces it in all files, of which one at least must have it.
    pub(crate) fn everywhere(mut self, from: &str, to: &str) -> Self {
        let has = |(_, text): &(String, String)| text.contains(from);
        assert!(self.0.iter().any(has), "no file has `{from}`");
        for (_, text) in &mut self.0 {
            *text = text.replace(from, to);
        }
        self
    }

    /// Lets each client ask as much as it likes.
    pub(crate) fn unlimited(self) -> Self {
        self.with("limits.conf", "rate=50r/s", "rate=1000000r/s")
            .with("limits.conf", "burst=100", "burst=1000000")
            .with("limits.conf", "rate=2r/s", "rate=1000000r/s")
    }

    /// Leaves APIs and connections time that a busy machine may take: an API that is gone refuses at once.
    pub(crate) fn patient(self) -> Self {
        let (connecting, trying) = ("proxy_connect_timeout", "proxy_next_upstream_timeout");
        let set = |conf: Self, name, from, to| {
            conf.with(
                "proxy.conf",
                &format!("{name} {from};"),
                &format!("{name} {to};"),
            )
        };
        set(set(self, connecting, "1s", "20s"), trying, "5s", "60s")
    }

    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        for (name, text) in &self.0 {
            std::fs::write(folder.join(name), text).unwrap();
        }
        folder.join("nginx.conf")
    }

    pub(crate) fn has_tls(&self) -> bool {
        let serves = |(name, text): &(String, String)| {
            name == "server.conf" && text.contains("ssl_certificate")
        };
        self.0.iter().any(serves)
    }

    fn file(&mut self, name: &str) -> &mut String {
        let found = self.0.iter_mut().find(|(file, _)| file == name);
        &mut found.unwrap_or_else(|| panic!("there is no {name}")).1
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nginx")
}
