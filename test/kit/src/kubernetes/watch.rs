//! Watches: an answer that goes on for as long as the client listens.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Refusal;
use crate::connection::{Failure, FakeBody};

/// How a watch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As after its timeout: the answer is complete.
    Timeout,
    /// The connection breaks in the middle of an event.
    Break,
}

/// Something that happened to an object.
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) kind: &'static str,
    pub(super) object: Value,
}

/// What is asked for.
pub(super) struct Query {
    /// The one object.
    pub(super) name: String,
    pub(super) version: Option<u64>,
    pub(super) bookmarks: bool,
}

impl Query {
    /// A watch on one object; the role allows no other, and no list.
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace("%3D", "="))
        };
        if value("watch").as_deref() != Some("true") {
            return Err(Refusal::new(403, "Forbidden", "this account may not list"));
        }
        let selector = value("fieldSelector").unwrap_or_default();
        let Some(name) = selector.strip_prefix("metadata.name=") else {
            return Err(Refusal::new(400, "BadRequest", "no field selector for a name"));
        };
        let version = value("resourceVersion").map(|version| version.parse());
        let version =
            version.transpose().map_err(|_| Refusal::new(400, "BadRequest", "no resource version"))?;
        let bookmarks = value("allowWatchBookmarks").as_deref() == Some("true");
        Ok(Self { name: name.to_owned(), version, bookmarks })
    }
}

/// The server's end of a watch.
pub(super) struct Watcher {
    name: String,
    pub(super) bookmarks: bool,
    pieces: UnboundedSender<Result<Bytes, Failure>>,
}

/// Both ends of a watch.
pub(super) fn body(query: &Query) -> (Watcher, FakeBody) {
    let (pieces, rest) = unbounded_channel();
    let watcher = Watcher { name: query.name.clone(), bookmarks: query.bookmarks, pieces };
    (watcher, Pieces(rest).boxed_unsync())
}

impl Watcher {
    /// Sends an event in two chunks; false: nobody listens any more.
    pub(super) fn send(&self, event: &Event) -> bool {
        let line = format!("{}\n", json!({"type": event.kind, "object": event.object})).into_bytes();
        let mut line = Bytes::from(line);
        let rest = line.split_off(line.len() / 2);
        self.pieces.send(Ok(line)).is_ok() && self.pieces.send(Ok(rest)).is_ok()
    }

    pub(super) fn send_if_selected(&self, event: &Event) -> bool {
        if event.object["metadata"]["name"] == self.name.as_str() {
            self.send(event)
        } else {
            !self.is_gone()
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.pieces.is_closed()
    }

    pub(super) fn stop(self, how: Stop) {
        if how == Stop::Break {
            let _nobody_listens = self.pieces.send(Ok(Bytes::from_static(b"{\"type\":\"MODIF")));
            let _nobody_listens = self.pieces.send(Err("told to break".into()));
        }
    }
}

struct Pieces(UnboundedReceiver<Result<Bytes, Failure>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
