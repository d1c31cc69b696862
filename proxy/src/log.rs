//! The log: what happens, one line each, to standard error.
//!
//! *In*: [`LogConfig`] and `tracing` events. *Out*: lines of text for people, or one JSON object
//! a line with the event's fields at the top, next to `timestamp`, `level` and `target`.
//!
//! Lines about sessions have the target [`SESSION_TARGET`], are switched by
//! `connections` alone and pass whatever `level` says: whoever wants a quiet log may still want to
//! know who was served. Colours are never used: the lines are for journals and files too.

use std::io;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// The target of the line that is written, with level INFO, when a session ends.
pub const SESSION_TARGET: &str = "weirgate::session";

/// The log was set up before in this process.
#[derive(Debug, Error)]
#[error("the log has been set up before")]
pub struct AlreadySetUp(#[from] SetGlobalDefaultError);

/// Sends the events of the whole process to standard error.
pub fn init(config: &LogConfig) -> Result<(), AlreadySetUp> {
    tracing::subscriber::set_global_default(subscriber(config, io::stderr))?;
    Ok(())
}

/// How many panics are written to the log in the life of a process.
const LOGGED_PANICS: usize = 16;

/// Writes panics to the log, as an error with the place, instead of to standard error; the first
/// ones only. The TCP engine's are contained and counted, and a peer that found a way to cause them
/// must not fill the log, nor keep a worker busy writing it.
pub fn log_panics() {
    let logged = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(move |panic| {
        if logged.fetch_add(1, Ordering::Relaxed) < LOGGED_PANICS {
            let place = panic.location().map(tracing::field::display);
            tracing::error!(place, "panic: {}", panic_message(panic));
        }
    }));
}

fn panic_message<'p>(panic: &'p PanicHookInfo<'_>) -> &'p str {
    panic.payload_as_str().unwrap_or("no message")
}

/// What writes events to `writer`.
pub fn subscriber<W>(config: &LogConfig, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let sessions = if config.connections {
        LevelFilter::INFO
    } else {
        LevelFilter::OFF
    };
    let targets = Targets::new()
        .with_default(config.level)
        .with_target(SESSION_TARGET, sessions);
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    Registry::default().with(lines.with_filter(targets))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Collects lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            let octets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(octets.clone()).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(config: &LogConfig) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(config, move || writer.clone()), || {
            tracing::warn!(port = "edge", "link is down");
            tracing::info!("ready");
            tracing::info!(target: SESSION_TARGET, bytes = 7, code = "CD", "session ended");
        });
        lines.text()
    }

    #[test]
    fn text_is_for_people() {
        let text = logged(&LogConfig::default());
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains(" WARN proxy::log::tests: link is down port=\"edge\""),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "no colours: {text}");
    }

    #[test]
    fn json_has_the_fields_at_the_top() {
        let text = logged(&LogConfig {
            format: LogFormat::Json,
            ..LogConfig::default()
        });
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(line["target"], SESSION_TARGET);
        assert_eq!(line["bytes"], 7);
        assert_eq!(line["code"], "CD");
        assert_eq!(line["message"], "session ended");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn sessions_are_switched_apart_from_the_level() {
        let quiet = LogConfig {
            level: LevelFilter::WARN,
            ..LogConfig::default()
        };
        let text = logged(&quiet);
        assert!(
            !text.contains("ready") && text.contains("session ended"),
            "{text}"
        );
        let text = logged(&LogConfig {
            connections: false,
            ..LogConfig::default()
        });
        assert!(
            text.contains("ready") && !text.contains("session ended"),
            "{text}"
        );
    }
}
