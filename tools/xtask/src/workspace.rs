//! What Cargo knows about this repository.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::Error;

/// The workspace that this program belongs to.
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks Cargo; dependencies from registries are left out.
    pub(crate) fn load() -> Result<Self, Error> {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .no_deps()
            .exec()?;
        Ok(Self { metadata })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where Cargo puts what it builds.
    pub(crate) fn target_directory(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The packages of the workspace.
    pub(crate) fn packages(&self) -> &[cargo_metadata::Package] {
        &self.metadata.packages
    }

    /// Options that make Cargo build `weirgate` as it is shipped: with DPDK.
    pub(crate) fn product_features(&self) -> &'static [&'static str] {
        if self.has_product() {
            &["--features", "proxy/dpdk"]
        } else {
            &[]
        }
    }

    /// Whether the package of the `weirgate` binary is part of the workspace.
    pub(crate) fn has_product(&self) -> bool {
        self.packages()
            .iter()
            .any(|package| package.name == "proxy")
    }

    /// The `weirgate` binary of a profile's directory, `debug` or `release`.
    pub(crate) fn product(&self, profile: &str) -> PathBuf {
        self.target_directory().join(profile).join("weirgate")
    }
}
