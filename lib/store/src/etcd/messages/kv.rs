//! Keys and values, and transactions over them.

use std::fmt;

use zeroize::Zeroize;

use super::ResponseHeader;

/// A key with its value. The value is wiped when this is dropped, and never printed.
#[derive(Clone, prost::Message)]
#[prost(skip_debug)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The revision that created it.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// The revision that changed it last.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// How often it was written since it was created.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// The value.
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
    /// The lease that it hangs on; 0: none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

impl Drop for KeyValue {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, create_revision: _, mod_revision, version: _, value: _, lease: _ } = self;
        write!(f, "KeyValue({} at {mod_revision}, ..)", key.escape_ascii())
    }
}

/// Reads a range of keys.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RangeRequest {
    /// The first key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The key behind the last one; empty: only `key`.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// At most so many; 0: all.
    #[prost(int64, tag = "3")]
    pub limit: i64,
    /// As of this revision; 0: now.
    #[prost(int64, tag = "4")]
    pub revision: i64,
    /// Answered by the member alone, perhaps from the past.
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    /// Without the values.
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
    /// Only how many.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

/// The range.
#[derive(Clone, prost::Message)]
pub struct RangeResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// In the order of their keys.
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut it.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// How many keys the range has, the limit aside.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// Writes a key. The value is wiped when this is dropped, and never printed.
#[derive(Clone, prost::Message)]
#[prost(skip_debug)]
pub struct PutRequest {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// The lease that it hangs on; 0: none.
    #[prost(int64, tag = "3")]
    pub lease: i64,
}

impl Drop for PutRequest {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl fmt::Debug for PutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value: _, lease } = self;
        write!(f, "PutRequest({}, lease {lease:x}, ..)", key.escape_ascii())
    }
}

/// Written.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PutResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Deletes a range of keys.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteRangeRequest {
    /// The first key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The key behind the last one; empty: only `key`.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
}

/// Deleted.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct DeleteRangeResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// How many.
    #[prost(int64, tag = "2")]
    pub deleted: i64,
}

/// One operation of a transaction.
#[derive(Clone, prost::Message)]
pub struct RequestOp {
    /// Which.
    #[prost(oneof = "request_op::Request", tags = "1, 2, 3, 4")]
    pub request: Option<request_op::Request>,
}

/// The operations of a transaction.
pub mod request_op {
    /// One of them.
    #[derive(Clone, prost::Oneof)]
    pub enum Request {
        /// Read.
        #[prost(message, tag = "1")]
        Range(super::RangeRequest),
        /// Write.
        #[prost(message, tag = "2")]
        Put(super::PutRequest),
        /// Delete.
        #[prost(message, tag = "3")]
        DeleteRange(super::DeleteRangeRequest),
        /// A transaction of its own, with its own comparisons.
        #[prost(message, tag = "4")]
        Txn(super::TxnRequest),
    }
}

/// What an operation gave.
#[derive(Clone, prost::Message)]
pub struct ResponseOp {
    /// Which.
    #[prost(oneof = "response_op::Response", tags = "1, 2, 3, 4")]
    pub response: Option<response_op::Response>,
}

/// What the operations of a transaction gave.
pub mod response_op {
    /// One of them.
    #[derive(Clone, prost::Oneof)]
    pub enum Response {
        /// Read.
        #[prost(message, tag = "1")]
        Range(super::RangeResponse),
        /// Written.
        #[prost(message, tag = "2")]
        Put(super::PutResponse),
        /// Deleted.
        #[prost(message, tag = "3")]
        DeleteRange(super::DeleteRangeResponse),
        /// A transaction of its own.
        #[prost(message, tag = "4")]
        Txn(super::TxnResponse),
    }
}

/// How a key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// Equal.
    Equal = 0,
    /// Greater.
    Greater = 1,
    /// Less.
    Less = 2,
    /// Not equal.
    NotEqual = 3,
}

