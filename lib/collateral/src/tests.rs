//! The collector against a server that plays the vendors.

mod cache;
mod evidence;
mod faults;
mod needs;
mod sources;
mod support;
mod untrusted;
