use proptest::collection::vec;
use proptest::prelude::*;

use super::simulator::{MSS, Path, Simulator};
use super::*;

/// Drives a controller by hand: rounds of a fixed round-trip time in which a full window is
/// delivered.
struct Driver {
    controller: Controller,
    window: Window,
    now: Instant,
    rtt: Duration,
    snd_una: u32,
    cwnd_limited: bool,
}

impl Driver {
    fn new(algorithm: Algorithm, rtt: u64) -> Self {
        Self {
            controller: Controller::new(algorithm, 1),
            window: Window::new(MSS),
            now: Instant::from_millis(1_000_000),
            rtt: Duration::from_millis(rtt),
            snd_una: 1,
            cwnd_limited: true,
        }
    }

    /// A driver whose window was cut at `segments`, and that has finished recovery.
    fn after_loss(algorithm: Algorithm, rtt: u64, segments: u32) -> Self {
        let mut driver = Self::new(algorithm, rtt);
        driver.lose_at(segments);
        driver
    }

    fn lose_at(&mut self, segments: u32) {
        self.window.cwnd = segments * MSS;
        self.congestion(Congestion::Loss);
    }

    fn congestion(&mut self, by: Congestion) {
        let in_flight = self.window.cwnd;
        self.controller
            .on_congestion(&mut self.window, in_flight, by);
        self.window.cwnd = self.window.ssthresh;
        self.controller.on_recovery_end(&mut self.window);
    }

    fn ack(&self, delivered: u32, rtt: Duration) -> Acked {
        Acked {
            now: self.now,
            delivered,
            acked: delivered,
            in_flight: self.window.cwnd,
            cwnd_limited: self.cwnd_limited,
            rtt: Some(rtt),
            srtt: Some(self.rtt),
            rate: None,
            in_recovery: false,
            snd_una: self.snd_una,
            snd_nxt: self.snd_una.wrapping_add(self.window.cwnd),
            lost: 0,
            ce: false,
        }
    }

    /// Delivers a window in acknowledgments of `step` octets each, spread over a round trip that
    /// is measured as `rtt`.
    fn round_of(&mut self, step: u32, rtt: Duration) {
        let octets = self.window.cwnd;
        let start = self.now;
        let mut delivered = 0;
        while delivered < octets {
            let size = step.min(octets - delivered);
            delivered += size;
            let share = u64::from(delivered) * self.rtt.as_nanos() as u64 / u64::from(octets);
            self.now = start + Duration::from_nanos(share);
            self.snd_una = self.snd_una.wrapping_add(size);
            let ack = self.ack(size, rtt);
            self.controller.on_ack(&mut self.window, &ack);
        }
    }

    fn round(&mut self) {
        self.round_of(MSS, self.rtt);
    }

    fn segments(&self) -> f64 {
        f64::from(self.window.cwnd) / f64::from(MSS)
    }
}

const LOSS_BASED: [Algorithm; 2] = [Algorithm::NewReno, Algorithm::Cubic];

#[test]
fn initial_windows_are_those_of_rfc_6928() {
    for (smss, cwnd) in [
        (1_460, 14_600),
        (536, 5_360),
        (1_000, 10_000),
        (2_000, 14_600),
        (8_960, 17_920),
        (0, 10),
    ] {
        assert_eq!(Window::new(smss).cwnd, cwnd, "smss {smss}");
    }
}

#[test]
fn sizes_stay_small() {
    assert!(size_of::<Cubic>() <= 48, "{}", size_of::<Cubic>());
    assert!(size_of::<NewReno>() <= 32, "{}", size_of::<NewReno>());
    assert!(size_of::<Controller>() <= 48, "{}", size_of::<Controller>());
}

#[test]
fn slow_start_doubles_each_round_trip_whatever_the_acknowledgments_are_like() {
    for algorithm in LOSS_BASED {
        for step in [1, 100, MSS, 2 * MSS, 45 * MSS] {
            let mut driver = Driver::new(algorithm, 20);
            for _ in 0..4 {
                driver.round_of(step, driver.rtt);
            }
            assert_eq!(driver.window.cwnd, 160 * MSS, "{algorithm:?} {step}");
        }
    }
}

