//! Asked by an independent gRPC client, over a real connection.

use std::convert::Infallible;

use http::uri::PathAndQuery;
use hyper::service::service_fn;
use privatemode_service::{Limits, Shutdown, listen, metrics::Registry, serve};
use privatemode_store::{Embedded, ManualClock};
use tonic::{Code, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const UUID: &str = "0b6f1b5e-7f6c-4a3e-9b1d-2c8f0a4d5e6f";

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Nothing {}

struct Fixture {
    store: Arc<Embedded>,
    channel: Channel,
    shutdown: Shutdown,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn fixture(capacity: usize) -> Fixture {
    let store = Arc::new(Embedded::new(Arc::new(ManualClock::new()), capacity));
    let uploads = Uploads::new(store.clone(), HOUR, Metrics::new(&Registry::new()));
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let service = service_fn(move |request| {
        let uploads = uploads.clone();
        async move { Ok::<_, Infallible>(uploads.handle(request).await) }
    });
    tokio::spawn(serve(listener, None, service, Limits::default(), shutdown.clone()));
    let channel = Channel::from_shared(uri).unwrap().connect_lazy();
    Fixture { store, channel, shutdown }
}

impl Fixture {
    async fn set(&self, secrets: &[(&str, usize)], time_to_live: i64) -> Result<(), Status> {
        let secrets = secrets
            .iter()
            .map(|(id, length)| ((*id).to_owned(), vec![7; *length]))
            .collect::<HashMap<_, _>>();
        self.call(PATH, SetSecrets { secrets, time_to_live }).await
    }

    async fn call(&self, path: &'static str, message: SetSecrets) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<SetSecrets, Nothing>::default();
        grpc.unary(tonic::Request::new(message), PathAndQuery::from_static(path), codec).await.map(drop)
    }
}

#[tokio::test]
async fn an_old_client_uploads_its_secret() {
    let fixture = fixture(2).await;
    fixture.set(&[(UUID, 32)], 3600).await.unwrap();
    let found = fixture.store.get(UUID).await.unwrap().unwrap();
    assert_eq!((found.secret.as_ref(), found.expires_in), (&[7; 32][..], HOUR));
    fixture.set(&[("other", 16)], 60).await.unwrap();
    let taken = fixture.set(&[(UUID, 32)], 3600).await.unwrap_err();
    assert_eq!((taken.code(), taken.message()), (Code::AlreadyExists, "the secret could not be stored"));
    assert_eq!(fixture.set(&[("third", 24)], 60).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn what_is_refused_stores_nothing() {
    let fixture = fixture(99).await;
    let exchanged = SecretId::of_public_key(b"key");
    let long = "x".repeat(129);
    for (secrets, ttl, message) in [
        (&[(UUID, 32)][..], 0, "the time to live has to be 1 to 3600 seconds, got 0"),
        (&[(UUID, 32)], -1, "the time to live has to be 1 to 3600 seconds, got -1"),
        (&[(UUID, 32)], 3601, "the time to live has to be 1 to 3600 seconds, got 3601"),
        (&[(UUID, 32)], i64::MIN, "the time to live has to be 1 to 3600 seconds, got -9223372036854775808"),
        (&[], 60, "expected 1 to 16 secrets, got 0"),
        (&[(UUID, 31)], 60, "a secret has 16, 24 or 32 bytes"),
        (&[(UUID, 0)], 60, "a secret has 16, 24 or 32 bytes"),
        (&[("good", 32), ("a:b", 32)], 60, "not an ID that can be uploaded"),
        (&[("", 32)], 60, "not an ID that can be uploaded"),
        (&[(&long, 32)], 60, "not an ID that can be uploaded"),
        (&[(exchanged.as_str(), 32)], 60, "not an ID that can be uploaded"),
    ] {
        let error = fixture.set(secrets, ttl).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, message));
    }
    let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
    let many: Vec<(&str, usize)> = many.iter().map(|id| (id.as_str(), 32)).collect();
    assert_eq!(fixture.set(&many, 60).await.unwrap_err().message(), "expected 1 to 16 secrets, got 17");
    let long = vec![("long", MAX_BODY)];
    assert_eq!(fixture.set(&long, 60).await.unwrap_err().message(), "the message cannot be read");
    let nothing = SetSecrets { secrets: HashMap::new(), time_to_live: 0 };
    let other =
        fixture.call("/edgelesssys.continuum.secret_service.userapi.UserAPI/GetSecrets", nothing).await;
    assert_eq!(other.unwrap_err().code(), Code::Unimplemented);
    assert!(fixture.store.is_empty());
}

#[test]
fn frames_are_whole_and_uncompressed() {
    let message = SetSecrets { secrets: HashMap::new(), time_to_live: 5 }.encode_to_vec();
    let framed =
        |compressed: u8, length: u32| [&[compressed][..], &length.to_be_bytes(), message.as_slice()].concat();
    assert_eq!(parse(&framed(0, 2)).unwrap().time_to_live, 5);
    for wrong in [framed(1, 2), framed(0, 1), framed(0, 3), framed(0, u32::MAX), vec![], vec![0; 4]] {
        assert!(matches!(parse(&wrong), Err(UploadError::Frame)), "{wrong:?}");
    }
    assert!(matches!(parse(&[0, 0, 0, 0, 2, 0x0a, 0x7f]), Err(UploadError::Message)));
    let secrets = HashMap::from([("id".to_owned(), b"hunter2".to_vec())]);
    assert_eq!(format!("{:?}", SetSecrets { secrets, time_to_live: 0 }), "SetSecrets(1 secrets, ..)");
}

#[tokio::test]
async fn what_is_not_grpc_is_not_answered() {
    let store = Arc::new(Embedded::new(Arc::new(ManualClock::new()), 9));
    let uploads = Uploads::new(store, HOUR, Metrics::new(&Registry::new()));
    let request = Request::get(PATH).body(empty()).unwrap();
    assert_eq!(uploads.handle(request).await.status(), 415);
    let request = Request::post(PATH).header("content-type", "application/json").body(empty()).unwrap();
    assert_eq!(uploads.handle(request).await.status(), 415);
}
