//! A wish to stop, heard by everything that waits.

use tokio::sync::watch;

/// Makes a handle that asks to stop, and the side that hears it.
pub fn stop() -> (StopHandle, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopHandle(sender), Stop(receiver))
}

/// Asks to stop. Dropping it asks, too.
#[derive(Clone, Debug)]
pub struct StopHandle(watch::Sender<bool>);

impl StopHandle {
    /// Asks everybody who listens to stop. Asking twice does no harm.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Another listener.
    pub fn listen(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

/// Hears the wish to stop.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether to stop.
    pub fn is_wanted(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is time to stop. May be dropped and called again.
    pub async fn wanted(&mut self) {
        // An error means that the handle is gone, and nobody could ask any more.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wish_and_a_dropped_handle_are_both_heard() {
        let (handle, mut hears) = stop();
        let mut second = handle.listen();
        assert!(!hears.is_wanted());
        handle.stop();
        assert!(hears.is_wanted());
        hears.wanted().await;
        second.wanted().await;

        let (handle, mut hears) = stop();
        drop(handle);
        assert!(hears.is_wanted());
        hears.wanted().await;
    }
}
