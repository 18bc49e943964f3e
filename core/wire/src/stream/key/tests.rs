use super::*;

#[test]
fn vectors() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../testdata/stream.json")).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    for vector in vectors.as_array().unwrap() {
        let salt = |name: &str| -> [u8; 32] { bytes(&vector[name]).try_into().unwrap() };
        let secret = Secret::from_slice(&bytes(&vector["secret"])).unwrap();
        let keys = ExchangeKeys::new(&secret, &RequestSalt::from_bytes(salt("request_salt")));
        assert_eq!(keys.request_bytes().as_slice(), bytes(&vector["request_key"]));
        let response = keys.response_bytes(&ResponseSalt::from_bytes(salt("response_salt")));
        assert_eq!(response.as_slice(), bytes(&vector["response_key"]));
    }
}
