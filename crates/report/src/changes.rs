//! What changed in the workspace, from one state that was recorded to the next.

use agent::event::TreeHash;
use maud::{Markup, html};
use run::{Node, Store, Tree};
use similar::{ChangeTag, TextDiff};

use crate::content::blob;
use crate::files::is_text;
use crate::number::{self, grouped};
use crate::visible::Visible;

/// Files that are compared after one command.
const COMPARED: usize = 20;
/// Files that are named.
const NAMED: usize = 100;
/// Longest file that is compared, in bytes, and most lines of both sides together: comparing takes up to the square.
const LONGEST: u64 = 256 << 10;
const LINES: usize = 4000;
/// Lines of a difference that are shown.
const SHOWN: usize = 400;
/// Lines around a change.
const AROUND: usize = 3;

/// The workspace as the transcript's events leave it.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    nodes: Vec<Node>,
}

/// One file's change.
struct Change<'a> {
    before: Option<&'a Node>,
    after: Option<&'a Node>,
}

impl Workspace {
    /// Goes on to a later state, and shows what is different in it.
    pub(crate) fn advance(&mut self, store: &Store, tree: TreeHash, open: bool) -> Markup {
        let Ok(after) = Tree::load(store, tree) else {
            return html! { p.gone { "The workspace changed; its list of files, " code { (tree) } ", is not stored with the run." } };
        };
        let changes = compare(&self.nodes, &after.nodes);
        let mut lines = (0, 0);
        let shown: Vec<Markup> = changes
            .iter()
            .take(NAMED)
            .enumerate()
            .map(|(place, change)| file(store, change, place < COMPARED, &mut lines))
            .collect();
        let markup = html! {
            details.changes open[open] {
                summary {
                    (number::of(changes.len() as u64, "file")) " changed"
                    @if lines != (0, 0) {
                        ", " span.plus { "+" (grouped(lines.0)) } " " span.minus { "−" (grouped(lines.1)) }
                    }
                }
                @for file in &shown { (file) }
                @if changes.len() > NAMED { p.gone { "and " (grouped((changes.len() - NAMED) as u64)) " more" } }
            }
        };
        drop(changes);
        self.nodes = after.nodes;
        markup
    }
}

/// What differs between two sorted lists.
fn compare<'a>(before: &'a [Node], after: &'a [Node]) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    let (mut one, mut other) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (one.peek(), other.peek()) {
            (None, None) => return changes,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) => one.path().cmp(other.path()),
        };
        let before = order.is_le().then(|| one.next()).flatten();
        let after = order.is_ge().then(|| other.next()).flatten();
        if before != after {
            changes.push(Change { before, after });
        }
    }
}

fn file(store: &Store, change: &Change<'_>, compared: bool, lines: &mut (u64, u64)) -> Markup {
    let node = change
        .after
        .or(change.before)
        .expect("one of them is there");
    let word = match (change.before, change.after) {
        (None, _) => "new",
        (_, None) => "removed",
        _ => "changed",
    };
    let content = |node: Option<&Node>| match node {
        Some(Node::File { sha256, bytes, .. }) if *bytes <= LONGEST => {
            let excerpt = blob(store, sha256, *bytes, LONGEST);
            excerpt
                .whole()
                .filter(|text| is_text(text))
                .map(<[u8]>::to_vec)
        }
        Some(Node::Link { to, .. }) => Some(to.0.clone()),
        Some(Node::File { .. } | Node::Unreadable { .. }) => None,
        Some(Node::Directory { .. }) | None => Some(Vec::new()),
    };
    let size = |node: Option<&Node>| match node {
        Some(Node::File { bytes, .. }) => Some(*bytes),
        _ => None,
    };
    let texts = compared
        .then(|| Some((content(change.before)?, content(change.after)?)))
        .flatten();
    html! {
        div.change {
            p.path { span.word { (word) } " " code { (Visible(&node.path().0)) } (mode(change)) }
            @match &texts {
                Some((before, after)) => (difference(before, after, lines)),
                None => p.gone {
                    @match (size(change.before), size(change.after)) {
                        (Some(before), Some(after)) => { (number::bytes(before)) " became " (number::bytes(after)) ", not compared" },
                        (Some(bytes), None) | (None, Some(bytes)) => { (number::bytes(bytes)) },
                        (None, None) => "not compared",
                    }
                    @if let Some(Node::File { sha256, .. }) = change.after { "; SHA-256 " code { (sha256) } }
                },
            }
        }
    }
}

