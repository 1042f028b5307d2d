//! Inputs that make sense, for what is changed to begin with.

use oracle::protocol::Request;
use score::{Build, CaseOutcome, CaseResult, Split, SubmissionFacts, Verdict};
use target::{Case, Expect, Fixtures, Inputs};

macro_rules! texts {
    ($($path:literal),*) => { vec![$(include_bytes!($path).to_vec()),*] };
}

/// The languages that come with the program.
pub(crate) const LANGUAGES: [(&str, &[u8]); 4] = [
    ("c.toml", include_bytes!("../../../languages/c.toml")),
    ("go.toml", include_bytes!("../../../languages/go.toml")),
    (
        "ocaml.toml",
        include_bytes!("../../../languages/ocaml.toml"),
    ),
    ("rust.toml", include_bytes!("../../../languages/rust.toml")),
];

const JOURNAL: &str = include_str!("../seeds/journal.jsonl");

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The same with a byte before that says how it is read.
fn told(how: &[u8], texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    how.iter()
        .flat_map(|&how| texts.iter().map(move |text| [&[how][..], text].concat()))
        .collect()
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let request = Request {
        argv: vec![b"gron".to_vec(), b"-s".to_vec(), b"\xff".to_vec()],
        cwd: b"/workspace".to_vec(),
        env: vec![b"LANG=C".to_vec(), b"X=".to_vec()],
    };
    vec![request.encode(), Request::default().encode()]
}

pub(crate) fn streams() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for body in requests() {
        let signal = [1, 15, 0, 0, 0];
        let head = [1_u32.to_le_bytes(), (body.len() as u32).to_le_bytes()].concat();
        streams.push([&[6], &head[..], &body, &signal].concat());
        streams.push([&[0xc6], &head[..], &body].concat());
        streams.push([&[0x1f], &body[..]].concat());
    }
    streams
}

/// What a broker says: each reply there is.
pub(crate) fn replies() -> Vec<Vec<u8>> {
    let reply = |tag: u8, number: u32, text: &str| {
        [&[tag], &number.to_le_bytes()[..], text.as_bytes()].concat()
    };
    let out = [reply(1, 3, "abc"), reply(2, 2, "no"), reply(3, 0, "")].concat();
    let ends = [
        reply(3, 255, ""),
        reply(4, 15, ""),
        reply(4, 64, ""),
        reply(5, 4, "gone"),
    ];
    [vec![out], ends.to_vec()].concat()
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let texts = [
        "\"Mapped\"\n",
        r#"{"Run":{"command":{"program":"/bin/true"},"files":[{"path":{"Unix":[97]},"length":1,"executable":true}]}}"#,
        r#"{"End":"Stopped"}"#,
        r#"{"Signal":15}"#,
        "\"Unshared\"",
        r#"{"Broken":{"step":"a","error":"b","code":1}}"#,
        r#"{"Ended":{"ending":{"Exited":0},"usage":{"wall":{"secs":1,"nanos":5},"cpu":{"secs":0,"nanos":0},"peak_memory":4},"files":[{"path":{"Unix":[97]},"length":3,"executable":false}]}}"#,
        r#"{"failed":null}"#,
        r#"{"failed":"x"}"#,
    ];
    told(&[0x80, 0x81, 0x82, 0x83, 2], &bytes(&texts))
}

