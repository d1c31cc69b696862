//! Prints the names of all fuzz targets, one a line, for `cargo xtask fuzz`.

#![forbid(unsafe_code)]

fn main() {
    for (name, _) in fuzz_targets::TARGETS {
        println!("{name}");
    }
}
