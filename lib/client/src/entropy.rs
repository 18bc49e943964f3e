//! Where randomness comes from: the operating system, or a fixed sequence in a test.

use getrandom::{SysRng, rand_core::UnwrapErr};
use rand_core::CryptoRng;

/// Hands out generators.
pub trait Entropy: Send + Sync {
    /// A generator for one operation.
    fn rng(&self) -> Box<dyn CryptoRng + Send>;
}

/// The operating system's generator. Panics if the system has none, as nothing can be sealed without it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn rng(&self) -> Box<dyn CryptoRng + Send> {
        Box::new(UnwrapErr(SysRng))
    }
}
