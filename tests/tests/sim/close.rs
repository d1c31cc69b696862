//! However a connection ends, the other half ends the same way.

use core::time::Duration;

use netstack::counters::Event;
use netstack::drop::DropReason;
use weirgate_tests::sim::{Close, EndId, Ending, Link, Script, Setup, Variant, World};

use crate::check::{check_honest, check_whole};

const DELAY: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_mins(1);

/// Who does something.
#[derive(Clone, Copy, Debug)]
enum Side {
    Client,
    Server,
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// A session that has begun.
struct Session {
    world: World,
    client: EndId,
    server: EndId,
}

impl Session {
    /// Both ends are established and have got their first octets; they close when they are told.
    fn established(variant: Variant) -> Self {
        Self::over(Setup::new(variant), DELAY)
    }

    fn over(setup: Setup, delay: Duration) -> Self {
        let link = Link::lossy(0, delay);
        let mut world = World::new(&setup.client_link(link).server_link(link));
        let script = Script::sends(8).closes(Close::WhenTold);
        world.server.serve(world.addresses.backend(0), script);
        let client = world.client.connect(world.addresses.service(), script);
        world.run_until(MINUTE, |world| {
            world.client.end(client).received() == 8 && world.partner_of(client).is_some()
        });
        let server = world.server.accepted()[0];
        Self {
            world,
            client,
            server,
        }
    }

    fn send_more(&mut self, side: Side, octets: u64) {
        match side {
            Side::Client => self.world.client.end_mut(self.client).send_more(octets),
            Side::Server => self.world.server.end_mut(self.server).send_more(octets),
        }
    }

    fn close(&mut self, side: Side) {
        match side {
            Side::Client => self.world.client.end_mut(self.client).close(),
            Side::Server => self.world.server.end_mut(self.server).close(),
        }
    }

    fn abort(&mut self, side: Side) {
        match side {
            Side::Client => self.world.client.abort(self.client),
            Side::Server => self.world.server.abort(self.server),
        }
    }

    fn peer_closed(&self, side: Side) -> bool {
        match side {
            Side::Client => self.world.client.end(self.client).peer_closed(),
            Side::Server => self.world.server.end(self.server).peer_closed(),
        }
    }

    fn ending(&self, side: Side) -> Option<Ending> {
        match side {
            Side::Client => self.world.client.end(self.client).ending(),
            Side::Server => self.world.server.end(self.server).ending(),
        }
    }

    /// Both ends have ended, and nothing is left. Returns the session's code.
    fn settle(&mut self) -> String {
        self.world.settle(MINUTE);
        let endings = self.world.endings();
        let [ending] = endings.as_slice() else {
            self.world.fail(&format!("one session, and {endings:?}"));
        };
        ending.clone()
    }

