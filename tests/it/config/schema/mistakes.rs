//! Mutations of the examples, one mistake each: at each key, mistakes for its kind of value.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use equipoise::balance::POLICIES;
use equipoise::config;
use equipoise::text::keys::{Keys, Many, Row, Shape, ValueKind};
use serde_json::{Map, Value, json};

use crate::support::yaml;

/// A mutated file, and how it differs from the original.
pub struct Mistake {
    pub what: String,
    pub file: Value,
}

/// A path in a file: keys and indices from the top.
type Place = Vec<String>;

/// All mutated files; most are invalid, some merely unusual.
pub fn mistakes(folder: &Path) -> Vec<Mistake> {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for name in ["full", "edge", "tls", "minimal"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let file = yaml::read(&text);
        let mut visit = Visit { name, file: &file, all: &mut all, seen: &mut seen };
        visit.mapping(&Place::new(), config::keys());
    }
    let text = std::fs::read_to_string(folder.join("full.yaml")).unwrap();
    all.extend(by_chance(&yaml::read(&text)));
    all
}

struct Visit<'a> {
    name: &'static str,
    file: &'a Value,
    all: &'a mut Vec<Mistake>,
    /// Mappings, scalars and text formats covered already; the same mistakes are not repeated.
    seen: &'a mut HashSet<String>,
}

fn at<'a>(file: &'a Value, place: &[String]) -> &'a Value {
    place.iter().fold(file, |value, step| match value {
        Value::Array(items) => &items[step.parse::<usize>().unwrap()],
        value => &value[step],
    })
}

fn at_mut<'a>(file: &'a mut Value, place: &[String]) -> &'a mut Value {
    place.iter().fold(file, |value, step| match value {
        Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
        value => &mut value[step],
    })
}

/// Removes what is unrelated to the value at `place`: reading it would take most of the time.
fn shorten(file: &mut Value, place: &[String]) {
    for key in ["listeners", "routes"] {
        let Some(items) = file.get_mut(key).and_then(Value::as_array_mut) else { continue };
        let kept = match place {
            [first, index, _, ..] if first == key => index.parse().unwrap(),
            [first, ..] if first == key => continue,
            _ => items.len().saturating_sub(1),
        };
        let mut index = 0..;
        items.retain(|_| index.next() == Some(kept));
    }
    if place.first().is_none_or(|first| first == "routes" || place.len() < 3) {
        return;
    }
    if let Some(services) = file.get_mut("services").and_then(Value::as_object_mut) {
        services.retain(|name, _| name == "orders" || place.get(1) == Some(name));
    }
}

