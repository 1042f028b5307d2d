//! The five functions that compiled code expects a C library to have, as string instructions.
//!
//! Written in assembly because the compiler turns a loop that copies bytes into a call of `memcpy`, which would be this one.
//! The shim only: the guard is loaded beside a C library, whose functions these would replace.

/// Copies `count` bytes that do not overlap.
///
/// # Safety
///
/// As in C: both places are valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // Needed: see the top. SAFETY: the caller's promise covers what the instruction reads and writes; the ABI has the direction flag clear.
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
    }
    to
}

/// Copies `count` bytes that may overlap.
///
/// # Safety
///
/// As in C: both places are valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // Needed: see the top. SAFETY: the same promise; copying upwards reads every byte before it is overwritten.
        return unsafe { memcpy(to, from, count) };
    }
    // Needed: see the top. SAFETY: the same promise; `count` is not 0 here, so the last bytes exist, and the direction flag is cleared again.
    unsafe {
        core::arch::asm!("std", "rep movsb", "cld", inout("rcx") count => _,
            inout("rdi") to.wrapping_add(count).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(count).wrapping_sub(1) => _, options(nostack));
    }
    to
}

/// Fills `count` bytes.
///
/// # Safety
///
/// As in C: the place is valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // Needed: see the top. SAFETY: the caller's promise covers what the instruction writes.
    unsafe {
        core::arch::asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags));
    }
    to
}

/// Compares `count` bytes.
///
/// # Safety
///
/// As in C: both places are valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let difference: i32;
    // Needed: see the top. SAFETY: the caller's promise covers what is read. Comparing eax with itself sets the
    // zero flag, so that no bytes are equal bytes; only after a difference are the two bytes before the pointers read.
    unsafe {
        core::arch::asm!(
            "cmp eax, eax", "repe cmpsb", "mov eax, 0", "je 2f",
            "movzx eax, byte ptr [rsi - 1]", "movzx ecx, byte ptr [rdi - 1]", "sub eax, ecx", "2:",
            inout("rcx") count => _, inout("rsi") left => _, inout("rdi") right => _,
            inout("eax") 0 => difference, options(nostack, readonly));
    }
    difference
}

/// Compares `count` bytes for equality.
///
/// # Safety
///
/// As in C: both places are valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // Needed: see the top. SAFETY: the same promise.
    unsafe { memcmp(left, right, count) }
}

/// Counts the bytes before the first zero.
///
/// # Safety
///
/// As in C: a zero byte follows in the same object.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let left: usize;
    // Needed: see the top. SAFETY: reading ends at the zero byte that the caller promises.
    unsafe {
        core::arch::asm!("repne scasb", inout("rcx") usize::MAX => left, inout("rdi") string => _, in("al") 0u8, options(nostack, readonly));
    }
    (usize::MAX - left) - 1
}