    /// After an abort by `side`, the other side sees a reset.
    fn settle_reset(&mut self, by: Side) {
        let code = self.settle();
        let (expected, other) = match by {
            Side::Client => ("CD", Side::Server),
            Side::Server => ("SD", Side::Client),
        };
        assert_eq!(self.ending(other), Some(Ending::Reset), "{by:?}");
        assert_eq!(code, expected);
        assert_eq!(self.world.count(Event::SessionsAborted), 1);
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One side closes, sees nothing of an end, and still gets what the other sends afterwards.
fn half_close_in_both_orders(variant: Variant) {
    for first in SIDES {
        let mut session = Session::established(variant);
        session.send_more(first, 50_000);
        session.close(first);
        let closed = |session: &mut Session, side: Side| {
            let mut waited = 0;
            while !session.peer_closed(side) {
                session.world.run_for(DELAY);
                waited += 1;
                assert!(
                    waited < 100,
                    "the end of {:?} has not arrived",
                    side.other()
                );
            }
        };
        closed(&mut session, first.other());
        session.world.run_for(Duration::from_secs(5));
        assert!(!session.peer_closed(first));
        session.send_more(first.other(), 70_000);
        session.close(first.other());
        assert_eq!(session.settle(), "--");
        let (from_client, from_server) = match first {
            Side::Client => (50_008, 70_008),
            Side::Server => (70_008, 50_008),
        };
        check_whole(&session.world, session.client, from_client, from_server);
    }
}

fn simultaneous_close(variant: Variant) {
    for octets in [0, 20_000] {
        let mut session = Session::established(variant);
        for side in SIDES {
            session.send_more(side, octets);
            session.close(side);
        }
        assert_eq!(session.settle(), "--");
        check_whole(&session.world, session.client, 8 + octets, 8 + octets);
    }
}

/// Nobody waits for a retransmission when nothing was lost: closing takes a few round trips, on
/// links that are faster than delayed acknowledgments, and on slower ones.
fn closing_is_quick_and_repeats_nothing(variant: Variant) {
    for delay in [
        Duration::ZERO,
        Duration::from_millis(1),
        Duration::from_millis(30),
    ] {
        for first in SIDES {
            close_without_loss(variant, delay, first);
        }
    }
}

fn close_without_loss(variant: Variant, delay: Duration, first: Side) {
    let mut session = Session::over(Setup::new(variant), delay);
    session.world.run_for(Duration::from_secs(1));
    session.send_more(first, 1000);
    session.close(first);
    let begun = session.world.now();
    while !session.peer_closed(first.other()) {
        session.world.run_for(Duration::from_micros(100));
    }
    session.send_more(first.other(), 1000);
    session.close(first.other());
    let world = &mut session.world;
    world.run_until(MINUTE, |world| world.connections() == 0);
    let taken = world.since(begun);
    let delayed_ack = variant.delayed_ack();
    assert!(
        taken < 12 * delay + 5 * delayed_ack,
        "{first:?} first, {delay:?}: {taken:?}"
    );
    // The hosts' last segments have been acknowledged as well: they need not be repeated.
    world.run_for(Duration::from_secs(10));
    assert_eq!(
        world.drops(DropReason::TcpTimeWait),
        0,
        "{first:?} first, {delay:?}"
    );
    assert_eq!(
        world.drops(DropReason::TcpNoConnection),
        0,
        "{first:?} first, {delay:?}"
    );
    assert_eq!(
        world.count(Event::TcpRetransmits),
        0,
        "{first:?} first, {delay:?}"
    );
    assert_eq!(session.settle(), "--");
}

fn reset_while_idle(variant: Variant) {
    for side in SIDES {
        let mut session = Session::established(variant);
        session.world.run_for(Duration::from_secs(1));
        session.abort(side);
        session.settle_reset(side);
    }
}

fn reset_in_mid_transfer(variant: Variant) {
    for side in SIDES {
        for sender in SIDES {
            let mut session = Session::established(variant);
            session.send_more(sender, 10_000_000);
            session.close(sender);
            session.world.run_for(Duration::from_millis(333));
            session.abort(side);
            session.settle_reset(side);
            let octets = match sender {
                Side::Client => (10_000_008, 8),
                Side::Server => (8, 10_000_008),
            };
            check_honest(&session.world, session.client, octets);
        }
    }
}

/// One direction has ended, the other is going on.
fn reset_while_half_closed(variant: Variant) {
    for side in SIDES {
        for closed in SIDES {
            let mut session = Session::established(variant);
            session.close(closed);
            session.world.run_for(Duration::from_secs(1));
            assert!(session.peer_closed(closed.other()));
            session.send_more(closed.other(), 10_000_000);
            session.world.run_for(Duration::from_millis(333));
            session.abort(side);
            let code = session.settle();
            let expected = match side {
                Side::Client => "CD",
                Side::Server => "SD",
            };
            assert_eq!(code, expected, "{side:?} resets, {closed:?} had closed");
            assert_eq!(session.ending(side.other()), Some(Ending::Reset));
        }
    }
}

/// Both directions are ending, at every moment of it.
fn reset_while_closing(variant: Variant) {
    for side in SIDES {
        for millis in (1..100).step_by(7) {
            let mut session = Session::established(variant);
            for side in SIDES {
                session.send_more(side, 3000);
                session.close(side);
            }
            session.world.run_for(Duration::from_millis(millis));
            session.abort(side);
            session.settle();
            check_honest(&session.world, session.client, (3008, 3008));
        }
    }
}

fn reset_by_the_client_while_the_backend_connects(variant: Variant) {
    let mut world = World::new(&Setup::new(variant));
    let backend = world.addresses.backend(0);
    world.server.ignore_port(backend.port());
    let client = world
        .client
        .connect(world.addresses.service(), Script::sends(1000));
    world.run_until(MINUTE, |world| world.count(Event::TcpConnects) == 1);
    world.run_for(Duration::from_millis(100));
    assert!(world.client.end(client).is_established());
    world.client.abort(client);
    world.settle(MINUTE);
    assert_eq!(world.endings(), ["CC"]);
}

/// A client that has closed its direction is still served.
fn a_client_may_close_before_the_backend_is_connected(variant: Variant) {
    let mut world = World::new(&Setup::new(variant).server_link(Link::lossy(0, DELAY)));
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(10_000));
    let script = Script::sends(100).closes(Close::AfterSending);
    let client = world.client.connect(world.addresses.service(), script);
    world.settle(MINUTE);
    check_whole(&world, client, 100, 10_000);
    assert_eq!(world.endings(), ["--"]);
}

/// Weirgate's half towards the sender is in TIME-WAIT, with octets that nobody reads for a minute.
fn what_came_before_the_end_waits_for_its_reader(variant: Variant) {
    for reader in SIDES {
        let mut session = Session::over(Setup::new(variant).host_buffer(4 << 10), DELAY);
        match reader {
            Side::Client => session
                .world
                .client
                .end_mut(session.client)
                .set_reading(false),
            Side::Server => session
                .world
                .server
                .end_mut(session.server)
                .set_reading(false),
        }
        session.close(reader);
        session.world.run_for(Duration::from_secs(1));
        session.send_more(reader.other(), 100_000);
        session.close(reader.other());
        session.world.run_for(Duration::from_secs(40));
        match reader {
            Side::Client => session
                .world
                .client
                .end_mut(session.client)
                .set_reading(true),
            Side::Server => session
                .world
                .server
                .end_mut(session.server)
                .set_reading(true),
        }
        assert_eq!(session.settle(), "--");
        let octets = match reader {
            Side::Client => (8, 100_008),
            Side::Server => (100_008, 8),
        };
        check_whole(&session.world, session.client, octets.0, octets.1);
    }
}

/// Resets must not be lost with the frame that carried them: what follows gets another.
fn a_reset_that_is_lost_is_sent_again(variant: Variant) {
    for side in SIDES {
        for seed in 0..10 {
            let mut session = Session::over(Setup::new(variant).seed(seed + 1), DELAY);
            let link = Link::lossy(300_000, DELAY);
            session.world.set_client_link(link);
            session.world.set_server_link(link);
            session.send_more(side.other(), 1_000_000);
            session.world.run_for(Duration::from_millis(500));
            session.abort(side);
            session.world.settle(Duration::from_mins(10));
            assert_eq!(session.ending(side.other()), Some(Ending::Reset));
        }
    }
}

/// The same ports again and again: TIME-WAIT of either half must not be in the way.
fn connections_one_after_the_other_reuse_ports(variant: Variant) {
    for first in [Close::AfterSending, Close::AfterPeer] {
        let setup = Setup::new(variant)
            .set("limits.source_ports", "40000-40015")
            .set("timeouts.time_wait", "5s");
        let mut world = World::new(&setup);
        let (script, serves) = match first {
            Close::AfterSending => (Close::AfterSending, Close::AfterPeer),
            _ => (Close::AfterPeer, Close::AfterSending),
        };
        world.server.serve(
            world.addresses.backend(0),
            Script::sends(5000).closes(serves),
        );
        for turn in 0..60 {
            let script = Script::sends(2000).closes(script);
            let to = world.addresses.service();
            let client = world.client.connect_from(50_000 + turn % 4, to, script);
            world.run_until(MINUTE, |world| {
                world.client.end(client).ending().is_some() && world.sessions() == 0
            });
            check_whole(&world, client, 2000, 5000);
            world.run_for(Duration::from_millis(200));
        }
        assert!(world.count(Event::TcpTimeWaitReused) > 0);
        assert_eq!(world.endings(), ["--"; 60]);
        world.settle(MINUTE);
    }
}

/// The server closes first, so Weirgate's half towards the client is in TIME-WAIT; the client comes
/// back from the same port at once.
fn a_new_syn_reuses_time_wait(variant: Variant) {
    let mut world = World::new(&Setup::new(variant).set("timeouts.time_wait", "20s"));
    let serves = Script::sends(500).closes(Close::AfterSending);
    world.server.serve(world.addresses.backend(0), serves);
    let mut at_once = 0;
    for _ in 0..12 {
        let to = world.addresses.service();
        let client = world.client.connect_from(50_000, to, Script::sends(500));
        let begun = world.now();
        world.run_until(MINUTE, |world| world.client.end(client).ending().is_some());
        check_whole(&world, client, 500, 500);
        // smoltcp draws its initial sequence numbers at random: about half of them are above the
        // last connection's. The others wait until that is forgotten.
        if world.since(begun) < Duration::from_secs(1) {
            at_once += 1;
        }
    }
    assert!(world.count(Event::TcpTimeWaitReused) > 0);
    assert!((3..12).contains(&at_once), "{at_once} of 12 at once");
}

weirgate_tests::on_all_variants!(
    half_close_in_both_orders,
    simultaneous_close,
    closing_is_quick_and_repeats_nothing,
    reset_while_idle,
    reset_in_mid_transfer,
    reset_while_half_closed,
    reset_while_closing,
    reset_by_the_client_while_the_backend_connects,
    a_client_may_close_before_the_backend_is_connected,
    what_came_before_the_end_waits_for_its_reader,
    a_reset_that_is_lost_is_sent_again,
    connections_one_after_the_other_reuse_ports,
    a_new_syn_reuses_time_wait,
);