impl Visit<'_> {
    /// The file with the value at `place` replaced.
    fn put(&mut self, place: &Place, value: Value) {
        let mut file = self.file.clone();
        let shown: String = value.to_string().chars().take(80).collect();
        *at_mut(&mut file, place) = value;
        shorten(&mut file, place);
        self.all
            .push(Mistake { what: format!("{}: {} is {shown}", self.name, place.join(".")), file });
    }

    fn mapping(&mut self, place: &Place, keys: &'static dyn Keys) {
        let here = at(self.file, place).clone();
        let is_new = self.seen.insert(keys.section().path.into());
        if is_new {
            for odd in
                [json!(null), json!([]), json!([1]), json!("zzz"), json!(7), json!(true), json!({})]
            {
                self.put(place, odd);
            }
        }
        let Value::Object(entries) = here else { return };
        let with = |key: &str, value: Value| {
            let mut more = entries.clone();
            more.insert(key.into(), value);
            Value::Object(more)
        };
        if is_new {
            self.put(place, with("zzzzzzzz", json!(1)));
            self.put(place, with("Workers", json!(1)));
        }
        let mut rows: Vec<&dyn Row> = keys.section().rows().collect();
        let is_balancer = keys.section().path == "services.*.balancer";
        if is_balancer {
            let all = POLICIES.iter().filter_map(|policy| policy.settings());
            for row in all.flat_map(|keys| keys.section().rows()) {
                if rows.iter().all(|known| known.name() != row.name()) {
                    rows.push(row);
                }
            }
        }
        for row in rows {
            match entries.contains_key(row.name()) {
                true => {
                    let mut less = entries.clone();
                    less.remove(row.name());
                    self.put(place, Value::Object(less));
                    let mut within = place.clone();
                    within.push(row.name().into());
                    let is_new =
                        self.seen.insert(format!("{} {}", keys.section().path, row.name()));
                    if is_new || !matches!(row.shape(), Shape::Value(_)) {
                        self.key(&within, row);
                    }
                }
                // Alternatives, and settings of other policies.
                false => {
                    for value in usual(row.shape()) {
                        self.put(place, with(row.name(), value));
                    }
                }
            }
        }
    }

    fn key(&mut self, place: &Place, row: &dyn Row) {
        match row.shape() {
            Shape::Value(kind) => self.value(place, kind),
            Shape::Values(kind, many) => {
                self.list(place, many);
                let first = place.iter().cloned().chain(["0".to_owned()]).collect();
                if at(self.file, place).get(0).is_some() {
                    self.value(&first, kind);
                }
            }
            Shape::Mapping(keys) => self.mapping(place, keys),
            Shape::Mappings(keys, many) => {
                self.list(place, many);
                self.each(place, |visit, item| visit.mapping(item, keys));
            }
            Shape::Named(_, keys, _) => {
                self.names(place);
                self.each(place, |visit, entry| visit.mapping(entry, keys));
            }
            Shape::NamedValues(_, kind) => {
                self.names(place);
                self.each(place, |visit, entry| visit.value(entry, kind));
            }
        }
    }

    fn each(&mut self, place: &Place, visit: impl Fn(&mut Self, &Place)) {
        let steps: Vec<String> = match at(self.file, place) {
            Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
            Value::Object(entries) => entries.keys().cloned().collect(),
            _ => Vec::new(),
        };
        for step in steps {
            let within: Place = place.iter().cloned().chain([step]).collect();
            visit(self, &within);
        }
    }

    fn list(&mut self, place: &Place, many: Many) {
        for odd in
            [json!(null), json!([]), json!("zzz"), json!({ "a": 1 }), json!([null]), json!([[1]])]
        {
            self.put(place, odd);
        }
        if let Many::UpTo(most @ ..=100) = many {
            let items = (1..=most + 1).map(|n| json!(format!("{n}00us")));
            self.put(place, items.collect());
        }
    }

    /// Invalid names, and too many names.
    fn names(&mut self, place: &Place) {
        let Value::Object(entries) = at(self.file, place).clone() else { return };
        let Some(first) = entries.values().next().cloned() else { return };
        for name in [
            "",
            "a b",
            "ä",
            "host",
            "Content-Length",
            "grpc-status",
            ":path",
            "x-new",
            &"a".repeat(129),
        ] {
            let mut more = entries.clone();
            more.insert(name.into(), first.clone());
            self.put(place, Value::Object(more));
        }
        let many = (0..17).map(|n| (format!("x-{n}"), first.clone()));
        self.put(place, Value::Object(many.collect()));
        for odd in [json!(null), json!([]), json!("zzz"), json!({})] {
            self.put(place, odd);
        }
    }

    fn value(&mut self, place: &Place, kind: ValueKind) {
        for odd in [json!(null), json!([]), json!({}), json!([1]), json!({ "a": 1 }), json!("")] {
            self.put(place, odd);
        }
        let now = at(self.file, place).clone();
        let text = now.as_str().map_or_else(|| now.to_string(), str::to_owned);
        self.put(place, json!(format!("${{SCHEMA_TEST_UNSET:-{text}}}")));
        self.put(place, json!("${SCHEMA_TEST_UNSET}"));
        self.put(place, json!(text));
        let form = match kind {
            ValueKind::Duration(least, most) => format!("duration {least:?} {most:?}"),
            ValueKind::Size(least, most) => format!("size {least} {most}"),
            ValueKind::Number(least, most) => format!("number {least} {most}"),
            ValueKind::Words(words) => words().join(" "),
            ValueKind::Boolean => "boolean".into(),
            ValueKind::Text(text) => (text.pattern)(),
        };
        let tried = match self.seen.insert(form) {
            true => values(kind),
            false => ends(kind),
        };
        for value in tried {
            self.put(place, value);
        }
    }
}

