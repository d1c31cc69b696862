//! The first process of a guest: a shell script that prepares the guest, runs the command, writes
//! its status to a file of the host, and turns the guest off.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The name of the script in the guest's directory.
pub(super) const INIT: &str = "init";
/// The name of the file with the command's exit status; without it the guest failed.
pub(super) const STATUS: &str = "status";

/// Writes the script for `command` to `directory`.
pub(super) fn write(command: &Command, directory: &Path) -> io::Result<()> {
    let path = directory.join(INIT);
    let current = std::env::current_dir()?;
    fs::write(&path, script(command, directory, &current))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))
}

fn script(command: &Command, directory: &Path, current: &Path) -> String {
    let current = command.get_current_dir().unwrap_or(current);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(quoted).collect();
    let set = command.get_envs();
    let environment = set.filter_map(|(name, value)| {
        let name = name.to_string_lossy();
        value.map(|value| format!("export {name}={}\n", quoted(value)))
    });
    format!(
        "#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run/tmp
prepare() {{
    mount -t proc proc /proc &&
    mount -t sysfs sys /sys &&
    mount -t tmpfs tmpfs /run &&
    mkdir -p $TMPDIR /run/lib/modules &&
    ln -s \"{MODULES}/$(uname -r)\" /run/lib/modules &&
    modprobe --dirname /run --all {modules} &&
    ip link set lo up
}}
run() {{
    cd {current} || return
{environment}{command}
}}
if prepare; then
    (run) </dev/null
    echo $? >{status}
fi
sync
echo o >/proc/sysrq-trigger
# The kernel panics if its first process ends.
while :; do sleep 1; done
",
        modules = NEEDED.join(" "),
        current = quoted(current.as_os_str()),
        environment = environment.collect::<String>(),
        command = words.join(" "),
        status = quoted(directory.join(STATUS).as_os_str()),
    )
}

/// A word of the shell.
fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}

/// Where the package has the modules of its kernel.
const MODULES: &str = "/usr/lib/uml/modules";
/// IPv6, and what DPDK's net_tap needs for flow rules.
const NEEDED: [&str; 10] = [
    "ipv6",
    "tun",
    "sch_multiq",
    "sch_ingress",
    "cls_flower",
    "cls_bpf",
    "act_bpf",
    "act_gact",
    "act_mirred",
    "act_skbedit",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_reach_the_command_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("printf");
        command.args(["%s|", "it's", "$HOME", "a  b"]);
        command.env("VALUE", "1 'two'").current_dir("/");
        let script = script(&command, directory.path(), Path::new("/"));
        let (_, run) = script.split_once("run() {").unwrap();
        let (run, _) = run.split_once("if prepare").unwrap();
        let run = format!("run() {{{run}run\nprintf %s \"$VALUE\"");
        let output = Command::new("sh").args(["-c", &run]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, "it's|$HOME|a  b|1 'two'");
    }
}
