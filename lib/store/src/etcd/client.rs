//! The calls.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::uri::PathAndQuery;
use prost::Message;
use rustls::ClientConfig;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    EtcdError, EtcdTimeouts, EtcdUrl, Watch,
    channel::Members,
    messages::{
        DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse,
        LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse,
        LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest,
        RangeResponse, StatusRequest, StatusResponse, TxnRequest, TxnResponse, WatchCreateRequest,
    },
};

/// Longest message in either direction. etcd itself takes requests of 1.5 MiB; a range is longer only if the caller asks
/// for too much at once.
pub(super) const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// Between two rounds over all endpoints.
const PAUSE: Duration = Duration::from_millis(100);
/// Endpoints are tried at most so often each.
const ROUNDS: usize = 2;

/// etcd, over all its endpoints. Clones share the connections.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    members: Members,
    urls: Vec<EtcdUrl>,
    timeouts: EtcdTimeouts,
}

/// What may be sent a second time although the first one may have been done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    /// Done twice is done once.
    Harmless,
    /// Only what certainly was not sent.
    Never,
}

impl Etcd {
    /// The members at `urls`, none of which is connected to yet. `tls` is for the `https` ones; it decides who they may be,
    /// and as whom we come. Its ALPN is replaced by HTTP/2's.
    ///
    /// # Errors
    /// [`EtcdError::Other`] for no URL at all, or `https` without `tls`.
    pub fn new(
        urls: &[EtcdUrl],
        tls: Option<Arc<ClientConfig>>,
        timeouts: EtcdTimeouts,
    ) -> Result<Self, EtcdError> {
        let wrong = |message: &str| EtcdError::Other {
            code: tonic::Code::InvalidArgument,
            message: message.to_owned(),
        };
        if urls.is_empty() {
            return Err(wrong("no endpoint is given"));
        }
        if tls.is_none() && urls.iter().any(EtcdUrl::is_tls) {
            return Err(wrong("an https endpoint needs a TLS configuration"));
        }
        let members = Members::new(urls, tls, timeouts);
        Ok(Self(Arc::new(Inner { members, urls: urls.to_vec(), timeouts })))
    }

