//! The conditions in a program's machine code, and what changes them.

use object::{Architecture, Object as _, ObjectSection as _, SectionFlags};
use serde::{Deserialize, Serialize};

use super::names::Names;

/// The flag of sections that hold instructions (`SHF_EXECINSTR`).
const EXECUTABLE: u64 = 4;
/// The instruction that stops a process.
const BREAKPOINT: u8 = 0xCC;

/// What of an instruction is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The condition of a jump (`Jcc`): the other way is taken.
    Jump,
    /// The condition of a value (`SETcc`, `CMOVcc`): the other value is taken.
    Select,
    /// The number of one byte with which something is compared (`CMP`): one more, or one less where there is no more.
    Constant,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Jump, Kind::Select, Kind::Constant];

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Jump => "jump",
            Kind::Select => "select",
            Kind::Constant => "constant",
        }
    }
}

/// An instruction that can be changed by one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the instruction begins in the file.
    pub offset: u64,
    /// Where it begins in memory, relative to where the file is loaded.
    pub address: u64,
    /// What is changed.
    pub kind: Kind,
    /// Where the byte is in the file.
    pub at: u64,
    /// What the byte is changed to.
    pub byte: u8,
}

/// A program or library whose conditions are known.
#[derive(Clone, Debug)]
pub struct Object {
    /// The file.
    pub bytes: Vec<u8>,
    /// What can be changed, by offset.
    pub sites: Vec<Site>,
    /// Its functions' names, as far as the file has them.
    pub names: Names,
    /// The libraries that it names as needed.
    pub needed: Vec<String>,
}

impl Object {
    /// Reads an ELF file for x86-64.
    ///
    /// # Errors
    /// What it is instead, as a fragment.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
        if (file.format(), file.architecture()) != (object::BinaryFormat::Elf, Architecture::X86_64)
        {
            return Err("it is not an ELF file for x86-64".to_owned());
        }
        let mut code: Vec<(u64, u64, u64)> = file
            .sections()
            .filter(|section| match section.flags() {
                SectionFlags::Elf { sh_flags, .. } => sh_flags.0 & EXECUTABLE != 0,
                _ => false,
            })
            .filter_map(|section| {
                let (offset, size) = section.file_range()?;
                Some((offset, size, section.address()))
            })
            .collect();
        code.sort_unstable();
        let mut sites = Vec::new();
        let mut done = 0;
        for (offset, size, address) in code {
            let Some(end) = offset.checked_add(size) else {
                continue;
            };
            // Sections that lie over each other are a damaged file's; what was read once is not read again.
            if offset < done {
                continue;
            }
            if let Some(code) = bytes.get(offset as usize..end as usize) {
                find(code, offset, address, &mut sites);
                done = end;
            }
        }
        if sites.is_empty() {
            return Err("it has no section with conditions in it".to_owned());
        }
        let names = Names::read(&file);
        let needed = needed(&file);
        Ok(Object {
            sites,
            names,
            needed,
            bytes,
        })
    }

    /// The file with a breakpoint at each instruction that is wanted, by its number among [`Object::sites`].
    pub fn planted(&self, wanted: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (number, site) in self.sites.iter().enumerate() {
            if wanted(number) {
                bytes[site.offset as usize] = BREAKPOINT;
            }
        }
        bytes
    }
}

/// The names in the entries `DT_NEEDED`.
fn needed(file: &object::File<'_>) -> Vec<String> {
    let object::File::Elf64(file) = file else {
        return Vec::new();
    };
    let Ok(table) = file.elf_dynamic_table() else {
        return Vec::new();
    };
    table
        .iter()
        .filter(|entry| entry.tag == object::elf::DT_NEEDED)
        .filter_map(|entry| {
            let name = table.string(entry).ok()?;
            Some(String::from_utf8_lossy(name).into_owned())
        })
        .collect()
}

/// Finds what can be changed in code that stands at `offset` of a file and at `address` of memory.
///
/// The code is read from its beginning to its end, one instruction after another. Data between functions could be taken
/// for instructions; nothing executes it, so that it never becomes a mutant.
fn find(code: &[u8], offset: u64, address: u64, sites: &mut Vec<Site>) {
    use iced_x86::{Decoder, DecoderOptions, Instruction};
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let start = decoder.position();
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            if decoder.set_position(start + 1).is_err() {
                return;
            }
            decoder.set_ip(address.wrapping_add(start as u64 + 1));
            continue;
        }
        let bytes = &code[start..decoder.position()];
        if let Some((kind, index, byte)) = change(bytes) {
            let start = start as u64;
            sites.push(Site {
                offset: offset + start,
                address: address.wrapping_add(start),
                kind,
                at: offset + start + index as u64,
                byte,
            });
        }
    }
}

