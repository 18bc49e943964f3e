//! The state in memory: one handle for all.

use std::sync::Arc;

use privatemode_store::state::MemoryState;

use crate::suite::{self, Backend, Handle};

struct Memory(Handle);

impl Backend for Memory {
    fn open(&self) -> Handle {
        Arc::clone(&self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_a_store_must() {
    suite::run(async || Memory(Arc::new(MemoryState::new()))).await;
}