#[test]
fn splitting_acknowledgments_does_not_speed_growth() {
    for algorithm in LOSS_BASED {
        let grown = [1, 10, MSS, 2 * MSS].map(|step| {
            let mut driver = Driver::after_loss(algorithm, 50, 40);
            for _ in 0..50 {
                driver.round_of(step, driver.rtt);
            }
            driver.window.cwnd
        });
        for cwnd in grown {
            let difference = cwnd.abs_diff(grown[2]);
            assert!(difference <= MSS, "{algorithm:?}: {grown:?}");
        }
    }
}

#[test]
fn newreno_grows_by_a_segment_a_round_and_halves() {
    let mut driver = Driver::after_loss(Algorithm::NewReno, 50, 100);
    assert_eq!(driver.window.cwnd, 50 * MSS);
    for round in 1..=20 {
        driver.round();
        assert_eq!(driver.window.cwnd, (50 + round) * MSS);
    }
    driver.congestion(Congestion::Ecn);
    assert_eq!(driver.window.cwnd, 35 * MSS);
}

#[test]
fn cubic_follows_its_curve() {
    let mut driver = Driver::after_loss(Algorithm::Cubic, 100, 1_000);
    assert!((driver.segments() - 700.0).abs() < 1.0);
    let start = driver.now;
    // 0.4 (t - K)^3 + 1000 with K = cbrt(0.3 * 1000 / 0.4) = 9.086 seconds.
    for (seconds, segments) in [
        (2, 857.7),
        (4, 947.4),
        (6, 988.2),
        (9, 1_000.0),
        (12, 1_009.9),
        (15, 1_082.7),
        (18, 1_283.3),
    ] {
        while driver.now < start + Duration::from_secs(seconds) {
            driver.round();
        }
        let error = (driver.segments() - segments).abs() / segments;
        assert!(
            error < 0.015,
            "after {seconds} s: {} instead of {segments}",
            driver.segments()
        );
    }
}

#[test]
fn cubic_is_no_slower_than_reno_where_reno_is_fast() {
    // A short round trip: the curve alone would need seconds for the first segment.
    let mut driver = Driver::after_loss(Algorithm::Cubic, 5, 20);
    assert_eq!(driver.window.cwnd, 14 * MSS);
    for _ in 0..10 {
        driver.round();
    }
    // 9/17 of a segment a round.
    assert!(
        (driver.segments() - 19.0).abs() < 1.1,
        "{}",
        driver.segments()
    );
    for _ in 0..20 {
        driver.round();
    }
    // From 20 on, a segment a round.
    assert!(
        (driver.segments() - 38.0).abs() < 2.1,
        "{}",
        driver.segments()
    );
}

#[test]
fn cubic_lowers_the_plateau_when_windows_shrink() {
    let plateau = |driver: &Driver| match &driver.controller {
        Controller::Cubic(cubic) => cubic.w_max(),
        _ => unreachable!(),
    };
    let mut driver = Driver::after_loss(Algorithm::Cubic, 100, 1_000);
    assert_eq!(plateau(&driver), 1_000 * MSS);
    driver.lose_at(900);
    assert_eq!(plateau(&driver), 765 * MSS, "900 * (1 + 0.7) / 2");
    driver.lose_at(800);
    assert_eq!(plateau(&driver), 800 * MSS, "above the last one again");
}

