//! Backends from a file that is watched: a list of addresses, of mappings, or what Prometheus reads by
//! `file_sd_configs` (a list of `targets` with `labels`), in YAML or JSON.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Discovered, Feed, Running, Settings, Source, SourceError};
use crate::text::yaml;

/// The largest file that is read, in bytes.
const MAX_SIZE: u64 = 16 << 20;

/// The file is read after this long without events, as files are seldom written in one go.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// It is read anew as often, as some file systems report no changes.
const POLL: Duration = Duration::from_secs(10);

/// Zone and weight may stand among the labels of a target group.
const ZONE: &str = "zone";
const WEIGHT: &str = "weight";

/// Settings of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// Its path.
    pub path: PathBuf,
}

impl Settings for FileSettings {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn identity(&self) -> String {
        self.place()
    }

    fn source(&self, _seed: u64) -> Box<dyn Source> {
        Box::new(WatchedFile { path: self.path.clone() })
    }
}

struct WatchedFile {
    path: PathBuf,
}

impl Source for WatchedFile {
    fn run<'a>(&'a mut self, feed: &'a Feed) -> Running<'a> {
        Box::pin(async move {
            match self.follow(feed).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }
}

impl WatchedFile {
    async fn follow(&self, feed: &Feed) -> Result<std::convert::Infallible, SourceError> {
        let touched = Arc::new(Notify::new());
        // Held until the end. Without events, polling has to do.
        let _watcher = self.watch(&touched);
        let mut last = None;
        loop {
            let path = self.path.clone();
            let read = spawn_blocking(move || read(&path)).await;
            let reading = format!("reading {}", self.path.display());
            let text = match read {
                Ok(text) => text.map_err(|error| SourceError::new(&reading, &error))?,
                Err(error) => return Err(SourceError::new(&reading, &error)),
            };
            if last.as_ref() == Some(&text) {
                feed.confirm().await;
            } else {
                let entries = entries(&text).map_err(SourceError)?;
                let mut backends = Vec::with_capacity(entries.len());
                for (place, entry) in entries {
                    match entry {
                        Ok(backend) => backends.push(backend),
                        Err(reason) => feed.reject(&place, &reason).await,
                    }
                }
                feed.publish(backends).await;
                last = Some(text);
            }
            if timeout(POLL, touched.notified()).await.is_ok() {
                while timeout(DEBOUNCE, touched.notified()).await.is_ok() {}
            }
        }
    }

    /// Watches its folder, as writers rename, and volumes swap a link.
    fn watch(&self, touched: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
        let touched = Arc::clone(touched);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    touched.notify_one();
                }
            })
            .ok()?;
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        watcher.watch(folder.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive).ok()?;
        Some(watcher)
    }
}

fn read(path: &Path) -> io::Result<String> {
    // Checked before opening, as opening a FIFO would block.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MAX_SIZE {
        true => Err(io::Error::other(format!("it is larger than {MAX_SIZE} bytes"))),
        false => Ok(text),
    }
}

/// An entry with its place in the file, for people.
type Entry = (String, Result<Discovered, String>);

/// The entries of a file. Bad ones do not drop the rest.
fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let Value::Array(items) = yaml::parse(text)? else {
        return Err("a list of backends is wanted, such as `- 10.0.0.1:50051`".into());
    };
    let mut entries = Vec::with_capacity(items.len());
    for (number, item) in items.iter().enumerate() {
        let place = format!("entry {}", number + 1);
        match item {
            Value::String(address) => entries.push((place, Discovered::at(address))),
            Value::Object(group) if group.contains_key("targets") => {
                targets(&place, group, &mut entries);
            }
            Value::Object(backend) => entries.push((place, one(backend))),
            _ => entries.push((place, Err("it is neither an address nor a mapping".into()))),
        }
    }
    Ok(entries)
}

/// A mapping of `address` and more.
fn one(backend: &Map<String, Value>) -> Result<Discovered, String> {
    let address = backend.get("address").and_then(Value::as_str);
    described(Discovered::at(address.ok_or("`address` is missing")?)?, backend)
}

