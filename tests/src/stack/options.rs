//! What a stack's connections are made with.
//!
//! [`StackOptions`] starts from defaults, is changed by the directives and the `sysctl` lines of a
//! script ([`StackOptions::set`]), and by socket options. The endpoints and connections of
//! `netstack` are made from it in one place each ([`super::tcp`]).

use core::time::Duration;

use netstack::tcp::{Algorithm, Timeouts};

/// What runs the state machine of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    /// Our own.
    Native,
    /// smoltcp.
    Smoltcp,
}

impl Engine {
    /// Every engine that can be chosen.
    pub const ALL: [Self; 2] = [Self::Native, Self::Smoltcp];

    /// Its name in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Smoltcp => "smoltcp",
        }
    }
}

/// What a stack's endpoints and connections are made with.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each switches one extension, with any of the others"
)]
pub struct StackOptions {
    /// What runs connections.
    pub engine: Engine,
    /// The MTU of the link in octets.
    pub mtu: usize,
    /// The largest payload of a segment, if it is to be less than what fits the MTU.
    pub mss: Option<u16>,
    /// Octets that the peer may send ahead of whoever reads.
    pub receive_buffer: usize,
    /// Of these, as many as are offered first, if it is not all of them. Native engine only.
    pub first_window: Option<usize>,
    /// Octets that may be written ahead of the peer's acknowledgments.
    pub send_buffer: usize,
    /// Packet buffers that what is written may be in, and those of segments that are being made.
    pub send_buffers: usize,
    /// Packet buffers that the connections of a local port may hold before windows shrink.
    pub held_buffers: usize,
    /// Probe the peer after this long without a segment.
    pub keepalive: Option<Duration>,
    /// How long before the first probe, once keepalive is switched on.
    pub keepalive_idle: Duration,
    /// How long between probes; as long as before the first if it is not said.
    pub keepalive_interval: Option<Duration>,
    /// How many probes go unanswered before the connection is given up. Native engine only.
    pub keepalive_probes: u8,
    /// How the native engine reacts to congestion.
    pub congestion: Algorithm,
    /// Whether the native engine spreads segments over the round trip.
    pub pacing: bool,
    /// Whether the native engine asks for ECN, and agrees to it.
    pub ecn: bool,
    /// Whether the native engine offers SACK, and agrees to it.
    pub sack: bool,
    /// Whether the native engine offers time stamps, and agrees to them.
    pub timestamps: bool,
    /// How far the native engine's retransmission timeout is above the round-trip time at least.
    pub rto_floor: Duration,
    /// Deadlines.
    pub timeouts: Timeouts,
}

