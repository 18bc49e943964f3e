//! Why etcd did not do as it was told.

use tonic::{Code, Status};

use super::channel::ConnectError;
use crate::Cause;

/// Why a call of etcd failed.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No endpoint answered in time, or the members have no leader. Try again later; whether a write was done, nobody knows.
    #[error("etcd does not answer")]
    Unavailable(#[source] Cause),
    /// etcd does not let us: no certificate, an unknown user, or a user without that right.
    #[error("etcd refuses (`{message}`): the certificate's common name must be an etcd user with that right")]
    Refused {
        /// etcd's words.
        message: String,
    },
    /// The revision asked for is gone: read anew.
    #[error("etcd has compacted what was asked for (up to revision {revision})")]
    Compacted {
        /// Up to where; 0: unknown.
        revision: i64,
    },
    /// The store is not the one that it was: restored from a backup, or another one.
    #[error(
        "etcd is at revision {now} and was at {had} before: it was restored from a backup, or it is another cluster"
    )]
    RolledBack {
        /// A revision that was seen before.
        had: i64,
        /// Its revision.
        now: i64,
    },
    /// There is no such lease any more.
    #[error("etcd knows no such lease")]
    NoLease,
    /// The database's quota is used up.
    #[error(
        "etcd's database is full: compact and defragment it, raise its quota, and disarm the alarm (etcdctl alarm disarm)"
    )]
    NoSpace,
    /// Already there: a user, a role.
    #[error("etcd has that already")]
    Exists,
    /// An answer that makes no sense.
    #[error("etcd's answer is not what its protocol promises: {0}")]
    Protocol(&'static str),
    /// Everything else: a mistake of ours, or of the settings.
    #[error("etcd says no: {message} ({code:?})")]
    Other {
        /// gRPC's code.
        code: Code,
        /// etcd's words.
        message: String,
    },
}

impl EtcdError {
    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(super) fn of(status: Status) -> Self {
        let message = status.message();
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
                Self::Unavailable(status.into())
            }
            Code::PermissionDenied | Code::Unauthenticated => Self::Refused { message: message.to_owned() },
            // without a certificate that names a user; no code of its own
            Code::InvalidArgument if message.contains("user name is empty") => {
                Self::Refused { message: message.to_owned() }
            }
            // users or roles were changed while the request was under way
            Code::InvalidArgument if message.contains("revision in header is old") => {
                Self::Unavailable(status.into())
            }
            Code::OutOfRange if message.contains("compacted") => Self::Compacted { revision: 0 },
            Code::NotFound if message.contains("lease not found") => Self::NoLease,
            Code::ResourceExhausted if message.contains("space exceeded") => Self::NoSpace,
            Code::ResourceExhausted if message.contains("too many requests") => {
                Self::Unavailable(status.into())
            }
            Code::FailedPrecondition if message.contains("already exists") => Self::Exists,
            // a length over our own limit is found by our side of gRPC
            Code::OutOfRange if message.contains("message length too large") => {
                Self::Protocol("a message is too long")
            }
            code => Self::Other { code, message: message.to_owned() },
        }
    }

    /// Whether the request certainly never left this machine.
    pub(super) fn was_not_sent(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&**cause);
        while let Some(error) = next {
            if error.is::<ConnectError>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_words_have_names() {
        let of = |code, message: &str| EtcdError::of(Status::new(code, message));
        let unavailable = [
            of(Code::Unavailable, "etcdserver: no leader"),
            of(Code::Unavailable, "etcdserver: request timed out"),
            of(Code::ResourceExhausted, "etcdserver: too many requests"),
            of(Code::InvalidArgument, "etcdserver: revision of auth store is old: revision in header is old"),
        ];
        assert!(unavailable.iter().all(EtcdError::is_unavailable), "{unavailable:?}");
        assert!(!unavailable.iter().any(EtcdError::was_not_sent));
        for (code, message) in [
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
        ] {
            assert!(matches!(of(code, message), EtcdError::Refused { .. }), "{message}");
        }
        let compacted = of(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");
        assert!(matches!(compacted, EtcdError::Compacted { revision: 0 }));
        assert!(matches!(of(Code::NotFound, "etcdserver: requested lease not found"), EtcdError::NoLease));
        let full = of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert!(matches!(full, EtcdError::NoSpace));
        assert!(matches!(
            of(Code::FailedPrecondition, "etcdserver: role name already exists"),
            EtcdError::Exists
        ));
        let other = of(Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
        assert!(matches!(other, EtcdError::Other { code: Code::InvalidArgument, .. }));
    }
}
