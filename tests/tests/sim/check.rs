//! What must hold of a transfer.

use weirgate_tests::sim::{End, EndId, Ending, World};

/// Both ends of the session of `client` have everything, and a clean end.
pub(crate) fn check_whole(world: &World, client: EndId, from_client: u64, from_server: u64) {
    let end = world.client.end(client);
    let Some(partner) = world.partner_of(client) else {
        world.fail("the server has not seen the client's octets");
    };
    check_received(world, end, partner.seed(), from_server);
    check_received(world, partner, end.seed(), from_client);
}

fn check_received(world: &World, end: &End, seed: u64, octets: u64) {
    let incoming = end.incoming();
    let whole = incoming.received() == octets
        && incoming.corrupt_at().is_none()
        && incoming.seed() == Some(seed)
        && end.peer_closed()
        && end.ending() == Some(Ending::Closed);
    if !whole {
        world.fail(&format!("not {octets} octets and a clean end: {end:?}"));
    }
}

/// Of what either end sent, the other has a part from the front, in order; and if it saw a clean
/// end, it has everything. `to_send` are the octets that each end meant to send.
pub(crate) fn check_honest(world: &World, client: EndId, (from_client, from_server): (u64, u64)) {
    let end = world.client.end(client);
    let partner = world.partner_of(client);
    let ends = [(Some(end), from_server), (partner, from_client)];
    for (end, octets) in ends {
        let Some(end) = end else { continue };
        let cut = end.peer_closed() && end.received() != octets;
        if cut || end.incoming().corrupt_at().is_some() {
            world.fail(&format!(
                "a cut transfer looks complete, or is corrupt: {end:?}"
            ));
        }
    }
}
