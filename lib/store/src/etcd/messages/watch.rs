//! Watches.

use super::{KeyValue, ResponseHeader};

/// What a client says on a stream of watches.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    /// Which.
    #[prost(oneof = "watch_request::Request", tags = "1, 3")]
    pub request: Option<watch_request::Request>,
}

/// What a client can say.
pub mod watch_request {
    /// One of it.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Request {
        /// Begin a watch.
        #[prost(message, tag = "1")]
        Create(super::WatchCreateRequest),
        /// Say how far the watches are.
        #[prost(message, tag = "3")]
        Progress(super::WatchProgressRequest),
    }
}

/// Begins a watch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WatchCreateRequest {
    /// The first key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The key behind the last one; empty: only `key`.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// The first revision; 0: from now on.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Say now and then how far the watch is.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// Large answers come in pieces.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// Asks how far the watches are.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WatchProgressRequest {}

/// What happened.
#[derive(Clone, prost::Message)]
pub struct WatchResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which watch.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// It has begun.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// It has ended.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// It has ended because this revision and those before it are gone.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why it has ended.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More of the same revision follows.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// The changes, in order.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// Written.
    Put = 0,
    /// Deleted, also by the end of its lease.
    Delete = 1,
}

/// One change.
#[derive(Clone, prost::Message)]
pub struct Event {
    /// What happened.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// To what; of a deleted key only its name and the revision.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
}
