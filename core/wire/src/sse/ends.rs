//! Where events of a stream end, so that each leaves at once. Holds no byte of them, and looks at each once.

/// Follows the lines of an event stream: an event ends behind a blank line, with any of the three line ends.
#[derive(Debug)]
pub struct EventEnds {
    /// Nothing of the present line has come.
    blank: bool,
    /// The last byte was a CR, to which a LF behind it belongs; and whether an event ended there.
    cr: Option<bool>,
}

impl Default for EventEnds {
    fn default() -> EventEnds {
        EventEnds::new()
    }
}

impl EventEnds {
    /// At the beginning of a stream.
    pub fn new() -> EventEnds {
        EventEnds { blank: true, cr: None }
    }

    /// Takes the next bytes; `Some` is the length of their part that ends with the last event's end. A CR at the end of
    /// `chunk` counts as a line end; a LF that follows in the next one belongs to it, and is an end of length 1 there.
    pub fn push(&mut self, chunk: &[u8]) -> Option<usize> {
        let (mut last, mut at) = (None, 0);
        if let (Some(ended), Some(b'\n')) = (self.cr, chunk.first()) {
            last = ended.then_some(1);
            at = 1;
        }
        if !chunk.is_empty() {
            self.cr = None;
        }
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.blank = false;
                break;
            };
            let ended = self.blank && end == 0;
            let crlf = rest.get(end..).is_some_and(|rest| rest.starts_with(b"\r\n"));
            at += end + if crlf { 2 } else { 1 };
            let open = rest.get(end) == Some(&b'\r') && !crlf && at == chunk.len();
            self.cr = open.then_some(ended);
            self.blank = true;
            if ended {
                last = Some(at);
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_end_in_each_chunk() {
        let mut ends = EventEnds::new();
        for (chunk, expected) in [
            ("data: x", None),
            ("\n", None),
            ("\n", Some(1)),
            ("data: x\n\ndata: y\n\ndata", Some(18)),
            (": z\r\n\r\n", Some(7)),
            ("data: x\r\n\r", Some(10)),
            ("\n", Some(1)),
            ("data: x\r", None),
            ("\r", Some(1)),
            ("data: a\r\rdata: b", Some(9)),
            ("", None),
            ("\r", None),
            ("\n", None),
            ("\n", Some(1)),
        ] {
            assert_eq!(ends.push(chunk.as_bytes()), expected, "{chunk:?}");
        }
    }
}
