//! Lcores: pinned workers, a control thread that is not pinned, panics that stay inside.

mod rig;

use std::path::Path;

use dpdk_io::{DpdkError, Eal, EalConfig, LcoreId};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// The CPUs that this thread may run on.
fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let all = 0..CpuSet::count();
    all.filter(|&cpu| set.is_set(cpu).unwrap()).collect()
}

#[test]
fn programs_run_on_their_cpus_and_panics_end_there() {
    let allowed = cpus();
    let last = *allowed.last().unwrap();
    let config = EalConfig {
        lcores: vec![LcoreId(last as u16), LcoreId(allowed[0] as u16)],
        ..EalConfig::default()
    };
    let mut eal = Eal::init(&config).unwrap();
    assert_eq!(cpus(), allowed, "the control thread is pinned");
    let again = Eal::init(&config).unwrap_err();
    assert_eq!(again, DpdkError::AlreadyInitialised);

    let mut lcores = eal.take_lcores();
    assert!(eal.take_lcores().is_empty());
    assert_eq!(lcores[0].id(), LcoreId(last as u16));
    for lcore in &lcores {
        let node = lcore.numa_node();
        assert_eq!(node, lcore.id().numa_node());
        // The kernel tells it from the side of the nodes too.
        if let Some(node) = node {
            let cpu = format!("/sys/devices/system/node/node{node}/cpu{}", lcore.id());
            assert!(Path::new(&cpu).exists(), "{cpu}");
        }
    }
    assert_eq!(LcoreId(u16::MAX).numa_node(), None);
    let jobs = lcores.iter_mut().map(|lcore| lcore.launch(cpus).unwrap());
    let jobs: Vec<_> = jobs.collect();
    let pinned: Vec<_> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
    assert_eq!(pinned, [vec![last], vec![allowed[0]]]);

    let job = lcores[0].launch(|| panic!("at step {}", 7)).unwrap();
    let panicked: Result<(), _> = job.join();
    assert_eq!(
        panicked.unwrap_err().to_string(),
        format!("the program on lcore {last} panicked: at step 7")
    );
    let job = lcores[0].launch(|| 5).unwrap();
    assert_eq!(job.join().unwrap(), 5, "the lcore works on after a panic");

    a_dropped_job_keeps_its_lcore(&mut lcores[1]);
    let held = eal.shutdown().unwrap_err().to_string();
    assert!(
        held.starts_with("the EAL is still in use by 2 ports, pools"),
        "{held}"
    );
}

fn a_dropped_job_keeps_its_lcore(lcore: &mut dpdk_io::Lcore) {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    drop(lcore.launch(move || wait.recv()).unwrap());
    let busy = lcore.launch(|| ()).unwrap_err().to_string();
    assert!(
        busy.starts_with("rte_eal_remote_launch failed for lcore"),
        "{busy}"
    );
    assert!(busy.contains("busy"), "{busy}");
    release.send(()).unwrap();
    // The lcore is free soon after, and only then.
    while lcore.launch(|| ()).map(|job| job.join().unwrap()).is_err() {
        std::thread::yield_now();
    }
}