/// How an instruction is changed: what, which of its bytes, and to what.
///
/// Conditions come in pairs that differ in the lowest bit of the opcode (Intel's manual, volume 2, appendix B, on the field `tttn`).
fn change(instruction: &[u8]) -> Option<(Kind, usize, u8)> {
    let at = instruction.iter().position(
        |byte| !matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x40..=0x4F | 0x64..=0x67 | 0xF2 | 0xF3),
    )?;
    let second = instruction.get(at + 1).copied();
    let flipped = |kind, index: usize| Some((kind, index, instruction[index] ^ 1));
    match (instruction[at], second?) {
        (0x70..=0x7F, _) => flipped(Kind::Jump, at),
        (0x0F, 0x80..=0x8F) => flipped(Kind::Jump, at + 1),
        (0x0F, 0x40..=0x4F | 0x90..=0x9F) => flipped(Kind::Select, at + 1),
        // The second byte's middle bits, 7, say that it is a comparison.
        (0x3C, _) | (0x80 | 0x83, 0x38..=0x3F | 0x78..=0x7F | 0xB8..=0xBF | 0xF8..=0xFF) => {
            let last = instruction.len() - 1;
            let number = instruction[last].cast_signed();
            let other = number.checked_add(1).unwrap_or_else(|| number - 1);
            Some((Kind::Constant, last, other.cast_unsigned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn each_condition_has_its_opposite() {
        for (bytes, expected) in [
            (&[0x74, 0x05][..], Some((Kind::Jump, 0, 0x75))),
            (&[0x2E, 0x7F, 0x05], Some((Kind::Jump, 1, 0x7E))),
            (&[0x0F, 0x85, 1, 0, 0, 0], Some((Kind::Jump, 1, 0x84))),
            (&[0x0F, 0x94, 0xC0], Some((Kind::Select, 1, 0x95))),
            (&[0x48, 0x0F, 0x4C, 0xC1], Some((Kind::Select, 2, 0x4D))),
            (&[0x3C, 0x7F], Some((Kind::Constant, 1, 0x7E))),
            (&[0x3C, 0x80], Some((Kind::Constant, 1, 0x81))),
            (&[0x3C, 0xFF], Some((Kind::Constant, 1, 0))),
            (&[0x48, 0x83, 0xF8, 0x01], Some((Kind::Constant, 3, 2))),
            (&[0x80, 0x7F, 0x10, 0x2D], Some((Kind::Constant, 3, 0x2E))),
            // add, call, vector code, nothing.
            (&[0x83, 0xC0, 0x01], None),
            (&[0xE8, 0, 0, 0, 0], None),
            (&[0xC5, 0xF8, 0x77], None),
            (&[0xC3], None),
            (&[], None),
        ] {
            assert_eq!(change(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn this_test_has_conditions_and_names() {
        let object = Object::read(own()).unwrap();
        assert!(object.sites.len() > 1000, "{}", object.sites.len());
        for kind in Kind::ALL {
            assert!(object.sites.iter().any(|site| site.kind == kind));
        }
        assert!(object.needed.iter().any(|name| name.starts_with("libc.so")));
        let planted = object.planted(|_| true);
        let changed: Vec<u64> = (0..planted.len())
            .filter(|&index| planted[index] != object.bytes[index])
            .map(|index| index as u64)
            .collect();
        let offsets: Vec<u64> = object.sites.iter().map(|site| site.offset).collect();
        assert_eq!(changed, offsets);
    }

    #[test]
    fn a_change_is_one_byte_of_its_instruction_and_keeps_its_length() {
        let object = Object::read(own()).unwrap();
        for site in &object.sites {
            let start = site.offset as usize;
            let mut after = object.bytes[start..(start + 15).min(object.bytes.len())].to_vec();
            let decode = |bytes: &[u8]| iced_x86::Decoder::new(64, bytes, 0).decode();
            let before = decode(&after);
            let within = (site.at - site.offset) as usize;
            assert!(within < before.len());
            assert_ne!(after[within], site.byte);
            after[within] = site.byte;
            let changed = decode(&after);
            assert_eq!(changed.len(), before.len(), "{site:x?}");
            assert!(!changed.is_invalid(), "{site:x?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damaged_files_are_refused_or_read(
            damage in prop::collection::vec((0usize..4096, any::<u8>()), 1..40),
            keep in 0usize..200_000,
            sections in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = own();
            // The section headers are at the file's end; damage them too.
            let end = bytes.len();
            for (index, byte) in sections.iter().enumerate() {
                bytes[end - 1 - index * 7] = *byte;
            }
            for (at, byte) in damage {
                bytes[at] = byte;
            }
            let _ = Object::read(bytes[..keep].to_vec());
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
            elf.extend_from_slice(&bytes);
            let _ = Object::read(elf);
            let _ = Object::read(bytes);
        }

        #[test]
        fn any_code_is_read_to_its_end(code in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut sites = Vec::new();
            find(&code, 0, u64::MAX - 100, &mut sites);
            for site in sites {
                prop_assert!((site.at as usize) < code.len() && site.offset <= site.at);
            }
        }
    }
}
