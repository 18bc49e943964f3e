//! From weights to numbers: dimensions, weight formats, the decoder's forward pass. No text, no HTTP.

pub(crate) mod decoder;
pub(crate) mod shape;
pub(crate) mod weights;

#[cfg(test)]
mod tests;
