//! The file of contexts: YAML that one may edit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::unusable;
use crate::cli::ctl::Error;
use crate::cli::ctl::credentials::Credentials;
use crate::text::{nearest, yaml};

/// Maximum size of the file.
const MAX_FILE: u64 = 1 << 20;
/// Maximum length of a name.
const MAX_NAME: usize = 64;
/// Permission for others than the owner to write: they could send one to a gateway of theirs.
const OTHERS_WRITE: u32 = 0o022;

/// A gateway by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Where its control API is.
    pub control: String,
    pub credentials: Credentials,
}

/// All contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    path: PathBuf,
    pub current: Option<String>,
    pub all: BTreeMap<String, Context>,
}

/// Where the file is.
fn place() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("EQUIPOISE_CONTEXTS") {
        return Ok(path.into());
    }
    let folder = set("XDG_CONFIG_HOME").map(PathBuf::from).filter(|it| it.is_absolute());
    let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")));
    let none = "where are contexts kept? Set EQUIPOISE_CONTEXTS to a file, or HOME";
    let folder = folder.ok_or_else(|| Error::Credentials(none.into()))?;
    Ok(folder.join("equipoise").join("contexts.yaml"))
}

impl Contexts {
    /// Reads the file; there are none without it.
    pub fn read() -> Result<Contexts, Error> {
        match place() {
            Ok(path) => Contexts::read_from(path),
            Err(_) => Ok(Contexts::default()),
        }
    }

    fn read_from(path: PathBuf) -> Result<Contexts, Error> {
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Contexts { path, ..Contexts::default() });
            }
            Err(error) => return Err(unusable(&path, &error)),
        };
        if !found.is_file() || found.len() > MAX_FILE {
            return Err(unusable(&path, &"it is no file of up to 1 MiB"));
        }
        if found.mode() & OTHERS_WRITE != 0 {
            return Err(unusable(&path, &"others may write to it: chmod 600 it"));
        }
        let text = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
        parse(&text)
            .map(|contexts| Contexts { path: path.clone(), ..contexts })
            .map_err(|wrong| unusable(&path, &wrong))
    }

    /// Writes the file, for its owner alone, in place of the one before.
    pub fn write(&self) -> Result<(), Error> {
        let path = if self.path.as_os_str().is_empty() { place()? } else { self.path.clone() };
        let failed = |error| unusable(&path, &error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .map_err(failed)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        file.write_all(self.text().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)
    }

    /// As YAML, whose strings may be written as those of JSON.
    fn text(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let mut out = String::from("# Of `equipoise ctl context`.\n");
        // Writing to a String cannot fail.
        if let Some(current) = &self.current {
            let _ = writeln!(out, "current: {}", quoted(current));
        }
        let _ = writeln!(out, "contexts:{}", if self.all.is_empty() { " {}" } else { "" });
        for (name, Context { control, credentials }) in &self.all {
            let Credentials { token_file, ca, cert, key, server_name } = credentials;
            let _ = writeln!(out, "  {}:\n    control: {}", quoted(name), quoted(control));
            let files = [("token_file", token_file), ("ca", ca), ("cert", cert), ("key", key)];
            for (what, path) in
                files.into_iter().filter_map(|(what, it)| Some((what, it.as_ref()?)))
            {
                let _ = writeln!(out, "    {what}: {}", quoted(&path.to_string_lossy()));
            }
            if let Some(name) = server_name {
                let _ = writeln!(out, "    server_name: {}", quoted(name));
            }
        }
        out
    }

    /// The context of this name.
    pub fn get(&self, name: &str) -> Result<&Context, Error> {
        self.all.get(name).ok_or_else(|| {
            let near = nearest(name, self.all.keys().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Error::Credentials(format!("there is no context `{name}`{near}"))
        })
    }

    /// The current context, if there is one.
    pub fn current(&self) -> Result<Option<&Context>, Error> {
        self.current.as_deref().map(|name| self.get(name)).transpose()
    }

    /// Adds or replaces one.
    pub fn put(&mut self, name: &str, context: Context) -> Result<(), Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@/".contains(&b);
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(Error::Credentials(format!(
                "`{}` is no name: it has up to {MAX_NAME} letters, digits and -_.@/",
                name.escape_debug()
            )));
        }
        self.all.insert(name.to_owned(), context);
        Ok(())
    }

    /// Removes one.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.get(name)?;
        self.all.remove(name);
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Contexts, String> {
    let Value::Object(mut top) = yaml::parse(text)? else {
        return Err("it is no mapping with `contexts`".into());
    };
    let current = string(&mut top, "current")?;
    let contexts = match top.remove("contexts") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(contexts)) => contexts,
        Some(_) => return Err("`contexts` is no mapping of names".into()),
    };
    none_left(&top)?;
    let mut all = BTreeMap::new();
    for (name, context) in contexts {
        let Value::Object(mut fields) = context else {
            return Err(format!("context `{name}` is no mapping"));
        };
        let of = |wrong: String| format!("context `{name}`: {wrong}");
        let mut path =
            |key: &str| string(&mut fields, key).map(|path| path.map(PathBuf::from)).map_err(&of);
        let (token_file, ca) = (path("token_file")?, path("ca")?);
        let (cert, key) = (path("cert")?, path("key")?);
        let server_name = string(&mut fields, "server_name").map_err(&of)?;
        let control = string(&mut fields, "control").map_err(&of)?;
        none_left(&fields).map_err(&of)?;
        let control = control.ok_or_else(|| of("`control` is missing".into()))?;
        let credentials = Credentials { token_file, ca, cert, key, server_name };
        all.insert(name, Context { control, credentials });
    }
    Ok(Contexts { path: PathBuf::new(), current, all })
}