pub(crate) fn archives() -> Vec<Vec<u8>> {
    use tar::{Builder, EntryType, Header};
    let mut seeds = Vec::new();
    let long = "x/".repeat(70);
    let entries = [
        ("p/a", EntryType::Regular, &b"text"[..], ""),
        ("p/d/", EntryType::Directory, b"", ""),
        ("p/d/l", EntryType::Symlink, b"", "../a"),
        ("p/h", EntryType::Link, b"", "p/a"),
        (long.as_str(), EntryType::Regular, b"x", ""),
        ("p/f", EntryType::Fifo, b"", ""),
        ("p/c", EntryType::Char, b"", ""),
        (
            "var/cache/apt/archives/a_1_all.deb",
            EntryType::Regular,
            b"deb",
            "",
        ),
        ("bin", EntryType::Symlink, b"", "usr/bin"),
        ("bin/sh", EntryType::Regular, b"sh", ""),
    ];
    for range in [0..4, 2..7, 6..10] {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, content, link) in &entries[range] {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_size(content.len() as u64);
            if link.is_empty() {
                builder.append_data(&mut header, name, *content)
            } else {
                builder.append_link(&mut header, name, link)
            }
            .expect("names are plain and memory takes it");
        }
        seeds.push(builder.into_inner().expect("memory takes it"));
    }
    let mut extended = Builder::new(Vec::new());
    extended
        .append_pax_extensions([("path", &b"p/other"[..]), ("size", b"4")])
        .expect("memory takes it");
    let mut header = Header::new_ustar();
    header.set_size(4);
    extended
        .append_data(&mut header, "p/x", &b"text"[..])
        .expect("the name is plain");
    seeds.push(extended.into_inner().expect("memory takes it"));
    told(&[0, 1, 13], &seeds)
}

pub(crate) fn elf() -> Vec<Vec<u8>> {
    let mut wide = vec![0; 64];
    wide[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    wide[16] = 3;
    wide[32] = 64;
    wide[54] = 56;
    wide[56] = 2;
    for (kind, at, length) in [(3_u32, 0_u64, 0_u64), (2, 64 + 2 * 56, 32)] {
        let mut entry = [0; 56];
        entry[..4].copy_from_slice(&kind.to_le_bytes());
        entry[8..16].copy_from_slice(&at.to_le_bytes());
        entry[32..40].copy_from_slice(&length.to_le_bytes());
        wide.extend_from_slice(&entry);
    }
    for (tag, value) in [(14_u64, 1_u64), (0x6fff_fffb, 0x0800_0000)] {
        wide.extend_from_slice(&tag.to_le_bytes());
        wide.extend_from_slice(&value.to_le_bytes());
    }
    let mut narrow = vec![0; 52];
    narrow[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    narrow[16] = 3;
    narrow[28] = 52;
    narrow[42] = 32;
    narrow[44] = 1;
    narrow.extend_from_slice(&2_u32.to_le_bytes());
    narrow.extend_from_slice(&84_u32.to_le_bytes());
    narrow.extend_from_slice(&[0; 8]);
    narrow.extend_from_slice(&16_u32.to_le_bytes());
    narrow.extend_from_slice(&[0; 12]);
    narrow.extend_from_slice(&14_u32.to_le_bytes());
    narrow.extend_from_slice(&[1; 12]);
    vec![wide, narrow, b"\x7fELF\x02\x02".to_vec()]
}

pub(crate) fn trees() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 12, 2, 3, 1, 24, 0, 36, 3, 4, 0, 5, 1],
        vec![2, 0, 3, 1, 6, 0, 7, 2, 4, 0, 9, 5, 8, 1, 0, 7, 0, 8],
        vec![11, 40, 10, 0, 22, 1, 5, 0, 17, 1, 29, 5, 53, 6, 20, 2],
        vec![1, 0, 8, 0, 3, 4, 0, 0, 4, 0, 3, 5, 0, 1, 65, 2],
    ]
}

pub(crate) fn edits() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"action":"view","path":"main.py","lines":[1,3]}"#,
        r#"{"action":"view","path":"/workspace"}"#,
        r#"{"action":"create","path":"b/c/d.txt","text":"a\nb\n"}"#,
        r#"{"action":"create","path":"a/../a/canary","text":"x"}"#,
        "{\"action\":\"create\",\"path\":\"a\",\"text\":\"one\\ntwo\"}\n{\"action\":\"replace\",\"path\":\"a\",\"old\":\"two\",\"new\":\"three\"}",
        "{\"action\":\"create\",\"path\":\"a\",\"text\":\"one\\ntwo\"}\n{\"action\":\"insert\",\"path\":\"a\",\"line\":1,\"text\":\"new\"}",
        r#"{"action":"view","path":"../task/x"}"#,
    ];
    // A few links before: `a` leads outside, `b` to what is there.
    [&[][..], &[29, 20, 53, 21, 3, 22], &[53, 20, 24, 22]]
        .iter()
        .flat_map(|tree| lines.map(|line| [tree, &b"\0"[..], line.as_bytes()].concat()))
        .collect()
}

