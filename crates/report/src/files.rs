//! What a run left: the files of its workspace as it was last recorded.

use std::io::{self, Write};

use agent::event::Digest;
use maud::{Markup, html};
use run::{Node, Store, Tree};

use crate::content::blob;
use crate::fold;
use crate::number::{self, grouped};
use crate::survey::Survey;
use crate::visible::Visible;

/// Names that are listed.
const LISTED: usize = 2000;
/// Bytes that are shown of one file, and of all.
const MOST: u64 = 64 << 10;
const ALL: u64 = 4 << 20;

pub(crate) fn write(survey: &Survey, store: &Store, out: &mut dyn Write) -> io::Result<()> {
    let section = html! {
        section #files aria-labelledby="files-heading" {
            h2 #files-heading { "Final files" }
            @match survey.tree {
                None => p { "The workspace was never recorded, so nothing is known to be in it." },
                Some((seq, tree)) => @match Tree::load(store, tree) {
                    Ok(tree) => (list(&tree, seq, survey, store)),
                    Err(_) => p.warning { "The list of files, " code { (tree) } ", is not among what is stored with the run." },
                },
            }
        }
    };
    out.write_all(section.into_string().as_bytes())
}

fn list(tree: &Tree, seq: u64, survey: &Survey, store: &Store) -> Markup {
    let bytes = tree.nodes.iter().map(|node| match node {
        Node::File { bytes, .. } => *bytes,
        _ => 0,
    });
    let bytes = bytes.fold(0, u64::saturating_add);
    let mut room = ALL;
    html! {
        p {
            (number::of(tree.nodes.len() as u64, "file")) ", " (number::bytes(bytes)) ", as "
            a href=(format!("#e{seq}")) { @if survey.submitted == Some(seq) { "submitted" } @else { "last recorded" } }
            "."
        }
        div.files {
            @for node in tree.nodes.iter().take(LISTED) {
                @match node {
                    Node::File { path, sha256, bytes, executable } => {
                        details.file {
                            summary {
                                code { (Visible(&path.0)) }
                                span.meta { (number::bytes(*bytes)) @if *executable { ", executable" } }
                            }
                            (content(store, sha256, *bytes, &mut room))
                        }
                    },
                    Node::Link { path, to } => p.file { code { (Visible(&path.0)) } " → " code { (Visible(&to.0)) } },
                    Node::Directory { path } => p.file { code { (Visible(&path.0)) "/" } span.meta { "empty directory" } },
                    Node::Unreadable { path } => p.file { code { (Visible(&path.0)) } span.meta { "could not be read" } },
                }
            }
        }
        @if tree.nodes.len() > LISTED { p.gone { "and " (grouped((tree.nodes.len() - LISTED) as u64)) " more" } }
    }
}

/// What a file holds, as far as there is room.
fn content(store: &Store, sha256: &Digest, bytes: u64, room: &mut u64) -> Markup {
    let shown = blob(store, sha256, bytes, MOST.min(*room));
    if shown.missing.is_none() && (*room == 0 || !is_text(&shown.head)) {
        let what = if *room == 0 { "not shown" } else { "not text" };
        return html! { p.gone { (what) "; SHA-256 " code { (sha256) } } };
    }
    *room -= (shown.head.len() + shown.tail.len()) as u64;
    fold::text(&shown, "out")
}

/// Whether bytes are worth reading as text.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let odd = bytes
        .utf8_chunks()
        .filter(|chunk| !chunk.invalid().is_empty());
    !bytes.contains(&0) && odd.take(10).count() < 10
}
