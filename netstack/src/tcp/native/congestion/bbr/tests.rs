use super::super::simulator::{Flow, MSS, Path, Simulator};
use super::super::tests::{fairness, path, utilization};
use super::super::{Algorithm, Congestion, Controller};
use super::model::FullPipe;
use super::*;

fn bbr(flow: &Flow) -> &Bbr {
    match &flow.controller {
        Controller::Bbr(bbr) => bbr,
        _ => unreachable!(),
    }
}

/// A flow that has been on `path` for so many seconds.
fn settled(path: Path, seconds: u64) -> Simulator {
    let mut simulator = Simulator::new(path, 5);
    simulator.add(Algorithm::Bbr, 0);
    simulator.run(Duration::from_secs(seconds));
    simulator
}

/// Whether the model knows the path's bandwidth and round trip within 5 %.
fn assert_knows(simulator: &Simulator) {
    let model = &bbr(&simulator.flows[0]).model;
    let bw_error = model.max_bw().abs_diff(simulator.path.rate) * 100 / simulator.path.rate;
    assert!(bw_error <= 5, "bandwidth is {bw_error} % off");
    let rtt = model.min_rtt.shortest.unwrap();
    // Not shorter than the path and a segment's transmission.
    assert!(rtt >= simulator.path.rtt);
    assert!(
        rtt <= simulator.path.rtt * 21 / 20 + Duration::from_millis(2),
        "{rtt:?}"
    );
}

#[test]
fn the_model_finds_bandwidth_and_delay() {
    for path in [
        path(1, 200, 100, 0),
        path(10, 20, 100, 0),
        path(50, 40, 50, 0),
        path(50, 40, 400, 0),
    ] {
        let (percent, simulator) = utilization(Algorithm::Bbr, path, 11, 20);
        assert!(percent >= 94, "{percent} %");
        assert_knows(&simulator);
        let cwnd = simulator.flows[0].mean_cwnd() * 100 / path.bdp();
        assert!((100..=220).contains(&cwnd), "cwnd is {cwnd} % of the BDP");
        assert_eq!(simulator.flows[0].timeouts, 0);
    }
}

#[test]
fn startup_takes_few_round_trips() {
    // 856 segments from ten: seven doublings, three rounds for the plateau.
    let simulator = settled(path(100, 100, 100, 0), 2);
    assert!(bbr(&simulator.flows[0]).state.is_probe_bw());
    assert_knows(&simulator);
}

#[test]
fn a_deep_queue_is_not_filled() {
    let path = path(20, 40, 1_000, 0);
    let mut simulator = settled(path, 5);
    simulator.run(Duration::from_secs(10));
    assert_eq!(simulator.flows[0].lost, 0);
    assert!(simulator.flows[0].mean_cwnd() < path.bdp() * 5 / 2);
}

#[test]
fn random_loss_does_not_starve_a_flow() {
    for (path, least) in [(path(10, 20, 100, 10), 75), (path(50, 40, 100, 10), 70)] {
        let (percent, simulator) = utilization(Algorithm::Bbr, path, 10, 40);
        assert!(percent >= least, "{percent} %");
        assert_eq!(simulator.flows[0].timeouts, 0);
    }
}

#[test]
fn flows_share_a_bottleneck_with_each_other_and_with_cubic() {
    for (algorithms, least) in [
        ([Algorithm::Bbr, Algorithm::Bbr], 92),
        ([Algorithm::Bbr, Algorithm::Cubic], 85),
    ] {
        let mut simulator = Simulator::new(path(20, 40, 150, 0), 3);
        for (algorithm, start) in algorithms.into_iter().zip([0, 2_000]) {
            simulator.add(algorithm, start);
        }
        simulator.run(Duration::from_secs(30));
        let shares = simulator.run(Duration::from_mins(1));
        assert!(fairness(&shares) >= least, "{algorithms:?}: {shares:?}");
    }
}

