//! AES-GCM with 128, 192 and 256-bit keys behind one small trait: aws-lc-rs natively, `aes-gcm` in WebAssembly.
//!
//! Knows nothing of nonces' uniqueness: whoever calls must never use an IV twice under one key. NIST SP 800-38D.

use crate::secret::Secret;

pub(crate) const IV_LENGTH: usize = 12;
pub(crate) const TAG_LENGTH: usize = 16;

/// The tag does not fit, or (when sealing) the text is too long for AES-GCM.
#[derive(Debug)]
pub(crate) struct AeadError;

/// An expanded key.
pub(crate) trait Aead: Sized {
    fn expand(secret: &Secret) -> Self;

    /// Encrypts in place and appends the tag.
    fn seal(&self, iv: [u8; IV_LENGTH], aad: &[u8], text: &mut Vec<u8>) -> Result<(), AeadError>;

    /// Checks and cuts off the tag and decrypts in place. After an error the buffer's content means nothing.
    fn open(&self, iv: [u8; IV_LENGTH], aad: &[u8], text: &mut Vec<u8>) -> Result<(), AeadError>;

    /// Encrypts a slice in place and returns the tag, for texts that stand in the middle of a buffer.
    fn seal_slice(
        &self,
        iv: [u8; IV_LENGTH],
        aad: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LENGTH], AeadError>;

    /// Encrypts `text` and `end` after it into `sealed`, which has their lengths and the tag's.
    fn seal_into(
        &self,
        iv: [u8; IV_LENGTH],
        aad: &[u8],
        text: &[u8],
        end: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), AeadError>;

    /// Checks the tag at the end of a slice and decrypts in place what stands before it. After an error the content
    /// means nothing.
    fn open_slice(&self, iv: [u8; IV_LENGTH], aad: &[u8], sealed: &mut [u8]) -> Result<(), AeadError>;

    /// Checks the tag at the end of `sealed` and decrypts what stands before it into `text`, which has its length. After an
    /// error the content means nothing.
    fn open_into(
        &self,
        iv: [u8; IV_LENGTH],
        aad: &[u8],
        sealed: &[u8],
        text: &mut [u8],
    ) -> Result<(), AeadError>;
}

#[cfg(not(target_family = "wasm"))]
pub(crate) type Key = native::Key;
#[cfg(target_family = "wasm")]
pub(crate) type Key = portable::Key;
/// The other backend, so that tests run both.
#[cfg(test)]
pub(crate) type PortableKey = portable::Key;

#[cfg(not(target_family = "wasm"))]
mod native {
    use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    use super::{Aead, AeadError, IV_LENGTH, TAG_LENGTH};
    use crate::secret::Secret;

    pub(crate) struct Key(LessSafeKey);

    impl Aead for Key {
        fn expand(secret: &Secret) -> Key {
            let bytes = secret.expose();
            let algorithm = match bytes.len() {
                16 => &AES_128_GCM,
                24 => &AES_192_GCM,
                _ => &AES_256_GCM,
            };
            let key = UnboundKey::new(algorithm, bytes).expect("a secret has 16, 24 or 32 bytes");
            Key(LessSafeKey::new(key))
        }

        fn seal(&self, iv: [u8; IV_LENGTH], aad: &[u8], text: &mut Vec<u8>) -> Result<(), AeadError> {
            let nonce = Nonce::assume_unique_for_key(iv);
            self.0.seal_in_place_append_tag(nonce, Aad::from(aad), text).map_err(|_| AeadError)
        }

        fn open(&self, iv: [u8; IV_LENGTH], aad: &[u8], text: &mut Vec<u8>) -> Result<(), AeadError> {
            let nonce = Nonce::assume_unique_for_key(iv);
            let length = self.0.open_in_place(nonce, Aad::from(aad), text).map_err(|_| AeadError)?.len();
            text.truncate(length);
            Ok(())
        }

        fn seal_slice(
            &self,
            iv: [u8; IV_LENGTH],
            aad: &[u8],
            text: &mut [u8],
        ) -> Result<[u8; TAG_LENGTH], AeadError> {
            let nonce = Nonce::assume_unique_for_key(iv);
            let tag =
                self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), text).map_err(|_| AeadError)?;
            tag.as_ref().try_into().map_err(|_| AeadError)
        }

        fn seal_into(
            &self,
            iv: [u8; IV_LENGTH],
            aad: &[u8],
            text: &[u8],
            end: &[u8],
            sealed: &mut [u8],
        ) -> Result<(), AeadError> {
            let nonce = Nonce::assume_unique_for_key(iv);
            let (sealed, rest) = sealed.split_at_mut_checked(text.len()).ok_or(AeadError)?;
            self.0
                .seal_out_of_place_scatter(nonce, Aad::from(aad), text, sealed, end, rest)
                .map_err(|_| AeadError)
        }

        fn open_slice(&self, iv: [u8; IV_LENGTH], aad: &[u8], sealed: &mut [u8]) -> Result<(), AeadError> {
            let nonce = Nonce::assume_unique_for_key(iv);
            self.0.open_in_place(nonce, Aad::from(aad), sealed).map(|_| ()).map_err(|_| AeadError)
        }

        fn open_into(
            &self,
            iv: [u8; IV_LENGTH],
            aad: &[u8],
            sealed: &[u8],
            text: &mut [u8],
        ) -> Result<(), AeadError> {
            let nonce = Nonce::assume_unique_for_key(iv);
            let (sealed, tag) = sealed.split_last_chunk::<TAG_LENGTH>().ok_or(AeadError)?;
            self.0.open_separate_gather(nonce, Aad::from(aad), sealed, tag, text).map_err(|_| AeadError)
        }
    }
}

