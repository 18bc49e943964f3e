//! A TCP forwarder that can be cut, as a network can: nothing passes any more, and nobody is told.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards to one address.
pub(crate) struct Forwarder {
    pub(crate) address: String,
    open: Arc<watch::Sender<bool>>,
}

impl Forwarder {
    pub(crate) async fn start(to: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let open = Arc::new(watch::Sender::new(true));
        let gate = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (to, gate) = (to.clone(), Arc::clone(&gate));
                tokio::spawn(async move {
                    // a connection that is opened while it is cut hangs, too
                    passable(&gate).await;
                    let Ok(far) = TcpStream::connect(&to).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::join!(pump(near_in, far_out, &gate), pump(far_in, near_out, &gate));
                });
            }
        });
        Ok(Self { address, open })
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn passable(gate: &watch::Sender<bool>) {
    let _ = gate.subscribe().wait_for(|open| *open).await;
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, gate: &watch::Sender<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        passable(gate).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
