//! etcd's messages, as far as we use them; field numbers as in etcd 3.4's `rpc.proto`, `kv.proto` and `auth.proto`.
//!
//! Unknown fields of newer versions are skipped. Messages that carry values wipe them when dropped and do not print them.

mod auth;
mod kv;
mod lease;
mod watch;

pub use auth::{
    AuthEnableRequest, AuthHeader, Permission, PermissionType, RoleAddRequest, RoleGetRequest,
    RoleGetResponse, RoleGrantPermissionRequest, UserAddOptions, UserAddRequest, UserGetRequest,
    UserGetResponse, UserGrantRoleRequest,
};
pub use kv::{
    Compare, CompareResult, CompareTarget, CompareWith, DeleteRangeRequest, DeleteRangeResponse, KeyValue,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse,
    request_op, response_op,
};
pub use lease::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
pub use watch::{
    Event, EventType, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, watch_request,
};

/// Who answered, and at which revision of the store.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ResponseHeader {
    /// The cluster.
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    /// The member.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// The store's revision when the request was applied.
    #[prost(int64, tag = "3")]
    pub revision: i64,
    /// The member's term.
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}

/// Asks a member how it is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatusRequest {}

/// How it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StatusResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// etcd's version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Bytes on disk.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// The leader that the member believes in; 0: none.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// Alarms and the like.
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
}

#[cfg(test)]
mod tests;
