//! The response, on both sides.

mod reader;
mod writer;

pub use reader::{PendingResponse, ResponsePart, ResponseReader};
pub use writer::{Responder, ResponseEnd, ResponseWriter};