/// A group of targets, as Prometheus reads it.
fn targets(place: &str, group: &Map<String, Value>, entries: &mut Vec<Entry>) {
    let none = Map::new();
    let labels = group.get("labels").and_then(Value::as_object).unwrap_or(&none);
    let Some(targets) = group.get("targets").and_then(Value::as_array) else {
        return entries.push((place.to_owned(), Err("`targets` is no list".into())));
    };
    for target in targets {
        let backend = match target.as_str() {
            Some(address) => Discovered::at(address).and_then(|it| described(it, labels)),
            None => Err("a target is no text".into()),
        };
        entries.push((place.to_owned(), backend));
    }
}

/// The backend with weight, zone and metadata, as `keys` have them.
fn described(backend: Discovered, keys: &Map<String, Value>) -> Result<Discovered, String> {
    let text = |key: &str| keys.get(key).and_then(Value::as_str);
    let mut backend = backend;
    if let Some(weight) = keys.get(WEIGHT) {
        let number = weight.as_u64().or_else(|| weight.as_str()?.parse().ok());
        let number = number.and_then(|number| u32::try_from(number).ok());
        backend = backend.with_weight(number.ok_or("`weight` is no whole number")?);
    }
    if let Some(zone) = text(ZONE) {
        backend = backend.in_zone(zone);
    }
    if let Some(instance) = text("instance") {
        backend = backend.as_instance(instance);
    }
    if let Some(draining) = keys.get("draining") {
        let told = draining.as_bool().or_else(|| draining.as_str()?.parse().ok());
        backend.terminating = told.ok_or("`draining` is neither true nor false")?;
    }
    let known = ["address", WEIGHT, ZONE, "instance", "draining"];
    let rest = keys.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    let rest = rest.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    Ok(backend.with_metadata(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (Vec<Discovered>, Vec<String>) {
        let (good, bad): (Vec<_>, Vec<_>) =
            entries(text).unwrap().into_iter().partition(|(_, entry)| entry.is_ok());
        let bad = bad.into_iter().map(|(place, entry)| format!("{place}: {}", entry.unwrap_err()));
        (good.into_iter().filter_map(|(_, entry)| entry.ok()).collect(), bad.collect())
    }

    #[test]
    fn each_form_is_read() {
        let (backends, bad) = taken(
            "- 10.0.0.1:80\n- { address: 'b:1', weight: 3, zone: a, instance: x7, draining: true }\n\
             - targets: [ 10.0.0.2:80, 10.0.0.3:80 ]\n  labels: { weight: '5', zone: b, team: shop }\n",
        );
        assert_eq!(bad, <[String; 0]>::default());
        let at = |text| Discovered::at(text).unwrap();
        let b = at("b:1").with_weight(3).in_zone("a").as_instance("x7");
        let group = |text| at(text).with_weight(5).in_zone("b").with_metadata([("team", "shop")]);
        let expected = [
            at("10.0.0.1:80"),
            Discovered { terminating: true, ..b },
            group("10.0.0.2:80"),
            group("10.0.0.3:80"),
        ];
        assert_eq!(backends, expected);
    }

    #[test]
    fn draining_is_true_or_false_and_nothing_else() {
        let (backends, bad) = taken(
            "[ { address: 'a:1', draining: 'true' }, { address: 'b:1', draining: 1 }, { address: 'c:1', draining: sure } ]",
        );
        assert_eq!((backends.len(), bad.len()), (1, 2));
        assert!(backends[0].terminating && bad[0].contains("neither true nor false"), "{bad:?}");
    }

    #[test]
    fn bad_entries_do_not_drop_the_rest() {
        let (backends, bad) = taken(
            "[ 7, x, { weight: 1 }, { address: 'a:1', weight: -1 }, { targets: 1 }, { targets: [ 1, 'c:1' ] }, 'd:1' ]",
        );
        let names: Vec<_> = backends.iter().map(|it| it.address.as_str()).collect();
        assert_eq!((names, bad.len()), (vec!["c:1", "d:1"], 6));
        assert!(bad[1].starts_with("entry 2: ") && bad[3].contains("whole number"), "{bad:?}");
        assert!(entries("{ a: 1 }").unwrap_err().contains("a list of backends"));
    }
}