#[cfg(any(target_family = "wasm", test))]
mod portable {
    use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12};
    use aes_gcm::aes::Aes192;
    use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};

    use super::{Aead, AeadError, IV_LENGTH, TAG_LENGTH};
    use crate::secret::Secret;

    pub(crate) enum Key {
        Aes128(Box<Aes128Gcm>),
        Aes192(Box<AesGcm<Aes192, U12>>),
        Aes256(Box<Aes256Gcm>),
    }

    impl Aead for Key {
        fn expand(secret: &Secret) -> Key {
            let bytes = secret.expose();
            let holds = "a secret has 16, 24 or 32 bytes";
            match bytes.len() {
                16 => Key::Aes128(Box::new(KeyInit::new_from_slice(bytes).expect(holds))),
                24 => Key::Aes192(Box::new(KeyInit::new_from_slice(bytes).expect(holds))),
                _ => Key::Aes256(Box::new(KeyInit::new_from_slice(bytes).expect(holds))),
            }
        }

        fn seal(&self, iv: [u8; IV_LENGTH], aad: &[u8], text: &mut Vec<u8>) -> Result<(), AeadError> {
            let iv = &iv.into();
            match self {
                Key::Aes128(key) => key.encrypt_in_place(iv, aad, text),
                Key::Aes192(key) => key.encrypt_in_place(iv, aad, text),
                Key::Aes256(key) => key.encrypt_in_place(iv, aad, text),
            }
            .map_err(|_| AeadError)
        }

        fn open(&self, iv: [u8; IV_LENGTH], aad: &[u8], text: &mut Vec<u8>) -> Result<(), AeadError> {
            let iv = &iv.into();
            match self {
                Key::Aes128(key) => key.decrypt_in_place(iv, aad, text),
                Key::Aes192(key) => key.decrypt_in_place(iv, aad, text),
                Key::Aes256(key) => key.decrypt_in_place(iv, aad, text),
            }
            .map_err(|_| AeadError)
        }

        fn seal_slice(
            &self,
            iv: [u8; IV_LENGTH],
            aad: &[u8],
            text: &mut [u8],
        ) -> Result<[u8; TAG_LENGTH], AeadError> {
            let iv = &iv.into();
            match self {
                Key::Aes128(key) => key.encrypt_inout_detached(iv, aad, text.into()),
                Key::Aes192(key) => key.encrypt_inout_detached(iv, aad, text.into()),
                Key::Aes256(key) => key.encrypt_inout_detached(iv, aad, text.into()),
            }
            .map(Into::into)
            .map_err(|_| AeadError)
        }

        fn seal_into(
            &self,
            iv: [u8; IV_LENGTH],
            aad: &[u8],
            text: &[u8],
            end: &[u8],
            sealed: &mut [u8],
        ) -> Result<(), AeadError> {
            let (sealed, tag) = sealed.split_last_chunk_mut::<TAG_LENGTH>().ok_or(AeadError)?;
            let (front, back) = sealed.split_at_mut_checked(text.len()).ok_or(AeadError)?;
            if back.len() != end.len() {
                return Err(AeadError);
            }
            front.copy_from_slice(text);
            back.copy_from_slice(end);
            *tag = self.seal_slice(iv, aad, sealed)?;
            Ok(())
        }

        fn open_slice(&self, iv: [u8; IV_LENGTH], aad: &[u8], sealed: &mut [u8]) -> Result<(), AeadError> {
            let (text, tag) = sealed.split_last_chunk_mut::<TAG_LENGTH>().ok_or(AeadError)?;
            let (iv, tag) = (&iv.into(), &(*tag).into());
            match self {
                Key::Aes128(key) => key.decrypt_inout_detached(iv, aad, text.into(), tag),
                Key::Aes192(key) => key.decrypt_inout_detached(iv, aad, text.into(), tag),
                Key::Aes256(key) => key.decrypt_inout_detached(iv, aad, text.into(), tag),
            }
            .map_err(|_| AeadError)
        }

        fn open_into(
            &self,
            iv: [u8; IV_LENGTH],
            aad: &[u8],
            sealed: &[u8],
            text: &mut [u8],
        ) -> Result<(), AeadError> {
            let (sealed, tag) = sealed.split_last_chunk::<TAG_LENGTH>().ok_or(AeadError)?;
            if sealed.len() != text.len() {
                return Err(AeadError);
            }
            text.copy_from_slice(sealed);
            let (iv, tag) = (&iv.into(), &(*tag).into());
            match self {
                Key::Aes128(key) => key.decrypt_inout_detached(iv, aad, text.into(), tag),
                Key::Aes192(key) => key.decrypt_inout_detached(iv, aad, text.into(), tag),
                Key::Aes256(key) => key.decrypt_inout_detached(iv, aad, text.into(), tag),
            }
            .map_err(|_| AeadError)
        }
    }
}

#[cfg(test)]
mod tests;
