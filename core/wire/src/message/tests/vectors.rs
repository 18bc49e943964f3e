//! `exchange.json`: a request, its streamed response and an array response, made by an independent program.

use serde_json::Value;

use super::*;
use crate::field::{ExchangeNonce, Sequence};
use crate::message::layout::Layout;
use crate::message::transform::{self, RequestIvs};

struct Vector {
    json: Value,
    id: SecretId,
    secret: Secret,
}

fn vector() -> Vector {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/exchange.json");
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let secret = Secret::from_slice(&hex::decode(json["secret"].as_str().unwrap()).unwrap()).unwrap();
    Vector { id: SecretId::parse(json["secret_id"].as_str().unwrap()).unwrap(), secret, json }
}

fn nonce(value: &Value) -> ExchangeNonce {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

/// Gives out the vector's IVs in the order in which fields stand in the document.
struct Ivs(std::vec::IntoIter<u8>);

impl Ivs {
    fn of(document_order: impl Iterator<Item = Value>) -> Ivs {
        let bytes: Vec<u8> =
            document_order.flat_map(|iv| hex::decode(iv.as_str().unwrap()).unwrap()).collect();
        Ivs(bytes.into_iter())
    }
}

impl rand_core::TryRng for Ivs {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("only bytes are drawn")
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("only bytes are drawn")
    }
    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Self::Error> {
        for byte in target {
            *byte = self.0.next().unwrap();
        }
        Ok(())
    }
}
impl rand_core::TryCryptoRng for Ivs {}

/// A document from members in the given order, either plain or as in the vector.
fn document<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members: Vec<String> = members.map(|(name, raw)| format!("{}:{raw}", Value::from(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn sealed_or(fields: &Value, name: &str, plain: String) -> String {
    fields.get(name).map_or(plain, |field| field["sealed"].as_str().unwrap().to_owned())
}

#[test]
fn request() {
    let Vector { json, id, secret } = vector();
    let plain = json["request_plain_text"].as_object().unwrap();
    let fields = &json["request_sealed_fields"];
    let raw = |value: &Value| value.as_str().unwrap().to_owned();
    let body = document(plain.iter().map(|(name, value)| (name.as_str(), raw(value))));
    let expected =
        document(plain.iter().map(|(name, value)| (name.as_str(), sealed_or(fields, name, raw(value)))));

    let mut opener = RequestOpener::new(&id, &secret);
    assert_eq!(String::from_utf8(opener.open(CHAT, None, expected.as_bytes()).unwrap()).unwrap(), body);

    let mut ivs = Ivs::of(plain.keys().filter_map(|name| fields.get(name)).map(|field| field["iv"].clone()));
    let cipher = crate::field::FieldCipher::new(&id, &secret);
    let Ok(layout) = Layout::of_request(CHAT, None, body.as_bytes()) else { panic!("a valid document") };
    let sealed =
        transform::seal(&cipher, nonce(&json["nonce"]), &mut Sequence::default(), &layout, &mut ivs, |_| ())
            .unwrap();
    assert_eq!(String::from_utf8(sealed).unwrap(), expected);
}

#[test]
fn streamed_response() {
    let Vector { json, id, secret } = vector();
    let names = ["id", "object", "created", "model", "choices", "usage"];
    let (mut plain, mut sealed, mut ivs) = (String::new(), String::new(), Vec::new());
    for chunk in json["response_chunks"].as_array().unwrap() {
        let fields = &chunk["sealed_fields"];
        let raw = |name: &str| match fields.get(name) {
            Some(field) => field["raw"].as_str().unwrap().to_owned(),
            None => chunk["plain"][name].to_string(),
        };
        let line = |document: String| format!("data: {document}\n\n");
        plain += &line(document(names.into_iter().map(|name| (name, raw(name)))));
        sealed += &line(document(names.into_iter().map(|name| (name, sealed_or(fields, name, raw(name))))));
        ivs.extend(names.into_iter().filter_map(|name| fields.get(name)).map(|field| field["iv"].clone()));
    }
    plain += "data: [DONE]\n\n";
    sealed += "data: [DONE]\n\n";

    let opener = || ResponseOpener {
        cipher: crate::field::FieldCipher::new(&id, &secret),
        nonce: Some(nonce(&json["nonce"])),
        sequence: Sequence::default(),
        request_ivs: RequestIvs::new(),
    };
    let mut stream = opener().into_stream(CHAT);
    let mut out = Vec::new();
    stream.push(sealed.as_bytes(), &mut out).unwrap();
    stream.finish().unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), plain);

    // The server takes the nonce from the request that it has opened.
    let fields = &json["request_sealed_fields"];
    let request = document(
        fields
            .as_object()
            .unwrap()
            .keys()
            .map(|name| (name.as_str(), sealed_or(fields, name, String::new()))),
    );
    let mut server = RequestOpener::new(&id, &secret);
    server.open(CHAT, None, request.as_bytes()).unwrap();
    let mut stream = server.finish(&mut TestRng::new(1)).into_stream(CHAT);
    let (mut out, mut rng) = (Vec::new(), Ivs::of(ivs.into_iter()));
    stream.push(plain.as_bytes(), &mut out, &mut rng).unwrap();
    stream.finish(&mut out, &mut rng).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), sealed);
}

#[test]
fn array_response() {
    let Vector { json, id, secret } = vector();
    let elements = json["array_response"]["elements"].as_object().unwrap();
    let all = |member: &str| -> String {
        let elements: Vec<&str> =
            (0..elements.len()).map(|i| elements[&i.to_string()][member].as_str().unwrap()).collect();
        format!("[{}]", elements.join(","))
    };
    let cipher = || crate::field::FieldCipher::new(&id, &secret);
    let nonce = nonce(&json["array_response"]["nonce"]);
    let mut opener = ResponseOpener {
        cipher: cipher(),
        nonce: Some(nonce),
        sequence: Sequence::default(),
        request_ivs: RequestIvs::new(),
    };
    let opened = opener.open(Endpoint::Unstructured, all("sealed").as_bytes()).unwrap();
    assert_eq!(String::from_utf8(opened).unwrap(), all("raw"));

    let mut ivs = Ivs::of((0..elements.len()).map(|i| elements[&i.to_string()]["iv"].clone()));
    let raw = all("raw");
    let Ok(layout) = Layout::of_response(Endpoint::Unstructured, raw.as_bytes()) else {
        panic!("a valid document")
    };
    let sealed =
        transform::seal(&cipher(), nonce, &mut Sequence::default(), &layout, &mut ivs, |_| ()).unwrap();
    assert_eq!(String::from_utf8(sealed).unwrap(), all("sealed"));
}
