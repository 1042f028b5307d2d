//! The program to be rebuilt as a tool: one call of it, with its status and both of its outputs apart.

use std::collections::BTreeMap;

use model::Tool;
use serde::Deserialize;

use super::workbench::{self, quote};

/// Name of the tool.
pub(super) const NAME: &str = "oracle";
/// Longest script that a shell is given, in bytes: the system takes 128 KiB as one argument.
const LONGEST: usize = 100_000;
/// Says of a file how long it is, shows it, and says whether its last line ends.
const SHOW: &str = "\
show() {
  printf '[%s, %s bytes]\\n' \"$1\" \"$(wc -c <\"$2\")\"
  cat -- \"$2\"
  { if [ -s \"$2\" ] && [ -n \"$(tail -c 1 -- \"$2\")\" ]; then printf '\\n[its last line has no end]\\n'; fi; } 2>/dev/null
}
";

/// A call of the program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    #[serde(default)]
    arguments: Vec<String>,
    stdin: Option<String>,
    stdin_base64: Option<String>,
    directory: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

pub(super) fn tool(command: &str) -> Tool {
    workbench::tool(
        NAME,
        &format!(
            "Run the program that is to be rebuilt, `{command}`, once, and see its exit status, its standard error and its \
             standard output apart, with their lengths. It sees the files in /workspace, /task and /tmp. What is not text is \
             shown with replacement characters; the bytes are in /tmp/.oracle/out and /tmp/.oracle/err until the next call. \
             In `bash`, `{command}` is the same program."
        ),
        r#"{"type":"object","properties":{"arguments":{"type":"array","items":{"type":"string"},"description":"Its arguments, each as it is: no shell reads them."},"stdin":{"type":"string","description":"Its standard input; empty if missing."},"stdin_base64":{"type":"string","description":"The same for bytes that are not text, in base64."},"directory":{"type":"string","description":"Where it starts; /workspace if missing."},"environment":{"type":"object","additionalProperties":{"type":"string"},"description":"Variables that are set for it, such as LC_ALL."}}}"#,
    )
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

impl Ask {
    /// What a shell is told to run, or what is wrong with the call.
    pub(super) fn script(&self, command: &str) -> Result<String, String> {
        let input = match (&self.stdin, &self.stdin_base64) {
            (Some(_), Some(_)) => {
                return Err("give `stdin` or `stdin_base64`, not both".to_owned());
            }
            (Some(text), None) if text.contains('\0') => {
                return Err(
                    "`stdin` cannot contain a zero byte: give the input as `stdin_base64`"
                        .to_owned(),
                );
            }
            (Some(text), None) => format!("printf %s {} | ", quote(text)),
            (None, Some(text)) if !is_base64(text) => {
                return Err(
                    "`stdin_base64` is not base64 (A-Z, a-z, 0-9, + and /, filled up with =)"
                        .to_owned(),
                );
            }
            (None, Some(text)) => format!("printf %s {} | base64 -d | ", quote(text)),
            (None, None) => "</dev/null ".to_owned(),
        };
        let directory = self.directory.as_deref().unwrap_or(crate::WORKSPACE);
        let words = self.arguments.iter().map(String::as_str);
        if words
            .chain(self.environment.values().map(String::as_str))
            .chain([directory])
            .any(|word| word.contains('\0'))
        {
            return Err(
                "arguments, variables and directories cannot contain a zero byte".to_owned(),
            );
        }
        let mut script = format!("(\n{SHOW}cd -- {} || exit\n", quote(directory));
        for (name, value) in &self.environment {
            if !is_name(name) {
                return Err(format!("`{name}` is no name of a variable"));
            }
            script += &format!("export {name}={}\n", quote(value));
        }
        let words: Vec<String> = self.arguments.iter().map(|word| quote(word)).collect();
        script += &format!(
            "mkdir -p /tmp/.oracle || exit\n\
             {input}{} >/tmp/.oracle/out 2>/tmp/.oracle/err\n\
             printf '[exit status %s]\\n' $?\n\
             show 'standard error' /tmp/.oracle/err\n\
             show 'standard output' /tmp/.oracle/out\n)",
            [vec![quote(command)], words].concat().join(" ")
        );
        if script.len() > LONGEST {
            return Err(format!(
                "arguments and input are too long, {} of at most {LONGEST} bytes: write the input to a file and use `bash`",
                script.len()
            ));
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(arguments: &str) -> Result<String, String> {
        serde_json::from_str::<Ask>(arguments)
            .map_err(|error| error.to_string())?
            .script("prog")
    }

    #[test]
    fn a_call_is_a_script() {
        let plain = script("{}").unwrap();
        assert!(
            plain.contains("\n</dev/null 'prog' >/tmp/.oracle/out"),
            "{plain}"
        );
        let full = script(
            r#"{"arguments":["-x","it's"],"stdin":"a\n","directory":"/tmp/d","environment":{"LC_ALL":"C"}}"#,
        )
        .unwrap();
        assert!(
            full.contains("cd -- '/tmp/d' || exit\nexport LC_ALL='C'\n"),
            "{full}"
        );
        assert!(
            full.contains("printf %s 'a\n' | 'prog' '-x' 'it'\\''s' >"),
            "{full}"
        );
        assert!(
            script(r#"{"stdin_base64":"AAE="}"#)
                .unwrap()
                .contains("| base64 -d | 'prog'")
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (arguments, says) in [
            (r#"{"stdin":"","stdin_base64":""}"#, "not both"),
            (r#"{"stdin":"\u0000"}"#, "stdin_base64"),
            (r#"{"stdin_base64":"a"}"#, "not base64"),
            (r#"{"stdin_base64":"a;b="}"#, "not base64"),
            (r#"{"arguments":["\u0000"]}"#, "zero byte"),
            (r#"{"environment":{"A B":"x"}}"#, "no name"),
            (r#"{"args":[]}"#, "unknown field"),
            (r#"{"arguments":"x"}"#, "expected a sequence"),
        ] {
            let error = script(arguments).unwrap_err();
            assert!(error.contains(says), "{arguments}: {error}");
        }
        let long = format!(r#"{{"stdin":"{}"}}"#, "x".repeat(LONGEST));
        assert!(script(&long).unwrap_err().contains("too long"));
    }
}
