//! Raw system calls on x86-64 Linux, for programs without a C library. Included by path in the shim and in the guard.

/// Calls the kernel. Returns what it returns: a negative error number between -4095 and -1, or a result.
///
/// # Safety
///
/// What the call does with its arguments is the caller's promise: addresses must be valid for what the kernel reads or
/// writes there, and a descriptor that is closed must not be used by anybody else.
pub(crate) unsafe fn syscall(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    // Needed: without a C library, this instruction is the only way to ask the kernel for anything.
    // SAFETY: the instruction changes rax, rcx and r11, which are declared, and memory, which asm may change by
    // default; the flags are restored by the kernel from r11. The rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

// The core library's object files name this function, which unwinding would call. A panic ends these programs instead.
core::arch::global_asm!(
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    "ud2"
);
