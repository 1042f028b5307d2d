//! Names of functions: from symbol tables, and from the table that Go programs keep even when they are stripped.

use std::collections::BTreeMap;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// Functions by address.
#[derive(Clone, Debug, Default)]
pub struct Names {
    functions: BTreeMap<u64, Function>,
    go: bool,
}

#[derive(Clone, Debug)]
struct Function {
    name: String,
    /// 0 where it is not known: up to the next function.
    size: u64,
}

impl Names {
    /// Reads what a file has.
    pub(super) fn read(file: &object::File<'_>) -> Self {
        let mut functions = BTreeMap::new();
        for symbol in file.dynamic_symbols().chain(file.symbols()) {
            if symbol.kind() == SymbolKind::Text
                && symbol.address() != 0
                && let Ok(name) = symbol.name()
            {
                let name = name.to_owned();
                let size = symbol.size();
                functions.insert(symbol.address(), Function { name, size });
            }
        }
        let table = file
            .section_by_name(".gopclntab")
            .and_then(|section| section.data().ok());
        let text = file
            .section_by_name(".text")
            .map_or(0, |section| section.address());
        let go = table.is_some();
        for (address, name) in table
            .and_then(|table| go_functions(table, text))
            .unwrap_or_default()
        {
            functions.insert(address, Function { name, size: 0 });
        }
        Names { functions, go }
    }

    /// The function at an address.
    pub fn at(&self, address: u64) -> Option<&str> {
        let (start, function) = self.functions.range(..=address).next_back()?;
        let inside = function.size == 0 || address - start < function.size;
        inside.then_some(function.name.as_str())
    }

    /// Whether a function belongs to the program and not to its language's own library or runtime; `None` where its name
    /// does not tell.
    pub fn is_own(&self, address: u64) -> Option<bool> {
        let name = self.at(address)?;
        if self.go {
            return Some(is_own_go(name));
        }
        is_own_rust(name)
    }
}

/// Go's own packages have no dot in the first part of their path, since it is no host's name.
fn is_own_go(name: &str) -> bool {
    // What stands in brackets are the types for which a generic function was made, whoever wrote it.
    let name = name.split('[').next().unwrap_or(name);
    if name.starts_with("type:") {
        return false;
    }
    let first = name.split_once('/').map(|(first, _)| first);
    match first {
        Some(host) => host.contains('.'),
        None => name.starts_with("main."),
    }
}

/// The crate in which a mangled name begins (`_ZN` and a length), and whether it is one of the standard library's.
/// Methods of traits begin with a type instead, and do not tell.
fn is_own_rust(name: &str) -> Option<bool> {
    let rest = name.strip_prefix("_ZN")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let length: usize = rest[..digits].parse().ok()?;
    let first = rest[digits..].get(..length)?;
    if first.starts_with("_$") {
        return None;
    }
    let standard = [
        "std",
        "core",
        "alloc",
        "compiler_builtins",
        "panic_unwind",
        "unwind",
        "gimli",
        "addr2line",
        "miniz_oxide",
        "rustc_demangle",
        "object",
    ];
    Some(!standard.contains(&first))
}

/// Beginnings of the table in Go 1.16 and 1.17, in 1.18 and 1.19, and since 1.20 (Go's `debug/gosym`, `pclntab.go`).
const GO_116: u32 = 0xffff_fffa;
const GO_118: u32 = 0xffff_fff0;
const GO_120: u32 = 0xffff_fff1;

