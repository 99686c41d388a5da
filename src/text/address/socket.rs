//! Addresses of Unix sockets: `unix:` and a path.

/// The longest path that `sockaddr_un` holds, in bytes.
const MAX_PATH: usize = 107;

/// The normalized path (without `//` and `/./`) if `text` is a Unix socket address.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn socket(text: &str) -> Option<Result<String, String>> {
    let written = text.strip_prefix("unix:")?;
    let port = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    (!port).then(|| path(written).map_err(|what| refusal(text, &what))) // else a host named so
}

fn refusal(text: &str, what: &str) -> String {
    let text = text.escape_debug();
    format!("`{text}` {what}: write unix: and the path of a socket, such as unix:/run/orders.sock")
}

fn path(written: &str) -> Result<String, String> {
    if written.starts_with('@') {
        return Err("has a name that is no path, which any user of the machine could take".into());
    }
    // `unix:///run/a` is gRPC's URL form.
    if !written.starts_with('/') || (written.starts_with("//") && !written.starts_with("///")) {
        return Err("has no path that begins with /".into());
    }
    if written.contains(char::is_control) {
        return Err("has a control character in its path".into());
    }
    let parts = written.split('/').filter(|part| !part.is_empty() && *part != ".");
    let path: String = parts.flat_map(|part| ["/", part]).collect();
    if path.is_empty() || path.ends_with("/..") {
        return Err("names no file".into());
    }
    if path.len() > MAX_PATH {
        let len = path.len();
        return Err(format!("has a path of {len} bytes, and the system takes {MAX_PATH} at most"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_absolute_paths() {
        let longest = format!("/{}", "a".repeat(MAX_PATH - 1));
        for (text, path) in [
            ("unix:/run/orders.sock", "/run/orders.sock"),
            ("unix:///run/orders.sock", "/run/orders.sock"),
            ("unix:/run//./Orders.sock", "/run/Orders.sock"),
            ("unix:/run/../a b=\u{fc}", "/run/../a b=\u{fc}"),
            (&format!("unix:{longest}"), &longest),
            (&format!("unix://{longest}"), &longest),
        ] {
            assert_eq!(socket(text), Some(Ok(path.into())));
        }
        for (wrong, says) in [
            ("unix:", "begins with /"),
            ("unix:run/a.sock", "begins with /"),
            ("unix:./a.sock", "begins with /"),
            ("unix://run/a.sock", "begins with /"),
            ("unix:@a", "no path"),
            ("unix:/", "no file"),
            ("unix:/run/..", "no file"),
            ("unix:/run/a\0b", "control character"),
            (&format!("unix:{longest}b"), "of 108 bytes"),
        ] {
            let message = socket(wrong).unwrap().unwrap_err();
            assert!(message.contains(says), "{message}");
            assert!(message.contains("unix:/run/orders.sock") && !message.contains('\0'));
        }
    }

    #[test]
    fn hosts_are_no_sockets() {
        for text in ["unix:50051", "unix", "unix.example:80", "/run/a.sock", "127.0.0.1:80"] {
            assert_eq!(socket(text), None);
        }
    }
}
