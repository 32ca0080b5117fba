//! What nginx itself says of the configuration, and a checker of its known traps (gixy).

use std::path::Path;
use std::process::Command;

use crate::apis::Apis;
use crate::conf::Conf;
use crate::nginx::{Prepared, Program, programs, tool};
use crate::tls::can_certify;

#[tokio::test]
async fn nginx_takes_the_configuration_without_a_word() {
    let apis = Apis::start(&[]).await;
    for program in programs().await {
        let tls = Conf::shipped().put("tls.conf", "server.conf");
        let tls = can_certify().then_some(tls);
        for conf in [Some(Conf::shipped()), tls].into_iter().flatten() {
            let said = said(&program, &apis, conf).await;
            let lines: Vec<_> = said.lines().collect();
            let expected = lines.len() == 2
                && lines[0].ends_with("syntax is ok")
                && lines[1].ends_with("test is successful");
            assert!(expected, "{said}");
        }
        let wrong = Conf::shipped().with("cache.conf", "fanfare;", "another;");
        assert!(said(&program, &apis, wrong).await.contains("[emerg]"));
    }
}

/// What `nginx -t` prints.
async fn said(program: &Program, apis: &Apis, conf: Conf) -> String {
    let prepared = Prepared::new(program, apis, conf);
    let output = prepared.command(&["-t"]).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_configuration_has_none_of_the_traps_that_are_known() {
    let Some(tool) = tool("gixy").await else {
        return;
    };
    let gixy = tool.join("bin/gixy");
    let folder = tempfile::tempdir().unwrap();
    let tls = Conf::shipped().put("tls.conf", "server.conf");
    for conf in [Conf::shipped(), tls] {
        assert_eq!(traps(&gixy, folder.path(), &conf), Ok(()));
    }
    for (file, right, wrong) in [
        ("proxy.conf", "Host              $host", "Host $http_host"),
        ("nginx.conf", "server_tokens off", "server_tokens on"),
        ("tls.conf", "https://$host$request_uri", "https://$host$uri"),
        ("private.conf", "deny  all;", ""),
    ] {
        let conf = Conf::shipped().with(file, right, wrong);
        let conf = conf.put("tls.conf", "server.conf");
        let found = traps(&gixy, folder.path(), &conf);
        assert!(found.is_err(), "{file}: `{wrong}` is not found");
    }
}

fn traps(gixy: &Path, folder: &Path, conf: &Conf) -> Result<(), String> {
    let main = conf.write(folder);
    let output = Command::new(gixy).arg(main).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if output.status.success() && text.contains("No issues found") {
        Ok(())
    } else {
        Err(text)
    }
}
