//! A small exchange, and everything that a gateway can do to it: a named error each time, never a wrong or a short answer.

use super::*;

/// The exchange: two deltas, so that there are three segments in the response, and a body over two in the request.
struct Exchange {
    secret: Secret,
    request_salt: RequestSalt,
    request: Vec<u8>,
    response_salt: ResponseSalt,
    response: Vec<u8>,
}

impl Exchange {
    fn new(secret_byte: u8, seed: u64) -> Exchange {
        let secret = secret(secret_byte);
        let sent = send(&secret, &head(Padding::Off, true), b"the request's body", seed);
        let (_, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
        let answered = answer(responder, &[b"Hello", b" world"], seed + 1);
        Exchange {
            secret,
            request_salt: sent.salt,
            request: sent.wire,
            response_salt: answered.salt,
            response: answered.wire,
        }
    }

    /// A request of three segments: the writer makes as few as can be, and a hostile one need not.
    fn with_cut_request(self) -> Exchange {
        let keys = key::ExchangeKeys::new(&self.secret, &self.request_salt);
        let mut sealer = segment::SegmentSealer::new(keys.request(), None, &mut TestRng::new(9));
        let first = head::framed(&head(Padding::Off, true).to_json().unwrap()).unwrap();
        let mut request = Vec::new();
        let parts =
            [(&first[..], segment::Flag::More), (b"one", segment::Flag::More), (b"two", segment::Flag::Last)];
        for (part, flag) in parts {
            let mut one = [&[0; segment::FRAME][..], part].concat();
            sealer.seal(&mut one, 0, 0, flag).unwrap();
            request.extend_from_slice(&one);
        }
        Exchange { request, ..self }
    }

    fn open_request(&self, wire: &[u8]) -> Result<Vec<u8>, ReadError> {
        receive(&self.secret, &self.request_salt, &[wire]).map(|(_, body, _)| body)
    }

    fn open_response(&self, wire: &[u8]) -> Result<Vec<u8>, ReadError> {
        read(self.pending(), &self.response_salt, &[wire]).map(|(_, body, ..)| body)
    }

    fn pending(&self) -> PendingResponse {
        let keys = key::ExchangeKeys::new(&self.secret, &self.request_salt);
        PendingResponse::new(keys, ID, true)
    }
}

fn segments(wire: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut segments) = (wire, Vec::new());
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let (segment, behind) = rest.split_at(4 + u32::from_be_bytes(*length) as usize);
        segments.push(segment);
        rest = behind;
    }
    segments
}

/// Which errors a changed byte may lead to, by its place in the segment.
fn expected(error: &ReadError, segment: u32, place: usize, changed: u8) -> bool {
    match place {
        // A longer length swallows what follows, or waits for more; a shorter one breaks the tag.
        0..4 => match error {
            ReadError::SegmentLength { .. } | ReadError::Truncated => true,
            ReadError::Tampered { segment: found } => *found == segment,
            _ => false,
        },
        4 if changed > 1 => *error == ReadError::Flag { segment, flag: changed },
        _ => *error == ReadError::Tampered { segment },
    }
}

#[test]
fn every_bit_of_every_byte() {
    let exchange = Exchange::new(1, 1).with_cut_request();
    assert_eq!(exchange.open_request(&exchange.request).unwrap(), b"onetwo");
    assert_eq!(exchange.open_response(&exchange.response).unwrap(), b"Hello world");
    for request in [true, false] {
        let wire = if request { &exchange.request } else { &exchange.response };
        let open =
            |wire: &[u8]| if request { exchange.open_request(wire) } else { exchange.open_response(wire) };
        let mut at = 0;
        for (number, segment) in segments(wire).iter().enumerate() {
            for place in 0..segment.len() {
                for bit in 0..8 {
                    let mut changed = wire.to_vec();
                    changed[at + place] ^= 1 << bit;
                    let error = open(&changed).expect_err("a changed bit");
                    assert!(
                        expected(&error, number as u32, place, changed[at + place]),
                        "segment {number} byte {place} bit {bit}: {error:?}"
                    );
                }
            }
            at += segment.len();
        }
        assert_eq!(at, wire.len());
    }
}

