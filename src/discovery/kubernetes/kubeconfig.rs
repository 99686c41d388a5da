//! Access by a kubeconfig file, as kubectl has it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::access::{Access, Bearer, Server, client_config, read};
use crate::text::{SecretText, yaml};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: Option<String>,
    contexts: Option<Vec<NamedContext>>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: Option<String>,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    username: Option<String>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    #[serde(rename = "as")]
    other: Option<String>,
}

/// Access by the file at `path`: by `context`, or the one that it says is the current. Blocks.
pub fn access(path: &Path, context: Option<&str>) -> Result<Access, String> {
    let of_file = |error: String| format!("{}: {error}", path.display());
    let text = String::from_utf8(read(path)?).map_err(|_| of_file("it is no text".into()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    by(&text, folder, context).map_err(of_file)
}

/// As `access`, with the text of a file in `folder`.
fn by(text: &str, folder: &Path, context: Option<&str>) -> Result<Access, String> {
    let file: Kubeconfig = serde_json::from_value(yaml::parse(text)?)
        .map_err(|error| format!("it is no kubeconfig: {}", without_value(&error.to_string())))?;
    let current = file.current_context.as_deref().filter(|name| !name.is_empty());
    let name = context.or(current).ok_or("it has no current-context: set `context`")?;
    let contexts = file.contexts.unwrap_or_default();
    let context = contexts.into_iter().find(|it| it.name == name).map(|it| it.context);
    let context = context.ok_or_else(|| format!("it has no context `{name}`"))?;
    let clusters = file.clusters.unwrap_or_default();
    let cluster = clusters.into_iter().find(|it| it.name == context.cluster).map(|it| it.cluster);
    let cluster = cluster.ok_or_else(|| format!("it has no cluster `{}`", context.cluster))?;
    let user = match context.user.filter(|name| !name.is_empty()) {
        None => User::default(),
        Some(name) => {
            let users = file.users.unwrap_or_default();
            let user = users.into_iter().find(|it| it.name == name).map(|it| it.user);
            user.ok_or_else(|| format!("it has no user `{name}`"))?
        }
    };
    refuse(&cluster, &user)?;
    let server = Server::parse(&cluster.server)?;
    let namespace = context.namespace.filter(|namespace| !namespace.is_empty());
    if !server.secure {
        // As kubectl: what proves who we are is not sent in clear text.
        return Ok(Access { server, tls: None, bearer: Bearer::None, namespace });
    }
    let ca = content(
        "certificate-authority",
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
        folder,
    )?;
    let ca =
        ca.ok_or("its cluster has no certificate-authority, nor certificate-authority-data")?;
    let name = server.tls_name(cluster.tls_server_name.as_deref())?;
    let chain = content(
        "client-certificate",
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
        folder,
    )?;
    let key =
        content("client-key", user.client_key_data.as_deref(), user.client_key.as_deref(), folder)?;
    let identity = match (&chain, &key) {
        (Some(chain), Some(key)) => Some((&**chain, &**key)),
        (None, None) => None,
        _ => return Err("its user has only one of client-certificate and client-key".into()),
    };
    let tls = Some((client_config(&ca, identity)?, name));
    let bearer = match (user.token_file, user.token) {
        (Some(path), _) => Bearer::File(folder.join(path)),
        (None, Some(token)) => Bearer::Fixed(SecretText::new(token)),
        (None, None) => Bearer::None,
    };
    Ok(Access { server, tls, bearer, namespace })
}

/// What is wanted in place of a value, which may be a secret.
fn without_value(error: &str) -> String {
    match error.split_once(", expected ") {
        Some((_, wanted)) => format!("{wanted} is wanted somewhere"),
        None => error.to_owned(),
    }
}

/// Refuses what would not be heeded.
fn refuse(cluster: &Cluster, user: &User) -> Result<(), String> {
    let plugin =
        "plugins that fetch credentials are not run: make a service account and a token for it";
    let refused = [
        (user.exec.is_some(), "its user has `exec`", plugin),
        (user.auth_provider.is_some(), "its user has `auth-provider`", plugin),
        (
            user.username.is_some(),
            "its user has `username`",
            "Kubernetes takes no passwords any more: make a service account and a token for it",
        ),
        (user.other.is_some(), "its user has `as`", "requests are made for no other user"),
        (
            cluster.insecure_skip_tls_verify == Some(true),
            "its cluster has `insecure-skip-tls-verify`",
            "whoever answered could name any backends: give its `certificate-authority`",
        ),
        (cluster.proxy_url.is_some(), "its cluster has `proxy-url`", "no proxy is spoken to"),
    ];
    match refused.iter().find(|(present, ..)| *present) {
        Some((_, what, why)) => Err(format!("{what}, which is refused: {why}")),
        None => Ok(()),
    }
}

/// What stands in the file in base64, or in a file of its own, whose path starts at `folder`.
fn content(
    key: &str,
    data: Option<&str>,
    path: Option<&Path>,
    folder: &Path,
) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let data: String = data.split_ascii_whitespace().collect();
        let decoded = STANDARD.decode(data);
        return decoded.map(Some).map_err(|error| format!("{key}-data is not base64: {error}"));
    }
    path.map(|path| read(&folder.join(path))).transpose()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate with its key, both in PEM.
    fn certificate() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["k8s".into()]).unwrap();
        (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// A file with these lines of its cluster and its user.
    fn file(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: one\ncontexts:\n\
             - {{ name: one, context: {{ cluster: c, user: u, namespace: shop }} }}\n\
             - {{ name: two, context: {{ cluster: c, user: '' }} }}\n\
             - {{ name: three, context: {{ cluster: x, user: u }} }}\n\
             - {{ name: four, context: {{ cluster: c, user: x }} }}\n\
             clusters: [ {{ name: c, cluster: {{ {cluster} }} }} ]\n\
             users: [ {{ name: u, user: {{ {user} }} }} ]\n"
        )
    }

    fn wrong(text: &str, context: Option<&str>) -> String {
        by(text, Path::new(""), context).err().unwrap()
    }

    #[test]
    fn certificates_and_tokens_are_read_from_data_and_from_files() {
        let (pem, key) = certificate();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ca.pem", &pem), ("my.pem", &pem), ("my.key", &key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("token"), "of-file").unwrap();
        let token = |access: &Access| access.bearer.read().unwrap().unwrap();
        let certified = |access: &Access| {
            let (config, _) = access.tls.as_ref().unwrap();
            config.client_auth_cert_resolver.has_certs()
        };

        let server = "server: 'https://127.0.0.1:6443', tls-server-name: k8s";
        let files = file(
            &format!("{server}, certificate-authority: ca.pem"),
            "tokenFile: token, token: fixed, client-certificate: my.pem, client-key: my.key",
        );
        let access = by(&files, folder.path(), None).unwrap();
        assert_eq!(access.namespace.as_deref(), Some("shop"));
        assert_eq!(access.tls.as_ref().unwrap().1.to_str(), "k8s");
        assert_eq!((token(&access), certified(&access)), ("Bearer of-file".parse().unwrap(), true));

        let (pem, key) = (STANDARD.encode(pem), STANDARD.encode(key));
        let data = file(
            &format!("{server}, certificate-authority-data: {pem}"),
            &format!("token: fixed, client-certificate-data: {pem}, client-key-data: {key}"),
        );
        let access = by(&data, Path::new("/nowhere"), None).unwrap();
        assert_eq!((token(&access), certified(&access)), ("Bearer fixed".parse().unwrap(), true));

        let access = by(&data, Path::new(""), Some("two")).unwrap();
        assert_eq!((access.namespace.as_deref(), certified(&access)), (None, false));
        assert!(access.bearer.read().unwrap().is_none());
    }

    #[test]
    fn nothing_secret_is_sent_in_clear_text() {
        let text = file("server: 'http://127.0.0.1:8001'", "token: secret");
        let access = by(&text, Path::new(""), None).unwrap();
        assert!(access.tls.is_none() && access.bearer.read().unwrap().is_none());
    }

    #[test]
    fn what_would_not_be_heeded_is_refused() {
        let server = "server: 'https://k8s'";
        for (cluster, user, says) in [
            ("insecure-skip-tls-verify: true", "token: x", "certificate-authority"),
            ("proxy-url: 'http://p'", "token: x", "proxy-url"),
            ("certificate-authority-data: '*'", "token: x", "not base64"),
            ("certificate-authority-data: eA==", "token: x", "no certificate in PEM"),
            ("certificate-authority: /nowhere/ca", "token: x", "/nowhere/ca"),
            ("tls-server-name: x", "token: x", "no certificate-authority"),
            ("tls-server-name: x", "exec: { command: aws }", "service account"),
            ("tls-server-name: x", "auth-provider: { name: gcp }", "service account"),
            ("tls-server-name: x", "username: u, password: p", "passwords"),
            ("tls-server-name: x", "as: u", "no other user"),
        ] {
            let error = wrong(&file(&format!("{server}, {cluster}"), user), None);
            assert!(error.contains(says), "{cluster} {user}: {error}");
        }
        let lone = format!("client-certificate-data: {}", STANDARD.encode(certificate().0));
        let ca = format!("certificate-authority-data: {}", STANDARD.encode(certificate().0));
        let error = wrong(&file(&format!("{server}, {ca}"), &lone), None);
        assert!(error.contains("only one of"), "{error}");
    }

    #[test]
    fn contexts_name_a_cluster_and_a_user() {
        let text = file("server: 'http://k8s'", "token: x");
        for (context, says) in
            [("none", "no context `none`"), ("three", "no cluster `x`"), ("four", "no user `x`")]
        {
            assert!(wrong(&text, Some(context)).contains(says), "{context}");
        }
        let without = text.replace("current-context: one\n", "");
        assert!(wrong(&without, None).contains("set `context`"));
        assert!(wrong("a: [", None).contains("line 1"));
        assert!(wrong("contexts: 5", None).contains("no kubeconfig"));
        let error = wrong(&file("server: 'http://k8s'", "token: 123456"), None);
        assert!(error.contains("a string is wanted") && !error.contains("123456"), "{error}");
        let error = access(Path::new("/nowhere/config"), None).err().unwrap();
        assert!(error.contains("/nowhere/config"), "{error}");
    }
}
