//! What models and their servers send.

use std::path::Path;
use std::time::Duration;

use agent::scaffold::fuzzing as scaffold;
use model::{
    Block, CacheTime, Dialect, Message, Name, Reply, Request, Settings, Silent, Thinking,
    ToolResult, fuzzing,
};

/// The longest that a command may take here.
const MOST: Duration = Duration::from_secs(600);

/// Cuts an input into pieces where its first byte says.
fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let Some((&how, stream)) = input.split_first() else {
        return Vec::new();
    };
    stream.chunks(usize::from(how).max(1)).collect()
}

pub(super) fn sse(input: &[u8], _: &Path) {
    let pieces = pieces(input);
    let whole = input.get(1..).unwrap_or_default();
    let events = fuzzing::events(pieces).expect("no input is too large");
    let at_once = fuzzing::events([whole]).expect("no input is too large");
    assert_eq!(events, at_once, "pieces do not matter");
}

fn reply(dialect: Dialect, names: [&str; 2], input: &[u8]) {
    let Ok(reply) = fuzzing::reply(dialect, pieces(input), &mut Silent) else {
        return;
    };
    let text = serde_json::to_string(&reply).expect("a reply is always JSON");
    assert!(!text.contains('\n'), "it stands on one line");
    assert_eq!(
        serde_json::from_str::<Reply>(&text).ok().as_ref(),
        Some(&reply),
        "{text}"
    );
    let _ = reply.usage.total();
    for block in &reply.blocks {
        let _ = block.readable_thinking();
    }
    send_back(names, reply);
}

/// A conversation with the reply in it is sent, to where it came from and elsewhere.
fn send_back(names: [&str; 2], reply: Reply) {
    let results: Vec<ToolResult> = reply
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::ToolCall { id, .. } => Some(ToolResult {
                id: id.clone(),
                content: "out".to_owned(),
                is_error: false,
            }),
            _ => None,
        })
        .collect();
    let messages = [
        Message::User("Go".to_owned()),
        Message::Assistant(reply.blocks),
        Message::Results(results),
    ];
    let settings = Settings {
        max_output_tokens: 1000,
        thinking: Thinking::Default,
        cache_key: "run".to_owned(),
        cache_time: CacheTime::Hour,
        extra: None,
    };
    for name in names {
        let name: Name = name.parse().expect("it is a name");
        let request = Request {
            system: "s",
            messages: &messages,
            stable: 1,
            tools: &[],
            settings: &settings,
        };
        let body = fuzzing::body(&name, &request).expect("every reply can be sent back");
        let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
        assert!(read.is_ok(), "{}", String::from_utf8_lossy(&body));
    }
}

pub(super) fn anthropic(input: &[u8], _: &Path) {
    reply(Dialect::Anthropic, ["anthropic/m", "gemini/m"], input);
}

pub(super) fn responses(input: &[u8], _: &Path) {
    reply(Dialect::Responses, ["openai/m", "anthropic/m"], input);
}

pub(super) fn chat(input: &[u8], _: &Path) {
    reply(Dialect::Chat, ["compatible/m", "openai/m"], input);
}

pub(super) fn gemini(input: &[u8], _: &Path) {
    reply(Dialect::Gemini, ["gemini/m", "openai-chat/m"], input);
}

/// The first byte is the status, the rest the body and the values of header fields.
pub(super) fn error(input: &[u8], _: &Path) {
    let Some((&status, rest)) = input.split_first() else {
        return;
    };
    let status = 200 + u16::from(status) * 2;
    let failure = fuzzing::failure(status, &String::from_utf8_lossy(rest));
    let text = serde_json::to_string(&failure).expect("a failure is always JSON");
    assert_eq!(serde_json::from_str(&text).ok(), Some(failure), "{text}");
    for name in ["retry-after", "retry-after-ms", "date"] {
        let date = ("date", &b"Sun, 06 Nov 1994 08:49:07 GMT"[..]);
        let _ = fuzzing::wait(&[(name, rest), date]);
    }
}

pub(super) fn tools(input: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(input);
    if let Ok(time) = scaffold::bash(&text, MOST) {
        assert!(time <= MOST);
    }
    if let Ok(script) = scaffold::evaluate(&text) {
        // A shell sees words in quotes and nothing else.
        let outside = script.replace("'\\''", "");
        let outside: String = outside.split('\'').step_by(2).collect();
        assert!(
            outside.trim_start_matches("evaluate").trim().is_empty(),
            "{script}"
        );
    }
}

/// The input stands at the beginning and at the end of a long output.
pub(super) fn told(input: &[u8], _: &Path) {
    assert_eq!(scaffold::told(input), input.len());
    let long = [input, &[0x80; 8], &input.repeat(40), &[b'x'; 16_000], input].concat();
    let told = scaffold::told(&long);
    assert!((15_000..=16_008).contains(&told), "{told}");
}
