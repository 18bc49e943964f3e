//! Fakes for tests: an inference engine, hardware vendors, a Kubernetes API server, a gateway gone bad; guards for real
//! processes, and a real etcd.
//!
//! Nothing here is part of the product. What listens does so on 127.0.0.1, on a port that the system picks, and stops
//! when it is dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fake that cannot start is a failed test")]

mod connection;
mod etcd;
pub mod kubernetes;
pub mod members;
mod process;
mod segments;
mod tamper;
mod upstream;
pub mod vendor;

pub use etcd::{EtcdCluster, EtcdPki, EtcdServerFiles};
pub use process::{ChildGuard, free_port, wait_until};
pub use segments::{Place, Segments};
pub use tamper::{Message, TamperingGateway, TlsSides, Verdict};
pub use upstream::{Recorded, Reply, StubUpstream};
