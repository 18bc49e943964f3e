//! Opens listening sockets, with errors that say what to do. Does not accept connections: see [`crate::serve()`].

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel queues while we are busy.
const BACKLOG: u32 = 1024;

/// Why a listening socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket holds the port.
    #[error(
        "cannot listen on {address}: the port is taken; stop the program that holds it (`ss -ltnp` shows which) or choose another port, 0 for any free one"
    )]
    Taken {
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// The port needs privileges.
    #[error(
        "cannot listen on {address}: not permitted; choose a port above 1023 or grant the right to bind low ports"
    )]
    NotPermitted {
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// No interface of this machine has the address.
    #[error(
        "cannot listen on {address}: this machine does not have that address; use 127.0.0.1 (this machine only) or 0.0.0.0 (all interfaces)"
    )]
    NotLocal {
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}")]
    Io {
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's word.
        source: io::Error,
    },
}

/// Opens a TCP listener. Needs a tokio runtime around it.
///
/// # Errors
/// [`ListenError`] names the address and what to do.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address, source },
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted { address, source },
        io::ErrorKind::AddrNotAvailable => ListenError::NotLocal { address, source },
        _ => ListenError::Io { address, source },
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // On Windows this option would let another program take over our port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(address).unwrap_err();
        assert!(matches!(error, ListenError::Taken { .. }), "{error:?}");
        assert!(error.to_string().contains(&address.to_string()));
    }

    #[tokio::test]
    async fn a_foreign_address_is_named() {
        // 192.0.2.0/24 is reserved for documentation (RFC 5737): no interface has it.
        let error = listen("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, ListenError::NotLocal { .. }), "{error:?}");
    }
}