impl StackOptions {
    /// The defaults, with that engine.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            mtu: 1500,
            mss: None,
            receive_buffer: 65_535,
            first_window: None,
            send_buffer: 65_536,
            send_buffers: 1024,
            held_buffers: 4096,
            keepalive: None,
            keepalive_idle: Duration::from_hours(2),
            keepalive_interval: None,
            keepalive_probes: 9,
            congestion: Algorithm::default(),
            pacing: false,
            ecn: false,
            sack: true,
            timestamps: true,
            rto_floor: Duration::from_millis(200),
            timeouts: Timeouts {
                handshake: Duration::from_mins(1),
                connect: Duration::from_mins(2),
                idle: Duration::from_hours(24),
                half_closed: Duration::from_hours(24),
                fin_wait_2: Duration::from_mins(1),
                user: Duration::from_mins(15),
                time_wait: Duration::from_mins(1),
            },
        }
    }

    /// Changes what the Linux setting `name` (`net.ipv4.tcp_...`) has for a counterpart here.
    ///
    /// Buffers are three sizes: of `tcp_rmem`, the middle one is offered first and the last is the
    /// most; of `tcp_wmem`, the middle one counts. Times are in seconds.
    ///
    /// # Errors
    /// If there is no counterpart, or the value makes no sense.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let bad_value = || SettingError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        if name == "net.ipv4.tcp_congestion_control" {
            self.congestion = algorithm(value).ok_or_else(bad_value)?;
            return Ok(());
        }
        if name == "net.core.default_qdisc" {
            self.pacing = value == "fq";
            return Ok(());
        }
        let numbers: Option<Vec<u64>> = value
            .split_whitespace()
            .map(|number| number.parse().ok())
            .collect();
        let numbers = numbers.ok_or_else(bad_value)?;
        if let Some(switch) = self.switch(name) {
            *switch = on_or_off(&numbers).ok_or_else(bad_value)?;
            return Ok(());
        }
        match (name, numbers.as_slice()) {
            ("net.ipv4.tcp_rmem", &[_, first, most]) if first <= most => {
                self.set_receive_buffer(first as usize, most as usize);
            }
            ("net.ipv4.tcp_wmem", &[_, size, _]) => self.send_buffer = size as usize,
            ("net.ipv4.tcp_fin_timeout", &[seconds]) => {
                self.timeouts.fin_wait_2 = Duration::from_secs(seconds);
            }
            ("net.ipv4.tcp_keepalive_time", &[seconds]) => {
                self.keepalive_idle = Duration::from_secs(seconds);
            }
            ("net.ipv4.tcp_keepalive_intvl", &[seconds]) => {
                self.keepalive_interval = Some(Duration::from_secs(seconds));
            }
            ("net.ipv4.tcp_keepalive_probes", &[probes @ 1..=255]) => {
                self.keepalive_probes = probes as u8;
            }
            ("net.ipv4.tcp_rto_min_us", &[micros]) => {
                self.rto_floor = Duration::from_micros(micros);
            }
            (
                "net.ipv4.tcp_rmem"
                | "net.ipv4.tcp_wmem"
                | "net.ipv4.tcp_fin_timeout"
                | "net.ipv4.tcp_keepalive_time"
                | "net.ipv4.tcp_keepalive_intvl"
                | "net.ipv4.tcp_keepalive_probes"
                | "net.ipv4.tcp_rto_min_us",
                _,
            ) => return Err(bad_value()),
            _ => {
                return Err(SettingError::Unknown {
                    name: name.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What a setting of 0 or 1 switches.
    fn switch(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "net.ipv4.tcp_ecn" => Some(&mut self.ecn),
            "net.ipv4.tcp_sack" => Some(&mut self.sack),
            "net.ipv4.tcp_timestamps" => Some(&mut self.timestamps),
            _ => None,
        }
    }

    /// smoltcp's buffers do not grow: they are as large as the first window.
    fn set_receive_buffer(&mut self, first: usize, most: usize) {
        self.first_window = Some(first);
        self.receive_buffer = match self.engine {
            Engine::Native => most,
            Engine::Smoltcp => first,
        };
    }
}

fn on_or_off(numbers: &[u64]) -> Option<bool> {
    match numbers {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// By Linux's names.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "reno" => Some(Algorithm::NewReno),
        "cubic" => Some(Algorithm::Cubic),
        "bbr" => Some(Algorithm::Bbr),
        _ => None,
    }
}

/// Why a setting was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// Nothing here corresponds to it.
    #[error("the setting `{name}` has no counterpart here")]
    Unknown {
        /// The setting.
        name: String,
    },
    /// It has a counterpart, but not with that value.
    #[error("the setting `{name}` cannot be `{value}`")]
    Value {
        /// The setting.
        name: String,
        /// The value.
        value: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_change_what_they_name_and_others_are_refused() {
        let mut options = StackOptions::new(Engine::Smoltcp);
        options
            .set("net.ipv4.tcp_rmem", "4096 10000 20000")
            .unwrap();
        options
            .set("net.ipv4.tcp_wmem", "4096\t30000 40000")
            .unwrap();
        options.set("net.ipv4.tcp_fin_timeout", "7").unwrap();
        assert_eq!(options.receive_buffer, 10_000);
        let mut native = StackOptions::new(Engine::Native);
        native.set("net.ipv4.tcp_rmem", "4096 10000 20000").unwrap();
        native
            .set("net.ipv4.tcp_congestion_control", "reno")
            .unwrap();
        assert_eq!(native.receive_buffer, 20_000);
        assert_eq!(native.first_window, Some(10_000));
        assert_eq!(native.congestion, Algorithm::NewReno);
        assert!(matches!(
            native.set("net.ipv4.tcp_congestion_control", "westwood"),
            Err(SettingError::Value { .. })
        ));
        assert_eq!(options.send_buffer, 30_000);
        assert_eq!(options.timeouts.fin_wait_2, Duration::from_secs(7));
        assert!(matches!(
            options.set("net.ipv4.tcp_rmem", "4096"),
            Err(SettingError::Value { .. })
        ));
        assert!(matches!(
            options.set("net.ipv4.tcp_thin_dupack", "1"),
            Err(SettingError::Unknown { .. })
        ));
    }
}
