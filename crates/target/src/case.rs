//! Cases: what goes into a program, and what must come out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::bytes::{Bytes, Digest, Hasher};
use crate::fixtures::Fixtures;
use crate::json::{Json, Wrong};

/// What a program is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Arguments after the program's own name.
    pub argv: Vec<Bytes>,
    /// Standard input.
    pub stdin: Bytes,
    /// Files by path, relative to the working directory.
    pub files: BTreeMap<String, Bytes>,
    /// Environment beyond the target's own.
    pub env: BTreeMap<String, Bytes>,
    /// Paths of files to collect after the run. They are no input: two cases that differ only here are equal.
    pub outputs: Vec<String>,
}

impl Inputs {
    /// Digest over argv, stdin, files and environment. No two cases of a target share one.
    pub fn digest(&self) -> Digest {
        let mut hash = Hasher::default();
        hash.number(self.argv.len() as u64);
        for argument in &self.argv {
            hash.part(argument);
        }
        hash.part(&self.stdin);
        for map in [&self.files, &self.env] {
            hash.number(map.len() as u64);
            for (name, content) in map {
                hash.part(name.as_bytes()).part(content);
            }
        }
        hash.finish()
    }

    /// Why a system could not give these inputs to a program; the error names the key.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        for (index, argument) in self.argv.iter().enumerate() {
            no_nul(argument).map_err(|wrong| wrong.within(&format!("[{index}]")).within("argv"))?;
        }
        for (name, value) in &self.env {
            check_variable(name).map_err(|what| Wrong::new(what).within("env"))?;
            no_nul(value).map_err(|wrong| wrong.within(name).within("env"))?;
        }
        for path in self.files.keys() {
            check_path(path).map_err(|what| Wrong::new(what).within("files"))?;
            let mut parent = path.as_str();
            while let Some((above, _)) = parent.rsplit_once('/') {
                if self.files.contains_key(above) {
                    let what = format!("\"{above}\" is a file, so there can be no \"{path}\"");
                    return Err(Wrong::new(what).within("files"));
                }
                parent = above;
            }
        }
        for (index, path) in self.outputs.iter().enumerate() {
            check_path(path).map_err(|what| Wrong::new(what).within("outputs"))?;
            if self.outputs[..index].contains(path) {
                return Err(Wrong::new(format!("\"{path}\" comes twice")).within("outputs"));
            }
        }
        Ok(())
    }

    fn write(&self, map: &mut Map<String, Value>, fixtures: &Fixtures) {
        map.insert(
            "argv".to_owned(),
            self.argv
                .iter()
                .map(|argument| argument.to_json(fixtures))
                .collect(),
        );
        if !self.stdin.is_empty() {
            map.insert("stdin".to_owned(), self.stdin.to_json(fixtures));
        }
        for (key, entries) in [("files", &self.files), ("env", &self.env)] {
            if !entries.is_empty() {
                map.insert(key.to_owned(), contents(entries, fixtures));
            }
        }
        if !self.outputs.is_empty() {
            map.insert(
                "outputs".to_owned(),
                self.outputs.iter().map(String::as_str).collect(),
            );
        }
    }
}

fn no_nul(bytes: &[u8]) -> Result<(), Wrong> {
    if bytes.contains(&0) {
        Err(Wrong::new("a NUL byte cannot be passed to a program"))
    } else {
        Ok(())
    }
}