/// Functions in a Go program's table: address and name. `None` for a table of another form.
fn go_functions(table: &[u8], text: u64) -> Option<Vec<(u64, String)>> {
    let word = |at: u64| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = table.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let half = |at: u64| -> Option<u32> {
        let at = usize::try_from(at).ok()?;
        let bytes = table.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let magic = half(0)?;
    if table.get(7) != Some(&8) {
        return None;
    }
    let count = word(8)?;
    // Entries are pairs: of offsets from the text's start since Go 1.18, of whole addresses before.
    let (base, names, functions, wide) = match magic {
        GO_118 | GO_120 => {
            let base = word(24)?;
            (
                if base == 0 { text } else { base },
                word(32)?,
                word(64)?,
                false,
            )
        }
        GO_116 => (0, word(24)?, word(56)?, true),
        _ => return None,
    };
    let entry = if wide { 16 } else { 8 };
    let mut found = Vec::new();
    for index in 0..count.min(table.len() as u64 / entry) {
        let at = functions.checked_add(index * entry)?;
        let (address, function) = match wide {
            true => (word(at)?, word(at.checked_add(8)?)?),
            false => (u64::from(half(at)?), u64::from(half(at.checked_add(4)?)?)),
        };
        let name_at = functions
            .checked_add(function)?
            .checked_add(if wide { 8 } else { 4 })?;
        let start = names.checked_add(u64::from(half(name_at)?))?;
        let rest = table.get(usize::try_from(start).ok()?..)?;
        // Longer names than a kilobyte are a damaged table's.
        let end = rest.iter().take(1024).position(|&byte| byte == 0)?;
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        found.push((base.checked_add(address)?, name));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packages_of_go_itself_are_told_from_others() {
        for (name, own) in [
            ("main.main", true),
            ("main.(*statements).Less", true),
            ("github.com/fatih/color.New", true),
            ("runtime.mallocgc", false),
            ("encoding/json.Unmarshal", false),
            ("internal/poll.(*FD).Read", false),
            ("vendor/golang.org/x/net/idna.f", false),
            ("type:.eq.main.token", false),
            ("type:.eq.struct { encoding/json.len int }", false),
            (
                "slices.Sort[go.shape.struct { encoding/json.ks string }]",
                false,
            ),
            ("example.org/x.Map[go.shape.string].Get", true),
        ] {
            assert_eq!(is_own_go(name), own, "{name}");
        }
    }

    #[test]
    fn crates_of_rust_itself_are_told_from_others() {
        for (name, own) in [
            ("_ZN6choose4main17h0123456789abcdefE", Some(true)),
            ("_ZN4core3fmt5write17h0123456789abcdefE", Some(false)),
            ("_ZN3std2rt10lang_start17h0123456789abcdefE", Some(false)),
            (
                "_ZN48_$LT$T$u20$as$u20$core..any..Any$GT$7type_id17hE",
                None,
            ),
            ("main", None),
            ("_ZN", None),
            ("_ZN99999999999999999999x", None),
            ("_ZN9short", None),
        ] {
            assert_eq!(is_own_rust(name), own, "{name}");
        }
    }

    #[test]
    fn a_table_of_go_is_read() {
        let mut table = GO_120.to_le_bytes().to_vec();
        table.extend([0, 0, 1, 8]);
        for word in [1u64, 0, 0x1000, 72, 0, 0, 0, 80] {
            table.extend(word.to_le_bytes());
        }
        assert_eq!(table.len(), 72);
        table.extend(b"main.f\0\0");
        for half in [0x20u32, 8, 0x20, 0] {
            table.extend(half.to_le_bytes());
        }
        assert_eq!(
            go_functions(&table, 5),
            Some(vec![(0x1020, "main.f".to_owned())])
        );
        assert_eq!(go_functions(&table[..90], 5), None);
    }

    proptest! {
        #[test]
        fn no_table_of_go_makes_it_panic(
            start in prop::sample::select(vec![GO_116, GO_118, GO_120]),
            words in prop::collection::vec(prop_oneof![0u64..200, any::<u64>()], 0..20),
        ) {
            let mut table = start.to_le_bytes().to_vec();
            table.extend([0, 0, 1, 8]);
            for word in words {
                table.extend(word.to_le_bytes());
            }
            let _ = go_functions(&table, 0x40_0000);
        }
    }
}
