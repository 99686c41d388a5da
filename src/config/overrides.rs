//! Reads `overrides` and `audit`: where what operators change is kept, and told of.

use super::files::Files;
use super::keys::{AUDIT, JOURNAL, OVERRIDES};
use super::node::Node;
use super::plan::{AuditPlan, OverridesPlan};
use super::read::Fields;
use super::report::Problems;

/// Reads `overrides`.
pub fn read(node: &Node, files: &Files, problems: &Problems) -> OverridesPlan {
    let fields = Fields::of(node, &OVERRIDES, problems);
    let journal = fields.get(&OVERRIDES.journal).and_then(|node| {
        let fields = Fields::of(node, &JOURNAL, problems);
        let path = fields.placed(&JOURNAL.path);
        fields.finish();
        path
    });
    fields.finish();
    let journal = journal.map(|(name, span)| {
        let path = files.locate(&name);
        if path.is_dir() {
            let message = format!("{} is a folder", path.display());
            problems.error(span, message, "name a file in it: `path: overrides.jsonl`");
        }
        path
    });
    OverridesPlan { journal }
}

/// Reads `audit`.
pub fn audit(node: &Node, files: &Files, problems: &Problems) -> Option<AuditPlan> {
    let fields = Fields::of(node, &AUDIT, problems);
    let path = fields.placed(&AUDIT.path);
    let strict = fields.value(&AUDIT.strict);
    fields.finish();
    let (name, span) = path?;
    let path = files.locate(&name);
    if path.is_dir() {
        let message = format!("{} is a folder", path.display());
        problems.error(span, message, "name a file in it: `path: audit.jsonl`");
    }
    Some(AuditPlan { path, strict })
}
