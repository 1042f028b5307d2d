//! JSON values as YAML that people read: every text is quoted, so nothing is taken for a number or a date.

use serde_json::Value;

/// A document.
pub(crate) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (number, (key, value)) in map.iter().enumerate() {
                // The first key stands behind the dash of its list.
                if number > 0 || out.is_empty() || out.ends_with('\n') {
                    out.push_str(&"  ".repeat(depth));
                }
                out.push_str(&word(key));
                out.push(':');
                below(value, depth, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                out.push_str(&"  ".repeat(depth));
                out.push_str("- ");
                match value {
                    Value::Object(map) if !map.is_empty() => block(value, depth + 1, out),
                    value => scalar(value, out),
                }
            }
        }
        value => scalar(value, out),
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(value, depth + 1, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            block(value, depth + 1, out);
        }
        Value::String(text) if text.ends_with('\n') && is_plain(text) => {
            out.push_str(" |\n");
            for line in text.lines() {
                out.push_str(&"  ".repeat(depth + 1));
                out.push_str(line);
                out.push('\n');
            }
        }
        value => {
            out.push(' ');
            scalar(value, out);
        }
    }
}

/// Whether a text of several lines can stand as it is.
fn is_plain(text: &str) -> bool {
    let good = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(' ');
    text.lines().all(good) && !text.chars().any(|c| c.is_control() && c != '\n')
}

fn scalar(value: &Value, out: &mut String) {
    // JSON is YAML.
    out.push_str(&value.to_string());
    out.push('\n');
}

fn word(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let is_letter = |c: char| c.is_ascii_alphabetic();
    match key.starts_with(is_letter) && key.chars().all(plain) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_people_write_them() {
        let value = json!({
            "name": "no", "empty": {}, "none": [], "number": 3, "yes": true, "1": "a\"b",
            "script": "a\nb: c\n", "odd": "a\n\n b",
            "list": [{ "a": 1, "b": { "c": ["x", "y"] } }, "plain"],
        });
        let expected = r#"name: "no"
empty: {}
none: []
number: 3
yes: true
"1": "a\"b"
script: |
  a
  b: c
odd: "a\n\n b"
list:
  - a: 1
    b:
      c:
        - "x"
        - "y"
  - "plain"
"#;
        assert_eq!(write(&value), expected);
    }
}
