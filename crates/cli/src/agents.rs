//! Other people's agents as data: `agents/*.toml`, those that come with the program and those of the user.

use std::collections::BTreeMap;
use std::path::Path;

use image::Installed;
use model::{Dialect, Name};
use serde::Deserialize;

use crate::context::Context;
use crate::exit::Failure;
use crate::terminal::Progress;
use crate::{images, terminal};

/// Agents that come with the program.
const BUILT_IN: [(&str, &str); 5] = [
    (
        "claude-code",
        include_str!("../../../agents/claude-code.toml"),
    ),
    ("codex", include_str!("../../../agents/codex.toml")),
    (
        "gemini-cli",
        include_str!("../../../agents/gemini-cli.toml"),
    ),
    ("generic", include_str!("../../../agents/generic.toml")),
    (
        "mini-swe-agent",
        include_str!("../../../agents/mini-swe-agent.toml"),
    ),
];

/// How another agent is had, started, and what it leaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AgentFile {
    /// In one line.
    pub(crate) about: String,
    /// Its version, for the record.
    pub(crate) version: String,
    /// Dialects that it speaks, one of which the model's provider must speak.
    pub(crate) speaks: Vec<Dialect>,
    /// Debian packages beside the language's own.
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// What it is installed from; nothing for a command that is there already.
    pub(crate) install: Option<InstallTable>,
    pub(crate) start: StartTable,
    /// Environment; `{gateway}`, `{key}` and `{model}` are filled in.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Files below its home directory; filled in likewise.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Names of other models that stand for the pinned one; a `*` at the end stands for any ending.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
}

/// Packages of registries, each in one exact version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstallTable {
    #[serde(default)]
    npm: Vec<String>,
    #[serde(default)]
    pip: Vec<String>,
}

/// Scripts for a shell that has `$prompt`, `$model`, `$provider`, `$gateway` and `$key`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartTable {
    /// Begins.
    script: String,
    /// Goes on with what was begun.
    again: Option<String>,
    /// Where it keeps its session, below its home directory.
    #[serde(default)]
    sessions: Vec<String>,
}

/// The agents that come with the program, one a line.
fn listed() -> String {
    let line = |(name, text): &(&str, &str)| {
        let about = toml::from_str::<AgentFile>(text).map_or(String::new(), |file| file.about);
        format!("\n  {name}: {about}")
    };
    BUILT_IN.iter().map(line).collect()
}

/// Reads an agent by its name, or from a file.
pub(crate) fn read(name: &str) -> Result<AgentFile, Failure> {
    let text = match BUILT_IN.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None if name.ends_with(".toml") => {
            let path = Path::new(name);
            std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?
        }
        None => {
            return Err(Failure::usage(format!(
                "there is no agent {name}: give a file that ends in .toml, or one of these{}",
                listed()
            )));
        }
    };
    let wrong = |what: String| Failure::usage(format!("the agent {name}: {what}"));
    let file: AgentFile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let plain = |path: &String| {
        !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    let paths = file.files.keys().chain(&file.start.sessions);
    if let Some(path) = paths.into_iter().find(|path| !plain(path)) {
        return Err(wrong(format!(
            "{path:?} is no path below the home directory"
        )));
    }
    Ok(file)
}

/// The name with what is relative in it made absolute.
pub(crate) fn absolute(name: &str) -> Result<String, Failure> {
    if !name.ends_with(".toml") {
        return Ok(name.to_owned());
    }
    let path = Path::new(name);
    let whole = std::fs::canonicalize(path).map_err(|error| Failure::io(path, &error))?;
    Ok(whole.display().to_string())
}

impl AgentFile {
    /// Refuses a model whose provider the agent cannot speak to.
    pub(crate) fn check(&self, agent: &str, name: &Name) -> Result<(), Failure> {
        let spoken = model::gateway::dialects(name);
        if self.speaks.iter().any(|dialect| spoken.contains(dialect)) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{agent} does not speak the language of {name}'s provider"
        )))
    }

    /// Its program on the host, installed now if it is not in the cache.
    pub(crate) fn install(&self, context: &Context) -> Result<Option<image::Image>, Failure> {
        let Some(table) = &self.install else {
            return Ok(None);
        };
        let installed = Installed {
            npm: table.npm.clone(),
            pip: table.pip.clone(),
        };
        let mut progress = Progress::new();
        let cache = context.cache()?;
        let image = cache.install(&installed, &context.interrupted, &mut |step| {
            images::show(&mut progress, &step);
        })?;
        progress.finish();
        terminal::note(&format!("the agent's program: {}", image.content_digest));
        Ok(Some(image))
    }

    /// How it is started for a model; `command` is what a generic agent runs.
    pub(crate) fn start(
        &self,
        name: &Name,
        prompt: String,
        command: Option<&str>,
    ) -> Result<agent::program::Start, Failure> {
        let fill = |script: &str| -> Result<String, Failure> {
            let script = match (script.contains("{command}"), command) {
                (true, Some(command)) => script.replace("{command}", command),
                (true, None) => {
                    return Err(Failure::usage("this agent needs --agent-command"));
                }
                (false, _) => script.to_owned(),
            };
            Ok(format!("provider={}\n{script}", name.provider()))
        };
        let script = fill(&self.start.script)?;
        Ok(agent::program::Start {
            again: match &self.start.again {
                Some(again) => fill(again)?,
                None => script.clone(),
            },
            script,
            environment: self.environment.clone().into_iter().collect(),
            files: self.files.clone().into_iter().collect(),
            sessions: self.start.sessions.clone(),
            prompt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_that_come_with_the_program_can_be_read() {
        for (name, _) in BUILT_IN {
            let file = read(name).unwrap_or_else(|failure| panic!("{}", failure.message));
            assert!(!file.speaks.is_empty() && !file.about.is_empty(), "{name}");
            let model = "anthropic/m".parse().unwrap();
            file.start(&model, String::new(), Some("true")).unwrap();
        }
        assert!(read("nobody").is_err());
        let codex = read("codex").unwrap();
        assert!(
            codex
                .check("codex", &"anthropic/m".parse().unwrap())
                .is_err()
        );
        assert!(codex.check("codex", &"openai/m".parse().unwrap()).is_ok());
    }
}
