//! What is said of ports in the log: how they were set up, and what they counted.

use dpdk_io::{Port, Queue, QueueCounters};
use flow_rules::plan::{Fallback, Plan};
use proxy::config;

/// Says how a port is set up now that it is started, and what of it is not as configured.
pub(super) fn log_started(port: &Port, config: &config::PortConfig) {
    let offloads = port.offloads();
    let link = port.link().map(|link| if link.up { "up" } else { "down" });
    let in_force = port.config();
    tracing::info!(
        port = config.name,
        device = port.name(),
        driver = port.driver(),
        mac = %port.mac(),
        link = link.unwrap_or("unknown"),
        rx_queues = in_force.rx_queues,
        tx_queues = in_force.tx_queues,
        rx_descriptors = in_force.rx_descriptors,
        tx_descriptors = in_force.tx_descriptors,
        rx_checksum = offloads.rx_checksum,
        tx_checksum = offloads.tx_checksum,
        tx_chains = offloads.tx_chains,
        tso = offloads.tso,
        rss_known = port.capabilities().rss.is_some(),
        isolated = in_force.isolated,
        "port started"
    );
    for fault in port.steering_faults() {
        tracing::warn!(port = config.name, "{fault}");
    }
    let descriptors = [
        (
            "rx_descriptors",
            config.rx_descriptors,
            in_force.rx_descriptors,
        ),
        (
            "tx_descriptors",
            config.tx_descriptors,
            in_force.tx_descriptors,
        ),
    ];
    for (setting, configured, in_force) in descriptors {
        if configured != in_force {
            tracing::warn!(
                port = config.name,
                driver = port.driver(),
                setting,
                configured,
                in_force,
                "the driver uses another number of descriptors than is configured: configure \
                 the one in force"
            );
        }
    }
}

/// Says who serves which queues of a port, and what software does in place of the device.
pub(super) fn log_plan(plan: &Plan) {
    for (queue, planned) in plan.queues.iter().enumerate() {
        let classes: Vec<_> = planned.classes.iter().map(|class| class.name()).collect();
        tracing::info!(
            port = plan.port,
            queue,
            served_by = planned.worker,
            classes = classes.join(" "),
            "receive queue"
        );
    }
    // Of what the device refused there was a warning.
    let planned = |fallback: &&Fallback| !matches!(fallback, Fallback::Refused { .. });
    for fallback in plan.fallbacks.iter().filter(planned) {
        tracing::info!(port = plan.port, "by software: {fallback}");
    }
}

/// Logs what neither the device nor the worker counts, if there is any. Frames that were refused
/// left the worker as sent.
pub(super) fn log_queue_losses(queue: &Queue) {
    let counters = queue.counters();
    if counters == QueueCounters::default() {
        return;
    }
    tracing::warn!(
        port = queue.port_name(),
        rx_queue = queue.rx_index(),
        tx_queue = queue.tx_index(),
        rx_not_joined = counters.rx_not_joined,
        tx_refused = counters.tx_refused,
        no_buffer = counters.no_buffer,
        "a queue lost frames or had no buffers"
    );
}

pub(super) fn log_port_counters(port: &Port) {
    match port.stats() {
        Ok(stats) => tracing::info!(
            port = port.name(),
            rx_frames = stats.rx_frames,
            rx_missed = stats.rx_missed,
            rx_errors = stats.rx_errors,
            rx_no_buffer = stats.rx_no_buffer,
            tx_frames = stats.tx_frames,
            tx_errors = stats.tx_errors,
            "port counters"
        ),
        Err(error) => tracing::warn!(port = port.name(), %error, "no port counters"),
    }
    log_queue_counters(port);
    if tracing::enabled!(tracing::Level::DEBUG) {
        log_driver_counters(port);
    }
}

/// Logs what arrived on each receive queue.
fn log_queue_counters(port: &Port) {
    match port.queue_stats() {
        Ok(stats) => {
            for stats in stats {
                tracing::info!(
                    port = port.name(),
                    queue = stats.queue,
                    rx_frames = stats.rx_frames,
                    rx_octets = stats.rx_octets,
                    rx_errors = stats.rx_errors,
                    "queue counters"
                );
            }
        }
        Err(error) => tracing::warn!(port = port.name(), %error, "no counters of queues"),
    }
}

/// Logs the counters of the driver, by its own names, that counted something.
fn log_driver_counters(port: &Port) {
    match port.extended_stats() {
        Ok(stats) => {
            for stat in stats.iter().filter(|stat| stat.value != 0) {
                tracing::debug!(
                    port = port.name(),
                    counter = stat.name,
                    value = stat.value,
                    "driver counter"
                );
            }
        }
        Err(error) => tracing::debug!(port = port.name(), %error, "no driver counters"),
    }
}
