//! The steering that is configured for a port and not in force.
//!
//! Isolation, an RSS key and a RETA decide which queue a frame comes on, and whether it comes at
//! all. Software can do the same at a price, so a device that refuses them is no error: the port
//! works without, and [`Port::steering_faults`](super::Port::steering_faults) says what is missing.

use dpdk_sys as sys;
use netstack::io::Rss;

use super::PortShared;
use super::setup::{PortConfig, configure};
use crate::error::{DpdkError, Errno};
use crate::flow::FlowError;
use crate::rss::{self, Key};

/// Why something of the steering is not as configured.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SteeringFault {
    /// The driver does not isolate the port.
    #[error(
        "port `{device}` is not isolated and receives also what no flow rule brings to it: {cause}"
    )]
    NotIsolated {
        /// The port.
        device: String,
        /// What the driver reported.
        cause: FlowError,
    },
    /// There is no RSS that the configured key or RETA could be for.
    #[error(
        "port `{device}` has an RSS key or a RETA configured, but its driver {driver} offers no \
         RSS, or it is not asked for: which queue a frame comes on is up to flow rules and to the \
         driver"
    )]
    NoRss {
        /// The port.
        device: String,
        /// What its driver calls itself.
        driver: String,
    },
    /// The configured key is not as long as the device wants it.
    #[error(
        "the RSS key that is configured for port `{device}` has {configured} octets, its driver \
         {driver} takes {expected}: the port keeps the key of its driver"
    )]
    KeyLength {
        /// The port.
        device: String,
        /// What its driver calls itself.
        driver: String,
        /// Octets of the configured key.
        configured: usize,
        /// Octets of the device's keys.
        expected: usize,
    },
    /// The device does not take the configured key.
    #[error(
        "port `{device}` cannot be given its RSS key: {errno} from its driver {driver}. It keeps \
         the key of its driver"
    )]
    KeyNotSet {
        /// The port.
        device: String,
        /// What its driver calls itself.
        driver: String,
        /// What the driver reported; [`Errno::ENOTSUP`] also if it reported success and the
        /// device has another key, or does not tell it.
        errno: Errno,
    },
    /// The device does not take the configured RETA.
    #[error(
        "port `{device}` cannot be given its RETA: {errno} from its driver {driver}. Frames are \
         spread over its RX queues as the driver does it"
    )]
    RetaNotSet {
        /// The port.
        device: String,
        /// What its driver calls itself.
        driver: String,
        /// What the driver reported; [`Errno::ENOTSUP`] also if the device has none, or it
        /// reported success and the device has another, or does not tell it.
        errno: Errno,
    },
}

/// What is wanted of a port's steering, what of it is missing, and the RSS that is in force.
#[derive(Debug)]
pub(super) struct Steering {
    device: String,
    driver: String,
    /// Header fields to hash, in DPDK's bits; 0 without RSS.
    fields: u64,
    key: Option<Key>,
    reta: Option<Vec<u16>>,
    /// From opening the port, and from its last start.
    at_open: Vec<SteeringFault>,
    at_start: Vec<SteeringFault>,
    rss: Option<Rss>,
}

impl Steering {
    /// What `config` wants of the device `device`, which hashes `fields`.
    pub(super) fn new(
        device: &str,
        driver: &str,
        config: &PortConfig,
        info: &sys::rte_eth_dev_info,
        fields: u64,
    ) -> Self {
        let mut steering = Self {
            device: device.to_owned(),
            driver: driver.to_owned(),
            fields,
            key: None,
            reta: None,
            at_open: Vec::new(),
            at_start: Vec::new(),
            rss: None,
        };
        let wanted = config.rss_key.is_some() || config.reta.is_some();
        if config.rx_queues == 1 || !wanted {
            return steering;
        }
        if fields == 0 {
            let (device, driver) = steering.names();
            steering
                .at_open
                .push(SteeringFault::NoRss { device, driver });
            return steering;
        }
        steering.reta.clone_from(&config.reta);
        if let Some(octets) = &config.rss_key {
            match Key::new(octets, info.hash_key_size) {
                Ok(key) => steering.key = Some(key),
                Err(expected) => {
                    let (device, driver) = steering.names();
                    steering.at_open.push(SteeringFault::KeyLength {
                        device,
                        driver,
                        configured: octets.len(),
                        expected,
                    });
                }
            }
        }
        steering
    }

    /// The key to configure the port with.
    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Isolates the port if that is configured, or makes that a fault and changes the configuration.
    /// To be called before the port is configured, as some drivers isolate it then only, or, for
    /// those that do not, once its queues are set up.
    pub(super) fn isolate(&mut self, port: &PortShared, config: &mut PortConfig) {
        if !config.isolated {
            return;
        }
        if let Err(cause) = port.rules.isolate(true) {
            config.isolated = false;
            let device = self.device.clone();
            self.at_open
                .push(SteeringFault::NotIsolated { device, cause });
        }
    }

    /// Forgets that the driver once refused to isolate the port.
    pub(super) fn isolated(&mut self) {
        let stays = |fault: &SteeringFault| !matches!(fault, SteeringFault::NotIsolated { .. });
        self.at_open.retain(stays);
    }

    /// Configures the port, with the driver's key if it does not like the configured one.
    pub(super) fn configure(
        &mut self,
        port: &PortShared,
        config: &PortConfig,
    ) -> Result<(), DpdkError> {
        let result = configure(port, config, self.key());
        let Err(DpdkError::Call { errno, .. }) = result else {
            return result;
        };
        if self.key.take().is_none() {
            return result;
        }
        configure(port, config, None)?;
        let (device, driver) = self.names();
        self.at_open.push(SteeringFault::KeyNotSet {
            device,
            driver,
            errno,
        });
        Ok(())
    }

    /// Sets key and RETA of a port that has just been started, and reads back what is in force.
    pub(super) fn start(&mut self, port: u16, info: &sys::rte_eth_dev_info) {
        self.at_start.clear();
        self.rss = None;
        if self.fields == 0 {
            return;
        }
        if let Some(key) = &self.key
            && let Err(errno) = rss::set_key(port, info, self.fields, key)
        {
            let (device, driver) = self.names();
            self.at_start.push(SteeringFault::KeyNotSet {
                device,
                driver,
                errno,
            });
        }
        if let Some(queues) = &self.reta
            && let Err(errno) = rss::set_reta(port, info, queues)
        {
            let (device, driver) = self.names();
            self.at_start.push(SteeringFault::RetaNotSet {
                device,
                driver,
                errno,
            });
        }
        self.rss = rss::read(port, info);
    }

    /// The RSS in force since the last start.
    pub(super) fn rss(&self) -> Option<&Rss> {
        self.rss.as_ref()
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &SteeringFault> {
        self.at_open.iter().chain(&self.at_start)
    }

    /// Those of the device and of its driver, for a fault.
    fn names(&self) -> (String, String) {
        (self.device.clone(), self.driver.clone())
    }
}
