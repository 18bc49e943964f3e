//! The sealed protocol: one authenticated stream per direction. One attempt here; the retries are [`crate::forward`]'s.
//! Specification: protocol.md §9.
//!
//! ```text
//! attempt   head + body ▶ seal ▶ send ══▶ gateway        request   (as it is read; one piece in memory)
//!           salt ▶ head ▶ status ▶ date                  head      (before anything reaches the caller)
//! deliver   pieces ▶ trailer ▶ outcome ▶ usage, receipt  answer    (as it opens)
//! leaving   end asked for ▶ trailer ▶ receipt            nobody    (the caller is gone, and receipts are kept)
//! ```

mod answer;
mod date;
mod deliver;
mod head;
mod leaving;
mod request;
mod segments;
mod whole_events;

pub(crate) use answer::{Answer, AnswerError, attempt};
pub(crate) use date::SendingTime;
pub(crate) use deliver::{Recipient, deliver};
