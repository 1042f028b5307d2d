//! What the go command could bring in besides the submission's own Go.

/// What breaks the rule of the standard library in a file of this path.
pub(super) fn check(path: &str, bytes: &[u8]) -> Option<String> {
    match path.rsplit('/').next().unwrap_or_default() {
        "go.work" => Some("workspaces of Go cannot be submitted".to_owned()),
        "go.mod" => module(bytes).err(),
        _ => None,
    }
}

/// Allows the module's name and the version of the language, and empty blocks of anything else.
fn module(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "go.mod is not valid UTF-8".to_owned())?;
    let mut block: Option<&str> = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let directive = match block {
            Some(_) if first == ")" => {
                block = None;
                continue;
            }
            Some(directive) => directive,
            None => {
                // `require(` and `require (` are one.
                let (directive, rest) = first.split_once('(').unwrap_or((first, ""));
                let opens = first.contains('(') || words.clone().next() == Some("(");
                if opens && rest.is_empty() && !line.ends_with(')') {
                    block = Some(directive);
                    continue;
                }
                directive
            }
        };
        // `require ()` asks for nothing.
        let empty: String = line.split_whitespace().collect();
        if empty == format!("{directive}()") {
            continue;
        }
        if !matches!(directive, "module" | "go") {
            return Err(format!(
                "\"{directive}\" must not stand in go.mod: only the standard library may be used"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::module;

    #[test]
    fn only_name_and_version_stand_in_a_module() {
        for (text, refused) in [
            ("module program\n\ngo 1.24\n", None),
            (
                "module program // x\ngo 1.24\nrequire ()\nrequire (\n// x\n)\n",
                None,
            ),
            ("module (\n\tprogram\n)\n", None),
            (
                "module program\nrequire example.org/x v1.0.0\n",
                Some("require"),
            ),
            (
                "module program\nrequire (\n\texample.org/x v1.0.0\n)\n",
                Some("require"),
            ),
            (
                "module program\nrequire(\n\texample.org/x v1.0.0\n)\n",
                Some("require"),
            ),
            ("replace example.org/x => ../x\n", Some("replace")),
            ("toolchain go1.30\n", Some("toolchain")),
            ("tool example.org/x\n", Some("tool")),
        ] {
            let found = module(text.as_bytes()).err();
            let expected = refused.map(|word| {
                format!(
                    "\"{word}\" must not stand in go.mod: only the standard library may be used"
                )
            });
            assert_eq!(found, expected, "{text:?}");
        }
        assert!(module(b"module \xff").is_err());
    }
}
