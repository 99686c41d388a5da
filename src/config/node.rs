//! A YAML tree in which every value has its source location.

mod keys;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

use super::report::{Problems, Span};
use super::variables::{self, Environment, Expanded, Fault};
use crate::text::redact::{self, Secret};
use keys::{key_text, refuse_duplicates, refuse_merges};

/// Maximum number of nodes, with aliases expanded (against "billion laughs").
const MAX_NODES: usize = 1_000_000;
/// Maximum depth of nested collections.
const MAX_DEPTH: usize = 32;

/// A value with its source location.
#[derive(Clone, Debug)]
pub struct Node {
    /// The location.
    pub span: Span,
    /// The value.
    pub value: Value,
    /// The key or list that it belongs to, for messages.
    pub owner: Owner,
    /// Secrets to redact from messages about it.
    hidden: Option<Arc<[Secret]>>,
}

/// What a node belongs to; [`fmt::Display`] continues a message such as "a mapping is wanted".
#[derive(Clone, Debug, Default)]
pub enum Owner {
    /// The root, or a key.
    #[default]
    Nobody,
    /// The value of this key.
    Key(Arc<str>),
    /// An item of this key's list.
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
        Node { span, value, owner: Owner::Nobody, hidden: None }
    }

    /// Whether variables were expanded in it.
    pub fn is_expanded(&self) -> bool {
        self.hidden.is_some()
    }

    /// The values of variables expanded in it and its descendants.
    pub fn hidden(&self) -> Vec<Secret> {
        let mut hidden = self.hidden.as_deref().unwrap_or_default().to_vec();
        match &self.value {
            Value::Null | Value::Unknown(_) | Value::Scalar(_) => {}
            Value::Seq(items) => hidden.extend(items.iter().flat_map(Node::hidden)),
            Value::Map(entries) => {
                hidden.extend(entries.iter().flat_map(|entry| entry.value.hidden()));
            }
        }
        hidden
    }

    /// A message about it with the values of variables redacted.
    pub fn redact(&self, message: String) -> String {
        match &self.hidden {
            None => message,
            Some(hidden) => redact::redact(&message, hidden),
        }
    }
}

/// The value of a node.
#[derive(Clone, Debug)]
pub enum Value {
    /// Null: a key without a value, or `null`.
    Null,
    /// Unknown: its variables could not be expanded.
    Unknown(Arc<Fault>),
    /// A scalar, not typed yet.
    Scalar(Box<str>),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The location of the key.
    pub span: Span,
    /// Its value.
    pub value: Node,
}

/// Parses `text` and expands variables; records a problem and returns `None` if it is not valid
/// YAML.
pub fn read(text: &str, environment: Environment<'_>, problems: &Problems) -> Option<Node> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        environment,
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
                let line = text.get(..at).unwrap_or(text).rsplit('\n').next().unwrap_or_default();
                let help = if line.contains('$') { HELP_FLOW } else { HELP_SYNTAX };
                problems.error(Span::at(at), message, help);
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

const HELP_FLOW: &str = "within { } and [ ] quote a value that has a variable: \"${NAME}\"";

/// A collection under construction.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that awaits its value.
    key: Option<(Arc<str>, Span)>,
}

struct Builder<'a> {
    environment: Environment<'a>,
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
                let node = self.scalar(&text, style == ScalarStyle::Plain, span);
                self.place(node, anchor)
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

    /// A value with variables expanded, or a literal key; which of the two shows later.
    fn scalar(&self, text: &str, plain: bool, span: Span) -> Node {
        let typed = |text: &str| match plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
        {
            true => Value::Null,
            false => Value::Scalar(text.into()),
        };
        let is_key = self.open.last().is_some_and(|parent| {
            matches!(parent.node.value, Value::Map(_)) && parent.key.is_none()
        });
        if is_key {
            return Node::new(span, typed(text));
        }
        match variables::expand(text, self.environment) {
            Ok(None) => Node::new(span, typed(text)),
            Ok(Some(Expanded { text, hidden })) => {
                self.problems.hide(&hidden);
                let text = if plain { text.trim() } else { &text };
                Node { hidden: Some(hidden.into()), ..Node::new(span, typed(text)) }
            }
            Err(fault) => {
                self.problems.error(span, &*fault.message, &*fault.help);
                Node::new(span, Value::Unknown(fault.into()))
            }
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

    /// Adds a finished node to its parent.
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

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Unknown(_) | Value::Scalar(_) => 1,
        Value::Seq(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|e| 1 + size(&e.value)).sum::<usize>(),
    }
}
