//! The exchange: the KEM alone, with our framing, and as the service does it.

use std::{hint::black_box, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use getrandom::{SysRng, rand_core::UnwrapErr};
use hpke::{Deserializable as _, OpModeS, Serializable as _};
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
use privatemode_secret_service::{Secrets, SignError, Signer};
use privatemode_store::{Embedded, MonotonicClock};
use privatemode_wire::exchange::{ClientExchange, ServerExchange, parse_request};

use crate::rate;

/// The service's key, made as the mesh's is.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(SigningKey::from_slice(&[7; 32]).map_err(|_| anyhow!("no key"))?))
    }
}

impl Signer for Key {
    fn sign(&self, digest: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError> {
        let signature: Signature = self.0.sign_prehash(digest).map_err(|error| SignError(error.into()))?;
        Ok((vec![0; 700], signature.to_der().as_bytes().to_vec()))
    }
}

pub(crate) async fn run() -> Result<()> {
    let client = ClientExchange::new(&mut UnwrapErr(SysRng));
    let request = client.request_json();
    let public_key = parse_request(request.as_bytes())?;
    let bare = rate(|| bare(public_key.as_slice()))?;
    row("bare HPKE: X-Wing encapsulation, one export", bare, bare);
    let accept = rate(|| {
        black_box(ServerExchange::accept(public_key.as_slice(), &mut UnwrapErr(SysRng))?);
        Ok(())
    })?;
    row("with the secret's ID and the digest", accept, bare);
    // each exchange needs a key of its own, made beforehand
    let requests: Vec<String> =
        (0..2000).map(|_| ClientExchange::new(&mut UnwrapErr(SysRng)).request_json()).collect();
    let whole = whole(&requests)?;
    row("the service: JSON, exchange, signature, store", whole, bare);
    Ok(())
}

fn row(what: &str, rate: f64, bare: f64) {
    println!("| {what} | {rate:.0} | {:.2} |", rate / bare);
}

fn bare(public_key: &[u8]) -> Result<()> {
    type Kem = hpke::kem::XWing;
    let wrong = |_| anyhow!("HPKE refuses its own key");
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(public_key).map_err(wrong)?;
    let (encapsulated, context) = hpke::setup_sender_with_rng::<
        hpke::aead::ExportOnlyAead,
        hpke::kdf::HkdfSha256,
        Kem,
    >(&OpModeS::Base, &key, b"", &mut UnwrapErr(SysRng))
    .map_err(wrong)?;
    let mut secret = [0; 32];
    context.export(b"", &mut secret).map_err(wrong)?;
    black_box((encapsulated.to_bytes(), secret));
    Ok(())
}

/// All requests in turn, each time into an empty store.
fn whole(requests: &[String]) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..3 {
        let store = Arc::new(Embedded::new(Arc::new(MonotonicClock::new()), requests.len()));
        let secrets = Secrets::new(store, Arc::new(Key::new()?), Duration::from_secs(3600));
        let start = std::time::Instant::now();
        for request in requests {
            let exchanged = futures_util::FutureExt::now_or_never(secrets.exchange(request.as_bytes()));
            black_box(exchanged.context("the embedded store waits for nobody")??.to_json());
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        rates.push(requests.len() as f64 / start.elapsed().as_secs_f64());
    }
    Ok(rates.into_iter().fold(0.0, f64::max))
}