    /// Reads keys.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        self.call("/etcdserverpb.KV/Range", request, Twice::Harmless).await
    }

    /// Writes a key, whatever it was. Another writer may come between two attempts of the same put: use a transaction where
    /// that matters.
    ///
    /// # Errors
    /// [`EtcdError`]; after [`EtcdError::Unavailable`] nobody knows whether it was done.
    pub async fn put(&self, request: &PutRequest) -> Result<PutResponse, EtcdError> {
        self.call("/etcdserverpb.KV/Put", request, Twice::Never).await
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// [`EtcdError`]; after [`EtcdError::Unavailable`] nobody knows whether it was done.
    pub async fn delete_range(&self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, EtcdError> {
        self.call("/etcdserverpb.KV/DeleteRange", request, Twice::Never).await
    }

    /// Does a transaction once.
    ///
    /// # Errors
    /// [`EtcdError`]; after [`EtcdError::Unavailable`] nobody knows whether it was done.
    pub async fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        self.call("/etcdserverpb.KV/Txn", request, Twice::Never).await
    }

    /// Does a transaction, at a second endpoint as well if the first one may have done it. For those that recognise their
    /// own first attempt.
    ///
    /// # Errors
    /// [`EtcdError`]; after [`EtcdError::Unavailable`] nobody knows whether it was done.
    pub async fn txn_repeatable(&self, request: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        self.call("/etcdserverpb.KV/Txn", request, Twice::Harmless).await
    }

    /// Makes a lease of `ttl` seconds under an ID of etcd's choice. A lost answer leaves a lease that ends by itself.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn lease_grant(&self, ttl: i64) -> Result<LeaseGrantResponse, EtcdError> {
        let request = LeaseGrantRequest { ttl, id: 0 };
        let granted: LeaseGrantResponse =
            self.call("/etcdserverpb.Lease/LeaseGrant", &request, Twice::Harmless).await?;
        if granted.id == 0 || granted.ttl < ttl || !granted.error.is_empty() {
            return Err(EtcdError::Protocol("a lease is not as long as it was asked for"));
        }
        Ok(granted)
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// [`EtcdError`]; [`EtcdError::NoLease`] if it has ended.
    pub async fn lease_revoke(&self, id: i64) -> Result<LeaseRevokeResponse, EtcdError> {
        self.call("/etcdserverpb.Lease/LeaseRevoke", &LeaseRevokeRequest { id }, Twice::Harmless).await
    }

    /// What is left of a lease.
    ///
    /// # Errors
    /// [`EtcdError`]; [`EtcdError::NoLease`] if it has ended.
    pub async fn lease_time_to_live(&self, id: i64) -> Result<LeaseTimeToLiveResponse, EtcdError> {
        let request = LeaseTimeToLiveRequest { id };
        let left: LeaseTimeToLiveResponse =
            self.call("/etcdserverpb.Lease/LeaseTimeToLive", &request, Twice::Harmless).await?;
        if left.ttl < 0 { Err(EtcdError::NoLease) } else { Ok(left) }
    }

    /// Lets a lease begin anew, once.
    ///
    /// # Errors
    /// [`EtcdError`]; [`EtcdError::NoLease`] if it has ended.
    pub async fn lease_keep_alive(&self, id: i64) -> Result<LeaseKeepAliveResponse, EtcdError> {
        // a stream with one message in each direction; etcd answers once per message
        let request = LeaseKeepAliveRequest { id };
        let alive: LeaseKeepAliveResponse =
            self.call("/etcdserverpb.Lease/LeaseKeepAlive", &request, Twice::Harmless).await?;
        if alive.ttl <= 0 { Err(EtcdError::NoLease) } else { Ok(alive) }
    }

    /// How the member is that would be asked next.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn status(&self) -> Result<StatusResponse, EtcdError> {
        self.call("/etcdserverpb.Maintenance/Status", &StatusRequest {}, Twice::Harmless).await
    }

    /// Watches keys, at one member: when it fails, begin again from where [`Watch::next_revision`] says.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn watch(&self, request: WatchCreateRequest) -> Result<Watch, EtcdError> {
        let (number, channel) = self.0.members.current().ok_or(EtcdError::Protocol("no endpoint"))?;
        let watch = Watch::begin(channel, request, self.0.timeouts).await;
        if watch.as_ref().is_err_and(EtcdError::is_unavailable) {
            self.0.members.leave(number);
        }
        watch.map(|watch| watch.at(self.clone(), number))
    }

    /// A watch's member fell silent.
    pub(super) fn leave(&self, number: usize) {
        self.0.members.leave(number);
    }

    /// For calls that change nothing when they are done twice.
    pub(super) async fn call_repeatable<Q, A>(&self, path: &'static str, request: &Q) -> Result<A, EtcdError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.call(path, request, Twice::Harmless).await
    }

    async fn call<Q, A>(&self, path: &'static str, request: &Q, twice: Twice) -> Result<A, EtcdError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let Inner { members, timeouts, .. } = &*self.0;
        let end = Instant::now() + timeouts.request;
        let mut last = EtcdError::Protocol("no endpoint");
        for attempt in 0..members.len() * ROUNDS {
            if attempt > 0 && attempt % members.len() == 0 && timeout_at(end, sleep(PAUSE)).await.is_err() {
                break;
            }
            let Some((number, channel)) = members.current() else { break };
            let answer = timeout_at(end, timeout(timeouts.attempt, unary(channel, path, request.clone())));
            last = match answer.await {
                Ok(Ok(Ok(answer))) => return Ok(answer),
                Ok(Ok(Err(status))) => EtcdError::of(status),
                Ok(Err(_)) | Err(_) => EtcdError::Unavailable(NoAnswer.into()),
            };
            if !last.is_unavailable() {
                return Err(last);
            }
            members.leave(number);
            if (twice == Twice::Never && !last.was_not_sent()) || Instant::now() >= end {
                break;
            }
        }
        Err(last)
    }
}

/// An endpoint took too long.
#[derive(Debug, thiserror::Error)]
#[error("no answer within the time that a request may take")]
pub(super) struct NoAnswer;

async fn unary<Q, A>(channel: Channel, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = grpc(channel);
    grpc.ready().await.map_err(unready)?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}

pub(super) fn grpc(channel: Channel) -> Grpc<Channel> {
    Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
}

pub(super) fn unready(error: impl Error + Send + Sync + 'static) -> Status {
    Status::from_error(Box::new(error))
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Etcd").field(&self.0.urls).finish()
    }
}