/// What of a key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum CompareTarget {
    /// Its version.
    Version = 0,
    /// The revision that created it.
    Create = 1,
    /// The revision that changed it last.
    Mod = 2,
    /// Its value.
    Value = 3,
    /// Its lease.
    Lease = 4,
}

/// What it is compared with.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum CompareWith {
    /// For [`CompareTarget::Version`].
    #[prost(int64, tag = "4")]
    Version(i64),
    /// For [`CompareTarget::Create`].
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    /// For [`CompareTarget::Mod`].
    #[prost(int64, tag = "6")]
    ModRevision(i64),
    /// For [`CompareTarget::Value`]. Never a secret here: it is neither wiped nor hidden.
    #[prost(bytes = "vec", tag = "7")]
    Value(Vec<u8>),
    /// For [`CompareTarget::Lease`].
    #[prost(int64, tag = "8")]
    Lease(i64),
}

/// One condition of a transaction. A key that is not there has version and revisions 0.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Compare {
    /// How.
    #[prost(enumeration = "CompareResult", tag = "1")]
    pub result: i32,
    /// What.
    #[prost(enumeration = "CompareTarget", tag = "2")]
    pub target: i32,
    /// Of which key.
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    /// With what.
    #[prost(oneof = "CompareWith", tags = "4, 5, 6, 7, 8")]
    pub with: Option<CompareWith>,
}

/// Does `success` if all comparisons hold, else `failure`, at once.
#[derive(Clone, prost::Message)]
pub struct TxnRequest {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// If all hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    /// If one does not.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

/// What a transaction did.
#[derive(Clone, prost::Message)]
pub struct TxnResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether all comparisons held.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// One for each operation done.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

impl RangeRequest {
    /// One key.
    #[must_use]
    pub fn one(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        // an empty key is no key; \0 is the first one
        let key = if prefix.is_empty() { vec![0] } else { prefix.to_vec() };
        Self { key, range_end: crate::etcd::prefix_end(prefix), ..Self::default() }
    }
}

impl Compare {
    /// The key is not there.
    #[must_use]
    pub fn absent(key: impl Into<Vec<u8>>) -> Self {
        Self {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: key.into(),
            with: Some(CompareWith::CreateRevision(0)),
        }
    }

    /// The key was changed last at `revision`; 0: it is not there.
    #[must_use]
    pub fn unchanged_since(key: impl Into<Vec<u8>>, revision: i64) -> Self {
        Self {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key.into(),
            with: Some(CompareWith::ModRevision(revision)),
        }
    }

    /// The key has this value, which is no secret.
    #[must_use]
    pub fn value(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Value.into(),
            key: key.into(),
            with: Some(CompareWith::Value(value.into())),
        }
    }
}

impl From<RangeRequest> for RequestOp {
    fn from(range: RangeRequest) -> Self {
        Self { request: Some(request_op::Request::Range(range)) }
    }
}

impl From<PutRequest> for RequestOp {
    fn from(put: PutRequest) -> Self {
        Self { request: Some(request_op::Request::Put(put)) }
    }
}

impl From<DeleteRangeRequest> for RequestOp {
    fn from(delete: DeleteRangeRequest) -> Self {
        Self { request: Some(request_op::Request::DeleteRange(delete)) }
    }
}

impl From<TxnRequest> for RequestOp {
    fn from(txn: TxnRequest) -> Self {
        Self { request: Some(request_op::Request::Txn(txn)) }
    }
}

impl ResponseOp {
    /// The range that was read, if that was the operation.
    #[must_use]
    pub fn range(&self) -> Option<&RangeResponse> {
        match &self.response {
            Some(response_op::Response::Range(range)) => Some(range),
            _ => None,
        }
    }

    /// The transaction inside, if that was the operation.
    #[must_use]
    pub fn txn(&self) -> Option<&TxnResponse> {
        match &self.response {
            Some(response_op::Response::Txn(txn)) => Some(txn),
            _ => None,
        }
    }
}
