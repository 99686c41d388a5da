//! YAML as a tree in which every value knows where it stands.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

use super::report::{Problems, Span};

/// Nodes one file may have, aliases counted as what they stand for.
const MAX_NODES: usize = 1_000_000;
/// Collections one inside the other.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub span: Span,
    /// What.
    pub value: Value,
    /// Whose value it is.
    pub owner: Owner,
}

/// Whose value a node is; [`fmt::Display`] goes behind "a mapping is wanted".
#[derive(Clone, Debug, Default)]
pub enum Owner {
    /// It is the root, or a key.
    #[default]
    Nobody,
    /// This key's.
    Key(Arc<str>),
    /// It is an item of this key's list.
    List(Arc<str>),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Nobody => f.write_str("here"),
            Owner::Key(key) => write!(f, "for `{key}`"),
            Owner::List(key) => write!(f, "for each of `{key}`"),
        }
    }
}

impl Node {
    fn new(span: Span, value: Value) -> Node {
        Node { span, value, owner: Owner::Nobody }
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing: a key without value, or `null`.
    Null,
    /// Text, whatever it looks like.
    Scalar(Box<str>),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key stands.
    pub span: Span,
    /// Its value.
    pub value: Node,
}

/// Reads `text`; `None` and a problem if it is not YAML that can be understood.
pub fn read(text: &str, problems: &Problems) -> Option<Node> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.step(event, Span::from(&span)),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len());
                let message = format!("this is not YAML: {}", error.info());
                problems.error(Span::at(at), message, HELP_SYNTAX);
                None
            }
        };
        step?;
    }
    if builder.root.is_none() {
        let help = "start from docs/examples/minimal.yaml";
        problems.error(Span::at(0), "the file is empty", help);
    }
    builder.root
}

const HELP_SYNTAX: &str = "check the indentation, and quote values that start with one of * & ! % @ ` { [ or contain `: `";

const HELP_MERGE: &str = "write the keys out; a whole value may stand in several places: `limits: &tight { … }` \
                          here, `limits: *tight` there";

/// A collection that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<(Arc<str>, Span)>,
}

struct Builder<'a> {
    problems: &'a Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn step(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(span, tag.is_some());
                let null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match null {
                    true => Value::Null,
                    false => Value::Scalar(text.into()),
                };
                self.place(Node::new(span, value), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(span, tag.is_some());
                self.open(span, Value::Seq(Vec::new()), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(span, tag.is_some());
                self.open(span, Value::Map(Vec::new()), anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let message = format!("`*{name}` refers to an anchor that is not there");
                let help = format!("if you mean the text, quote it: \"*{name}\"");
                self.problems.error(span, message, help);
                let value = Value::Scalar(format!("*{name}").into());
                self.place(Node::new(span, value), 0)
            }
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let help = "keep one document in the file";
                    self.problems.error(span, "a second YAML document starts here", help);
                    return None;
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    fn refuse_tag(&self, span: Span, tagged: bool) {
        if tagged {
            let help = "remove it; values are read as their key wants them";
            self.problems.error(span, "YAML tags are not understood here", help);
        }
    }

    fn open(&mut self, span: Span, value: Value, anchor: usize) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} levels of nesting");
            self.problems.error(span, message, "no setting is nested so deep");
            return None;
        }
        self.open.push(Open { node: Node::new(span, value), anchor, key: None });
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let mut closed = self.open.pop()?;
        if let Value::Map(entries) = &mut closed.node.value {
            refuse_merges(entries, self.problems);
            refuse_duplicates(entries, self.problems);
        }
        self.place(closed.node, closed.anchor)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, mut node: Node, anchor: usize) -> Option<()> {
        self.count(1, node.span)?;
        if anchor != 0 {
            self.count(size(&node), node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        let list = self.open.iter().rev().nth(1).and_then(|above| above.key.as_ref());
        let list = list.map_or(Owner::Nobody, |(key, _)| Owner::List(Arc::clone(key)));
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match (&mut parent.node.value, parent.key.take()) {
            (Value::Seq(items), _) => {
                node.owner = list;
                items.push(node);
            }
            (Value::Map(entries), Some((key, span))) => {
                node.owner = Owner::Key(Arc::clone(&key));
                entries.push(Entry { key, span, value: node });
            }
            (_, _) => {
                let span = node.span;
                parent.key = Some((key_text(node, self.problems)?, span));
            }
        }
        Some(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.problems.error(
                span,
                "this alias stands inside of what it refers to",
                "write it out",
            );
            return None;
        };
        let size = size(node);
        let node = node.clone();
        self.count(size, span)?;
        self.place(node, 0)
    }

    fn count(&mut self, more: usize, span: Span) -> Option<()> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, aliases written out");
            self.problems.error(span, message, "split the file, or use fewer aliases");
            return None;
        }
        Some(())
    }
}

/// What a merge key would bring is read none the less, so that nothing is said to be missing.
fn refuse_merges(entries: &mut Vec<Entry>, problems: &Problems) {
    for merge in entries.extract_if(.., |entry| &*entry.key == "<<").collect::<Vec<_>>() {
        let message = "merge keys (`<<`) are not understood here";
        problems.error(merge.span, message, HELP_MERGE);
        let sources = match merge.value.value {
            Value::Seq(items) => items,
            _ => vec![merge.value],
        };
        for source in sources {
            let Value::Map(brought) = source.value else { continue };
            for entry in brought {
                if entries.iter().all(|known| known.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
}

fn refuse_duplicates(entries: &mut Vec<Entry>, problems: &Problems) {
    let mut seen: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
    let mut again = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match seen.entry(&entry.key) {
            MapEntry::Vacant(free) => {
                free.insert(entry.span);
            }
            MapEntry::Occupied(first) => {
                let message = format!("`{}` is given twice", entry.key);
                problems.error_again(entry.span, message, *first.get());
                again.push(index);
            }
        }
    }
    for index in again.into_iter().rev() {
        entries.remove(index);
    }
}

fn key_text(node: Node, problems: &Problems) -> Option<Arc<str>> {
    if let Value::Scalar(text) = node.value {
        return Some(text.into());
    }
    problems.error(node.span, "a key has to be text", "write it as `key: value`");
    None
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Scalar(_) => 1,
        Value::Seq(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|e| 1 + size(&e.value)).sum::<usize>(),
    }
}
