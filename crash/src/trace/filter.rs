//! Which system calls stop a traced process: those that change files or make them durable. A filter in the kernel
//! (seccomp(2)) picks them, so that everything else runs at full speed.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::TraceError;

/// Calls that change files whatever their arguments.
const ALWAYS: [i64; 29] = [
    libc::SYS_creat,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_msync,
    libc::SYS_io_uring_enter,
];

/// Flags with which opening a file changes it.
const OPENS: [i32; 2] = [libc::O_CREAT, libc::O_TRUNC];

/// The filter as a program for the kernel.
pub(super) fn program() -> Result<BpfProgram, TraceError> {
    let failed = |error: seccompiler::BackendError| TraceError::Filter(error.to_string());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALWAYS.into_iter().map(|call| (call, Vec::new())).collect();
    let with_flag = |argument: u8, flag: i32| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(failed)
    };
    for (call, argument) in [(libc::SYS_openat, 2), (libc::SYS_open, 1)] {
        let conditions: Result<_, _> = OPENS.into_iter().map(|flag| with_flag(argument, flag)).collect();
        rules.insert(call, conditions?);
    }
    // Shared memory over a file would change it unseen.
    rules.insert(
        libc::SYS_mmap,
        vec![{
            let shared =
                SeccompCondition::new(3, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(3), 1).map_err(failed)?;
            let write = u64::from(libc::PROT_WRITE.unsigned_abs());
            let writes = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(write), write);
            SeccompRule::new(vec![shared, writes.map_err(failed)?]).map_err(failed)?
        }],
    );
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(failed)
}
