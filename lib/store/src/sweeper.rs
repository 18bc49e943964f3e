//! Wipes expired secrets in the background.

use std::{sync::Weak, time::Duration};

use tokio::task::JoinHandle;

use crate::Embedded;

/// Keeps the sweeping task alive; it ends with this guard.
#[derive(Debug)]
pub struct Sweeper(JoinHandle<()>);

impl Sweeper {
    pub(crate) fn spawn(store: Weak<Embedded>, interval: Duration) -> Self {
        // an interval of zero would panic in tokio, and sweep without pause
        let interval = interval.max(Duration::from_millis(10));
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(store) = store.upgrade() else { return };
                store.sweep();
            }
        }))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
