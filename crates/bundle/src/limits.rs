//! How much a bundle may hold.

/// The most that is taken of a bundle. Every field is a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file itself.
    pub file: u64,
    /// Bytes of all that is in it, unpacked once.
    pub unpacked: u64,
    /// Files.
    pub files: usize,
    /// Bytes of the manifest.
    pub manifest: u64,
    /// Bytes of all contents, which are compressed themselves, unpacked twice.
    pub contents: u64,
    /// Bytes of one content that is a list of files: it is read into memory whole.
    pub list: u64,
}

impl Limits {
    /// What suits a run of weeks: some 8,000 turns come to less than a tenth of it.
    pub const RUN: Limits = Limits {
        file: 256 << 20,
        unpacked: 1 << 30,
        files: 100_000,
        manifest: 16 << 20,
        contents: 4 << 30,
        list: 32 << 20,
    };
}
