//! Speed of sealed bodies against bare AES-256-GCM of the same library, and bytes on the wire per byte of body.
//!
//! `cargo bench -p privatemode-wire --bench sealing`. Prints figures, asserts none: machines differ. Each figure is the
//! best of several rounds, taken in turn with the bare cipher's, so that both see the same machine.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use privatemode_wire::Secret;
use privatemode_wire::stream::{
    ManifestDigest, Padding, RequestHead, RequestId, RequestPart, RequestReader, RequestWriter, UnixMillis,
};
use rand_core::{TryCryptoRng, TryRng};

/// Of one exchange: it stays in the cache, as what comes from a socket does.
const TOTAL: usize = 1 << 20;
const ROUNDS: usize = 400;
const SEGMENT: usize = 64 << 10;

/// Randomness is drawn twice per exchange: its quality does not matter here.
struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| n as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for byte in target {
            *byte = self.try_next_u64()? as u8;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

fn main() {
    println!("{} KiB in each round, best of {ROUNDS}", TOTAL >> 10);
    for piece in [SEGMENT, 16 << 10, 1 << 20] {
        for receipt in [false, true] {
            compare(piece, receipt);
        }
    }
    for length in [1 << 10, 64 << 10, 1 << 20, 128 << 20] {
        for padding in [Padding::Off, Padding::Bucket] {
            let (writer, _) = begin(&head(padding, false));
            let wire = writer.wire_length(length);
            println!(
                "{length:>10} bytes, {padding:<6}: {:.4} on the wire per byte",
                wire as f64 / length as f64
            );
        }
    }
}

fn compare(piece: usize, receipt: bool) {
    let (body, mut out) = (vec![0x5a; TOTAL], Vec::new());
    let head = head(Padding::Off, receipt);
    let (mut bare_seal, mut bare_open, mut seal, mut open) = ([Duration::MAX; 4]).into();
    for _ in 0..ROUNDS {
        let (sealed, opened) = bare();
        (bare_seal, bare_open) = (bare_seal.min(sealed), bare_open.min(opened));
        let (sealed, opened) = stream(&head, &body, piece, &mut out);
        (seal, open) = (seal.min(sealed), open.min(opened));
    }
    let rate = |time: Duration| TOTAL as f64 / time.as_secs_f64() / 1e9;
    let with = if receipt { "with" } else { "without" };
    println!("pieces of {:>4} KiB, {with} receipt:", piece >> 10);
    for (name, ours, bare) in [("seal", seal, bare_seal), ("open", open, bare_open)] {
        let share = 100.0 * bare.as_secs_f64() / ours.as_secs_f64();
        println!("  {name}: {:.2} GB/s, bare {:.2} GB/s, {share:.0} %", rate(ours), rate(bare));
    }
}

/// Bare AES-256-GCM in place, 64 KiB at a time, in one buffer.
fn bare() -> (Duration, Duration) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).expect("32 bytes"));
    let nonce = || Nonce::assume_unique_for_key([0; 12]);
    let mut buffer = vec![0x5a; SEGMENT];
    let begun = Instant::now();
    for _ in 0..TOTAL / SEGMENT {
        let tag = key.seal_in_place_separate_tag(nonce(), Aad::from([0; 5]), &mut buffer).expect("short");
        let _ = std::hint::black_box(tag);
    }
    let sealed = begun.elapsed();
    let tag = key.seal_in_place_separate_tag(nonce(), Aad::from([0; 5]), &mut buffer).expect("short");
    let whole = [&buffer[..], tag.as_ref()].concat();
    let mut opened = Duration::ZERO;
    for _ in 0..TOTAL / SEGMENT {
        let mut buffer = whole.clone();
        let begun = Instant::now();
        key.open_in_place(nonce(), Aad::from([0; 5]), &mut buffer).expect("its tag");
        opened += begun.elapsed();
    }
    (sealed, opened)
}

/// A whole request, written and read in pieces.
fn stream(head: &RequestHead, body: &[u8], piece: usize, out: &mut Vec<u8>) -> (Duration, Duration) {
    let (mut writer, _) = begin(head);
    let salt = *writer.salt();
    let mut wire = Vec::with_capacity(TOTAL + TOTAL / 100);
    out.clear();
    let mut sealed = Duration::ZERO;
    for piece in body.chunks(piece) {
        let begun = Instant::now();
        writer.write(piece, out).expect("room for segments");
        sealed += begun.elapsed();
        wire.extend_from_slice(out);
        out.clear();
    }
    let begun = Instant::now();
    writer.finish(out).expect("room for segments");
    sealed += begun.elapsed();
    wire.extend_from_slice(out);

    let mut reader = RequestReader::new(&secret(), &salt);
    let mut length = 0;
    let begun = Instant::now();
    for mut piece in wire.chunks(piece) {
        while let Some(part) = reader.next(&mut piece).expect("authentic") {
            if let RequestPart::Body(data) = part {
                length += data.len();
            }
        }
    }
    reader.finish().expect("whole");
    let opened = begun.elapsed();
    assert_eq!(length, body.len());
    (sealed, opened)
}

fn begin(head: &RequestHead) -> (RequestWriter, privatemode_wire::stream::PendingResponse) {
    RequestWriter::begin(&secret(), head, &mut Counter(0)).expect("a good head")
}

fn secret() -> Secret {
    Secret::from_slice(&[1; 32]).expect("32 bytes")
}

fn head(padding: Padding, receipt: bool) -> RequestHead {
    RequestHead {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        content_type: Some("application/json".into()),
        accept: None,
        model: Some("m".into()),
        stream: false,
        max_tokens: None,
        n: None,
        shard_key: None,
        ocsp_policy: None,
        request_id: RequestId::from_bytes([1; 16]),
        sent: UnixMillis(0),
        manifest: ManifestDigest([0; 32]),
        padding,
        receipt,
    }
}
