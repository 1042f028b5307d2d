use proptest::prelude::*;

use super::*;

fn object(raw: u64) -> Object {
    Object {
        sha256: Hash::of(b"object"),
        bytes: raw,
        raw,
    }
}

fn file(parts: Vec<Part>) -> Node {
    Node::File {
        mode: 0o644,
        bytes: parts.iter().map(|(_, _, length)| length).sum(),
        sha256: Hash::of(b"file"),
        parts,
    }
}

fn whole() -> Listing {
    let mut listing = Listing {
        objects: vec![object(10)],
        ..Listing::default()
    };
    let mut add = |path: &[u8], node| listing.entries.insert(path.to_owned(), node);
    add(b"run.toml", file(vec![(0, 0, 4)]));
    add(b"workspace", Node::Directory { mode: 0o755 });
    add(b"workspace/empty", file(vec![]));
    add(b"workspace/\xff odd", file(vec![(0, 4, 6), (0, 0, 1)]));
    let link = Node::Link {
        to: b"/etc/passwd".to_vec(),
    };
    add(b"workspace/link", link);
    listing
}

#[test]
fn a_listing_is_read_as_it_was_written() {
    let listing = whole();
    let text = listing.write();
    assert_eq!(Listing::parse(&text, Kind::Run).unwrap(), listing);
    assert_eq!((listing.files(), listing.bytes()), (3, 11));
}

#[test]
fn nothing_leads_out_of_the_directory() {
    let with = |path: &[u8], node: Node| {
        let mut listing = whole();
        listing.entries.insert(path.to_owned(), node);
        Listing::parse(&listing.write(), Kind::Run).unwrap_err()
    };
    let far: Vec<u8> = b"a/".repeat(3000);
    for path in [
        &b"../evil"[..],
        b"/etc/passwd",
        b"workspace/../../evil",
        b"workspace//evil",
        b"",
        b".",
        b"a\0b",
        &far,
    ] {
        let said = with(path, file(vec![]));
        assert!(said.contains("out of it"), "{path:?}: {said}");
    }
    let link = || Node::Link { to: b"/".to_vec() };
    for path in [&b"journal.jsonl"[..], b"blobs", b"workspace", b"task"] {
        let said = with(path, link());
        assert!(said.contains("a link at"), "{said}");
    }
    // Through a link that stands where it may.
    let said = with(b"workspace/link/evil", file(vec![]));
    assert!(said.contains("in no directory"), "{said}");
    let said = with(b"nowhere/file", file(vec![]));
    assert!(said.contains("in no directory"), "{said}");
}

#[test]
fn pieces_are_where_it_says() {
    for parts in [
        vec![(1, 0, 1)],
        vec![(0, 9, 2)],
        vec![(0, u64::MAX, 2)],
        vec![(0, 0, 0)],
    ] {
        let mut listing = whole();
        listing
            .entries
            .insert(b"journal.jsonl".to_vec(), file(parts));
        assert!(Listing::parse(&listing.write(), Kind::Run).is_err());
    }
    let mut listing = whole();
    listing.objects[0] = object(1 << 40);
    assert!(Listing::parse(&listing.write(), Kind::Run).is_err());
    let mut listing = whole();
    listing.entries.remove(&b"run.toml"[..]);
    let said = Listing::parse(&listing.write(), Kind::Run).unwrap_err();
    assert!(said.contains("no run.toml"), "{said}");
}

#[test]
fn one_object_cannot_fill_a_disk() {
    let mut listing = whole();
    listing.objects[0] = object(MAX_OBJECT as u64);
    let times = usize::try_from(MAX_BYTES).unwrap() / MAX_OBJECT + 1;
    let parts = vec![(0, 0, MAX_OBJECT as u64); times];
    listing
        .entries
        .insert(b"journal.jsonl".to_vec(), file(parts));
    let said = Listing::parse(&listing.write(), Kind::Run).unwrap_err();
    assert!(said.contains("more than"), "{said}");
}

#[test]
fn a_head_is_of_what_it_is_named_for() {
    let head = Head {
        format: FORMAT,
        kind: Kind::Run,
        id: "a".to_owned(),
        identity: Hash::of(b"i"),
        files: 1,
        bytes: 2,
        listing: Hash::of(b"l"),
        objects: vec![object(10)],
        left_out: Vec::new(),
    };
    let text = serde_json::to_vec(&head).unwrap();
    assert_eq!(Head::parse(&text, Kind::Run, "a").unwrap(), head);
    assert!(Head::parse(&text, Kind::Run, "b").is_err());
    assert!(Head::parse(&text, Kind::Image, "a").is_err());
    let other = Head { format: 2, ..head };
    let text = serde_json::to_vec(&other).unwrap();
    let said = Head::parse(&text, Kind::Run, "a").unwrap_err();
    assert!(said.contains("format 2"), "{said}");
}

#[test]
fn names_are_plain() {
    for good in ["pilot.gron-rust.opus.2", "20260101-120000_x"] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", "a\n"] {
        assert!(!is_name(bad), "{bad}");
    }
    assert!(!is_name(&"a".repeat(201)));
}

proptest! {
    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Listing::parse(&text, Kind::Run);
        let _ = Head::parse(&text, Kind::Image, "x");
    }

    #[test]
    fn no_change_of_a_listing_leads_out(at in 0usize..700, byte in any::<u8>()) {
        let mut text = whole().write();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(listing) = Listing::parse(&text, Kind::Run) {
            for path in listing.entries.keys() {
                prop_assert!(check_path(path).is_ok());
            }
        }
    }

    #[test]
    fn hexadecimal_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
    }
}
