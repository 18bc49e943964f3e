use privatemode_client::{Entropy as _, SystemEntropy};

use super::*;

fn prepared(endpoint: Endpoint, body: &str, policy: &SaltPolicy) -> Result<Prepared, Failure> {
    prepare(endpoint, None, Bytes::copy_from_slice(body.as_bytes()), policy, &mut *SystemEntropy.rng())
}

#[test]
fn a_random_salt_has_no_shard_key_and_an_own_one_has() {
    let own = format!(r#"{{"model":"m","cache_salt":"{}"}}"#, "s".repeat(32));
    let with_own = prepared(Endpoint::ChatCompletions, &own, &SaltPolicy::Random).ok().unwrap();
    assert_eq!(with_own.body, own);
    assert!(with_own.shard_key.is_some());
    let random = prepared(Endpoint::ChatCompletions, r#"{"model":"m"}"#, &SaltPolicy::Random).ok().unwrap();
    assert!(random.shard_key.is_none());
    let embeddings = prepared(Endpoint::Embeddings, r#"{"model":"m"}"#, &SaltPolicy::Random).ok().unwrap();
    assert_eq!(embeddings.body, r#"{"model":"m"}"#, "no salt where nothing is cached");
}

#[test]
fn a_model_name_cannot_break_out_of_its_header() {
    for model in ["a\\r\\nx: y", "ä", " ", "", "a b"] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        let failure = prepared(Endpoint::ChatCompletions, &body, &SaltPolicy::Random).err().unwrap();
        assert!(matches!(failure, Failure::ModelName | Failure::NoModel), "{model}: {failure:?}");
    }
}

#[test]
fn an_empty_body_is_refused_everywhere() {
    for endpoint in Endpoint::ALL {
        let failure = prepared(endpoint, "", &SaltPolicy::Random).err().unwrap();
        assert!(matches!(failure, Failure::Empty { .. }), "{failure:?}");
    }
}
