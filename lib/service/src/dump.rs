//! No core files: a process that dies must not leave its memory, and with it keys and prompts, on a disk.

/// Forbids core files for this process, whatever its limits were; where the kernel hands them to a program (`core_pattern`
/// with a pipe) as well. Only root can look into such a process from then on.
#[cfg(target_os = "linux")]
pub(crate) fn forbid() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    if let Err(error) = limited.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        tracing::warn!(%error, "core files cannot be forbidden: a crash may write this process's memory to disk");
    }
}

/// Elsewhere it is the operator's limit that counts.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forbid() {}
