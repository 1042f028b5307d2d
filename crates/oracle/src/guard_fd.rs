//! What the guard and the starter of a guarded program agree on.

/// The descriptor under which a guarded program inherits its Landlock ruleset.
///
/// The starter puts it there last, after the three standard streams, with every other descriptor closed or marked to
/// close on exec, so nothing else can be at this number; it lies under the lowest usual descriptor limit (64) and far above what a loader opens.
pub const GUARD_FD: i32 = 60;

/// Exit status of a program that its guard did not let start.
pub const GUARD_FAILED: i32 = 125;
