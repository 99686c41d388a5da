//! The Unix socket of the control API, and `ctl` by every way there is.

use std::os::unix::fs::MetadataExt as _;

use clap::Parser;
use equipoise::cli::ctl::{self, Screen};

use super::*;
use crate::support::process::Process;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ctl::Args,
}

async fn run(line: &str) -> Result<String, ctl::Error> {
    let words = ["ctl"].into_iter().chain(line.split_whitespace());
    let (args, mut out) = (Cli::try_parse_from(words).unwrap().args, Vec::new());
    let screen = Screen { redraws: false, width: || 80 };
    ctl::execute(args, &mut out, screen).await?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn who_runs_the_gateway_comes_by_its_socket_and_may_do_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let control =
        format!("{{ address: 127.0.0.1:0, socket: {}, tokens: none.txt }}", path.display());
    std::fs::write(folder.path().join("none.txt"), "").unwrap();
    let tokens = folder.path().join("none.txt");
    let control = control.replace("none.txt", &tokens.display().to_string());
    let gateway = Process::start(&configuration(&control)).await;
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!(file.mode() & 0o777, 0o600);
    let socket = format!("unix:{}", path.display());
    let told = run(&format!("whoami --control {socket}")).await.unwrap();
    assert_eq!(told, format!("uid:{}, with the roles\n  admin for all services\n", file.uid()));
    run(&format!("drain orders 127.0.0.1:1 --control {socket}")).await.unwrap();
    let history = run(&format!("history orders --control {socket}")).await.unwrap();
    assert!(history.contains(&format!("by uid:{}", file.uid())), "{history}");
    // The port asks, as there are tokens.
    let refused = run(&format!("services --control {}", gateway.control)).await.unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("who are you?") && told.contains("UNAUTHENTICATED"), "{told}");
    assert_eq!(refused.exit_code(), 4);
}

#[tokio::test]
async fn the_gateway_itself_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let control = format!("{{ address: off, socket: {} }}", path.display());
    let gateway = start(&control, folder.path()).await; // in this process
    let endpoint =
        tonic::transport::Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
    if let Ok(channel) = endpoint.connect().await {
        let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
        let refused = Who::default().call(&channel, &list, "").await.unwrap_err();
        assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
    }
    let metrics = gateway.metrics().ip().unwrap();
    let page = crate::support::gateway::scrape(metrics).await;
    let own = page.samples("equipoise_control_refused_total");
    let own = own.iter().find(|sample| sample.labels.iter().any(|(_, value)| value == "own"));
    assert!(own.unwrap().value >= 1.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn ctl_says_what_is_wrong_with_tls_and_tokens() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("server", NAME);
    stranger.issue("bob", "bob.example");
    issue(&authority, "ann", &["spiffe://prod/ann"], &[]);
    let folder = authority.folder();
    std::fs::write(
        folder.join("tokens.txt"),
        line("ci", "operate:orders*", "good", "never")
            + &line("old", "read", "old", "2020-01-01T00:00:00Z"),
    )
    .unwrap();
    for token in ["good", "old", "bad"] {
        std::fs::write(folder.join(format!("{token}.token")), format!("{token}\n")).unwrap();
    }
    let tokens =
        "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: tokens.txt }";
    let certificates = "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key, client_ca: \
                        ca.pem }, roles: [ { who: 'spiffe://prod/*', role: read } ] }";
    let (by_token, by_certificate) =
        (start(tokens, folder).await, start(certificates, folder).await);
    let ca = folder.join("ca.pem").display().to_string();
    let at = |gateway: &app::Gateway| {
        format!("--control https://{} --ca {ca} --server-name {NAME}", tcp(gateway))
    };
    let file = |name: &str| folder.join(name).display().to_string();
    let (token, certificate) = (at(&by_token), at(&by_certificate));
    let good = format!("{token} --token-file {}", file("good.token"));
    let told = run(&format!("whoami {good}")).await.unwrap();
    assert_eq!(told, "token:ci, with the roles\n  operate for orders*\n");
    let own = format!("{certificate} --cert {} --key {}", file("ann.pem"), file("ann.key"));
    let told = run(&format!("whoami {own}")).await.unwrap();
    assert_eq!(told, "spiffe://prod/ann, with the roles\n  read for all services\n");
    let foreign = stranger.folder();
    let foreign = format!(
        "{certificate} --cert {} --key {}",
        foreign.join("bob.pem").display(),
        foreign.join("bob.key").display()
    );
    let stranger_ca = stranger.folder().join("ca.pem").display().to_string();
    let clear = token.replace("https://", "http://");
    for (line, says) in [
        (
            format!("drain carts 127.0.0.1:1 {good}"),
            "needs the role operate for the service `carts`",
        ),
        (format!("services {token}"), "who are you?"),
        (format!("services {token} --token-file {}", file("old.token")), "`old` has expired"),
        (format!("services {token} --token-file {}", file("bad.token")), "not known here"),
        (format!("services {token} --token-file {}", file("none")), "cannot read the token"),
        (format!("services {certificate}"), "give --cert and --key"),
        (format!("services {foreign}"), "does not take this client certificate"),
        (format!("services {certificate} --cert {}", file("ann.pem")), "belong together"),
        (format!("services {}", token.replace(&ca, &stranger_ca)), "not of the authority in --ca"),
        (format!("services {}", token.replace(NAME, "other.example")), "with --server-name"),
        (format!("services {clear}"), "write https://"),
        (format!("services --control https://{}", tcp(&by_token)), "--ca ca.pem"),
    ] {
        let error = run(&line).await.unwrap_err().to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
    by_token.shutdown().await;
    by_certificate.shutdown().await;
}
