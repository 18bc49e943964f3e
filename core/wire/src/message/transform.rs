//! Seals and opens the pieces of one layout.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::error::{OpenError, SealError};
use super::layout::{Content, Field, Layout, LayoutError, Piece};
use crate::aead::IV_LENGTH;
use crate::field::{ExchangeNonce, FieldCipher, OpenFault, ParseFault, SealedField, Sequence};
use crate::json::validate_value;

/// IVs of the fields that the client has sealed. IVs are random, so an honest response never holds one of them; a request
/// field that is played back always does.
pub(super) type RequestIvs = BTreeSet<[u8; IV_LENGTH]>;

impl From<LayoutError> for SealError {
    fn from(error: LayoutError) -> SealError {
        match error {
            LayoutError::Json(error) => SealError::Json(error),
            LayoutError::Multipart(error) => SealError::Multipart(error),
            LayoutError::PlainFile { name } => SealError::PlainFile { name },
        }
    }
}

impl From<LayoutError> for OpenError {
    fn from(error: LayoutError) -> OpenError {
        match error {
            LayoutError::Json(error) => OpenError::Json(error),
            LayoutError::Multipart(error) => OpenError::Multipart(error),
            LayoutError::PlainFile { name } => OpenError::NotSealed { name },
        }
    }
}

/// Seals all fields of a layout. The counter moves only on success.
pub(super) fn seal(
    cipher: &FieldCipher,
    nonce: ExchangeNonce,
    sequence: &mut Sequence,
    layout: &Layout<'_>,
    rng: &mut dyn CryptoRng,
    mut sealed_with: impl FnMut([u8; IV_LENGTH]),
) -> Result<Vec<u8>, SealError> {
    let length = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => text.len(),
        Piece::Field(field) => cipher.sealed_length(field.value.len()),
    };
    let mut out = Vec::with_capacity(layout.pieces.iter().map(length).sum());
    let mut scratch = Zeroizing::new(Vec::new());
    for piece in &layout.pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Field(field) => {
                let number = sequence.at(field.rank).ok_or(SealError::TooManyFields)?;
                let mut iv = [0; IV_LENGTH];
                rng.fill_bytes(&mut iv);
                sealed_with(iv);
                cipher
                    .seal((nonce, number, iv), field.value, &mut scratch, &mut out)
                    .map_err(|_| SealError::TooLong)?;
            }
        }
    }
    sequence.advance(layout.fields);
    Ok(out)
}

/// Opens all fields of a layout. Without a nonce, the one of the first field is taken, and handed back once that field has
/// proved genuine. Neither nonce nor counter move on failure.
pub(super) fn open(
    cipher: &FieldCipher,
    nonce: &mut Option<ExchangeNonce>,
    sequence: &mut Sequence,
    layout: &Layout<'_>,
    request_ivs: &RequestIvs,
) -> Result<Vec<u8>, OpenError> {
    let sealed = check_fields(cipher, *nonce, layout, request_ivs)?;
    let text: usize =
        layout.pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.len() } else { 0 }).sum();
    let plain: usize = sealed.iter().map(SealedField::plaintext_length).sum();
    let mut out = Vec::with_capacity(text + plain);
    let mut scratch = Zeroizing::new(Vec::new());
    let mut fields = sealed.iter();
    for piece in &layout.pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Field(field) => {
                let Some(sealed) = fields.next() else { break };
                let number = sequence.at(field.rank).ok_or(OpenError::TooManyFields)?;
                cipher.open(sealed, sealed.nonce, number, &mut scratch).map_err(|fault| match fault {
                    OpenFault::Malformed => OpenError::Malformed { name: name(field) },
                    OpenFault::Tampered => OpenError::Tampered { name: name(field) },
                })?;
                check_content(&layout.content, field, &scratch)?;
                out.extend_from_slice(&scratch);
            }
        }
    }
    *nonce = nonce.or(sealed.first().map(|field| field.nonce));
    sequence.advance(layout.fields);
    Ok(out)
}

/// Everything that can be said of the fields before one is decrypted, in document order.
fn check_fields<'a>(
    cipher: &FieldCipher,
    nonce: Option<ExchangeNonce>,
    layout: &Layout<'a>,
    request_ivs: &RequestIvs,
) -> Result<Vec<SealedField<'a>>, OpenError> {
    let fields =
        || layout.pieces.iter().filter_map(|piece| if let Piece::Field(f) = piece { Some(f) } else { None });
    let parse = |field: &Field<'a>| {
        SealedField::parse(field.value).map_err(|fault| match fault {
            ParseFault::NotSealed => OpenError::NotSealed { name: name(field) },
            ParseFault::Malformed => OpenError::Malformed { name: name(field) },
        })
    };
    let first = fields().find(|field| field.rank == 0);
    let nonce = match (nonce, first) {
        (Some(nonce), _) => nonce,
        (None, Some(first)) => parse(first)?.nonce,
        (None, None) => return Ok(Vec::new()),
    };
    let mut sealed = Vec::with_capacity(layout.fields);
    for field in fields() {
        let parts = parse(field)?;
        if parts.id != cipher.id().as_str().as_bytes() {
            return Err(OpenError::WrongSecretId { name: name(field) });
        }
        if request_ivs.contains(&parts.iv) {
            return Err(OpenError::Reflected { name: name(field) });
        }
        if parts.nonce != nonce {
            return Err(OpenError::WrongNonce { name: name(field) });
        }
        sealed.push(parts);
    }
    Ok(sealed)
}

/// The sender is authentic, but one that is buggy (or old and lenient) must not change the shape of the document around it.
fn check_content(content: &Content, field: &Field<'_>, plaintext: &[u8]) -> Result<(), OpenError> {
    let fits = match content {
        Content::Json => validate_value(plaintext).is_ok(),
        Content::Part { delimiter } => {
            let begins = delimiter.get(2..).is_some_and(|dashes| plaintext.starts_with(dashes));
            !begins && memchr::memmem::find(plaintext, delimiter).is_none()
        }
        Content::Whole => true,
    };
    if fits { Ok(()) } else { Err(OpenError::BadContent { name: name(field) }) }
}

/// The field's name for an error text: cut, since it comes from outside.
fn name(field: &Field<'_>) -> String {
    const LONGEST: usize = 64;
    let name: &Cow<'_, str> = &field.name;
    name.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect()
}