/// Why a name cannot be that of an environment variable.
pub(crate) fn check_variable(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!(
            "\"{}\" cannot name an environment variable",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// Longest part of a path that file systems take, in bytes.
const LONGEST_PART: usize = 255;

/// Why a path does not name a place below the working directory in the one way there is to write it.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    let shown = path.escape_debug();
    if path.is_empty() {
        return Err("a path must not be empty".to_owned());
    }
    if path.starts_with('/') {
        return Err(format!(
            "path \"{shown}\" is absolute; it must be relative to the working directory"
        ));
    }
    for part in path.split('/') {
        match part {
            ".." => return Err(format!("path \"{shown}\" has a \"..\"")),
            "" | "." => return Err(format!("path \"{shown}\" has an empty or \".\" part")),
            _ if part.len() > LONGEST_PART || part.contains('\0') => {
                return Err(format!(
                    "path \"{shown}\" has a part that no file can have as its name"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn contents(entries: &BTreeMap<String, Bytes>, fixtures: &Fixtures) -> Value {
    entries
        .iter()
        .map(|(name, content)| (name.clone(), content.to_json(fixtures)))
        .collect()
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// It exited with this status, 0 to 255.
    Exit(i32),
    /// This signal killed it, 1 to 64.
    Signal(i32),
}

/// What must come out, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// How the program ends.
    pub ending: Ending,
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
    /// Of the case's `outputs`, those that exist afterwards.
    pub files: BTreeMap<String, Bytes>,
}

impl Expect {
    fn to_json(&self, fixtures: &Fixtures) -> Value {
        let mut map = Map::new();
        let (key, number) = match self.ending {
            Ending::Exit(status) => ("exit", status),
            Ending::Signal(signal) => ("signal", signal),
        };
        map.insert(key.to_owned(), number.into());
        map.insert("stdout".to_owned(), self.stdout.to_json(fixtures));
        map.insert("stderr".to_owned(), self.stderr.to_json(fixtures));
        map.insert("files".to_owned(), contents(&self.files, fixtures));
        Value::Object(map)
    }

    fn from_json(json: Json, fixtures: &Fixtures) -> Result<Self, Wrong> {
        let (mut exit, mut signal, mut stdout, mut stderr, mut files) =
            (None, None, None, None, None);
        for (key, value) in json.object()? {
            match key.as_str() {
                "exit" => value
                    .integer(0, 255)
                    .map(|status| exit = Some(Ending::Exit(status as i32))),
                "signal" => value
                    .integer(1, 64)
                    .map(|number| signal = Some(Ending::Signal(number as i32))),
                "stdout" => Bytes::from_json(value, fixtures).map(|bytes| stdout = Some(bytes)),
                "stderr" => Bytes::from_json(value, fixtures).map(|bytes| stderr = Some(bytes)),
                "files" => read_contents(value, fixtures).map(|found| files = Some(found)),
                _ => {
                    return Err(unknown(
                        &key,
                        &["exit", "signal", "stdout", "stderr", "files"],
                    ));
                }
            }
            .map_err(|wrong| wrong.within(&key))?;
        }
        let ending = match (exit, signal) {
            (Some(ending), None) | (None, Some(ending)) => ending,
            (Some(_), Some(_)) => {
                return Err(Wrong::new(
                    "has both \"exit\" and \"signal\"; a program ends once",
                ));
            }
            (None, None) => return Err(Wrong::new("has neither \"exit\" nor \"signal\"")),
        };
        let files = files.unwrap_or_default();
        for path in files.keys() {
            check_path(path).map_err(|what| Wrong::new(what).within("files"))?;
        }
        Ok(Expect {
            ending,
            stdout: stdout.ok_or_else(|| missing("stdout"))?,
            stderr: stderr.ok_or_else(|| missing("stderr"))?,
            files,
        })
    }
}

fn unknown(key: &str, known: &[&str]) -> Wrong {
    let near = crate::near::did_you_mean(key, known.iter().copied());
    Wrong::new(format!("unknown key \"{}\"{near}", key.escape_debug()))
}

fn missing(key: &str) -> Wrong {
    Wrong::new(format!("missing key \"{key}\""))
}

fn read_contents(json: Json, fixtures: &Fixtures) -> Result<BTreeMap<String, Bytes>, Wrong> {
    json.object()?
        .into_iter()
        .map(|(name, value)| match Bytes::from_json(value, fixtures) {
            Ok(bytes) => Ok((name, bytes)),
            Err(wrong) => Err(wrong.within(&name)),
        })
        .collect()
}

/// A case drawn from a family, before the reference has said what must come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// `<target>/<family>/<number>`.
    pub id: String,
    /// The family it was drawn from.
    pub family: String,
    /// Which of the family's templates, counted from 0; absent for cases from elsewhere.
    pub template: Option<u32>,
    /// What goes in.
    pub inputs: Inputs,
}

impl Drawn {
    /// The case, now that it is known what must come out.
    pub fn expecting(self, expect: Expect) -> Case {
        let Drawn {
            id,
            family,
            template,
            inputs,
        } = self;
        Case {
            id,
            family,
            template,
            inputs,
            expect,
        }
    }

    /// As JSON, without `expect`.
    pub fn to_json(&self, fixtures: &Fixtures) -> Value {
        Value::Object(head(
            &self.id,
            &self.family,
            self.template,
            &self.inputs,
            fixtures,
        ))
    }
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `<target>/<family>/<number>`.
    pub id: String,
    /// The family it was drawn from.
    pub family: String,
    /// Which of the family's templates, counted from 0; absent for cases from elsewhere.
    pub template: Option<u32>,
    /// What goes in.
    pub inputs: Inputs,
    /// What must come out.
    pub expect: Expect,
}

impl Case {
    /// The number at the end of the id.
    pub fn number(&self) -> Option<u64> {
        self.id
            .rsplit_once('/')
            .and_then(|(_, number)| number.parse().ok())
    }

    /// As JSON. With [`Fixtures::none`] every byte string is written out, so the line stands for itself.
    pub fn to_json(&self, fixtures: &Fixtures) -> Value {
        let mut map = head(
            &self.id,
            &self.family,
            self.template,
            &self.inputs,
            fixtures,
        );
        map.insert("expect".to_owned(), self.expect.to_json(fixtures));
        Value::Object(map)
    }

    pub(crate) fn from_json(json: Json, fixtures: &Fixtures) -> Result<Self, Wrong> {
        const KNOWN: [&str; 9] = [
            "id", "family", "template", "argv", "stdin", "files", "env", "outputs", "expect",
        ];
        let (mut id, mut family, mut template, mut argv, mut expect) =
            (None, None, None, None, None);
        let mut inputs = Inputs::default();
        for (key, value) in json.object()? {
            match key.as_str() {
                "id" => value.words().map(|text| id = Some(text)),
                "family" => value.words().map(|text| family = Some(text)),
                "template" => value
                    .integer(0, i64::from(u32::MAX))
                    .map(|index| template = Some(index as u32)),
                "argv" => value
                    .each(|item| Bytes::from_json(item, fixtures))
                    .map(|items| argv = Some(items)),
                "stdin" => Bytes::from_json(value, fixtures).map(|bytes| inputs.stdin = bytes),
                "files" => read_contents(value, fixtures).map(|files| inputs.files = files),
                "env" => read_contents(value, fixtures).map(|env| inputs.env = env),
                "outputs" => value
                    .each(Json::string)
                    .map(|outputs| inputs.outputs = outputs),
                "expect" => Expect::from_json(value, fixtures).map(|found| expect = Some(found)),
                _ => return Err(unknown(&key, &KNOWN)),
            }
            .map_err(|wrong| wrong.within(&key))?;
        }
        inputs.argv = argv.ok_or_else(|| missing("argv"))?;
        inputs.check()?;
        let id = id.ok_or_else(|| missing("id"))?;
        let family = family.ok_or_else(|| missing("family"))?;
        check_id(&id, &family)?;
        let expect = expect.ok_or_else(|| missing("expect"))?;
        if let Some(path) = expect
            .files
            .keys()
            .find(|path| !inputs.outputs.contains(path))
        {
            return Err(
                Wrong::new(format!("\"{path}\" is not among the case's \"outputs\""))
                    .within("expect.files"),
            );
        }
        Ok(Case {
            id,
            family,
            template,
            inputs,
            expect,
        })
    }
}

fn head(
    id: &str,
    family: &str,
    template: Option<u32>,
    inputs: &Inputs,
    fixtures: &Fixtures,
) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("id".to_owned(), id.into());
    map.insert("family".to_owned(), family.into());
    if let Some(template) = template {
        map.insert("template".to_owned(), template.into());
    }
    inputs.write(&mut map, fixtures);
    map
}

fn check_id(id: &str, family: &str) -> Result<(), Wrong> {
    let parts: Vec<_> = id.split('/').collect();
    match parts[..] {
        [target, of, number]
            if !target.is_empty()
                && of == family
                && (3..=9).contains(&number.len())
                && number.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            Ok(())
        }
        _ => Err(Wrong::new(format!(
            "\"{}\" must be <target>/{}/<number of three digits or more>",
            id.escape_debug(),
            family.escape_debug()
        ))
        .within("id")),
    }
}
