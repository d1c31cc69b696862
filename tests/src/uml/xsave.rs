//! What user-mode Linux needs on CPUs with large registers.
//!
//! It keeps the registers of its processes in 2696 octets, which AVX-512 fills. On a CPU with AMX
//! `PTRACE_GETREGSET` of `NT_X86_XSTATE` has more to give, and what was cut short is refused when it
//! is to be set again: the guest panics with `ptrace set fp regs`. A seccomp filter that has the
//! kernel know nothing of this set makes user-mode Linux use the older `PTRACE_GETFPREGS` from the
//! start. That one has no upper halves of the AVX registers, so every page fault of a guest's
//! process clears them, and with them what a copy loop of glibc holds: hence [`NO_AVX`].
//!
//! Where the CPU has no AMX nothing is lost without the filter, so it is for the others only.

use std::collections::BTreeMap;
use std::fs;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// Whether the CPU's registers are more than user-mode Linux has room for.
pub(super) fn is_too_large() -> bool {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = cpu.lines().filter(|line| line.starts_with("flags"));
    flags.any(|line| line.split_whitespace().any(|flag| flag == "amx_tile"))
}

/// Makes `ptrace(PTRACE_GETREGSET, _, NT_X86_XSTATE, _)` fail, and nothing else.
pub(super) fn filter() -> Result<BpfProgram, BackendError> {
    let equals = |argument, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let rule = SeccompRule::new(vec![
        equals(0, u64::from(PTRACE_GETREGSET))?,
        equals(2, NT_X86_XSTATE)?,
    ])?;
    SeccompFilter::new(
        BTreeMap::from([(libc::SYS_ptrace, vec![rule])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EINVAL.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// For the environment of the guest: glibc leaves the upper halves of the AVX registers alone.
pub(super) const NO_AVX: &str = "GLIBC_TUNABLES=glibc.cpu.hwcaps=\
     -AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load";

const PTRACE_GETREGSET: u32 = 0x4204;
/// The extended state of x86, in the numbering of notes in core files.
const NT_X86_XSTATE: u64 = 0x202;