#[test]
fn the_model_follows_the_path() {
    let mut simulator = settled(path(20, 40, 200, 0), 10);
    // Half the bandwidth: the old one is forgotten after two cycles.
    simulator.path.rate /= 2;
    simulator.run(Duration::from_secs(10));
    assert_knows(&simulator);
    // Twice the delay: believed only after ten seconds and a visit to ProbeRTT.
    simulator.path.rtt *= 2;
    simulator.run(Duration::from_secs(25));
    assert_knows(&simulator);
    // Four times the bandwidth.
    simulator.path.rate *= 4;
    simulator.run(Duration::from_secs(10));
    assert_knows(&simulator);
}

#[test]
fn little_is_in_flight_now_and_then_to_see_the_delay() {
    let mut simulator = settled(path(20, 40, 200, 0), 4);
    let bdp = simulator.path.bdp() as u32;
    let mut visits = 0;
    let mut visiting = false;
    for _ in 0..2_000 {
        simulator.run(Duration::from_millis(10));
        let flow = &simulator.flows[0];
        let now = bbr(flow).state == State::ProbeRtt;
        visits += u32::from(now && !visiting);
        visiting = now;
        if now {
            assert!(flow.window.cwnd <= bdp * 6 / 10);
        }
    }
    assert!((3..=4).contains(&visits), "{visits} visits in 20 s");
    assert_knows(&simulator);
}

#[test]
fn a_false_alarm_is_taken_back() {
    let mut simulator = settled(path(20, 40, 200, 0), 4);
    let flow = &mut simulator.flows[0];
    let before = flow.window;
    let (controller, window) = (&mut flow.controller, &mut flow.window);
    controller.on_congestion(window, before.cwnd, Congestion::Loss);
    controller.on_timeout(window, before.cwnd);
    assert_eq!(window.cwnd, MSS);
    controller.undo(window);
    assert_eq!(*window, before);
    window.cwnd = 4 * MSS;
    controller.undo(window);
    assert_eq!(window.cwnd, 4 * MSS, "there is nothing more to undo");
}

fn acked() -> Acked {
    Acked {
        now: Instant::from_millis(5),
        delivered: MSS,
        acked: MSS,
        in_flight: 20 * MSS,
        cwnd_limited: true,
        rtt: Some(Duration::from_millis(5)),
        srtt: None,
        rate: None,
        in_recovery: false,
        snd_una: 0,
        snd_nxt: 0,
        lost: 0,
        ce: false,
    }
}

#[test]
fn a_congestion_mark_ends_startup_and_probes() {
    let mut window = Window::new(MSS);
    let mut bbr = Bbr::new(1);
    let marked = Acked {
        ce: true,
        rate: Some(sample(1_000_000, false, MSS)),
        ..acked()
    };
    bbr.on_ack(&mut window, &marked);
    assert_ne!(bbr.state, State::Startup);
    assert_ne!(bbr.model.inflight_longterm, UNBOUNDED);
    bbr.probe.is_sample = true;
    bbr.state = State::Up;
    bbr.on_ack(&mut window, &marked);
    assert_eq!(bbr.state, State::Down);
    assert!(bbr.probe.too_high);
}

#[test]
fn losses_that_were_none_bring_startup_back() {
    let mut window = Window::new(MSS);
    let mut bbr = Bbr::new(1);
    bbr.on_congestion(&window, Congestion::Loss);
    bbr.model.note_loss();
    bbr.model.loss_events = STARTUP_LOSS_EVENTS;
    bbr.model.loss_round_start = true;
    let sample = RateSample {
        delivered: 90 * MSS,
        lost: 10 * MSS,
        ..RateSample::default()
    };
    bbr.in_flight = u32::MAX;
    bbr.check_startup(&window, &acked(), &sample);
    assert_eq!(bbr.state, State::Drain);
    bbr.undo(&mut window);
    assert_eq!(bbr.state, State::Startup);
    assert!(!bbr.model.full_pipe.reached);
}