pub(crate) fn tools() -> Vec<Vec<u8>> {
    bytes(&[
        r#"{"command":"ls","timeout":10.5,"background":true}"#,
        r#"{"cases":["a","it's","-x"]}"#,
        "{}",
    ])
}

pub(crate) fn outputs() -> Vec<Vec<u8>> {
    bytes(&["a\nb\0a\nc", "é\n\u{1f980}\0é", "same\0same", ""])
}

/// Lines of an event's name and data, or data alone, as a server sends them.
fn sent(text: &str) -> Vec<u8> {
    let mut stream = String::new();
    for line in text.lines() {
        match line.split_once(' ') {
            Some((name, data))
                if name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
            {
                stream.push_str(&format!("event: {name}\ndata: {data}\n\n"));
            }
            _ => stream.push_str(&format!("data: {line}\n\n")),
        }
    }
    stream.into_bytes()
}

/// The whole stream, and each half of it.
fn stream(text: &str) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let texts = [
        sent(text),
        sent(&first.join("\n")),
        sent(&second.join("\n")),
    ];
    told(&[255], &texts)
}

pub(crate) fn anthropic() -> Vec<Vec<u8>> {
    stream(include_str!("../seeds/anthropic.txt"))
}

pub(crate) fn responses() -> Vec<Vec<u8>> {
    stream(include_str!("../seeds/responses.txt"))
}

pub(crate) fn chat() -> Vec<Vec<u8>> {
    stream(include_str!("../seeds/chat.txt"))
}

pub(crate) fn gemini() -> Vec<Vec<u8>> {
    stream(include_str!("../seeds/gemini.txt"))
}

pub(crate) fn streams_of_events() -> Vec<Vec<u8>> {
    let texts = [
        "event: a\ndata: 1\n\ndata: 2\r\n\r\ndata:3\r\r",
        ": ping\n\ndata: a\ndata\ndata: b\nid: 7\nretry: 3\n\n",
        "\u{feff}data: x\n\nevent\ndata: é\n\n",
    ];
    told(&[1, 2, 7, 255], &bytes(&texts))
}

pub(crate) fn errors() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"r"}"#,
        r#"{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}"#,
        r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"reason":"X","retryDelay":"34.5s"}]}}]"#,
        "data: {\"error\": {\"message\": \"oops\", \"code\": \"500\"}}\n\ndata: [DONE]\n\n",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "0.25",
        "120",
    ];
    told(&[0, 100, 114, 150], &bytes(&texts))
}

pub(crate) fn cases() -> Vec<Vec<u8>> {
    let inputs = Inputs {
        argv: vec!["-s".into(), vec![0xff].into(), "é".into()],
        stdin: "{}\n".into(),
        files: [
            ("a/b".to_owned(), "x".into()),
            ("c".to_owned(), vec![0xfe, 0].into()),
        ]
        .into(),
        env: [("TZ".to_owned(), "UTC".into())].into(),
        outputs: vec!["out".to_owned()],
    };
    let case = |number: u32, ending| Case {
        id: format!("t/f/{number:03}"),
        family: "f".to_owned(),
        template: Some(number),
        inputs: Inputs {
            stdin: format!("{number}").as_str().into(),
            ..inputs.clone()
        },
        expect: Expect {
            ending,
            stdout: "a\nb".into(),
            stderr: "error: int 3".into(),
            files: [("out".to_owned(), "y".into())].into(),
        },
    };
    let one = [case(1, target::Ending::Exit(0))];
    let two = [
        case(1, target::Ending::Exit(0)),
        case(2, target::Ending::Signal(9)),
    ];
    let write = |cases: &[Case]| target::write_cases(cases, &Fixtures::none()).into_bytes();
    let named = br#"{"id":"t/f/001","family":"f","argv":[{"fixture":"long.txt"},{"base64":"/w=="}],"expect":{"exit":1,"stdout":{"fixture":"short"},"stderr":"","files":{}}}"#;
    vec![write(&one), write(&two), [&named[..], b"\n"].concat()]
}

