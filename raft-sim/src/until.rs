//! Runs that can be stopped from outside, by a signal or another thread.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::action::Action;
use crate::rig::Rig;
use crate::schedule::Ending;
use crate::scheduler::Watch;
use crate::world::World;

/// Tells another watch all it sees, and ends the run before its next event once a flag is set. The flag must stay set.
#[derive(Debug)]
pub struct Until<'a, W> {
    watch: W,
    stop: &'a AtomicBool,
}

impl<'a, W> Until<'a, W> {
    /// Goes on until `stop` is set.
    pub fn new(stop: &'a AtomicBool, watch: W) -> Self {
        Until { watch, stop }
    }

    /// The other watch.
    pub fn into_inner(self) -> W {
        self.watch
    }
}

impl<R: Rig, W: Watch<R>> Watch<R> for Until<'_, W> {
    fn starts(&mut self, world: &World<R>) {
        self.watch.starts(world);
    }

    fn begins(&mut self, action: Action) {
        self.watch.begins(action);
    }

    fn ends(&mut self, ending: Ending) {
        self.watch.ends(ending);
    }

    fn closes(&mut self) {
        self.watch.closes();
    }

    fn happened(&mut self, moment: u64, action: Action, world: &World<R>) {
        self.watch.happened(moment, action, world);
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.watch.stops()
    }
}
