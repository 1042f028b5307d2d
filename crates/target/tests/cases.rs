//! Files of cases: what is written is read again, and what is wrong is named with its line.

use std::collections::BTreeMap;

use proptest::prelude::*;
use target::{Bytes, Case, Ending, Expect, Fixtures, Inputs, read_cases, write_cases};

fn fixtures() -> Fixtures {
    let files = [
        ("big.json", vec![b'x'; 5000]),
        ("sub/raw", vec![0xff; 4096]),
        ("small", b"small".to_vec()),
    ];
    Fixtures::new(
        files
            .map(|(path, content)| (path.to_owned(), content))
            .into(),
    )
}

const LINE: &str = r#"{"id":"t/f/001","family":"f","argv":["-x"],"expect":{"exit":0,"stdout":"","stderr":"","files":{}}}"#;

#[test]
fn names_what_is_wrong_and_where() {
    let line = format!("{LINE}\n");
    let with = |from: &str, to: &str| line.replacen(from, to, 1);
    let second = |text: String| format!("{line}{text}");
    let dots = r#""argv":["-x"],"files":{"a/../b":""}"#;
    let absolute = r#""argv":["-x"],"outputs":["/etc/x"]"#;
    let below = r#""argv":[],"files":{"a":"","a/b":""}"#;
    let unlisted = r#""files":{"out":""}"#;
    let cases: Vec<(String, &str)> = vec![
        (
            second(LINE.to_owned()),
            "v:2: the last line is cut off: it does not end in a newline",
        ),
        (
            second(LINE[..50].to_owned() + "\n"),
            "v:2: not a case: EOF while parsing a string at column 50; the line is cut off",
        ),
        (
            second(line.clone()),
            "v:2: id \"t/f/001\" was on line 1 already",
        ),
        (
            second(with("001", "002")),
            "v:2: \"t/f/002\" has the same inputs as the case on line 1",
        ),
        (
            second("\n".to_owned()),
            "v:2: the line is empty; each line must be one case",
        ),
        (
            with("argv", "argvs"),
            "v:1: unknown key \"argvs\"; did you mean \"argv\"?",
        ),
        (
            with("\"-x\"", "7"),
            "v:1: \"argv[0]\": must be a string, {\"base64\": ...} or {\"fixture\": ...}, not a number",
        ),
        (with("\"argv\":[\"-x\"],", ""), "v:1: missing key \"argv\""),
        (
            with(":0", ":256"),
            "v:1: \"expect.exit\": must be an integer from 0 to 255",
        ),
        (
            with("\"exit\":0,", ""),
            "v:1: \"expect\": has neither \"exit\" nor \"signal\"",
        ),
        (
            with(":0", ":0,\"signal\":9"),
            "v:1: \"expect\": has both \"exit\" and \"signal\"; a program ends once",
        ),
        (
            with("\"t/f", "\"t/g"),
            "v:1: \"id\": \"t/g/001\" must be <target>/f/<number of three digits or more>",
        ),
        (
            with("\"-x\"", "{\"base64\":\"/x\"}"),
            "v:1: \"argv[0]\": not valid base64: invalid padding",
        ),
        (
            with("\"-x\"", "{\"fixture\":\"bag.json\"}"),
            "v:1: \"argv[0]\": there is no fixture \"bag.json\" in the target's fixtures directory; did you mean \"big.json\"?",
        ),
        (
            with("\"-x\"", "\"a\\u0000\""),
            "v:1: \"argv[0]\": a NUL byte cannot be passed to a program",
        ),
        (
            with("\"argv\":[\"-x\"]", dots),
            "v:1: \"files\": path \"a/../b\" has a \"..\"",
        ),
        (
            with("\"argv\":[\"-x\"]", absolute),
            "v:1: \"outputs\": path \"/etc/x\" is absolute; it must be relative to the working directory",
        ),
        (
            with("\"argv\":[\"-x\"]", "\"argv\":[],\"files\":{\"\":\"\"}"),
            "v:1: \"files\": a path must not be empty",
        ),
        (
            with("\"argv\":[\"-x\"]", below),
            "v:1: \"files\": \"a\" is a file, so there can be no \"a/b\"",
        ),
        (
            with("\"files\":{}", unlisted),
            "v:1: \"expect.files\": \"out\" is not among the case's \"outputs\"",
        ),
        (
            with("\"family\"", "\"id\":\"t/f/002\",\"family\""),
            "v:1: not a case: key \"id\" comes twice at column 30",
        ),
        (
            with("\"argv\"", "\"env\":{\"A=B\":\"\"},\"argv\""),
            "v:1: \"env\": \"A=B\" cannot name an environment variable",
        ),
    ];
    for (text, expected) in cases {
        let found = read_cases("v", text.as_bytes(), &fixtures())
            .unwrap_err()
            .to_string();
        assert_eq!(found, expected, "{text}");
    }
    let bytes = [b"{\"id\":\"".as_slice(), &[0xff, b'\n']].concat();
    let found = read_cases("v", &bytes, &Fixtures::none())
        .unwrap_err()
        .to_string();
    assert_eq!(found, "v:1: not valid UTF-8 after byte 7 of the line");
}

