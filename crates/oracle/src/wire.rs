//! The numbers of the protocol, shared by the broker and by the shim, which has no standard library.

/// Version of the protocol. Shim and broker come from one build; this catches a shim left over from another.
pub(crate) const VERSION: u32 = 1;

/// Bytes of every message's head but the request's: a tag and a `u32`.
pub(crate) const HEAD: usize = 5;

/// Tag of a signal that the shim passes on.
pub(crate) const SIGNAL: u8 = 1;

/// Tag of bytes for standard output.
pub(crate) const STDOUT: u8 = 1;
/// Tag of bytes for standard error.
pub(crate) const STDERR: u8 = 2;
/// Tag of the end of a program that exited.
pub(crate) const EXITED: u8 = 3;
/// Tag of the end of a program that a signal killed.
pub(crate) const SIGNALED: u8 = 4;
/// Tag of a refusal: the program was not run.
pub(crate) const REFUSED: u8 = 5;

/// Largest signal number on Linux.
pub(crate) const LAST_SIGNAL: u32 = 64;

/// The head of a message.
#[must_use]
pub(crate) const fn head(tag: u8, value: u32) -> [u8; HEAD] {
    let [a, b, c, d] = value.to_le_bytes();
    [tag, a, b, c, d]
}

/// Tag and value of a head.
#[must_use]
pub(crate) const fn parse_head(head: [u8; HEAD]) -> (u8, u32) {
    let [tag, a, b, c, d] = head;
    (tag, u32::from_le_bytes([a, b, c, d]))
}
