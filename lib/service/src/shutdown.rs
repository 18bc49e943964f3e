//! The one signal that ends a process: every loop waits for it. Does not know who triggers it.

use tokio_util::sync::CancellationToken;

/// Asks everything that holds a clone to finish. Triggering is final.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A signal of its own, not triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Triggered together with `self`, and also on its own without ending `self`.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// Starts the drain. May be called any number of times.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Completes when the drain begins, at once if it already has.
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }
}