#[test]
fn slow_start_ends_when_the_round_trip_grows() {
    for algorithm in LOSS_BASED {
        let mut driver = Driver::new(algorithm, 100);
        driver.round();
        driver.round();
        let longer = Duration::from_millis(114);
        driver.round_of(MSS, longer);
        let after_rise = driver.window.cwnd;
        driver.round_of(MSS, longer);
        let growth = driver.window.cwnd - after_rise;
        assert!(
            growth.abs_diff(after_rise / 4) <= MSS,
            "{algorithm:?}: a quarter"
        );
        assert!(driver.window.in_slow_start());
        for _ in 0..4 {
            driver.round_of(MSS, longer);
        }
        assert!(!driver.window.in_slow_start(), "{algorithm:?}");
        assert!(driver.window.cwnd < 8 * after_rise);
    }
}

#[test]
fn cubic_goes_on_searching_after_a_first_slow_start_that_ended_without_loss() {
    let mut driver = Driver::new(Algorithm::Cubic, 100);
    for _ in 0..4 {
        driver.round();
    }
    while driver.window.in_slow_start() {
        driver.round_of(MSS, Duration::from_millis(130));
    }
    let before = driver.window.cwnd;
    for _ in 0..10 {
        driver.round();
    }
    let growth = f64::from(driver.window.cwnd) / f64::from(before);
    assert!((1.5..2.0).contains(&growth), "{growth}: 5 % a round trip");
    driver.congestion(Congestion::Loss);
    let before = driver.window.cwnd;
    driver.round();
    let growth = driver.window.cwnd - before;
    assert!(growth < before / 25, "{growth}: now it knows a plateau");
}

#[test]
fn slow_start_does_not_end_at_noise() {
    for algorithm in LOSS_BASED {
        let mut driver = Driver::new(algorithm, 100);
        for round in 0..8 {
            // Most of a round is late by up to 30 ms, but some of it is not.
            let octets = driver.window.cwnd;
            let mut delivered = 0;
            let mut count = 0;
            while delivered < octets {
                count += 1;
                delivered += MSS;
                driver.snd_una = driver.snd_una.wrapping_add(MSS);
                let late = if count % 7 == 3 {
                    0
                } else {
                    (count * 7 + round) % 30
                };
                let ack = driver.ack(MSS, driver.rtt + Duration::from_millis(late));
                driver.controller.on_ack(&mut driver.window, &ack);
            }
        }
        assert_eq!(driver.window.cwnd, 2_560 * MSS, "{algorithm:?}");
    }
}

#[test]
fn slow_start_resumes_when_the_rise_goes_away() {
    let mut driver = Driver::new(Algorithm::Cubic, 100);
    driver.round();
    driver.round();
    driver.round_of(MSS, Duration::from_millis(130));
    driver.round();
    let before = driver.window.cwnd;
    driver.round();
    assert_eq!(driver.window.cwnd, 2 * before);
}

#[test]
fn few_measurements_do_not_end_slow_start() {
    let mut driver = Driver::new(Algorithm::Cubic, 100);
    for round in 0..8 {
        let step = driver.window.cwnd / 7 + 1;
        driver.round_of(step, Duration::from_millis(100 + 20 * round));
    }
    assert_eq!(driver.window.cwnd, 2_560 * MSS);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    for algorithm in LOSS_BASED {
        for after_loss in [false, true] {
            let mut driver = Driver::new(algorithm, 50);
            if after_loss {
                driver.lose_at(100);
                driver.round();
            }
            driver.cwnd_limited = false;
            let before = driver.window.cwnd;
            for _ in 0..100 {
                driver.round();
            }
            assert_eq!(driver.window.cwnd, before, "{algorithm:?}");
        }
    }
}

#[test]
fn time_without_data_does_not_move_cubic_along_its_curve() {
    let mut busy = Driver::after_loss(Algorithm::Cubic, 100, 1_000);
    let mut pausing = Driver::after_loss(Algorithm::Cubic, 100, 1_000);
    for _ in 0..40 {
        busy.round();
        pausing.round();
    }
    pausing.cwnd_limited = false;
    for _ in 0..300 {
        pausing.round();
    }
    pausing.cwnd_limited = true;
    for _ in 0..40 {
        busy.round();
        pausing.round();
    }
    let difference = (busy.segments() - pausing.segments()).abs();
    assert!(difference < 3.0, "{difference}");
}

