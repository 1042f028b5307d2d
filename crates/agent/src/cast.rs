//! A terminal's recording, in asciicast version 2: what was shown, when, and how large the window was.
//!
//! A line is a JSON array of seconds since the beginning, a letter and a text: `o` for what was shown, `r` for another size
//! of the window, `m` for a mark. Each is written at once, so that a recording that was cut off can be played up to there.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

/// Most bytes of a recording. What is shown after that is not recorded.
const LONGEST: u64 = 256 << 20;

/// A recording under way.
pub struct Cast {
    file: File,
    begun: Instant,
    size: (u16, u16),
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
    written: u64,
}

impl Cast {
    /// Begins a recording in a new file. `size` is columns and rows.
    ///
    /// # Errors
    /// When the file cannot be made, also because it is there already.
    pub fn create(path: &Path, size: (u16, u16), title: &str) -> io::Result<Self> {
        let mut cast = Cast {
            file: File::create_new(path)?,
            begun: Instant::now(),
            size,
            rest: Vec::new(),
            written: 0,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut header = json!({
            "version": 2,
            "width": size.0,
            "height": size.1,
            "timestamp": now.as_secs(),
            "title": title,
        });
        if let Ok(kind) = std::env::var("TERM") {
            header["env"] = json!({ "TERM": kind });
        }
        cast.line(&header)?;
        Ok(cast)
    }

    fn line(&mut self, value: &serde_json::Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.written += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }

    fn event(&mut self, kind: &str, text: &str) -> io::Result<()> {
        if self.written >= LONGEST {
            return Ok(());
        }
        // In microseconds, as asciinema itself writes them.
        let seconds = self.begun.elapsed().as_micros() as f64 / 1e6;
        self.line(&json!([seconds, kind, text]))
    }

    /// Something was shown.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn shown(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let whole = whole(&self.rest);
        if whole == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.rest[..whole]).into_owned();
        self.rest.drain(..whole);
        self.event("o", &text)
    }

    /// Something happened that the recording should be stepped to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark(&mut self, text: &str) -> io::Result<()> {
        self.event("m", text)
    }

    /// The window is so large, in columns and rows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn size(&mut self, size: (u16, u16)) -> io::Result<()> {
        if size == self.size {
            return Ok(());
        }
        self.size = size;
        self.event("r", &format!("{}x{}", size.0, size.1))
    }
}

/// How many of the bytes are whole characters, or will never become one.
fn whole(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(4);
    for at in (last..bytes.len()).rev() {
        let length = match bytes[at] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if at + length > bytes.len() {
            at
        } else {
            bytes.len()
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_lines_of_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let mut cast = Cast::create(&path, (80, 24), "a task").unwrap();
        assert!(Cast::create(&path, (80, 24), "").is_err());
        let text = "a\x1b[1mä😀\r\n".as_bytes();
        for byte in text {
            cast.shown(&[*byte]).unwrap();
        }
        cast.shown(b"\xff\xfe").unwrap();
        cast.size((80, 24)).unwrap();
        cast.size((100, 30)).unwrap();
        cast.mark("pause").unwrap();
        let read = std::fs::read_to_string(&path).unwrap();
        let mut lines = read
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let header = lines.next().unwrap();
        assert_eq!(
            (&header["version"], &header["width"]),
            (&json!(2), &json!(80))
        );
        let events: Vec<_> = lines.collect();
        let shown: String = events
            .iter()
            .filter(|event| event[1] == "o")
            .map(|event| event[2].as_str().unwrap())
            .collect();
        assert_eq!(shown, "a\x1b[1mä😀\r\n\u{fffd}\u{fffd}");
        assert_eq!(events[events.len() - 2][2], "100x30");
        assert_eq!(events[events.len() - 1][1], "m");
        let times: Vec<f64> = events
            .iter()
            .map(|event| event[0].as_f64().unwrap())
            .collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn a_character_waits_for_its_end() {
        assert_eq!(whole(b""), 0);
        assert_eq!(whole("ä".as_bytes()), 2);
        assert_eq!(whole(&"a😀".as_bytes()[..4]), 1);
        assert_eq!(whole(b"\x80\x80\x80\x80\x80"), 5);
        assert_eq!(whole(b"a\xff"), 2);
    }
}
