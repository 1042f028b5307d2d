//! Long texts: the beginning and the end are seen at once, what is between on demand.

use maud::{Markup, html};

use crate::content::Excerpt;
use crate::number;
use crate::visible::Visible;

/// Lines and bytes up to which a text is shown whole.
const WHOLE: (usize, usize) = (24, 2400);
/// Lines and bytes of the beginning of a longer one.
const HEAD: (usize, usize) = (10, 1000);
/// Lines and bytes of its end.
const TAIL: (usize, usize) = (6, 600);

/// A text that keeps its lines.
pub(crate) fn text(excerpt: &Excerpt, class: &str) -> Markup {
    if let Some(why) = &excerpt.missing {
        return html! {
            p.gone { (number::bytes(excerpt.bytes)) ", " (why) "; " (hash(excerpt)) }
        };
    }
    let whole = excerpt.left_out == 0;
    let lines = lines(&excerpt.head) + lines(&excerpt.tail);
    let length = excerpt.head.len() + excerpt.tail.len();
    if whole && lines <= WHOLE.0 && length <= WHOLE.1 {
        return pre(&excerpt.head, class);
    }
    let (first, middle) = excerpt.head.split_at(start(&excerpt.head, HEAD));
    let from = if whole { middle } else { &excerpt.tail };
    let (before, last) = from.split_at(from.len() - end(from, TAIL));
    let (middle, rest) = if whole {
        (before, &[][..])
    } else {
        (middle, before)
    };
    let shown = (middle.len() + rest.len()) as u64;
    html! {
        div.cut {
            (pre(first, class))
            @if shown > 0 {
                details.more {
                    summary {
                        "show " (number::of((self::lines(middle) + self::lines(rest)) as u64, "more line"))
                        ", " (number::bytes(shown))
                    }
                    (pre(middle, class))
                    @if !whole {
                        (left_out(excerpt))
                        (pre(rest, class))
                    }
                }
            }
            @if !whole && shown == 0 { (left_out(excerpt)) }
            @if !last.is_empty() { (pre(last, class)) }
            @if !whole && shown > 0 {
                p.gone { "of " (number::bytes(excerpt.bytes)) ", " (number::bytes(excerpt.left_out)) " are left out" }
            }
        }
    }
}

fn left_out(excerpt: &Excerpt) -> Markup {
    html! {
        p.gone {
            (number::bytes(excerpt.left_out)) " left out here, of " (number::bytes(excerpt.bytes)) "; " (hash(excerpt))
        }
    }
}

/// How the whole can be found.
fn hash(excerpt: &Excerpt) -> Markup {
    html! {
        @match &excerpt.sha256 {
            Some(sha256) => { "SHA-256 " code { (sha256) } }
            None => "the whole stands in the journal",
        }
    }
}

fn pre(bytes: &[u8], class: &str) -> Markup {
    html! {
        @if !bytes.is_empty() {
            // A browser takes the first line end after the tag for none of the text's.
            pre class=(class) { "\n" (Visible(bytes)) }
        }
    }
}

fn lines(bytes: &[u8]) -> usize {
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    ends + usize::from(!bytes.is_empty() && !bytes.ends_with(b"\n"))
}

/// Length of the first lines.
fn start(bytes: &[u8], (lines, most): (usize, usize)) -> usize {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = ends
        .take(lines)
        .last()
        .filter(|_| self::lines(bytes) > lines);
    let end = end.map_or(bytes.len(), |(at, _)| at + 1);
    boundary(bytes, end.min(most))
}

/// Length of the last lines.
fn end(bytes: &[u8], (lines, most): (usize, usize)) -> usize {
    let inner = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let ends = inner
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    let begin = ends.take(lines).last();
    let begin = begin
        .filter(|_| self::lines(bytes) > lines)
        .map_or(0, |(at, _)| at + 1);
    bytes.len() - boundary(bytes, begin.max(bytes.len().saturating_sub(most)))
}

/// The place at or shortly before `at` where no character is cut.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let inner = |place: &usize| bytes.get(*place).is_some_and(|byte| byte & 0xc0 == 0x80);
    let back = (at.saturating_sub(3)..=at)
        .rev()
        .find(|place| !inner(place));
    back.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use agent::event::Content;
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Excerpt {
        Excerpt {
            head: bytes.to_vec(),
            tail: Vec::new(),
            bytes: bytes.len() as u64,
            left_out: 0,
            sha256: None,
            missing: None,
        }
    }

    /// The text that stands in a page's `pre` elements.
    fn read(markup: &str) -> String {
        let mut text = String::new();
        for part in markup.split("<pre class=\"out\">\n").skip(1) {
            text.push_str(part.split("</pre>").next().unwrap());
        }
        text.replace("&lt;", "<").replace("&amp;", "&")
    }

    #[test]
    fn a_short_text_is_not_folded() {
        let markup = text(&whole(b"a\nb\n"), "out").into_string();
        assert_eq!(markup, "<pre class=\"out\">\na\nb\n</pre>");
        let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let markup = text(&whole(long.as_bytes()), "out").into_string();
        assert!(markup.contains("show 84 more lines"), "{markup}");
        assert_eq!(read(&markup), long);
    }

    #[test]
    fn what_is_left_out_is_named() {
        let store = run::Store::open(std::path::Path::new("none"), run::Known::nothing());
        let long = Content::Inline("0123456789\n".repeat(300));
        let excerpt = crate::content::excerpt(&store, &long, 2000);
        let markup = text(&excerpt, "out").into_string();
        assert!(
            markup.contains("1.3 kB left out here, of 3.3 kB"),
            "{markup}"
        );
        let blob = Content::Blob {
            sha256: agent::event::Digest([7; 32]),
            bytes: 5000,
        };
        let markup = text(&crate::content::excerpt(&store, &blob, 100), "out").into_string();
        assert!(
            markup.contains("5.0 kB, not stored with the run"),
            "{markup}"
        );
        assert!(markup.contains(&"07".repeat(32)), "{markup}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(text in "[a-zé\n]{0,4000}") {
            let markup = super::text(&whole(text.as_bytes()), "out").into_string();
            prop_assert_eq!(read(&markup), text);
        }
    }
}
