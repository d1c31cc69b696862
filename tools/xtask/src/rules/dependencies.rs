//! The dependency rule: `wire <- netstack <- proxy`, and DPDK at the edge.
//!
//! netstack and flow-rules know no other package of the workspace; the proxy may be built without
//! DPDK; nothing but the proxy's binary and `dpdk-io` itself sees DPDK at all.

use cargo_metadata::Package as CargoPackage;

use super::Violation;

/// Checks every package against [`ALLOWED`] and the rule of the one optional dependency.
pub(super) fn check(packages: &[Package]) -> Vec<Violation> {
    packages.iter().flat_map(check_package).collect()
}

/// What the rule needs to know of a package.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    /// Features with what each enables, as written in the manifest.
    features: Vec<(String, Vec<String>)>,
}

/// A dependency on another package of the workspace, of any kind.
#[derive(Debug)]
struct Dependency {
    name: String,
    optional: bool,
}

/// Extracts the packages with the dependencies that stay inside the workspace.
pub(super) fn packages(packages: &[CargoPackage]) -> Vec<Package> {
    let inside = |name: &str| packages.iter().any(|package| package.name == name);
    packages
        .iter()
        .map(|package| Package {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .filter(|dependency| inside(&dependency.name))
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    optional: dependency.optional,
                })
                .collect(),
            features: package.features.clone().into_iter().collect(),
        })
        .collect()
}

fn check_package(package: &Package) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |what: String| {
        violations.push(Violation {
            place: format!("package {}", package.name),
            what,
        });
    };
    for dependency in &package.dependencies {
        if dependency.name == package.name {
            continue;
        }
        if !may_depend(&package.name, &dependency.name) {
            report(format!("must not depend on {}", dependency.name));
        } else if dependency.name == DPDK_IO && !dependency.optional {
            report(format!(
                "{DPDK_IO} must be optional, behind the feature {DPDK_FEATURE}"
            ));
        }
    }
    for (feature, enables) in &package.features {
        let enabled = enables
            .iter()
            .any(|name| name == "dep:dpdk-io" || name == DPDK_IO);
        if enabled && feature != DPDK_FEATURE {
            report(format!(
                "feature {feature} enables {DPDK_IO}; only {DPDK_FEATURE} may"
            ));
        }
    }
    violations
}

fn may_depend(package: &str, dependency: &str) -> bool {
    match ALLOWED.iter().find(|(name, _)| *name == package) {
        Some((_, allowed)) => allowed.contains(&dependency),
        // Tools and tests may use everything but DPDK.
        None => ![DPDK_IO, DPDK_SYS].contains(&dependency),
    }
}

/// What each part of the product may depend on inside the workspace.
const ALLOWED: [(&str, &[&str]); 5] = [
    ("netstack", &[]),
    ("flow-rules", &[]),
    (DPDK_SYS, &[]),
    (DPDK_IO, &[DPDK_SYS, "flow-rules", "netstack"]),
    ("proxy", &[DPDK_IO, "flow-rules", "netstack"]),
];

const DPDK_IO: &str = "dpdk-io";
const DPDK_SYS: &str = "dpdk-sys";
const DPDK_FEATURE: &str = "dpdk";

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            dependencies: dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.trim_end_matches('?').to_owned(),
                    optional: dependency.ends_with('?'),
                })
                .collect(),
            features: Vec::new(),
        }
    }

    fn broken(package: Package) -> Vec<String> {
        let violations = check(&[package]);
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_layers_of_the_design_are_allowed() {
        for (name, dependencies) in [
            ("netstack", &["netstack"][..]),
            ("dpdk-io", &["netstack", "dpdk-sys"]),
            ("proxy", &["netstack", "dpdk-io?"]),
            ("weirgate-tests", &["proxy"]),
        ] {
            assert!(broken(package(name, dependencies)).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_dependency_against_the_layers_is_reported() {
        for (name, dependency) in [
            ("netstack", "proxy"),
            ("flow-rules", "netstack"),
            ("dpdk-io", "proxy"),
            ("proxy", "dpdk-sys"),
            ("weirgate-tests", "dpdk-io"),
        ] {
            assert_eq!(
                broken(package(name, &[dependency])),
                [format!("package {name}: must not depend on {dependency}")]
            );
        }
    }

    #[test]
    fn dpdk_is_optional_and_has_one_feature() {
        assert_eq!(broken(package("proxy", &["dpdk-io"])).len(), 1);
        let mut proxy = package("proxy", &["dpdk-io?"]);
        proxy.features = vec![("dpdk".to_owned(), vec!["dep:dpdk-io".to_owned()])];
        assert!(check_package(&proxy).is_empty());
        proxy.features[0].0 = "default".to_owned();
        assert_eq!(check_package(&proxy).len(), 1);
    }
}