/// A change of what is no text.
fn mode(change: &Change<'_>) -> Markup {
    let executable = |node: Option<&Node>| {
        matches!(
            node,
            Some(Node::File {
                executable: true,
                ..
            })
        )
    };
    let link = |node: Option<&Node>| matches!(node, Some(Node::Link { .. }));
    html! {
        @if executable(change.after) && !executable(change.before) { span.meta { "executable" } }
        @if executable(change.before) && change.after.is_some() && !executable(change.after) { span.meta { "no longer executable" } }
        @if link(change.after) { span.meta { "a link" } }
    }
}

/// The lines in which two texts differ, with a few around them.
pub(crate) fn difference(before: &[u8], after: &[u8], lines: &mut (u64, u64)) -> Markup {
    let count = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    if count(before) + count(after) > LINES && !before.is_empty() && !after.is_empty() {
        return html! {
            p.gone { (number::of(count(before) as u64, "line")) " became " (number::of(count(after) as u64, "line")) ", too many to compare" }
        };
    }
    let diff = TextDiff::from_lines(before, after);
    let mut shown = 0;
    let mut left_out = 0;
    let mut markup = String::new();
    for (place, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if place > 0 && shown < SHOWN {
            markup.push_str("<span class=gap>⋯</span>\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            match change.tag() {
                ChangeTag::Insert => lines.0 += 1,
                ChangeTag::Delete => lines.1 += 1,
                ChangeTag::Equal => {}
            }
            if shown == SHOWN {
                left_out += 1;
                continue;
            }
            shown += 1;
            let text = change.value();
            let text = Visible(text.strip_suffix(b"\n").unwrap_or(text));
            let line = html! {
                @match change.tag() {
                    ChangeTag::Insert => ins { "+" (text) },
                    ChangeTag::Delete => del { "-" (text) },
                    ChangeTag::Equal => span { " " (text) },
                }
                "\n"
            };
            markup.push_str(&line.into_string());
        }
    }
    html! {
        @if shown == 0 { p.gone { "the same text" } }
        @else { pre.diff { "\n" (maud::PreEscaped(markup)) } }
        @if left_out > 0 { p.gone { (number::of(left_out, "more line")) } }
    }
}

#[cfg(test)]
mod tests {
    use agent::event::Digest;

    use super::*;

    fn node(path: &str, content: u8) -> Node {
        Node::File {
            path: path.into(),
            sha256: Digest([content; 32]),
            bytes: 1,
            executable: false,
        }
    }

    #[test]
    fn lists_are_compared_by_path() {
        let before = [node("a", 1), node("b", 1), node("d", 1)];
        let after = [node("b", 2), node("c", 1), node("d", 1)];
        let found: Vec<_> = compare(&before, &after)
            .iter()
            .map(|change| {
                let node = change.after.or(change.before).unwrap();
                let path = String::from_utf8(node.path().0.clone()).unwrap();
                (path, change.before.is_some(), change.after.is_some())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("a".to_owned(), true, false),
                ("b".to_owned(), true, true),
                ("c".to_owned(), false, true)
            ]
        );
    }

    #[test]
    fn hostile_lines_stay_text() {
        let mut lines = (0, 0);
        let markup = difference(b"a\n<b>\nc\n", b"a\n</pre><script>\xff\nc\n", &mut lines);
        assert_eq!(lines, (1, 1));
        assert_eq!(
            markup.into_string(),
            "<pre class=\"diff\">\n<span> a</span>\n<del>-&lt;b&gt;</del>\n\
             <ins>+&lt;/pre&gt;&lt;script&gt;<i class=u>\\xFF</i></ins>\n<span> c</span>\n</pre>"
        );
    }

    #[test]
    fn long_differences_are_bounded() {
        let (before, after) = ("a\n".repeat(3000), "b\n".repeat(3000));
        let mut lines = (0, 0);
        let markup = difference(before.as_bytes(), after.as_bytes(), &mut lines).into_string();
        assert!(markup.contains("3,000 lines became 3,000 lines"));
        let markup = difference(b"", after.as_bytes(), &mut lines).into_string();
        assert!(markup.contains("2,600 more lines"));
        assert_eq!(lines, (3000, 0));
    }
}
