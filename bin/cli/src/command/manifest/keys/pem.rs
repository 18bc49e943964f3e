//! PEM (RFC 7468): every block of a file with its label. What is inside may be a private key, and is wiped.

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Most blocks of a file: a key with its parameters, and something beside it.
const MAX_BLOCKS: usize = 16;

pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Zeroizing<Vec<u8>>,
}

pub(super) fn parse(text: &[u8]) -> Result<Vec<Block>> {
    let text = std::str::from_utf8(text).context("it is not PEM, but binary")?;
    let mut blocks = Vec::new();
    let mut inside: Option<(String, Zeroizing<String>)> = None;
    for line in text.lines().map(str::trim) {
        let begins = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let ends = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----"));
        match (&mut inside, begins, ends) {
            (None, Some(label), _) if blocks.len() < MAX_BLOCKS => {
                // as long as it can get: a buffer that grows leaves copies behind
                inside = Some((label.to_owned(), Zeroizing::new(String::with_capacity(text.len()))));
            }
            (Some((label, _)), _, Some(end)) if label == end => {
                if let Some((label, body)) = inside.take() {
                    let der = STANDARD.decode(body.as_bytes());
                    let der = Zeroizing::new(der.map_err(|_| anyhow::anyhow!("its {label} is not base64"))?);
                    blocks.push(Block { label, der });
                }
            }
            // headers of the old encrypted form stand before the data
            (Some((label, _)), _, _) if line.contains(':') => {
                bail!("its {label} is encrypted in an old form: decrypt it first (`openssl pkey`)")
            }
            (Some((_, body)), None, None) => body.push_str(line),
            (Some((label, _)), _, _) => bail!("its {label} does not end"),
            (None, _, _) => {}
        }
    }
    match inside {
        Some((label, _)) => bail!("its {label} does not end"),
        None if blocks.is_empty() => bail!("it is not PEM"),
        None => Ok(blocks),
    }
}
