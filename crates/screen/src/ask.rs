//! One question for one function, and what an answer is worth.

use model::{Block, Message, Request, Settings};
use sha2::{Digest, Sha256};

use crate::cut::{Function, find};
use crate::{similarity, tokens};

const SYSTEM: &str =
    "You are asked for functions of published programs as they stand in their source code.";

/// What a model is asked: one function, by its program, its file and its signature.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The function.
    pub function: &'a Function,
    messages: [Message; 1],
}

impl<'a> Question<'a> {
    /// The question for a function of a program.
    pub fn new(program: &str, function: &'a Function) -> Self {
        let grammar = function.grammar;
        let within = match function.within.as_slice() {
            [] => String::new(),
            heads => format!(
                ", which stands in {}",
                heads
                    .iter()
                    .map(|head| format!("`{head}`"))
                    .collect::<Vec<_>>()
                    .join(", in ")
            ),
        };
        let text = format!(
            "This is about the source code of the program `{program}`, file `{path}`, in {language}.\n\n\
             Write the function below with its whole body, exactly as it is in the original source, from memory{within}. \
             Where you do not remember it, write what is most likely there. Answer with the whole function in one block \
             of code and with nothing else.\n\n```{fence}\n{signature}\n```\n",
            path = function.path,
            language = grammar.name(),
            fence = grammar.fence(),
            signature = function.signature,
        );
        Question {
            function,
            messages: [Message::User(text)],
        }
    }

    /// The words of the question.
    pub fn text(&self) -> &str {
        match &self.messages[0] {
            Message::User(text) => text,
            _ => "",
        }
    }

    /// The request, as a model takes it.
    pub fn request<'b>(&'b self, settings: &'b Settings) -> Request<'b> {
        Request {
            system: SYSTEM,
            messages: &self.messages,
            stable: 1,
            tools: &[],
            settings,
        }
    }

    /// What tells this question to this model from all others: SHA-256 in hex of everything that is sent.
    pub fn digest(&self, model: &str, settings: &Settings) -> String {
        let sent = serde_json::to_vec(&self.request(settings)).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update((model.len() as u64).to_le_bytes());
        hash.update(model);
        hash.update(sent);
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The text of a reply.
pub(crate) fn words(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// From 0 to 1: how alike the bodies are.
    pub similarity: f64,
    /// Whether there was a function of that name in it.
    pub found: bool,
}

/// Compares an answer with the original, by the tokens of their bodies: the signature was given. Of the answer counts
/// the function of that name in its first block of code that has one; without one, everything in its longest block;
/// without blocks, everything.
pub fn score(function: &Function, answer: &str) -> Answer {
    let grammar = function.grammar;
    let blocks = blocks(answer);
    let all: Vec<String> = blocks
        .iter()
        .map(|block| dedented(block))
        .chain(blocks.is_empty().then(|| answer.to_owned()))
        .collect();
    let named = all
        .iter()
        .find_map(|block| find(grammar, &function.name, block));
    let found = named.is_some();
    let body = named.unwrap_or_else(|| {
        let longest = all.iter().max_by_key(|block| block.len());
        longest.map_or_else(Vec::new, |block| tokens(grammar, block))
    });
    Answer {
        similarity: similarity(&function.body, &body),
        found,
    }
}

/// The fenced blocks of a text. One that is not closed goes to the end.
fn blocks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        let fence = line.trim_start();
        let marks = fence.chars().take_while(|mark| *mark == '`').count();
        match &mut open {
            None if marks >= 3 => open = Some(("`".repeat(marks), String::new())),
            Some((end, _)) if marks >= end.len() && fence.trim() == "`".repeat(marks) => {
                found.extend(open.take().map(|(_, block)| block));
            }
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    found.extend(open.map(|(_, block)| block));
    found
}

/// Lines without the white space that all of them begin with, which Python would take for an error.
fn dedented(text: &str) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let width = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = lines().map(width).min().unwrap_or(0);
    text.lines()
        .map(|line| line.get(common.min(width(line))..).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grammar, cut};

    const METHOD: &str = "class A:\n    def f(self, x):\n        if x > 1:\n            return self.g(x)\n        return x\n";

    fn method() -> Function {
        cut(Grammar::Python, "a.py", METHOD).remove(0)
    }

    #[test]
    fn the_original_is_worth_one_however_it_is_told() {
        let function = method();
        for answer in [
            format!("```python\n{}\n```", function.text),
            format!(
                "Here it is:\n```\n    {}\n```\nAs I remember.",
                function.text
            ),
            format!("```python\nimport os\n```\n\n````python\n{METHOD}````"),
            function.text.clone(),
            format!(
                "```python\n# from memory\n{}",
                function.text.replace("self.g(x)", "self.g( x )  # call")
            ),
        ] {
            let found = score(&function, &answer);
            assert_eq!(
                found,
                Answer {
                    similarity: 1.0,
                    found: true
                },
                "{answer}"
            );
        }
    }

    #[test]
    fn another_function_is_worth_what_it_shares() {
        let function = method();
        let close = score(&function, "```\ndef f(self, x):\n    return x\n```");
        assert!(close.found && close.similarity > 0.2 && close.similarity < 0.7);
        let other = score(&function, "```\ndef g():\n    return x\n```");
        assert!(!other.found && other.similarity < 0.5);
        let none = score(&function, "I cannot do that.");
        assert!(!none.found && none.similarity < 0.3, "{none:?}");
        assert_eq!(score(&function, "").similarity, 0.0);
        // The signature alone was given, and is worth nothing.
        assert!(score(&function, "```\ndef f(self, x):\n    pass\n```").similarity < 0.1);
    }

    #[test]
    fn a_question_says_where_the_function_stands() {
        let function = method();
        let question = Question::new("prog", &function);
        let text = question.text();
        for part in [
            "`prog`",
            "`a.py`",
            "Python",
            "`class A:`",
            "def f(self, x):",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("return"), "{text}");
        let settings = |tokens| Settings {
            max_output_tokens: tokens,
            thinking: model::Thinking::Off,
            cache_key: String::new(),
            cache_time: model::CacheTime::Minutes5,
            extra: None,
        };
        let one = question.digest("a/m", &settings(1));
        assert_eq!(one, question.digest("a/m", &settings(1)));
        assert_ne!(one, question.digest("a/n", &settings(1)));
        assert_ne!(one, question.digest("a/m", &settings(2)));
        assert_eq!(one.len(), 64);
    }
}
