//! How much is held that cannot be read yet.
//!
//! In: the window, and how large the peer's segments are. Out: how many gaps and payloads may be
//! held. A payload of one octet occupies a whole buffer, so octets alone are no limit.

use super::ReceiveHalf;
use crate::io::Payload;
use crate::tcp::native::gather;

/// Gaps that are kept track of whatever the window is.
pub(super) const MIN_GAPS: usize = 64;

/// Gaps that are kept track of at most. A sender that overshoots at the end of slow start loses
/// every second segment of a window or more; what is refused then is sent twice for nothing.
pub(super) const MAX_GAPS: usize = 2048;

/// Payloads that are held in any case, in order or ahead of gaps.
const MIN_PAYLOADS: usize = 64;

/// Octets of the largest window for each payload more: as small as payloads are after gathering.
const OCTETS_PER_PAYLOAD: usize = gather::SMALL;

impl<P: Payload> ReceiveHalf<P> {
    /// Gaps that are kept track of: an overshooting sender loses every second segment of a window.
    /// What is not explained by that gets no memory.
    pub(super) fn max_gaps(&self) -> usize {
        let segments = self.window.target() / u32::from(self.acknowledge.segment_len()).max(1);
        MAX_GAPS.min(MIN_GAPS + segments as usize)
    }

    /// Payloads that may be held ahead of gaps; twice as many in order.
    pub(super) fn max_payloads(&self) -> usize {
        MIN_PAYLOADS + self.window.max() as usize / OCTETS_PER_PAYLOAD
    }
}