fn string(fields: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` is no text")),
    }
}

fn none_left(fields: &Map<String, Value>) -> Result<(), String> {
    match fields.keys().next() {
        Some(key) => Err(format!("unknown key `{key}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/contexts.yaml");
        let mut contexts = Contexts::read_from(path.clone()).unwrap();
        assert_eq!((contexts.all.len(), contexts.current().unwrap()), (0, None));
        let prod = Context {
            control: "https://gw:9900".into(),
            credentials: Credentials {
                token_file: Some("/home/ann/my \"token\"".into()),
                ca: Some("/ca.pem".into()),
                server_name: Some("gw.example".into()),
                ..Credentials::default()
            },
        };
        contexts.put("prod", prod.clone()).unwrap();
        contexts
            .put("here", Context { control: "unix:/run/a".into(), ..Context::default() })
            .unwrap();
        contexts.current = Some("prod".into());
        contexts.write().unwrap();
        let read = Contexts::read_from(path.clone()).unwrap();
        assert_eq!(read, contexts);
        assert_eq!(read.current().unwrap(), Some(&prod));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let told = read.get("prd").unwrap_err().to_string();
        assert_eq!(told, "there is no context `prd`; did you mean `prod`?");
        contexts.remove("prod").unwrap();
        assert_eq!(contexts.current, None);
        assert!(contexts.put("a b", prod).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let told = Contexts::read_from(path).unwrap_err().to_string();
        assert!(told.contains("others may write to it"), "{told}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, says) in [
            ("- a", "no mapping with `contexts`"),
            ("contexts: [ a ]", "no mapping of names"),
            ("contexts: { a: b }", "context `a` is no mapping"),
            ("contexts: { a: { ca: b } }", "context `a`: `control` is missing"),
            ("contexts: { a: { control: b, tokn: c } }", "context `a`: unknown key `tokn`"),
            ("contexts: { a: { control: [] } }", "context `a`: `control` is no text"),
            ("contexts: {}\nx: 1", "unknown key `x`"),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
        assert_eq!(parse("{}").unwrap(), Contexts::default());
    }
}
