use privatemode_wire::{admit::StatedError, multipart::Form as WholeForm};

use super::*;

const TYPE: &str = "multipart/form-data; boundary=XyZ";

fn field(name: &str, value: &str) -> String {
    format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn file(content: &str) -> String {
    format!("--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{content}\r\n")
}

/// What goes on, and what the form says of itself.
type Passed = (Vec<u8>, Option<String>, bool);

fn pass(form: &str, streamed: bool, piece: usize) -> Result<Passed, AdmitError> {
    let mut filter = Form::new(TYPE, streamed)?;
    let mut out = Vec::new();
    for bytes in form.as_bytes().chunks(piece) {
        out.extend(filter.push(bytes)?);
    }
    let (fields, rest) = filter.finish()?;
    out.extend_from_slice(rest);
    Ok((out, fields.model.map(str::to_owned), fields.stream))
}

#[test]
fn forms_pass_byte_for_byte_however_they_are_cut() {
    let forms = [
        [field("model", "whisper"), file("RIFF\0\r\n--XyW\r\n\r\n-"), field("prompt", "")].concat(),
        [file(""), field("model", "whisper"), field("stream", "FALSE")].concat(),
        [field("model", "whisper"), field("stream", "0"), field("stream_include_usage", "false")].concat(),
    ];
    for (form, end) in forms.iter().flat_map(|form| [(form, "--XyZ--\r\n"), (form, "--XyZ--")]) {
        let form = format!("{form}{end}");
        WholeForm::parse(TYPE, form.as_bytes()).expect("the whole form is one to both readers");
        for piece in 1..form.len() {
            let passed = pass(&form, false, piece).unwrap();
            assert_eq!(passed, (form.clone().into_bytes(), Some("whisper".to_owned()), false), "{piece}");
        }
    }
}

#[test]
fn streamed_forms_report_usage_whatever_the_caller_says() {
    let before = [field("model", "m"), field("stream", "True")].concat();
    let form = [&before, &field("stream_include_usage", "false"), &file("x"), "--XyZ--\r\n"].concat();
    let expected = [
        &field("stream_include_usage", "true"),
        &field("stream_continuous_usage_stats", "true"),
        &before,
        &file("x"),
        "--XyZ--\r\n",
    ]
    .concat();
    WholeForm::parse(TYPE, expected.as_bytes()).unwrap();
    for piece in 1..form.len() {
        let passed = pass(&form, true, piece).unwrap();
        assert_eq!(passed, (expected.clone().into_bytes(), Some("m".to_owned()), true), "{piece}");
    }
}

#[test]
fn what_the_whole_reader_refuses_is_refused() {
    let end = "--XyZ--\r\n";
    let text = field("model", "m");
    let head = |head: &str| format!("--XyZ\r\n{head}\r\n\r\nx\r\n{end}");
    let long = format!("Content-Disposition: form-data; name=\"a\"\r\nX: {}", "y".repeat(MAX_HEAD));
    type Kind = (&'static str, fn(&MultipartError) -> bool);
    let kinds: [Kind; 6] = [
        ("start", |error| *error == MultipartError::NoStart),
        ("end", |error| *error == MultipartError::NoEnd),
        ("within", |error| matches!(error, MultipartError::BoundaryInPart { .. })),
        ("trailing", |error| *error == MultipartError::TrailingText),
        ("head", |error| matches!(error, MultipartError::Head { .. })),
        ("parts", |error| *error == MultipartError::TooManyParts),
    ];
    for (form, kind) in [
        (String::new(), "start"),
        (format!("preamble\r\n{text}{end}"), "start"),
        (text.clone(), "end"),
        (format!("{text}--XyZ"), "end"),
        (format!("{text}--XyZ-"), "end"),
        ("--XyZ\r\nContent-Disposition: form-data".to_owned(), "end"),
        (format!("{text}--XyZx\r\n"), "within"),
        (field("a", "--XyZ\r\n") + end, "within"),
        (format!("{text}{end}epilogue"), "trailing"),
        (format!("{text}--XyZ--x"), "trailing"),
        (head("Content-Disposition: form-data; name*=a"), "head"),
        (head("Content-Disposition: attachment; name=\"a\""), "head"),
        (head("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64"), "head"),
        (head(&long), "head"),
        (text.repeat(MAX_PARTS + 1).replace("model", "other") + end, "parts"),
    ] {
        let (_, is_kind) = kinds.iter().find(|(name, _)| *name == kind).unwrap();
        for piece in [1, 5, form.len().max(1)] {
            let Err(AdmitError::Multipart(error)) = pass(&form, false, piece) else { panic!("{form:.100}") };
            assert!(is_kind(&error), "{error:?}: {form:.100}");
        }
        WholeForm::parse(TYPE, form.as_bytes()).unwrap_err();
    }
    assert_eq!(
        Form::new("multipart/form-data", false).err(),
        Some(AdmitError::Multipart(MultipartError::Boundary))
    );
}

#[test]
fn fields_that_two_readers_could_read_differently_are_refused() {
    let end = "--XyZ--";
    for form in [
        [&field("model", "a"), &field("model", "b"), end].concat(),
        [&field("stream", "true"), &field("stream", "false"), end].concat(),
        [&field("model", &"m".repeat(MAX_FIELD + 1)), end].concat(),
    ] {
        let error = pass(&form, true, 64).unwrap_err();
        assert!(matches!(error, AdmitError::Multipart(MultipartError::Head { .. })), "{error:?}");
    }
    for odd in ["yes", "on", "2", " true"] {
        let form = [&field("stream", odd), end].concat();
        assert_eq!(pass(&form, false, 64), Err(AdmitError::Stated(StatedError::FormStream)), "{odd}");
    }
}

#[test]
fn what_passes_is_not_kept() {
    let mut form = Form::new(TYPE, false).unwrap();
    let head = file("");
    let mut passed = form.push(head.strip_suffix("\r\n").unwrap().as_bytes()).unwrap().len();
    let piece = [b'x'; 64 * 1024];
    for _ in 0..64 {
        passed += form.push(&piece).unwrap().len();
        assert!(form.buffer.len() < form.delimiter.len());
    }
    assert!(passed > 64 * piece.len());
}

/// An engine that parses while it reads would run a form at its closing dashes.
#[test]
fn what_closes_a_form_comes_last() {
    let form = [field("model", "m"), file("abc")].concat() + "--XyZ--\r\n";
    for piece in [1, 3, form.len()] {
        let mut filter = Form::new(TYPE, false).unwrap();
        let mut out = Vec::new();
        for bytes in form.as_bytes().chunks(piece) {
            out.extend(filter.push(bytes).unwrap());
        }
        assert!(out.ends_with(b"abc\r\n--XyZ"), "not the dashes");
        assert_eq!((filter.file_bytes(), filter.finish().unwrap().1), (3, &b"--\r\n"[..]));
    }
}