/// Valid and invalid values of this kind.
fn values(kind: ValueKind) -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    match kind {
        ValueKind::Number(least, most) => around(least, most)
            .into_iter()
            .flat_map(|n| [json!(n), json!(n.to_string()), json!(format!("0{n}"))])
            .chain([json!(-1), json!(1.5), json!(true), json!("+16"), json!("16 "), json!("1k")])
            .collect(),
        ValueKind::Size(least, most) => around(least, most)
            .into_iter()
            .flat_map(|n| [json!(n), json!(n.to_string()), json!(format!("{n}B"))])
            .chain(in_units(least, most, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]))
            .chain(texts(&["1KB", "1kib", "1.5MiB", "-1", "16 KiB", "KiB"]))
            .chain([json!(true), json!(1.5), json!(-1)])
            .collect(),
        ValueKind::Duration(least, most) => {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let (least, most) = (micros(least), micros(most));
            let units = [
                ("us", 1),
                ("ms", 1000),
                ("s", 1_000_000),
                ("m", 60_000_000),
                ("h", 3_600_000_000),
            ];
            in_units(least, most, &units)
                .chain(texts(&["5", "5sec", "1.5s", "-1s", "s", "1 s", "007ms", "1d", "forever"]))
                .chain([json!(0), json!(5), json!(true), json!(1.5)])
                .collect()
        }
        ValueKind::Words(words) => words()
            .into_iter()
            .flat_map(|word| [json!(word), json!(word.to_uppercase()), json!(format!("{word} "))])
            .chain([json!("zzz"), json!(1), json!(301), json!(304), json!(true)])
            .collect(),
        ValueKind::Boolean => texts(&["true", "false", "yes", "True", "off"])
            .into_iter()
            .chain([json!(true), json!(false), json!(1), json!(0)])
            .collect(),
        ValueKind::Text(_) => texts(TEXTS)
            .into_iter()
            .chain(ODD.iter().map(|n| json!(n)))
            .chain([json!(true), json!(5)])
            .collect(),
    }
}

/// Boundary values of its range.
fn ends(kind: ValueKind) -> Vec<Value> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match kind {
        ValueKind::Number(least, most) | ValueKind::Size(least, most) => {
            around(least, most).into_iter().map(Value::from).collect()
        }
        ValueKind::Duration(least, most) => {
            let near = around(micros(least), micros(most));
            near.into_iter().map(|n| json!(format!("{n}us"))).collect()
        }
        ValueKind::Words(_) | ValueKind::Boolean | ValueKind::Text(_) => Vec::new(),
    }
}

/// Numbers that parsers of factors, percentages and seconds may disagree on.
const ODD: &[f64] = &[0.5, 1.25, 99.5, 100.5, 901.5];

/// Text that is valid in one place and invalid in others.
const TEXTS: &[&str] = &[
    "a",
    "a b",
    "A",
    "ä",
    "-a",
    "a-",
    "_",
    "*",
    "*.",
    "*.shop.example",
    "shop.example",
    "shop.example.",
    "shop.example:80",
    "shop..example",
    "/",
    "/a",
    "a/b",
    "/a b",
    "/a?b",
    "/a#b",
    "/a;b",
    "//",
    "http://a",
    "GET",
    "get",
    "CONNECT",
    "M-SEARCH",
    "pkg.Service",
    "pkg.Service/Get",
    "/pkg.Service/Get",
    "pkg..Service",
    "pkg.Service/",
    "pkg/a/b",
    "127.0.0.1",
    "127.0.0.1:0",
    "127.0.0.1:7101",
    "127.0.0.1:007102",
    "127.0.0.1:65535",
    "127.0.0.1:65536",
    "127.0.0.256:80",
    "127.0.00.1:80",
    "127.0.0:80",
    "10.9.9.9:9",
    "0.0.0.0:7103",
    ":8080",
    "8080",
    "localhost:80",
    "orders:50051",
    "orders",
    "or_ders:1",
    "-orders:1",
    "1.2:80",
    "a.1:80",
    "a.1b:80",
    "orders.:80",
    "orders:0",
    "orders:+1",
    "::1",
    "[::1]",
    "[::1]:7104",
    "[::]:7105",
    "[::g]:80",
    "[fe80::1%2]:7106",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::ffff:1.2.3.4",
    "1::2::3",
    "[1:2:3:4:5:6:7:8]:9",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "::/0",
    "fd00::/129",
    "unix",
    "unix:",
    "unix:/",
    "unix:a",
    "unix:/tmp/equipoise-schema-a",
    "unix:///tmp/equipoise-schema-b",
    "unix://tmp/c",
    "unix:@a",
    "unix:/tmp/..",
    "unix:/tmp/.",
    "unix:/tmp//d/",
    "unix:/tmp/e/.",
    "unix:50051",
    "0660",
    "660",
    "0o660",
    "0400",
    "0999",
    "02",
    "01777",
    "x-user-id",
    "X-User",
    "host",
    "Host",
    ":path",
    "te",
    "Connection",
    "content-length",
    "grpc-status",
    "a=b",
    "a&b",
    "a;b",
    "[",
    "a{1",
    "(a|b)*",
    " a",
    "a ",
    "a\tb",
    "a\nb",
    "1.25",
    "0.5",
    "100",
    "101",
    "2.55555",
    "0.0001",
    "0.0000",
    "1e1",
    "1e9",
    "0x10",
    "true",
];

