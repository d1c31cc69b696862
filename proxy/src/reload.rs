//! The configuration file read again while sessions go on.
//!
//! *In*: the file, when a signal asks for it (SIGHUP). *Out*: a command for all workers.
//!
//! What takes effect is the `weight` of backends: 0 drains one, which then gets no new sessions and
//! keeps those it has. Everything else is compared and a difference is said aloud, because it takes
//! effect at the next start only. A file with a fault changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assemble::ControlEnds;
use crate::config::{BackendGroupId, Config};
use crate::l7::backend_pool::{BackendId, Setting};
use crate::worker::{Command, SetBackend};

/// Reads the file again.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    /// What the workers do now.
    current: Config,
}

/// What became of a file that was read again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// What the workers are to do differently.
    pub changes: Vec<SetBackend>,
    /// Whether the file says something else that is new, and has no effect.
    pub restart_needed: bool,
}

impl Reloader {
    /// For a configuration that was read from a file, and that workers were made of.
    pub fn new(config: &Config, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            current: config.clone(),
        }
    }

    /// Reads the file and tells the workers what is new. Says in the log what came of it.
    pub fn reload(&mut self, ends: &ControlEnds) {
        let path = self.path.display().to_string();
        let (new, warnings) = match Config::load(&self.path) {
            Ok(read) => read,
            Err(errors) => {
                for error in errors.iter() {
                    tracing::error!("{}", error.to_string().trim_end());
                }
                tracing::error!(path, "not reloaded: everything stays as it is");
                return;
            }
        };
        for warning in warnings {
            tracing::warn!("{}", warning.to_string().trim_end());
        }
        let Outcome {
            changes,
            restart_needed,
        } = self.adopt(&new);
        for change in &changes {
            self.log(change);
        }
        let count = changes.len();
        if !changes.is_empty() {
            let deaf = ends.tell_all(&Command::SetBackends(Arc::from(changes)));
            if deaf > 0 {
                tracing::error!(workers = deaf, "workers did not take the new weights");
            }
        }
        if restart_needed {
            tracing::warn!(
                path,
                "only weights of backends take effect now: the other changes need a restart"
            );
        }
        tracing::info!(path, weights = count, "reloaded");
    }

    /// Takes over what can be: the weights of backends that are known by group, name and address.
    pub fn adopt(&mut self, new: &Config) -> Outcome {
        let mut changes = Vec::new();
        for (index, group) in self.current.backend_groups.iter_mut().enumerate() {
            let mut groups = new.backend_groups.iter();
            let Some(new_group) = groups.find(|new| new.name == group.name) else {
                continue;
            };
            for (place, backend) in group.backends.iter_mut().enumerate() {
                let mut backends = new_group.backends.iter();
                let same = backends
                    .find(|new| (&new.name, new.address) == (&backend.name, backend.address));
                let Some(same) = same.filter(|new| new.weight != backend.weight) else {
                    continue;
                };
                backend.weight = same.weight;
                changes.push(SetBackend {
                    group: BackendGroupId(index),
                    backend: BackendId::new(place),
                    setting: Setting::Weight(same.weight),
                });
            }
        }
        Outcome {
            changes,
            restart_needed: self.current != *new,
        }
    }

    fn log(&self, change: &SetBackend) {
        let group = self.current.backend_group(change.group);
        let backend = &group.backends[change.backend.index()];
        tracing::info!(
            group = group.name,
            backend = backend.name,
            weight = backend.weight,
            "backend has a new weight"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../examples/weirgate.toml");

    fn example_with(old: &str, new: &str) -> Config {
        assert!(EXAMPLE.contains(old), "{old:?} is not in the example");
        let text = EXAMPLE.replacen(old, new, 1);
        Config::parse(&text, Path::new("w.toml")).unwrap().0
    }

    fn reloader() -> Reloader {
        Reloader::new(&example_with("", ""), Path::new("w.toml"))
    }

    #[test]
    fn weights_are_taken_over_once() {
        let mut reloader = reloader();
        let new = example_with("weight = 2", "weight = 0");
        let change = SetBackend {
            group: BackendGroupId(0),
            backend: BackendId::new(1),
            setting: Setting::Weight(0),
        };
        let outcome = reloader.adopt(&new);
        assert_eq!(
            (outcome.changes, outcome.restart_needed),
            (vec![change], false)
        );
        assert_eq!(reloader.adopt(&new).changes, []);
    }

    #[test]
    fn what_takes_no_effect_is_noticed_every_time() {
        let mut reloader = reloader();
        let new = example_with("tries = 3", "tries = 4");
        for _ in 0..2 {
            let outcome = reloader.adopt(&new);
            assert_eq!((outcome.changes, outcome.restart_needed), (vec![], true));
        }
        // Another server is not the one that was meant.
        let moved = "address = \"203.0.113.12:8080\"\nweight = 5";
        let new = example_with("address = \"203.0.113.11:8080\"\nweight = 2", moved);
        let outcome = reloader.adopt(&new);
        assert_eq!((outcome.changes, outcome.restart_needed), (vec![], true));
    }
}
