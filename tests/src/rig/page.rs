//! The pages that nginx serves: octets that look random and a checksum.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// A page of one size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Page {
    /// 1 octet.
    One,
    /// 100,000 octets.
    Medium,
    /// 100,000,000 octets.
    Large,
}

impl Page {
    /// All pages.
    pub const ALL: [Self; 3] = [Self::One, Self::Medium, Self::Large];

    /// The name of the file, and the last part of its URL.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::One => "1B",
            Self::Medium => "100kB",
            Self::Large => "100MB",
        }
    }

    /// Octets.
    pub fn size(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Medium => 100_000,
            Self::Large => 100_000_000,
        }
    }

    /// Writes the page to a file and returns its SHA-256 checksum.
    pub(super) fn write(self, path: &Path) -> io::Result<String> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut hash = Sha256::new();
        let mut left = self.size() as usize;
        // A linear congruential generator (Knuth's MMIX constants): no stretch of it repeats, so
        // octets that are lost, doubled or swapped change the checksum.
        let mut state: u64 = self.size();
        let mut block = [0; 1 << 14];
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                word.copy_from_slice(&state.to_be_bytes());
            }
            let block = &block[..left.min(block.len())];
            hash.update(block);
            file.write_all(block)?;
            left -= block.len();
        }
        file.flush()?;
        Ok(hex(hash))
    }
}

/// The SHA-256 checksum of a file.
pub(super) fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let len = file.read(&mut block)?;
        if len == 0 {
            return Ok(hex(hash));
        }
        hash.update(&block[..len]);
    }
}

fn hex(hash: Sha256) -> String {
    let digest = hash.finalize();
    let words = digest.as_chunks::<8>().0.iter();
    words.fold(String::new(), |text, word| {
        format!("{text}{:016x}", u64::from_be_bytes(*word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_size_and_its_checksum() {
        let directory = tempfile::tempdir().unwrap();
        for page in [Page::One, Page::Medium] {
            let path = directory.path().join(page.file_name());
            let written = page.write(&path).unwrap();
            assert_eq!(path.metadata().unwrap().len(), page.size());
            assert_eq!(checksum(&path).unwrap(), written);
        }
    }

    #[test]
    fn the_checksum_is_sha_256() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(
            checksum(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
