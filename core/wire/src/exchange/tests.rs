use std::convert::Infallible;

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::pkcs8::DecodePublicKey as _;
use subtle::ConstantTimeEq as _;

use super::*;
use crate::secret::SecretId;
use crate::test_rng::TestRng;

fn vectors(name: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../../testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!vectors.is_empty());
    vectors
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn agree(_: &SignedExchange<'_>) -> Result<(), Infallible> {
    Ok(())
}

#[test]
fn identifiers_and_digests() {
    for vector in vectors("secret_exchange.json") {
        let (public, encapsulated) = (bytes(&vector["public_key"]), bytes(&vector["encapsulated_key"]));
        assert_eq!(SecretId::of_public_key(&public).as_str(), vector["secret_id"].as_str().unwrap());
        assert_eq!(signed_digest(&public, &encapsulated).as_slice(), bytes(&vector["signed_digest"]));
    }
}

/// The signature check of the vectors, by the curve of their key.
fn check_signature(spki: &[u8], signed: &SignedExchange<'_>) -> Result<(), p256::ecdsa::Error> {
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(spki) {
        return key.verify_prehash(&signed.digest, &p256::ecdsa::Signature::from_der(signed.signature)?);
    }
    let key = p384::ecdsa::VerifyingKey::from_public_key_der(spki).unwrap();
    key.verify_prehash(&signed.digest, &p384::ecdsa::Signature::from_der(signed.signature)?)
}

#[test]
fn whole_exchanges_made_elsewhere() {
    for vector in vectors("hpke.json") {
        let seed = bytes(&vector["private_key"]).try_into().unwrap();
        let client = || ClientExchange::from_seed(&seed);
        assert_eq!(client().public_key().as_slice(), bytes(&vector["public_key"]));
        assert_eq!(client().secret_id().as_str(), vector["secret_id"].as_str().unwrap());
        let mut reply = ExchangeReply {
            encapsulated_key: bytes(&vector["encapsulated_key"]),
            signature: bytes(&vector["signature"]),
            mesh_cert: bytes(&vector["signer_spki"]),
        };
        let check = |signed: &SignedExchange<'_>| check_signature(signed.mesh_cert_der, signed);
        let (id, secret) = client().finish(&reply, check).unwrap();
        assert_eq!(id.as_str(), vector["secret_id"].as_str().unwrap());
        assert_eq!(secret.expose(), bytes(&vector["exported_secret"]));
        // Another encapsulated key is not what was signed.
        reply.encapsulated_key[1000] ^= 1;
        assert!(matches!(client().finish(&reply, check), Err(FinishError::Unverified(_))));
    }
}

#[test]
fn both_sides_agree() {
    let mut rng = TestRng::new(1);
    let client = ClientExchange::new(&mut rng);
    let public_key = parse_request(client.request_json().as_bytes()).unwrap();
    assert_eq!(&*public_key, client.public_key());
    let server = ServerExchange::accept(public_key.as_slice(), &mut rng).unwrap();
    assert_eq!(
        format!("{server:?} {client:?}"),
        format!("ServerExchange({0}) ClientExchange({0})", client.secret_id())
    );
    let reply = ExchangeReply {
        encapsulated_key: server.encapsulated_key.to_vec(),
        signature: vec![1],
        mesh_cert: vec![2],
    };
    let reply = ExchangeReply::parse(reply.to_json().as_bytes()).unwrap();
    let digest = server.digest;
    let (id, secret) = client
        .finish(&reply, |signed| {
            assert_eq!(
                (signed.digest, signed.signature, signed.mesh_cert_der),
                (digest, [1].as_slice(), [2].as_slice())
            );
            agree(signed)
        })
        .unwrap();
    assert_eq!(id, server.secret_id);
    assert!(bool::from(secret.ct_eq(&server.secret)));
}

#[test]
fn no_secret_without_the_check() {
    let mut rng = TestRng::new(2);
    let client = ClientExchange::new(&mut rng);
    let server = ServerExchange::accept(client.public_key(), &mut rng).unwrap();
    let reply = ExchangeReply {
        encapsulated_key: server.encapsulated_key.to_vec(),
        signature: vec![1],
        mesh_cert: vec![2],
    };
    let error = client.finish(&reply, |_| Err("not the secret service")).unwrap_err();
    assert_eq!(error, FinishError::Unverified("not the secret service"));
}

#[test]
fn bad_keys_and_messages() {
    let mut rng = TestRng::new(3);
    let accept = |key: &[u8]| ServerExchange::accept(key, &mut TestRng::new(4)).map(drop).unwrap_err();
    assert_eq!(accept(&[0; 1215]), AcceptError::Length { length: 1215 });
    // FIPS 203 §7.2: coefficients of the encapsulation key must be below q.
    assert_eq!(accept(&[0xff; 1216]), AcceptError::Invalid);

    let reply = ExchangeReply { encapsulated_key: vec![0; 1119], signature: vec![], mesh_cert: vec![] };
    let client = ClientExchange::new(&mut rng);
    assert_eq!(client.finish(&reply, agree).unwrap_err(), FinishError::Decapsulate);

    use ExchangeMessageError::*;
    let request = |json: &str| parse_request(json.as_bytes()).unwrap_err();
    assert!(matches!(request("{}"), Json(_)));
    assert!(matches!(request(r#"{"PublicKey":"?"}"#), Base64 { member: "PublicKey", .. }));
    assert!(matches!(request(r#"{"PublicKey":"AAAA"}"#), Length { member: "PublicKey", length: 3 }));
    assert!(matches!(request(&" ".repeat(70_000)), TooLong { length: 70_000 }));
    assert!(matches!(
        ExchangeReply::parse(reply.to_json().as_bytes()),
        Err(Length { member: "EncapsulatedKey", length: 1119 })
    ));
    let reply = ExchangeReply { encapsulated_key: vec![0; 1120], ..reply };
    assert!(matches!(
        ExchangeReply::parse(reply.to_json().as_bytes()),
        Err(Length { member: "Signature", length: 0 })
    ));
}
