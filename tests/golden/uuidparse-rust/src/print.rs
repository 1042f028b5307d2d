//! Tables, raw lines and JSON.

use crate::uuid::Row;

/// Name of each column, and the width that it gets when its data are narrower.
pub const COLUMNS: [(&str, usize); 4] = [("UUID", 37), ("VARIANT", 9), ("TYPE", 10), ("TIME", 31)];

fn json_string(cell: &Option<Vec<u8>>, out: &mut Vec<u8>) {
    let Some(cell) = cell else {
        return out.extend_from_slice(b"null");
    };
    out.push(b'"');
    for &byte in cell {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            0..32 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

pub fn json(rows: &[Row], columns: &[usize]) -> Vec<u8> {
    let mut out = b"{\n   \"uuids\": [\n".to_vec();
    for (index, row) in rows.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"      {\n" } else { b",{\n" });
        for (at, &column) in columns.iter().enumerate() {
            out.extend_from_slice(format!("         \"{}\": ", COLUMNS[column].0.to_lowercase()).as_bytes());
            json_string(&row[column], &mut out);
            out.extend_from_slice(if at + 1 < columns.len() { b",\n" } else { b"\n" });
        }
        out.extend_from_slice(b"      }");
    }
    out.extend_from_slice(b"\n   ]\n}\n");
    out
}

fn escaped(cell: &[u8], raw: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.len());
    for (at, &byte) in cell.iter().enumerate() {
        let backslash = byte == b'\\' && (raw || cell.get(at + 1) == Some(&b'x'));
        if !(32..127).contains(&byte) || backslash || raw && byte == b' ' {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

pub fn lines(rows: &[Row], columns: &[usize], headings: bool, raw: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if rows.is_empty() {
        return out;
    }
    let mut lines: Vec<Vec<Vec<u8>>> = rows
        .iter()
        .map(|row| columns.iter().map(|&column| escaped(row[column].as_deref().unwrap_or(b""), raw)).collect())
        .collect();
    let mut widths = Vec::new();
    for (at, &column) in columns.iter().enumerate() {
        let heading = if headings { COLUMNS[column].0.len() } else { 0 };
        let widest = lines.iter().map(|line| line[at].len()).max().unwrap_or(0);
        widths.push(if raw || at + 1 == columns.len() {
            0
        } else if widest == 0 || widest < heading {
            heading
        } else {
            widest.max(COLUMNS[column].1)
        });
    }
    if headings {
        lines.insert(0, columns.iter().map(|&column| COLUMNS[column].0.as_bytes().to_vec()).collect());
    }
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(cell);
            out.resize(out.len() + widths[at].saturating_sub(cell.len()), b' ');
        }
        out.push(b'\n');
    }
    out
}
