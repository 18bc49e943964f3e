//! Several endpoints as one: which of them is asked, and when it is left for the next one.
//!
//! A member that is gone is left after the connect timeout; one that hangs, or has lost the others, after the attempt
//! timeout. A connection over which nothing comes back is closed by unanswered HTTP/2 pings.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint};

use super::{EtcdUrl, tls::Connector};

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub struct EtcdTimeouts {
    /// A connection, TLS and all.
    pub connect: Duration,
    /// One endpoint's answer.
    pub attempt: Duration,
    /// The whole request, over all endpoints.
    pub request: Duration,
    /// Between two HTTP/2 pings, and for the answer to one. Members refuse more than one ping in 5 s.
    pub ping: Duration,
    /// Without a word from a watched member, it is asked for one; without an answer for as long again, it is left.
    pub watch: Duration,
}

impl Default for EtcdTimeouts {
    /// Three endpoints can be tried within a request; a leader's election (1 to 2 s) fits as well.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(1),
            attempt: seconds(3),
            request: seconds(8),
            ping: seconds(10),
            watch: seconds(10),
        }
    }
}

/// No connection to a member: nothing was sent to it.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to etcd at {url}")]
pub(super) struct ConnectError {
    pub(super) url: EtcdUrl,
    #[source]
    pub(super) source: io::Error,
}

/// The members' channels. Connections are made when they are needed.
pub(super) struct Members {
    channels: Vec<Channel>,
    /// The one that answered last.
    current: AtomicUsize,
}

impl Members {
    pub(super) fn new(urls: &[EtcdUrl], tls: Option<Arc<ClientConfig>>, timeouts: EtcdTimeouts) -> Self {
        let tls = tls.map(|tls| {
            let mut tls = Arc::unwrap_or_clone(tls);
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(tls)
        });
        let channels = urls.iter().map(|url| channel(url, tls.as_ref(), timeouts)).collect();
        Self { channels, current: AtomicUsize::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// The endpoint to ask, and its number for [`Self::leave`]; none if there are no endpoints.
    pub(super) fn current(&self) -> Option<(usize, Channel)> {
        let number = self.current.load(Ordering::Relaxed);
        self.channels.get(number).map(|channel| (number, channel.clone()))
    }

    /// Goes on to the next endpoint, once for all who failed at this one.
    pub(super) fn leave(&self, number: usize) {
        let next = (number + 1) % self.channels.len().max(1);
        let _already_left = self.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn channel(url: &EtcdUrl, tls: Option<&Arc<ClientConfig>>, timeouts: EtcdTimeouts) -> Channel {
    let connector =
        Connector { url: url.clone(), tls: tls.filter(|_| url.is_tls()).cloned(), timeout: timeouts.connect };
    Endpoint::from(url.uri().clone())
        .http2_keep_alive_interval(timeouts.ping)
        .keep_alive_timeout(timeouts.ping)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector)
}
