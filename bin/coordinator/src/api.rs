//! HTTP: what is asked, what is answered, and which status an error has. Plain HTTP, because nothing here needs secrecy and
//! what needs authenticity carries evidence.

pub mod fault;
pub mod mesh;
pub mod user;

mod request;

pub use fault::Fault;