pub(crate) fn target_toml() -> Vec<Vec<u8>> {
    texts!(
        "../../../targets/gron/target.toml",
        "../../../targets/cal/target.toml",
        "../../../targets/jq_simple/target.toml",
        "../../../targets/qsv_select/target.toml"
    )
}

pub(crate) fn family_toml() -> Vec<Vec<u8>> {
    let recursive = r#"about = "a"
cases = 5
[[template]]
argv = ["${v}", "x${w}y"]
stdin = "$${v}"
files = { "${w}" = "${v}" }
[values]
v = ["1", "[${v}]", "${w}"]
w = ["a", "b", { base64 = "/w==" }]
"#;
    let mut seeds = texts!(
        "../../../targets/cal/families/help-and-version.toml",
        "../../../targets/cal/families/reform-year.toml",
        "../../../targets/cal/families/lone-word-errors.toml"
    );
    seeds.push(recursive.into());
    let drawn = told(b" ", &seeds);
    [seeds, drawn].concat()
}

pub(crate) fn language_toml() -> Vec<Vec<u8>> {
    let mut python = texts!("../../../languages/python.toml");
    python.extend(LANGUAGES.map(|(_, text)| text.to_vec()));
    python
}

pub(crate) fn lock_toml() -> Vec<Vec<u8>> {
    texts!(
        "../../../targets/gron/target.lock",
        "../../../targets/hexyl/target.lock"
    )
}