#[test]
fn an_idle_flow_goes_on_at_the_known_rate() {
    let mut simulator = settled(path(20, 40, 200, 0), 4);
    let rate = simulator.path.rate;
    let flow = &mut simulator.flows[0];
    let before = flow.window;
    let later = Instant::from_millis(60_000);
    let (idle, rto) = (Duration::from_secs(50), Duration::from_millis(300));
    flow.controller.on_idle(&mut flow.window, later, idle, rto);
    assert_eq!(flow.window, before);
    let paced = flow.controller.pacing_rate(&flow.window, None).unwrap();
    assert!(
        paced <= rate && paced >= rate * 95 / 100,
        "{paced} of {rate}"
    );
}

fn sample(rate: u64, is_app_limited: bool, total_delivered: u32) -> RateSample {
    RateSample {
        rate,
        is_app_limited,
        delivered: MSS,
        total_delivered,
        prior_delivered: total_delivered,
        ..RateSample::default()
    }
}

#[test]
fn an_application_with_little_to_send_does_not_lower_the_bandwidth() {
    let mut model = Model::new();
    model.measure(&sample(1_000_000, false, 0), MSS, false);
    model.advance_max_bw();
    for _ in 0..5 {
        model.measure(&sample(10_000, true, 0), MSS, false);
        model.advance_max_bw();
    }
    assert_eq!(model.max_bw(), 1_000_000);
    model.measure(&sample(2_000_000, true, 0), MSS, false);
    assert_eq!(model.max_bw(), 2_000_000, "but it may raise it");
    for _ in 0..2 {
        model.advance_max_bw();
        model.measure(&sample(10_000, false, 0), MSS, false);
    }
    assert_eq!(model.max_bw(), 10_000, "two cycles are remembered");
}

#[test]
fn losses_lower_the_shortterm_bounds_by_a_third_at_most() {
    let mut model = Model::new();
    model.measure(&sample(1_000_000, false, 0), 100 * MSS, false);
    model.advance(&sample(1_000, false, 0));
    model.note_loss();
    model.measure(&sample(1_000, false, 10), 100 * MSS, false);
    model.advance(&sample(1_000, false, 10));
    assert_eq!(model.bw, 700_000);
    assert_eq!(model.inflight_shortterm, 70 * MSS);
    model.measure(&sample(1_000, false, 20), 100 * MSS, false);
    assert_eq!(model.inflight_shortterm, 70 * MSS, "a round without losses");
    model.note_loss();
    model.measure(&sample(1_000, false, 30), 100 * MSS, true);
    assert_eq!(model.inflight_shortterm, 70 * MSS, "a probe may lose");
    model.lift_shortterm_bounds();
    model.advance(&sample(1_000, false, 30));
    assert_eq!(model.bw, 1_000_000);
}

#[test]
fn three_rounds_without_growth_fill_the_pipe() {
    let mut pipe = FullPipe::default();
    for rate in [100, 200, 240, 240, 251, 300] {
        pipe.check(rate);
        assert!(!pipe.now, "{rate}");
    }
    for (rate, full) in [(312, false), (312, true), (500, true)] {
        pipe.check(rate);
        assert_eq!(pipe.now, full, "{rate}");
    }
    pipe.reset(500);
    assert!(!pipe.now && pipe.reached);
}

#[test]
fn probes_of_different_connections_are_spread() {
    let wait = |seed| {
        let mut bbr = Bbr::new(seed);
        bbr.start_down(Instant::ZERO);
        bbr.probe.wait
    };
    let waits: Vec<_> = (0..50).map(wait).collect();
    let distinct: std::collections::BTreeSet<_> = waits.iter().collect();
    assert!(distinct.len() > 40, "{waits:?}");
    for wait in waits {
        assert!((2_000..3_000).contains(&wait.as_millis()));
    }
}

#[test]
fn the_size_stays_small() {
    assert!(size_of::<Bbr>() <= 384, "{}", size_of::<Bbr>());
}