#[test]
fn every_bit_of_both_salts() {
    let exchange = Exchange::new(1, 1);
    for bit in 0..256 {
        let flip = |bytes: &[u8; 32]| {
            let mut bytes = *bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        let salt = RequestSalt::from_bytes(flip(exchange.request_salt.as_bytes()));
        let error = receive(&exchange.secret, &salt, &[&exchange.request]).err();
        assert_eq!(error, Some(ReadError::Tampered { segment: 0 }));
        let salt = ResponseSalt::from_bytes(flip(exchange.response_salt.as_bytes()));
        let error = read(exchange.pending(), &salt, &[&exchange.response]).err();
        assert_eq!(error, Some(ReadError::Tampered { segment: 0 }));
    }
}

#[test]
fn cut_at_every_byte() {
    let exchange = Exchange::new(1, 1).with_cut_request();
    for length in 0..exchange.request.len() {
        assert_eq!(exchange.open_request(&exchange.request[..length]), Err(ReadError::Truncated), "{length}");
    }
    for length in 0..exchange.response.len() {
        assert_eq!(
            exchange.open_response(&exchange.response[..length]),
            Err(ReadError::Truncated),
            "{length}"
        );
    }
}

#[test]
fn a_byte_behind_the_end() {
    let exchange = Exchange::new(1, 1);
    for byte in 0..=255 {
        let request = [&exchange.request[..], &[byte]].concat();
        assert_eq!(exchange.open_request(&request), Err(ReadError::AfterLast));
        let response = [&exchange.response[..], &[byte]].concat();
        assert_eq!(exchange.open_response(&response), Err(ReadError::AfterLast));
    }
}

/// Every sequence of up to four segments out of those of this exchange, of its other direction, of another exchange under
/// the same secret, and of an exchange under another secret: only the right one opens.
#[test]
fn every_arrangement_of_segments() {
    let this = Exchange::new(1, 1).with_cut_request();
    let other = Exchange::new(1, 11).with_cut_request();
    let foreign = Exchange::new(2, 1).with_cut_request();
    let all: Vec<&[u8]> = [&this, &other, &foreign]
        .iter()
        .flat_map(|exchange| [segments(&exchange.request), segments(&exchange.response)].concat())
        .collect();
    let (request, response) = (segments(&this.request), segments(&this.response));
    assert_eq!((request.len(), response.len()), (3, 3));
    let mut opened = 0;
    let mut arrangements: Vec<Vec<&[u8]>> = vec![Vec::new()];
    for _ in 0..4 {
        // Only what starts right can go on: the rest has failed for good.
        arrangements = arrangements
            .iter()
            .flat_map(|start| all.iter().map(|segment| [&start[..], &[*segment]].concat()))
            .collect();
        for arrangement in &arrangements {
            let wire = arrangement.concat();
            for (result, whole) in
                [(this.open_request(&wire), &request), (this.open_response(&wire), &response)]
            {
                let right = arrangement.iter().zip(whole).take_while(|(a, b)| a == b).count();
                let expected = match (right, arrangement.len()) {
                    (3, 3) => None,
                    (3, _) => Some(ReadError::AfterLast),
                    (right, length) if right == length => Some(ReadError::Truncated),
                    (right, _) => Some(ReadError::Tampered { segment: right as u32 }),
                };
                opened += u32::from(expected.is_none());
                assert_eq!(result.as_ref().err(), expected.as_ref());
            }
        }
        arrangements
            .retain(|arrangement| request.starts_with(arrangement) || response.starts_with(arrangement));
    }
    assert_eq!(opened, 2);
}

#[test]
fn another_secret_or_exchange() {
    let (this, other, foreign) = (Exchange::new(1, 1), Exchange::new(1, 11), Exchange::new(2, 1));
    let tampered = Some(ReadError::Tampered { segment: 0 });
    // The same salt and another secret.
    assert_eq!(foreign.request_salt, this.request_salt);
    assert_eq!(this.open_request(&foreign.request).err(), tampered);
    // A whole answer to another request, with its salt.
    let error = read(this.pending(), &other.response_salt, &[&other.response]).err();
    assert_eq!(error, tampered);
    // The request played back as its own answer, under every salt there is.
    for salt in [*this.request_salt.as_bytes(), *this.response_salt.as_bytes()] {
        let error = read(this.pending(), &ResponseSalt::from_bytes(salt), &[&this.request]).err();
        assert_eq!(error, tampered);
    }
    // The answer played back as a request.
    assert_eq!(this.open_request(&this.response).err(), tampered);
}
