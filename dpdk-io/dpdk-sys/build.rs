//! Finds DPDK by pkg-config, generates the bindings, compiles the shim, and says how to link.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The oldest DPDK release whose names the bindings use.
const OLDEST_DPDK: &str = "22.11";

/// What the bindings cover: `dpdk-io` calls these and reads these.
const FUNCTIONS: &[&str] = &[
    "dpdk_shim_.*",
    "rte_eal_(init|cleanup|remote_launch|wait_lcore)",
    "rte_strerror",
    "rte_pktmbuf_(pool_create|free_bulk)",
    "rte_mempool_(avail|in_use)_count",
    "rte_eth_dev_(adjust_nb_rx_tx_desc|close|configure|get_name_by_port|get_port_by_name)",
    "rte_eth_dev_(info_get|socket_id|start|stop)",
    "rte_eth_dev_rss_(hash_conf_get|hash_update|reta_query|reta_update)",
    "rte_eth_find_next",
    "rte_version",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_allmulticast_enable",
    "rte_eth_promiscuous_(enable|disable|get)",
    "rte_eth_macaddr_get",
    "rte_eth_dev_default_mac_addr_set",
    "rte_eth_(stats_get|xstats_get|xstats_get_names)",
    "rte_flow_(create|destroy|flush|isolate|query|validate)",
];
const CONSTANTS: &[&str] = &[
    "DPDK_.*",
    "MBUF_OFFSET_.*",
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_MAX_ETHPORTS",
    "RTE_MAX_LCORE",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_PKTMBUF_HEADROOM",
];
/// Types that functions take behind untyped pointers.
const TYPES: &[&str] = &[
    "rte_flow_action_(count|jump|mark|meter|port_id|queue|rss|vf|ethdev)",
    "rte_flow_item_(any|arp_eth_ipv4|e_tag|esp|eth|ethdev|fuzzy|geneve|gre|gtp|icmp|icmp6)",
    "rte_flow_item_icmp6_nd_(na|ns)",
    "rte_flow_item_(ipv4|ipv6|mark|mpls|nvgre|port_id|raw|sctp|tcp|udp|vlan|vxlan|vxlan_gpe)",
    "rte_flow_query_count",
];
/// Types that are only passed around by pointer: their fields stay DPDK's own business.
const OPAQUE_TYPES: &[&str] = &[
    "rte_device",
    "rte_mbuf",
    "rte_memzone",
    "rte_mempool",
    "rte_eth_(fdir_conf|intr_conf|rxseg_capa|rxseg|switch_info)",
    "rte_eth_rxseg.*",
    "rte_eth_.*(dcb|vmdq).*",
];

#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(
        "`{program}` cannot be run ({cause}). \
         Install the Debian package `pkg-config` or set PKG_CONFIG."
    )]
    PkgConfigMissing { program: String, cause: io::Error },
    #[error(
        "pkg-config finds no libdpdk {OLDEST_DPDK} or newer: {stderr}. \
         Install the Debian package `libdpdk-dev` or set PKG_CONFIG_PATH."
    )]
    DpdkMissing { stderr: String },
    #[error(
        "libclang, which reads the headers of DPDK, cannot be loaded: {0}. \
         Install the Debian package `libclang-dev` or set LIBCLANG_PATH."
    )]
    LibclangMissing(String),
    #[error("bindgen cannot read the headers of DPDK: {0}")]
    Bindgen(#[from] bindgen::BindgenError),
    #[error("the C shim does not compile: {0}")]
    Shim(#[from] cc::Error),
    #[error("the bindings cannot be written: {0}")]
    Write(#[from] io::Error),
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", error.to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), BuildError> {
    for file in ["bindings.h", "shim.c", "shim.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH", "LIBCLANG_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    pkg_config(&[
        &format!("--atleast-version={OLDEST_DPDK}"),
        "--print-errors",
    ])?;
    let compiler_flags = pkg_config(&["--cflags"])?;
    let linker_flags = pkg_config(&["--libs"])?;
    generate_bindings(&compiler_flags)?;
    compile_shim(&compiler_flags)?;
    // After the shim, which needs these libraries.
    print_link_lines(&linker_flags);
    Ok(())
}

/// The words that pkg-config answers about libdpdk.
fn pkg_config(arguments: &[&str]) -> Result<Vec<String>, BuildError> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output = match Command::new(&program)
        .args(arguments)
        .arg("libdpdk")
        .output()
    {
        Ok(output) => output,
        Err(cause) => return Err(BuildError::PkgConfigMissing { program, cause }),
    };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BuildError::DpdkMissing { stderr });
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    Ok(stdout.split_whitespace().map(str::to_owned).collect())
}

fn generate_bindings(compiler_flags: &[String]) -> Result<(), BuildError> {
    clang_sys::load().map_err(BuildError::LibclangMissing)?;
    let mut builder = bindgen::builder()
        .header("bindings.h")
        .clang_args(compiler_flags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(true)
        .generate_comments(false)
        .layout_tests(true)
        .formatter(bindgen::Formatter::Prettyplease);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for ty in TYPES {
        builder = builder.allowlist_type(ty);
    }
    for constant in CONSTANTS {
        builder = builder.allowlist_var(constant);
    }
    for opaque in OPAQUE_TYPES {
        builder = builder.opaque_type(opaque);
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    builder
        .blocklist_type("rte_(mbuf|mempool)__bindgen_ty.*")
        .generate()?
        .write_to_file(directory.join("bindings.rs"))?;
    Ok(())
}

fn compile_shim(compiler_flags: &[String]) -> Result<(), BuildError> {
    let mut shim = cc::Build::new();
    shim.file("shim.c");
    for flag in compiler_flags {
        // As system headers, so that only the shim's own warnings are shown.
        match flag.strip_prefix("-I") {
            Some(directory) => shim.flag("-isystem").flag(directory),
            None => shim.flag(flag),
        };
    }
    shim.try_compile("dpdk_shim")?;
    Ok(())
}

/// Links dynamically: the drivers are plugins that must find the same libraries in the process.
///
/// Other flags than -L and -l are `-Wl,--as-needed`, which rustc passes anyhow.
fn print_link_lines(linker_flags: &[String]) {
    for flag in linker_flags {
        if let Some(directory) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={directory}");
        } else if let Some(library) = flag.strip_prefix("-l") {
            println!("cargo::rustc-link-lib=dylib={library}");
        }
    }
}