#[test]
fn a_false_alarm_is_taken_back() {
    for algorithm in LOSS_BASED {
        let mut driver = Driver::after_loss(algorithm, 100, 1_000);
        for _ in 0..120 {
            driver.round();
        }
        let mut undisturbed = Driver {
            controller: driver.controller.clone(),
            ..driver
        };
        let before = driver.window;
        let in_flight = before.cwnd;
        let window = &mut driver.window;
        driver
            .controller
            .on_congestion(window, in_flight, Congestion::Loss);
        assert!(window.ssthresh < before.cwnd);
        window.cwnd = window.ssthresh;
        driver.controller.on_timeout(window, in_flight);
        assert_eq!(window.cwnd, MSS);
        driver.controller.undo(window);
        assert_eq!(*window, before, "{algorithm:?}");
        for _ in 0..40 {
            driver.round();
            undisturbed.round();
        }
        let difference = (driver.segments() - undisturbed.segments()).abs();
        assert!(difference < 5.0, "{algorithm:?}: {difference}");
        let after = driver.window;
        driver.controller.undo(&mut driver.window);
        assert_eq!(driver.window, after, "there is nothing more to undo");
    }
}

#[test]
fn a_congestion_mark_is_never_a_false_alarm() {
    for algorithm in LOSS_BASED {
        let mut driver = Driver::after_loss(algorithm, 100, 1_000);
        driver.congestion(Congestion::Ecn);
        let window = driver.window;
        driver.controller.undo(&mut driver.window);
        assert_eq!(driver.window, window);
    }
}

#[test]
fn a_timeout_starts_again_and_its_repetition_does_not_cut_twice() {
    for (algorithm, ssthresh) in [(Algorithm::NewReno, 50), (Algorithm::Cubic, 70)] {
        let mut driver = Driver::new(algorithm, 100);
        driver.window.cwnd = 100 * MSS;
        for in_flight in [100 * MSS, MSS, MSS] {
            driver.controller.on_timeout(&mut driver.window, in_flight);
            assert_eq!(driver.window.cwnd, MSS);
            assert_eq!(driver.window.ssthresh, ssthresh * MSS);
        }
        driver.round();
        driver.round();
        assert_eq!(driver.window.cwnd, 4 * MSS, "slow start");
        for _ in 0..6 {
            driver.round();
        }
        let grown = driver.segments() - f64::from(ssthresh);
        assert!((0.0..10.0).contains(&grown), "and then not: {grown}");
    }
}

#[test]
fn an_idle_window_decays_to_the_initial_one() {
    let rto = Duration::from_millis(300);
    for algorithm in LOSS_BASED {
        for (idle, segments) in [(100, 100), (300, 50), (700, 25), (1_000, 12), (99_000, 10)] {
            let mut driver = Driver::new(algorithm, 100);
            driver.window.cwnd = 100 * MSS;
            driver.window.ssthresh = 50 * MSS;
            driver.controller.on_idle(
                &mut driver.window,
                driver.now,
                Duration::from_millis(idle),
                rto,
            );
            let got = driver.window.cwnd / MSS;
            assert_eq!(got, segments, "{algorithm:?} after {idle} ms");
            let ssthresh = if segments == 100 { 50 } else { 75 };
            assert_eq!(driver.window.ssthresh, ssthresh * MSS);
        }
    }
}

#[test]
fn the_pacing_rate_is_the_window_over_the_round_trip_and_a_margin() {
    let controller = Controller::new(Algorithm::Cubic, 1);
    let mut window = Window::new(1_000);
    assert_eq!(controller.pacing_rate(&window, None), None);
    let srtt = Some(Duration::from_millis(100));
    assert_eq!(controller.pacing_rate(&window, srtt), Some(200_000));
    window.ssthresh = window.cwnd;
    assert_eq!(controller.pacing_rate(&window, srtt), Some(120_000));
}