#[test]
fn long_content_that_equals_a_fixture_is_named() {
    let inputs = Inputs {
        argv: vec![Bytes::from("small")],
        stdin: Bytes(vec![b'x'; 5000]),
        files: BTreeMap::from([
            ("a".to_owned(), Bytes(vec![0xff; 4096])),
            ("b".to_owned(), Bytes(vec![0xff; 2])),
        ]),
        ..Inputs::default()
    };
    let expect = Expect {
        ending: Ending::Signal(11),
        stdout: Bytes::default(),
        stderr: Bytes::default(),
        files: BTreeMap::new(),
    };
    let case = Case {
        id: "t/f/001".to_owned(),
        family: "f".to_owned(),
        template: Some(2),
        inputs,
        expect,
    };
    let text = write_cases(std::slice::from_ref(&case), &fixtures());
    assert_eq!(
        text,
        concat!(
            r#"{"id":"t/f/001","family":"f","template":2,"argv":["small"],"stdin":{"fixture":"big.json"},"#,
            r#""files":{"a":{"fixture":"sub/raw"},"b":{"base64":"//8="}},"#,
            r#""expect":{"signal":11,"stdout":"","stderr":"","files":{}}}"#,
            "\n"
        )
    );
    assert_eq!(
        read_cases("v", text.as_bytes(), &fixtures()).unwrap(),
        [case]
    );
}

fn content() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        any::<Vec<u8>>().prop_map(Bytes),
        any::<String>().prop_map(|text| Bytes(text.into_bytes())),
        Just(Bytes(vec![b'x'; 5000])),
    ]
}

fn argument() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(1_u8.., 0..12).prop_map(Bytes)
}

prop_compose! {
    fn case()(
        argv in prop::collection::vec(argument(), 0..4),
        stdin in content(),
        files in prop::collection::btree_map("[a-z é]{1,8}(/x[a-z]{1,3}){0,2}", content(), 0..3),
        env in prop::collection::btree_map("[A-Z_]{1,5}", argument(), 0..3),
        ending in prop_oneof![(0..=255).prop_map(Ending::Exit), (1..=64).prop_map(Ending::Signal)],
        stdout in content(),
        stderr in content(),
        output in prop::option::of(content()),
        template in prop::option::of(any::<u32>()),
    ) -> Case {
        let outputs: Vec<String> = output.iter().map(|_| "out/x".to_owned()).collect();
        let files = files.into_iter().filter(|(path, _)| !path.starts_with("out")).collect();
        Case {
            id: "t/fam/0001".to_owned(),
            family: "fam".to_owned(),
            template,
            inputs: Inputs { argv, stdin, files, env, outputs: outputs.clone() },
            expect: Expect { ending, stdout, stderr, files: outputs.into_iter().zip(output).collect() },
        }
    }
}

proptest! {
    #[test]
    fn cases_round_trip(case in case()) {
        // Two drawn paths may be a file and a directory of the same name; that no case can have.
        let directory = |path: &String| case.inputs.files.keys().any(|other| other.starts_with(&format!("{path}/")));
        prop_assume!(!case.inputs.files.keys().any(directory));
        let cases = [case];
        for fixtures in [fixtures(), Fixtures::none()] {
            let text = write_cases(&cases, &fixtures);
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert_eq!(&read_cases("v", text.as_bytes(), &fixtures).unwrap()[..], &cases);
        }
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in any::<Vec<u8>>()) {
        let _ = read_cases("v", &bytes, &fixtures());
    }

    #[test]
    fn any_damage_to_a_line_gives_an_answer(at in 0..LINE.len(), byte in any::<u8>(), cut in 0..LINE.len()) {
        let mut bytes = format!("{LINE}\n").into_bytes();
        bytes[at] = byte;
        let _ = read_cases("v", &bytes, &fixtures());
        bytes.truncate(cut);
        bytes.push(b'\n');
        prop_assert!(read_cases("v", &bytes, &fixtures()).is_err());
    }
}
