//! HTTPS as it is shipped.

use std::path::Path;
use std::process::Command;

use reqwest::{Method, tls};
use testkit::eventually;

use crate::apis::{Apis, PROVIDER, TOKEN};
use crate::client::{Answer, Client};
use crate::conf::Conf;
use crate::nginx::{Edge, runs, skipped};
use crate::world::PATIENCE;

#[tokio::test]
async fn https_is_answered_with_tls_1_3_and_http_2_and_plain_http_leads_there() {
    if !can_certify() {
        return;
    }
    let apis = Apis::start(&[]).await;
    let conf = Conf::shipped().unlimited().put("tls.conf", "server.conf");
    for edge in Edge::each_with(&apis, conf).await {
        let pem = std::fs::read(edge.folder.path().join("fanfare.crt")).unwrap();
        let root = reqwest::Certificate::from_pem(&pem).unwrap();
        let origin = format!("https://127.0.0.1:{}", edge.tls_port);
        let versions = [
            (tls::Version::TLS_1_3, "TLSv1.3"),
            (tls::Version::TLS_1_2, "TLSv1.2"),
        ];
        for (version, name) in versions {
            let client = Client::with(&origin, |client| {
                let client = client.tls_certs_only([root.clone()]);
                client.tls_version_min(version).tls_version_max(version)
            });
            let answer = client.get("/v1/providers").await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.header("strict-transport-security"),
                Some("max-age=31536000")
            );
            let refused = client.get("/metrics").await;
            assert_eq!(refused.status, 404);
            assert_eq!(
                refused.header("strict-transport-security"),
                Some("max-age=31536000")
            );
            eventually(PATIENCE, "the log tells of it", async || {
                let log = edge.log();
                let mut lines = log.iter().filter(|line| line["tls"] == name);
                lines.any(|line| line["protocol"] == "HTTP/2.0")
            })
            .await;
        }
        let plain = edge.client.get("/v1/events/search?limit=1").await;
        assert_eq!(plain.status, 308);
        let expected = "https://127.0.0.1/v1/events/search?limit=1";
        assert_eq!(plain.header("location"), Some(expected));
        assert_eq!(plain.header("strict-transport-security"), None);
        // What has sent a token in the clear is not led on to do it again.
        let path = format!("/v1/providers/{PROVIDER}/pause");
        let clear = edge.client.request(Method::POST, &path).bearer_auth(TOKEN);
        assert_eq!(Answer::of(clear).await.unwrap().status, 403);
        let wrong_port = Client::new(&format!("http://127.0.0.1:{}", edge.tls_port));
        let led = wrong_port.get("/v1/providers").await;
        assert_eq!(led.status, 308);
        assert_eq!(
            led.header("location"),
            Some(format!("{origin}/v1/providers").as_str())
        );
    }
}

/// Whether certificates can be made; a notice tells if not.
pub(crate) fn can_certify() -> bool {
    let can = runs("openssl");
    if !can {
        skipped("TLS is not tried: there is no `openssl`, which makes a certificate");
    }
    can
}

/// A certificate of this machine's own, valid for it alone.
pub(crate) fn certificate(folder: &Path) {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args([
            "-keyout",
            &file("fanfare.key"),
            "-out",
            &file("fanfare.crt"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file("fanfare.key"), open).unwrap();
}