pub(super) const fn path(mbit: u64, rtt: u64, queue_percent: u64, loss_per_mille: u64) -> Path {
    let rate = mbit * 125_000;
    Path {
        rate,
        rtt: Duration::from_millis(rtt),
        queue: rate * rtt / 1_000 * queue_percent / 100,
        loss_per_mille,
    }
}

/// The share of the path's rate that one flow gets after a warm-up, in per cent.
pub(super) fn utilization(
    algorithm: Algorithm,
    path: Path,
    warm_up: u64,
    seconds: u64,
) -> (u64, Simulator) {
    let mut simulator = Simulator::new(path, 7);
    simulator.add(algorithm, 0);
    simulator.run(Duration::from_secs(warm_up));
    let delivered = simulator.run(Duration::from_secs(seconds))[0];
    (delivered * 100 / (path.rate * seconds), simulator)
}

#[test]
fn cubic_fills_a_bottleneck_with_half_a_bdp_of_queue() {
    for (mbit, rtt) in [(10, 20), (50, 40), (100, 100)] {
        let path = path(mbit, rtt, 50, 0);
        let (percent, simulator) = utilization(Algorithm::Cubic, path, 10, 60);
        assert!(percent > 90, "{mbit} Mbit/s, {rtt} ms: {percent} %");
        assert_eq!(simulator.flows[0].timeouts, 0);
    }
}

#[test]
fn newreno_fills_a_bottleneck_with_a_bdp_of_queue() {
    let (percent, _) = utilization(Algorithm::NewReno, path(20, 20, 100, 0), 10, 60);
    assert!(percent > 95, "{percent} %");
}

#[test]
fn the_first_slow_start_does_not_flood_the_queue() {
    for algorithm in LOSS_BASED {
        // A queue that plain slow start would overflow, doubling until something is lost.
        let mut simulator = Simulator::new(path(50, 40, 1_500, 0), 7);
        simulator.add(algorithm, 0);
        simulator.run(Duration::from_secs(3));
        assert_eq!(simulator.flows[0].lost, 0, "{algorithm:?}");
        assert!(!simulator.flows[0].window.in_slow_start());
    }
}

/// Jain's index of fairness, in per cent.
pub(super) fn fairness(shares: &[u64]) -> u64 {
    let sum: u128 = shares.iter().map(|&share| u128::from(share)).sum();
    let squares: u128 = shares.iter().map(|&share| u128::from(share).pow(2)).sum();
    (sum * sum * 100 / (squares * shares.len() as u128)) as u64
}

#[test]
fn flows_of_one_kind_share_a_bottleneck() {
    for algorithm in LOSS_BASED {
        let mut simulator = Simulator::new(path(50, 40, 100, 0), 3);
        for start in [0, 1_000, 2_000, 3_000] {
            simulator.add(algorithm, start);
        }
        simulator.run(Duration::from_secs(40));
        let shares = simulator.run(Duration::from_mins(1));
        assert!(fairness(&shares) > 90, "{algorithm:?}: {shares:?}");
    }
}

/// Anything that can happen to a controller, with any numbers.
#[derive(Clone, Debug)]
enum Happening {
    Ack {
        delivered: u32,
        lost: u32,
        rtt: Option<u64>,
        rate: Option<(u32, u32, u64)>,
        cwnd_limited: bool,
        in_recovery: bool,
        ce: bool,
    },
    Congestion(u32, bool),
    Timeout(u32),
    Undo,
    RecoveryEnd,
    Idle(u64),
    Recovered(u32),
    Resized(u16),
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![0..100_u32, 0..10_000_000_u32, any::<u32>()]
}