/// Boundary values: both ends of the range, and their neighbours.
fn around(least: u64, most: u64) -> Vec<u64> {
    [
        least.checked_sub(1),
        Some(least),
        Some(least + most.saturating_sub(least) / 3),
        Some(most),
        most.checked_add(1),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The same in each valid unit.
fn in_units<'a>(
    least: u64,
    most: u64,
    units: &'a [(&'a str, u64)],
) -> impl Iterator<Item = Value> + 'a {
    units.iter().flat_map(move |(unit, each)| {
        around(least.div_ceil(*each), most / each)
            .into_iter()
            .map(move |n| json!(format!("{n}{unit}")))
    })
}

/// A typical value of a key.
fn usual(shape: Shape) -> Vec<Value> {
    let value = |kind| match kind {
        ValueKind::Duration(least, _) if least.is_zero() => json!("0s"),
        ValueKind::Duration(..) => json!("2s"),
        ValueKind::Size(least, _) | ValueKind::Number(least, _) => json!(least),
        ValueKind::Words(words) => json!(words()[0]),
        ValueKind::Boolean => json!(true),
        ValueKind::Text(text) => match text.name {
            "path" => json!("/x"),
            "name" | "host" | "text" | "expression" | "value" => json!("orders"),
            "file" => json!("ca.pem"),
            "file of tokens" => json!("tokens.txt"),
            "path, or `off`" => json!("off"),
            "octal digits" => json!("0660"),
            "factor" => json!(1.5),
            "word" => json!("GET"),
            _ => json!("127.0.0.1:7107"),
        },
    };
    match shape {
        Shape::Value(kind) => vec![value(kind)],
        Shape::Values(kind, _) => vec![json!([]), json!([value(kind)])],
        Shape::NamedValues(_, kind) => vec![json!({ "x-a": value(kind) })],
        Shape::Mapping(keys) => {
            let rows = keys.section().rows();
            let whole = |row: &dyn Row| Some((row.name().to_owned(), usual(row.shape()).pop()?));
            let mut all: Vec<_> =
                rows.filter_map(|row| whole(row).map(|(k, v)| json!({ k: v }))).collect();
            all.push(json!({}));
            all
        }
        Shape::Mappings(..) | Shape::Named(..) => vec![json!(null), json!([]), json!({})],
    }
}

/// Swaps two values of the file, or overwrites one with another: random, but reproducible.
fn by_chance(file: &Value) -> Vec<Mistake> {
    let mut places = Vec::new();
    places_of(file, &Place::new(), &mut places);
    let mut rng = fastrand::Rng::with_seed(14);
    let mut one = |n: u32| {
        let (from, to) = (rng.usize(..places.len()), rng.usize(..places.len()));
        let (from, to) = (&places[from], &places[to]);
        let mut spoilt = file.clone();
        *at_mut(&mut spoilt, to) = at(file, from).clone();
        let what = format!("by chance {n}: {} at {}", from.join("."), to.join("."));
        Mistake { what, file: spoilt }
    };
    (0..500).map(&mut one).collect()
}

fn places_of(value: &Value, here: &Place, all: &mut Vec<Place>) {
    let below = |step: String| here.iter().cloned().chain([step]).collect::<Place>();
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places_of(item, &below(index.to_string()), all);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries as &Map<String, Value> {
                places_of(entry, &below(key.clone()), all);
            }
        }
        _ => {}
    }
    if !here.is_empty() {
        all.push(here.clone());
    }
}
