use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};

use super::*;
use crate::stream::Trailer;

fn vectors() -> Vec<(VerifyingKey, String, String)> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../testdata/receipt.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let vectors = vectors.as_array().unwrap().iter();
    vectors
        .map(|vector| {
            let key = hex::decode(text(&vector["public_key"])).unwrap();
            let key = VerifyingKey::from_sec1_bytes(&key).unwrap();
            (key, text(&vector["to_be_signed"]), text(&vector["signed"]))
        })
        .collect()
}

fn check(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
    let signature = DerSignature::from_bytes(signature).map_err(|_| "not ASN.1")?;
    key.verify(message, &signature).map_err(|_| "the signature is not the leaf's")
}

fn receipt() -> Receipt {
    SignedReceipt::parse(vectors()[0].2.as_bytes()).unwrap().unverified().clone()
}

#[test]
fn vectors_of_another_program() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 3);
    for (key, to_be_signed, signed) in vectors {
        let receipt = SignedReceipt::parse(signed.as_bytes()).unwrap();
        assert_eq!(receipt.to_json(), signed);
        assert_eq!(receipt.unverified().to_be_signed(), to_be_signed.as_bytes());
        let verified = receipt.verify(|certificates, message, signature| {
            assert_eq!(certificates.len(), 2);
            check(&key, message, signature)
        });
        assert_eq!(verified.unwrap().to_be_signed(), to_be_signed.as_bytes());
    }
}

#[test]
fn every_byte_counts() {
    let (key, _, signed) = vectors().remove(1);
    for at in 0..signed.len() {
        let mut changed = signed.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(receipt) = SignedReceipt::parse(&changed) else { continue };
        let verified = receipt.verify(|_, message, signature| check(&key, message, signature));
        assert!(verified.is_err(), "byte {at}");
    }
}

#[test]
fn signing() {
    let key = SigningKey::from_slice(&[3; 32]).unwrap();
    let sign = |message: &[u8]| {
        let signature: DerSignature = key.sign(message);
        Ok::<_, ()>(signature.as_bytes().to_vec())
    };
    let signed = SignedReceipt::sign(receipt(), sign).unwrap();
    assert_eq!(SignedReceipt::parse(signed.to_json().as_bytes()).unwrap(), signed);
    let trailer = Trailer { receipt: Some(Box::new(signed.clone())), ..Trailer::complete(None) };
    let parsed = Trailer::parse(trailer.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(parsed, trailer);
    let verified =
        signed.verify(|_, message, signature| check(key.verifying_key(), message, signature)).unwrap();

    let (request, response) = (verified.request_digest, verified.response_digest);
    let (exchange, other) = (verified.exchange, ExchangeId::from_bytes([0; 32]));
    assert_eq!(verified.check_exchange(exchange, request, response), Ok(()));
    assert_eq!(verified.check_exchange(other, request, response), Err(ReceiptMismatch::Exchange));
    assert_eq!(verified.check_exchange(exchange, Some(response), response), Err(ReceiptMismatch::Request));
    let other = SealedDigest([0; 32]);
    assert_eq!(verified.check_exchange(exchange, request, other), Err(ReceiptMismatch::Response));
    // A client that left before it had sent everything has no digest of its own.
    assert_eq!(verified.check_exchange(exchange, None, response), Ok(()));
}

#[test]
fn a_refusal_need_not_have_read_the_request() {
    let (key, _, signed) = vectors().remove(2);
    let receipt = SignedReceipt::parse(signed.as_bytes()).unwrap();
    let verified = receipt.verify(|_, message, signature| check(&key, message, signature)).unwrap();
    assert_eq!((verified.status, verified.request_digest), (413, None));
    let (exchange, response) = (verified.exchange, verified.response_digest);
    let any = Some(SealedDigest([0; 32]));
    assert_eq!(verified.check_exchange(exchange, any, response), Ok(()));
    let other = ExchangeId::from_bytes([0; 32]);
    assert_eq!(verified.check_exchange(other, any, response), Err(ReceiptMismatch::Exchange));
    // An answer does.
    let answered = signed.replacen("\"status\":413", "\"status\":200", 1);
    let member = "request_digest";
    assert_eq!(SignedReceipt::parse(answered.as_bytes()), Err(ReceiptError::Member { member }));
}

#[test]
fn malformed() {
    let good = vectors().remove(0).2;
    let parse = |text: String| SignedReceipt::parse(text.as_bytes()).unwrap_err();
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        parse(good.replacen(from, to, 1))
    };
    let member = |member| ReceiptError::Member { member };
    assert_eq!(replaced("privatemode receipt", "privatemode invoice"), ReceiptError::Type);
    assert_eq!(replaced("\"v\":1", "\"v\":2"), ReceiptError::Version { version: 2 });
    assert_eq!(replaced("gpt-oss-120b", "gpt\\n120b"), member("model"));
    assert_eq!(replaced("0.20", "\\u0000"), member("sampling"));
    assert_eq!(replaced("simulated", "simulated\\u001b[0m"), member("downgrades"));
    let digest = hex::encode(receipt().request_digest.unwrap().0);
    assert_eq!(replaced(&digest, &digest[2..]), member("request_digest"));
    let exchange = receipt().exchange.to_string();
    assert_eq!(replaced(&exchange, &exchange[2..]), member("exchange"));
    let id = receipt().request_id.to_string();
    assert_eq!(replaced(&id, &format!("zz{}", &id[2..])), member("request_id"));
    assert_eq!(replaced("\"signature\":\"", "\"signature\":\"*"), member("signature"));
    assert_eq!(replaced("\"certificates\":[\"", "\"certificates\":[\"*"), member("certificates"));
    assert_eq!(replaced("\"status\":", "\"status\": "), ReceiptError::Json(CanonicalError::NotCanonical));
    assert!(matches!(replaced("\"status\":200,", ""), ReceiptError::Json(CanonicalError::Json { .. })));
    assert!(matches!(
        parse(good.replace("\"v\":1", "\"v\":1,\"z\":1")),
        ReceiptError::Json(CanonicalError::Json { .. })
    ));
    assert!(matches!(
        replaced("\"status\":200", "\"status\":2e2"),
        ReceiptError::Json(CanonicalError::Json { .. })
    ));
    let max = Receipt::MAX_LENGTH;
    let error = CanonicalError::TooLong { length: max + 1, max };
    assert_eq!(parse(" ".repeat(max + 1)), ReceiptError::Json(error));
}