fn happening() -> impl Strategy<Value = Happening> {
    let ack = (
        (number(), number()),
        proptest::option::of(prop_oneof![0..200_000_u64, any::<u64>()]),
        proptest::option::of((number(), number(), any::<u64>())),
        any::<(bool, bool, bool)>(),
    )
        .prop_map(
            |((delivered, lost), rtt, rate, (cwnd_limited, in_recovery, ce))| Happening::Ack {
                delivered,
                lost,
                rtt,
                rate,
                cwnd_limited,
                in_recovery,
                ce,
            },
        );
    prop_oneof![
        8 => ack,
        1 => (number(), any::<bool>()).prop_map(|(octets, ecn)| Happening::Congestion(octets, ecn)),
        1 => number().prop_map(Happening::Timeout),
        1 => Just(Happening::Undo),
        1 => Just(Happening::RecoveryEnd),
        1 => any::<u64>().prop_map(Happening::Idle),
        1 => number().prop_map(Happening::Recovered),
        1 => (1..=u16::MAX).prop_map(Happening::Resized),
    ]
}

fn happen(driver: &mut Driver, happening: &Happening, step: u64) {
    driver.now += Duration::from_micros(step);
    let now = driver.now;
    let (controller, window) = (&mut driver.controller, &mut driver.window);
    match *happening {
        Happening::Ack {
            delivered,
            lost,
            rtt,
            rate,
            cwnd_limited,
            in_recovery,
            ce,
        } => {
            let mut ack = driver.ack(delivered, Duration::ZERO);
            ack.rtt = rtt.map(Duration::from_micros);
            ack.srtt = ack.rtt;
            ack.rate = rate.map(|(delivered, prior_delivered, rate)| RateSample {
                delivered,
                lost,
                rate,
                prior_delivered,
                total_delivered: prior_delivered.wrapping_add(delivered),
                ..RateSample::default()
            });
            (ack.lost, ack.cwnd_limited) = (lost, cwnd_limited);
            (ack.in_recovery, ack.ce) = (in_recovery, ce);
            driver.snd_una = driver.snd_una.wrapping_add(delivered);
            driver.controller.on_ack(&mut driver.window, &ack);
        }
        Happening::Congestion(in_flight, ecn) => {
            let by = if ecn {
                Congestion::Ecn
            } else {
                Congestion::Loss
            };
            controller.on_congestion(window, in_flight, by);
        }
        Happening::Timeout(in_flight) => controller.on_timeout(window, in_flight),
        Happening::Undo => controller.undo(window),
        Happening::RecoveryEnd => controller.on_recovery_end(window),
        Happening::Idle(micros) => {
            let rto = Duration::from_micros(micros % 1_000_000);
            controller.on_idle(window, now, Duration::from_micros(micros), rto);
        }
        // PRR and changes of the path MTU write these.
        Happening::Recovered(cwnd) if !controller.controls_cwnd_in_recovery() => {
            window.cwnd = cwnd.clamp(window.smss, MAX_CWND);
        }
        Happening::Recovered(_) => {}
        Happening::Resized(smss) => window.smss = u32::from(smss),
    }
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::NewReno),
        Just(Algorithm::Cubic),
        Just(Algorithm::Bbr)
    ]
}

proptest! {
    #[test]
    fn whatever_happens_windows_stay_in_bounds(
        algorithm in algorithm(),
        happenings in vec((happening(), prop_oneof![0..10_000_u64, any::<u64>()]), 1..200),
    ) {
        let mut driver = Driver::new(algorithm, 50);
        let mut smallest = MSS;
        for (happening, step) in &happenings {
            happen(&mut driver, happening, *step);
            let Window { cwnd, ssthresh, smss } = driver.window;
            smallest = smallest.min(smss);
            prop_assert!(cwnd >= smallest);
            prop_assert!(cwnd <= MAX_CWND);
            prop_assert!(ssthresh <= MAX_CWND || ssthresh == u32::MAX);
            let rate = driver.controller.pacing_rate(&driver.window, Some(driver.rtt));
            prop_assert!(rate.is_none_or(|rate| rate > 0));
            if let Happening::Ack { .. } = happening {
                let least = if algorithm == Algorithm::Bbr { 4 } else { 1 };
                prop_assert!(cwnd >= least * smss, "{cwnd} of {smss}");
            }
        }
    }
}