pub(crate) fn prices_toml() -> Vec<Vec<u8>> {
    bytes(&[r#"date = "2026-11-25"
source = "the server's own page"

[[model]]
name = "compatible/m"
context = 8192
input = 2.0
cache_read = 0.0125
cache_write = 2.5
cache_write_hour = 4
output = 10.0
above = [{ tokens = 200, input = 4.0, output = 20.0 }]
"#])
}

pub(crate) fn sources() -> Vec<Vec<u8>> {
    let texts = [
        "(executable\n (name main)\n (libraries str unix)\n (ocamlopt_flags (:standard -O3 -unsafe)))",
        "(lang dune 3.0)\n; a comment (\n(name \"program\")",
        "module x\n\ngo 1.24\n\nrequire (\n)\n// c\nrequire()\n",
        "[package]\nname = \"x\"\n[dependencies]\n[target.'cfg(unix)'.dependencies]\n[workspace]\n",
        "#!/bin/sh\n",
        "MZ\0\0PE\0\0",
    ];
    let numbers: Vec<u8> = (0..8).collect();
    told(&numbers, &bytes(&texts))
}

pub(crate) fn verdicts() -> Vec<Vec<u8>> {
    let result = |id: &str, split, outcome, difference| CaseResult {
        id: id.to_owned(),
        split,
        outcome,
        difference,
    };
    let difference = score::first_difference("stdout", b"abc", b"abd");
    let verdict = |build| Verdict {
        format: score::FORMAT,
        task: "t/python".to_owned(),
        solved: false,
        summary: "not solved".to_owned(),
        build,
        visible: Default::default(),
        hidden: Default::default(),
        families: [("f".to_owned(), Default::default())].into(),
        cases: vec![
            result(
                "t/f/001",
                Split::Visible,
                CaseOutcome::Stdout,
                difference.clone(),
            ),
            result("t/f/002", Split::Hidden, CaseOutcome::WallTime, None),
        ],
        submission: SubmissionFacts {
            kind: "source".to_owned(),
            digest: "ab".to_owned(),
            files: 1,
            bytes: 2,
        },
        versions: [("target".to_owned(), "1".to_owned())].into(),
    };
    [
        Build::None,
        Build::Failed("x".to_owned()),
        Build::Refused(vec!["y".to_owned()]),
    ]
    .map(|build| verdict(build).to_json().into_bytes())
    .into()
}

pub(crate) fn names() -> Vec<Vec<u8>> {
    bytes(&[
        "anthropic/claude-opus-4-5",
        "compatible/qwen/qwen3:8b",
        "gron/python",
        "2026-11-24T02:10:00.123Z",
        "9999-12-31T23:59:59.999Z",
        "$12.50",
        "18446744073.709551615",
        "48a2e5ae6d3959b0a4ef5cbf82e0877d993cf4a7ecddd59fa0032ba4702ff04c",
        "{\"base64\":\"Zm9v\"}",
        "\"text\"",
        r#"{"turns":[{"text":"a","calls":[{"name":"shell","input":{"x":1}}]},{"failure":"overloaded"}]}"#,
    ])
}

pub(crate) fn entries() -> Vec<Vec<u8>> {
    JOURNAL
        .lines()
        .map(|line| line.as_bytes().to_vec())
        .collect()
}

/// Stretches of a journal, for which lines are numbered anew.
pub(crate) fn journals() -> Vec<Vec<u8>> {
    let lines: Vec<&str> = JOURNAL.split_inclusive('\n').collect();
    let stretch = |range: std::ops::Range<usize>| lines[range].concat().into_bytes();
    let mut seeds = told(
        &[1],
        &[
            stretch(0..7),
            stretch(2..13),
            stretch(8..15),
            stretch(12..22),
        ],
    );
    let mut torn = stretch(0..4);
    torn.truncate(torn.len() - 20);
    seeds.extend(told(&[0], &[stretch(0..4), torn]));
    seeds
}

pub(crate) fn run_toml() -> Vec<Vec<u8>> {
    bytes(&[
        "id = \"20261124T021000-a-b-0000\"\ntask = \"a/b\"\ncreated = \"2026-11-24T02:10:00.123Z\"\nformat = 2\nmirrorcode = \"0\"\n[digests]\nrootfs = \"ab\"\n",
    ])
}

pub(crate) fn controls() -> Vec<Vec<u8>> {
    bytes(&[
        r#"{"wish":"pause","limits":{"turns":7,"microdollars":5}}"#,
        "{}",
    ])
}

pub(crate) fn lists() -> Vec<Vec<u8>> {
    let digest = run::digest(b"print(1)\n");
    let list = format!(
        "{{\"kind\":\"directory\",\"path\":\"a\"}}\n\
         {{\"kind\":\"file\",\"path\":\"b/main.py\",\"sha256\":\"{digest}\",\"bytes\":9,\"executable\":true}}\n\
         {{\"kind\":\"link\",\"path\":\"c\",\"to\":\"../outside\"}}\n\
         {{\"kind\":\"unreadable\",\"path\":{{\"base64\":\"/w==\"}}}}\n"
    );
    let inside = format!(
        "{{\"kind\":\"link\",\"path\":\"a\",\"to\":\"../outside\"}}\n\
         {{\"kind\":\"file\",\"path\":\"a/main.py\",\"sha256\":\"{digest}\",\"bytes\":9,\"executable\":false}}\n"
    );
    bytes(&[&list, &inside])
}

/// Source code in each language, and answers that hold some.
pub(crate) fn code() -> Vec<Vec<u8>> {
    let texts = [
        "static int f(int *a)\n{\n  /* x */ if (a) { return *a; }\n  return 'x';\n}\n#define X 1\nint old(a) int a; { return a; }\n",
        "namespace n { class A { int f() const { return \"a\"[0]; } }; }\nA::A() : a(1) {}\n",
        "package p\n\nfunc (s *S) f(a ...int) (b int, err error) {\n\treturn `x`, func() error { return nil }()\n}\n",
        "class A(B):\n    @p\n    def f(self, *a, **b):\n        \"\"\"doc\"\"\"\n        return f\"{a!r}\"  # x\n",
        "impl<T> A for B<T> {\n    pub fn f(&self) -> R<'_> { match self { _ => r#\"x\"# } }\n}\nmod tests { fn t() {} }\n",
    ];
    let plain = (0..)
        .zip(texts)
        .map(|(how, text)| [&[how], text.as_bytes()].concat());
    let fenced = (0..).zip(texts).map(|(how, text)| {
        let text = format!("Here:\n```x\n{text}```\nand ````\n  {text}\n````\n");
        [&[how], text.as_bytes()].concat()
    });
    plain.chain(fenced).collect()
}
