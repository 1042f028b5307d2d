//! Text of unknown origin, so that a reader sees what is there and a browser does nothing with it.
//!
//! Besides what has a meaning in HTML, what cannot be seen is made visible: control characters, marks that turn the
//! direction of text, characters without width, and bytes that are not UTF-8. Marks stand in elements of their own, so
//! that nobody can print something that looks like one.

use maud::Render;

/// Bytes as markup: escaped, with everything invisible marked.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a [u8]);

impl Render for Visible<'_> {
    fn render_to(&self, buffer: &mut String) {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '<' => buffer.push_str("&lt;"),
                    '>' => buffer.push_str("&gt;"),
                    '&' => buffer.push_str("&amp;"),
                    '"' => buffer.push_str("&quot;"),
                    '\'' => buffer.push_str("&#39;"),
                    _ if is_hidden(letter) => mark(&sign(letter), buffer),
                    _ => buffer.push(letter),
                }
            }
            for byte in chunk.invalid() {
                mark(&format!("\\x{byte:02X}"), buffer);
            }
        }
    }
}

fn mark(sign: &str, buffer: &mut String) {
    buffer.push_str("<i class=u>");
    buffer.push_str(sign);
    buffer.push_str("</i>");
}

/// Bytes as text for an attribute or a title, where no element can stand. It is still to be escaped.
pub fn plain(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' | '\t' => text.push(' '),
                _ if is_hidden(letter) => text.push_str(&sign(letter)),
                _ => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// The first `most` characters of some bytes, on one line.
pub(crate) fn short(bytes: &[u8], most: usize) -> String {
    // Four bytes are enough for any character, and a little more tells whether anything is left out.
    let near = &bytes[..bytes.len().min(4 * most + 4)];
    let text = plain(near);
    let text = text.trim();
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None if near.len() < bytes.len() => format!("{text}…"),
        None => text.to_owned(),
    }
}

/// Whether a character is not seen, or makes others be seen differently.
fn is_hidden(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' => true,
        // U+200D joins the parts of an emoji, which is seen.
        '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => letter.is_control(),
    }
}

/// The names of the control characters, as ASCII gives them.
const NAMES: [&str; 32] = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "TAB", "LF", "VT", "FF", "CR",
    "SO", "SI", "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC",
    "FS", "GS", "RS", "US",
];

fn sign(letter: char) -> String {
    let code = u32::from(letter);
    match NAMES.get(code as usize) {
        Some(name) => (*name).to_owned(),
        None if code == 0x7f => "DEL".to_owned(),
        None => format!("U+{code:04X}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(bytes: &[u8]) -> String {
        Visible(bytes).render().into_string()
    }

    #[test]
    fn what_is_hostile_becomes_text() {
        for (bytes, markup) in [
            (&b"</script>"[..], "&lt;/script&gt;"),
            (b"<!--", "&lt;!--"),
            (b"\" onclick='x'", "&quot; onclick=&#39;x&#39;"),
            (b"a\0b", "a<i class=u>NUL</i>b"),
            (b"\x1b[31m", "<i class=u>ESC</i>[31m"),
            (b"a\r\n", "a<i class=u>CR</i>\n"),
            (b"\xff\xc3", "<i class=u>\\xFF</i><i class=u>\\xC3</i>"),
            ("\u{202e}x".as_bytes(), "<i class=u>U+202E</i>x"),
            ("\u{e0041}".as_bytes(), "<i class=u>U+E0041</i>"),
            ("\u{200b}".as_bytes(), "<i class=u>U+200B</i>"),
            ("žluťoučký 猫 👨‍👩‍👧".as_bytes(), "žluťoučký 猫 👨‍👩‍👧"),
        ] {
            assert_eq!(render(bytes), markup);
        }
    }

    #[test]
    fn a_short_text_says_that_it_is_not_all() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc…"),
            ("a\nb", 3, "a b"),
            ("éééé", 3, "ééé…"),
            ("ab                              c", 3, "ab…"),
        ] {
            assert_eq!(short(text.as_bytes(), most), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_but_marks_is_markup(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let markup = render(&bytes);
            let rest = markup.replace("<i class=u>", "").replace("</i>", "");
            prop_assert!(!rest.contains(['<', '>', '"', '\'']));
            prop_assert!(rest.chars().all(|letter| !is_hidden(letter)));
            prop_assert!(plain(&bytes).chars().all(|letter| !is_hidden(letter)));
        }

        #[test]
        fn text_can_be_read_back(text in "\\PC{0,60}") {
            prop_assume!(!text.chars().any(is_hidden));
            let back = render(text.as_bytes())
                .replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&");
            prop_assert_eq!(back, text);
        }
    }
}
