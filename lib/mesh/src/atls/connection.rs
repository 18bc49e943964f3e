//! A connection by what is known of its peer: [`Unverified`] after the handshake, [`Attested`] once its evidence was
//! appraised. [`Stranger`] is for telling somebody who was refused why.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use privatemode_attest::{EvidenceKind, atls::Leaf, signature::PublicKey};
use privatemode_manifest::{ManifestDigest, Workload};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Appraiser, AtlsError, Demand, nonce::Nonce};

/// A connection after the handshake: nobody looked at the peer's evidence yet. Not a stream, so that nothing can be said to
/// a peer that is not verified:
///
/// ```compile_fail
/// use tokio::{io::{AsyncWrite, AsyncWriteExt}, net::TcpStream};
/// async fn tell(mut peer: privatemode_mesh::atls::Unverified<TcpStream>) {
///     let _ = peer.write_all(b"secret").await;
/// }
/// ```
///
/// ```no_run
/// use tokio::{io::{AsyncWrite, AsyncWriteExt}, net::TcpStream};
/// async fn tell(mut peer: privatemode_mesh::atls::Attested<TcpStream>) {
///     let _ = peer.write_all(b"secret").await;
/// }
/// ```
#[must_use = "the peer is not verified"]
pub struct Unverified<T> {
    stream: T,
    leaf: Leaf,
    nonce: Nonce,
}

/// A connection whose peer was verified; only [`Unverified::verify`] makes one.
pub struct Attested<T> {
    stream: T,
    peer: Peer,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    workload: Workload,
    key: PublicKey,
    kind: EvidenceKind,
    manifest: ManifestDigest,
}

/// A peer that was refused, and why.
#[derive(Debug)]
pub struct Refused<T> {
    /// Why.
    pub error: AtlsError,
    /// To tell it so.
    pub stranger: Stranger<T>,
}

/// A connection to somebody who proved nothing. What comes from there is anybody's; what is said there, anybody may read.
pub struct Stranger<T> {
    stream: T,
}

impl<T> Unverified<T> {
    pub(super) fn new(stream: T, leaf: Leaf, nonce: Nonce) -> Self {
        Self { stream, leaf, nonce }
    }

    /// Has the peer's evidence appraised: genuine, for this key and this connection, of a policy of the manifest, and as
    /// demanded. Fetches what the vendor publishes about it.
    ///
    /// # Errors
    /// [`Refused`] says why, and has the connection, which stays a stranger's.
    pub async fn verify(self, appraiser: &Appraiser, demand: Demand) -> Result<Attested<T>, Box<Refused<T>>> {
        let Self { stream, leaf, nonce } = self;
        match appraiser.appraise(&leaf, &nonce, demand).await {
            Ok(workload) => {
                let (key, kind) = (leaf.public_key().clone(), leaf.kind());
                let peer = Peer { workload, key, kind, manifest: appraiser.manifest().digest() };
                Ok(Attested { stream, peer })
            }
            Err(error) => Err(Box::new(Refused { error, stranger: Stranger { stream } })),
        }
    }

    /// Gives up on knowing the peer.
    pub fn into_stranger(self) -> Stranger<T> {
        Stranger { stream: self.stream }
    }
}

impl<T> Attested<T> {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Peer {
    /// Which workload of the manifest.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The key that it proved to hold.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What vouches for it.
    #[must_use]
    pub fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// The manifest under which it was verified. Whoever gives it something must have the same one in force.
    #[must_use]
    pub fn manifest(&self) -> ManifestDigest {
        self.manifest
    }
}

impl<T> fmt::Debug for Unverified<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unverified").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Attested<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attested").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Stranger<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Stranger(..)")
    }
}

macro_rules! is_a_stream {
    ($name:ident) => {
        impl<T: AsyncRead + Unpin> AsyncRead for $name<T> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_read(context, buffer)
            }
        }

        impl<T: AsyncWrite + Unpin> AsyncWrite for $name<T> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write(context, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(context)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(context)
            }
        }
    };
}

is_a_stream!(Attested);
is_a_stream!(Stranger);
