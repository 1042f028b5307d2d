//! What can be said to a run while it goes on: stop, pause, other limits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Budget;

/// Shared by the run and whoever steers it. Everything takes effect before the next call or command; a raised stop
/// also ends what is under way.
#[derive(Debug, Default)]
pub struct Steering {
    stop: Arc<AtomicBool>,
    paused: AtomicBool,
    limits: Mutex<Option<Budget>>,
}

impl Steering {
    /// The flag that ends what is under way.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Ends the run; it can be resumed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes the run wait, or go on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether the run is to wait.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Puts other limits in force.
    pub fn limit(&self, limits: Budget) {
        *self.lock() = Some(limits);
    }

    /// Takes the limits that were put in force since the last time.
    pub(crate) fn new_limits(&self) -> Option<Budget> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Budget>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
