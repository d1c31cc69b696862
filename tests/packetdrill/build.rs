//! Compiles what only C can say: the variadic functions of the interface, and the program that
//! the tests load the library with.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn core::error::Error>> {
    for file in ["src/variadic.c", "tests/driver/driver.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let mut compiler = cc::Build::new();
    compiler.warnings(true).extra_warnings(true).std("c11");
    compiler
        .clone()
        .file("src/variadic.c")
        .try_compile("variadic")?;

    let program = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("driver");
    let status = compiler
        .try_get_compiler()?
        .to_command()
        .arg("tests/driver/driver.c")
        .arg("-o")
        .arg(&program)
        .args(["-ldl", "-lpthread"])
        .status()?;
    if !status.success() {
        return Err(format!("tests/driver/driver.c does not compile: {status}").into());
    }
    println!(
        "cargo::rustc-env=PACKETDRILL_TEST_DRIVER={}",
        program.display()
    );
    Ok(())
}
