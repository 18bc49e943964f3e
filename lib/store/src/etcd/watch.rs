//! A watch at one member.
//!
//! It ends with an error rather than go blind: when the member has no leader, when it says nothing even if asked, when its
//! revisions are behind what was seen before.

use std::fmt;

use http::uri::PathAndQuery;
use tokio::{sync::mpsc, time::timeout};
use tonic::{Request, Streaming, metadata::MetadataValue, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    Etcd, EtcdError, EtcdTimeouts,
    client::{NoAnswer, grpc, unready},
    messages::{
        Event, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
        watch_request::Request as Say,
    },
};

/// One watch. Dropping it ends it.
pub struct Watch {
    answers: Streaming<WatchResponse>,
    say: mpsc::Sender<WatchRequest>,
    timeouts: EtcdTimeouts,
    next_revision: i64,
    cluster_id: u64,
    /// To be left when it fails.
    member: Option<(Etcd, usize)>,
}

/// Changes in their order.
#[derive(Debug, Default)]
pub struct WatchBatch {
    /// The changes.
    pub events: Vec<Event>,
}

impl Watch {
    pub(super) async fn begin(
        channel: Channel,
        create: WatchCreateRequest,
        timeouts: EtcdTimeouts,
    ) -> Result<Self, EtcdError> {
        let no_answer = |_| EtcdError::Unavailable(NoAnswer.into());
        timeout(timeouts.attempt, Self::open(channel, create, timeouts)).await.map_err(no_answer)?
    }

    async fn open(
        channel: Channel,
        mut create: WatchCreateRequest,
        timeouts: EtcdTimeouts,
    ) -> Result<Self, EtcdError> {
        create.fragment = true;
        let start = create.start_revision;
        let (say, said) = mpsc::channel(4);
        let first = WatchRequest { request: Some(Say::Create(create)) };
        say.send(first).await.map_err(|_| EtcdError::Protocol("the stream ended before it began"))?;
        let said = futures_util::stream::unfold(said, |mut said| async { Some((said.recv().await?, said)) });
        let mut request = Request::new(said);
        // a member that has lost the others ends the stream, and does not just fall silent
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut grpc = grpc(channel);
        grpc.ready().await.map_err(unready).map_err(EtcdError::of)?;
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let answers = grpc.streaming(request, path, codec).await.map_err(EtcdError::of)?.into_inner();
        let mut watch = Self { answers, say, timeouts, next_revision: start, cluster_id: 0, member: None };
        watch.created(start).await?;
        Ok(watch)
    }

    /// The first answer says that the watch is there, and where the store is.
    async fn created(&mut self, start: i64) -> Result<(), EtcdError> {
        let answer = self.answer().await?;
        let header = answer.header.ok_or(EtcdError::Protocol("a watch without a header"))?;
        if answer.canceled {
            return Err(ended(&answer));
        }
        if !answer.created {
            return Err(EtcdError::Protocol("a watch that was not created"));
        }
        // it would wait for a revision that may never come, or come a second time
        if header.revision < start.saturating_sub(1) {
            return Err(EtcdError::RolledBack { had: start.saturating_sub(1), now: header.revision });
        }
        self.cluster_id = header.cluster_id;
        self.next_revision = if start == 0 { header.revision.saturating_add(1) } else { start };
        Ok(())
    }

    pub(super) fn at(mut self, etcd: Etcd, number: usize) -> Self {
        self.member = Some((etcd, number));
        self
    }

    /// The changes that come next; waits for some.
    ///
    /// # Errors
    /// [`EtcdError`]: the watch is over. Begin another one at [`Self::next_revision`], or read anew after
    /// [`EtcdError::Compacted`] and [`EtcdError::RolledBack`].
    pub async fn next(&mut self) -> Result<WatchBatch, EtcdError> {
        let next = self.next_inner().await;
        if let (Err(error), Some((etcd, number))) = (&next, &self.member)
            && error.is_unavailable()
        {
            etcd.leave(*number);
        }
        next
    }

    async fn next_inner(&mut self) -> Result<WatchBatch, EtcdError> {
        loop {
            let answer = self.heard().await?;
            if answer.canceled {
                return Err(ended(&answer));
            }
            let WatchResponse { events, fragment, .. } = answer;
            let last = events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
            // Only by events: what a member says of its progress may run ahead of the events that are still on their way
            // (etcd before 3.4.25). And only when the revision is complete.
            let Some(last) = last else { continue };
            let next = if fragment { last } else { last.saturating_add(1) };
            self.next_revision = self.next_revision.max(next);
            return Ok(WatchBatch { events });
        }
    }

    /// Where to go on.
    #[must_use]
    pub fn next_revision(&self) -> i64 {
        self.next_revision
    }

    /// Whose revisions these are.
    #[must_use]
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The next answer; a silent member is asked once whether it lives.
    async fn heard(&mut self) -> Result<WatchResponse, EtcdError> {
        let silence = self.timeouts.watch;
        if let Ok(answer) = timeout(silence, self.answer()).await {
            return answer;
        }
        let progress = WatchRequest { request: Some(Say::Progress(WatchProgressRequest {})) };
        let silent = || EtcdError::Unavailable(NoAnswer.into());
        self.say.try_send(progress).map_err(|_| silent())?;
        timeout(silence, self.answer()).await.map_err(|_| silent())?
    }

    /// Cancel-safe: a message is taken from the stream as a whole.
    async fn answer(&mut self) -> Result<WatchResponse, EtcdError> {
        match self.answers.message().await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(EtcdError::Unavailable("the member ended the watch".into())),
            Err(status) => Err(EtcdError::of(status)),
        }
    }
}

fn ended(answer: &WatchResponse) -> EtcdError {
    let reason = &answer.cancel_reason;
    if answer.compact_revision != 0 {
        EtcdError::Compacted { revision: answer.compact_revision }
    } else if reason.contains("permission denied") || reason.contains("PermissionDenied") {
        EtcdError::Refused { message: reason.clone() }
    } else {
        EtcdError::Unavailable(format!("the member ended the watch: {reason}").into())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch(next revision {})", self.next_revision)
    }
}
