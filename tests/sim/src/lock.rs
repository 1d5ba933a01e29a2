//! Locks that do not care whether somebody panicked with them in the hand.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; what a panic left behind is good enough for a simulator.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
