//! EAL command line arguments from the configuration: a pure function of it.

use std::ffi::CString;

use super::{EalConfig, LogLevel};
use crate::error::DpdkError;

/// The EAL's number of the control thread.
const CONTROL: u32 = 0;
/// The EAL's number of the first worker; the others follow in the order of the configuration.
pub(super) const FIRST_WORKER: u32 = CONTROL + 1;

/// The arguments for `config`, on a machine whose control thread may run on `control_cpus` (a
/// list as the kernel writes it).
///
/// EAL lcore numbers are counted up and mapped to CPUs, so that CPUs beyond DPDK's highest lcore
/// number work, and the control thread keeps all CPUs of the process.
pub(super) fn build(config: &EalConfig, control_cpus: &str) -> Result<Vec<CString>, DpdkError> {
    check(config)?;
    let workers = (FIRST_WORKER..).zip(&config.lcores);
    let mut lcores = vec![format!("{CONTROL}@({control_cpus})")];
    lcores.extend(workers.map(|(eal_id, cpu)| format!("{eal_id}@{cpu}")));
    let mut args = vec![
        "dpdk-io".to_owned(),
        format!("--lcores={}", lcores.join(",")),
        format!("--main-lcore={CONTROL}"),
        "-m".to_owned(),
        config.memory_mib.to_string(),
        "--iova-mode=va".to_owned(),
        "--no-telemetry".to_owned(),
        format!("--log-level={}", level(config.log_level)),
    ];
    if config.huge_pages {
        // Pages without files: no hugetlbfs mount is needed, and a crash leaves nothing behind.
        args.push("--in-memory".to_owned());
    } else {
        args.push("--no-huge".to_owned());
        args.push("--no-shconf".to_owned());
    }
    if let Some(prefix) = &config.file_prefix {
        args.push(format!("--file-prefix={prefix}"));
    }
    if config.pci_devices.is_empty() {
        args.push("--no-pci".to_owned());
    }
    for device in &config.pci_devices {
        args.push(format!("--allow={device}"));
    }
    for device in &config.virtual_devices {
        args.push(format!("--vdev={device}"));
    }
    args.into_iter().map(terminated).collect()
}

/// Whether the huge pages that are free (in MiB, if the kernel says) suffice.
pub(super) fn check_huge_pages(wanted_mib: u32, free_mib: Option<u64>) -> Result<(), DpdkError> {
    match free_mib {
        Some(free_mib) if free_mib < u64::from(wanted_mib) => Err(DpdkError::HugePagesMissing {
            wanted_mib,
            free_mib,
        }),
        _ => Ok(()),
    }
}

/// Refuses what the EAL would misread or answer with a page of usage.
fn check(config: &EalConfig) -> Result<(), DpdkError> {
    let most = (dpdk_sys::RTE_MAX_LCORE - FIRST_WORKER) as usize;
    if config.lcores.len() > most {
        return Err(DpdkError::BadOption {
            option: "--lcores",
            value: format!("{} lcores", config.lcores.len()),
            reason: "this DPDK is built for fewer",
        });
    }
    if config.memory_mib == 0 {
        return Err(DpdkError::BadOption {
            option: "-m",
            value: "0".to_owned(),
            reason: "pools and rings need memory",
        });
    }
    if let Some(prefix) = &config.file_prefix
        && (prefix.is_empty() || prefix.contains('/') || prefix.contains('%'))
    {
        return Err(DpdkError::BadOption {
            option: "--file-prefix",
            value: prefix.clone(),
            reason: "it becomes the name of a directory",
        });
    }
    let devices = config.pci_devices.iter().map(|device| ("--allow", device));
    let devices = devices.chain(
        config
            .virtual_devices
            .iter()
            .map(|device| ("--vdev", device)),
    );
    for (option, device) in devices {
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(DpdkError::BadOption {
                option,
                value: device.clone(),
                reason: "a device is a name, and options after commas, without spaces",
            });
        }
    }
    Ok(())
}

/// DPDK's number of a log level.
fn level(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 4,
        LogLevel::Warning => 5,
        LogLevel::Notice => 6,
        LogLevel::Info => 7,
        LogLevel::Debug => 8,
    }
}

fn terminated(arg: String) -> Result<CString, DpdkError> {
    CString::new(arg).map_err(|error| DpdkError::BadOption {
        option: "(any)",
        value: String::from_utf8_lossy(&error.into_vec()).into_owned(),
        reason: "it contains a NUL character",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lcore::LcoreId;

    fn joined(config: &EalConfig) -> String {
        let args = build(config, "0-3,8").unwrap();
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        args.join(" ")
    }

    fn refused(config: &EalConfig) -> String {
        build(config, "0").unwrap_err().to_string()
    }

    #[test]
    fn the_default_needs_nothing_from_the_machine() {
        assert_eq!(
            joined(&EalConfig::default()),
            "dpdk-io --lcores=0@(0-3,8) --main-lcore=0 -m 256 --iova-mode=va --no-telemetry \
             --log-level=5 --no-huge --no-shconf --no-pci"
        );
    }

    #[test]
    fn everything_configured_is_passed_on() {
        let config = EalConfig {
            lcores: vec![LcoreId(200), LcoreId(3), LcoreId(3)],
            memory_mib: 64,
            huge_pages: true,
            file_prefix: Some("edge".to_owned()),
            pci_devices: vec!["0000:03:00.0".to_owned()],
            virtual_devices: vec!["net_null0,size=64".to_owned(), "net_null1".to_owned()],
            log_level: LogLevel::Debug,
        };
        assert_eq!(
            joined(&config),
            "dpdk-io --lcores=0@(0-3,8),1@200,2@3,3@3 --main-lcore=0 -m 64 --iova-mode=va \
             --no-telemetry --log-level=8 --in-memory --file-prefix=edge --allow=0000:03:00.0 \
             --vdev=net_null0,size=64 --vdev=net_null1"
        );
    }

    #[test]
    fn values_that_the_eal_would_misread_are_refused() {
        let config = EalConfig {
            virtual_devices: vec!["net_null0 size=64".to_owned()],
            ..EalConfig::default()
        };
        assert!(refused(&config).starts_with("EAL option --vdev cannot be `net_null0 size=64`"));
        let config = EalConfig {
            virtual_devices: vec!["net_null0\0".to_owned()],
            ..EalConfig::default()
        };
        assert!(refused(&config).contains("NUL"));
        let config = EalConfig {
            file_prefix: Some("../x".to_owned()),
            ..EalConfig::default()
        };
        assert!(refused(&config).starts_with("EAL option --file-prefix cannot be `../x`"));
        let config = EalConfig {
            memory_mib: 0,
            ..EalConfig::default()
        };
        assert!(refused(&config).starts_with("EAL option -m cannot be `0`"));
        let config = EalConfig {
            lcores: vec![LcoreId(0); 128],
            ..EalConfig::default()
        };
        assert!(refused(&config).starts_with("EAL option --lcores cannot be `128 lcores`"));
    }

    #[test]
    fn missing_huge_pages_are_told_with_the_figures() {
        assert_eq!(check_huge_pages(512, Some(512)), Ok(()));
        assert_eq!(check_huge_pages(512, None), Ok(()));
        let error = check_huge_pages(512, Some(100)).unwrap_err().to_string();
        assert!(error.starts_with("512 MiB of huge pages are configured but 100 MiB are free"));
    }
}
