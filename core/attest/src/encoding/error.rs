//! Why evidence could not be decoded or encoded.

use thiserror::Error;

/// Evidence that is not the message it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Refused before anything is looked at.
    #[error("the evidence has {len} bytes, more than the {max} that any genuine one needs")]
    TooLong {
        /// Its length.
        len: usize,
        /// The most that is read.
        max: usize,
    },
    /// A length or a number runs past the end.
    #[error("the evidence is cut off inside `{message}`; fetch it again")]
    Truncated {
        /// The message, in its own words.
        message: &'static str,
    },
    /// A number in a longer spelling than it needs, or one above 64 bits.
    #[error("`{message}` in the evidence has a number in a form that no encoder writes")]
    Varint {
        /// The message.
        message: &'static str,
    },
    /// A field that this version does not know.
    #[error(
        "`{message}` in the evidence has field {number}, which this version does not know; a newer one may"
    )]
    UnknownField {
        /// The message.
        message: &'static str,
        /// The field's number.
        number: u32,
    },
    /// A field of another type than it must have.
    #[error("`{message}.{field}` in the evidence has wire type {wire_type}, which is not its own")]
    WireType {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// The type that came.
        wire_type: u8,
    },
    /// A field that may come once came again: readers disagree about which one counts.
    #[error("`{message}.{field}` comes more than once in the evidence")]
    Repeated {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// More members of a list than it can have.
    #[error("`{message}.{field}` has more than {max} members in the evidence")]
    TooMany {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// The most there can be.
        max: usize,
    },
    /// A field without which the signed bytes cannot be put together.
    #[error("`{message}.{field}` is missing from the evidence")]
    Missing {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// Bytes of a wrong length; nothing is ever padded or cut.
    #[error("`{message}.{field}` in the evidence has {have} bytes, but the hardware has {want} there")]
    Length {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Bytes that came.
        have: usize,
        /// Bytes that fit.
        want: usize,
    },
    /// Bytes of free length, but too many.
    #[error("`{message}.{field}` in the evidence has {len} bytes, more than {max}")]
    FieldTooLong {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Bytes that came.
        len: usize,
        /// The most that is read.
        max: usize,
    },
    /// A number that does not fit the place it has in the signed bytes.
    #[error(
        "`{message}.{field}` in the evidence is {value}, which does not fit the {bytes} bytes that the hardware has there"
    )]
    TooLarge {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// The number.
        value: u64,
        /// Bytes of its place.
        bytes: usize,
    },
    /// A length that is written out beside the data and differs from it.
    #[error("`{message}.{field}` in the evidence says {declared} bytes, but there are {actual}")]
    Size {
        /// The message.
        message: &'static str,
        /// The field with the length.
        field: &'static str,
        /// What it says.
        declared: u64,
        /// What is there.
        actual: usize,
    },
    /// A processor identification with bits that AMD leaves at zero.
    #[error(
        "`report.cpuid1eax_fms` in the evidence is {value:#010x}, which is no processor's identification"
    )]
    Processor {
        /// The number.
        value: u64,
    },
    /// A member that reports of this version do not have.
    #[error("`report.{field}` is set in the evidence, but reports of version {version} have no such member")]
    NotInVersion {
        /// The field.
        field: &'static str,
        /// The report's version.
        version: u32,
    },
    /// A version 5 quote with a body that this version does not know.
    #[error(
        "the quote in the evidence has a body of type {kind}; TDX has 2 and 3, and a newer version may know more"
    )]
    BodyType {
        /// The type it names.
        kind: u64,
    },
    /// A TDX quote that is neither version 4 nor 5.
    #[error("the evidence holds a quote of version {version}; TDX quotes have 4 or 5")]
    QuoteVersion {
        /// The version it names.
        version: u64,
    },
}

/// A report or quote that cannot be put into its message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Not the length of a report.
    #[error("an SNP report has {want} bytes, not {len}")]
    ReportLength {
        /// Bytes that came.
        len: usize,
        /// Bytes that a report has.
        want: usize,
    },
    /// The message has no place for a byte: the report or quote is of a kind that came after it.
    #[error("byte {offset:#x} of the report is set, but the wire form has no field for it")]
    NotCarried {
        /// Its place.
        offset: usize,
    },
    /// Ends before its own lengths say.
    #[error("the quote ends inside its {part}")]
    Truncated {
        /// The part.
        part: &'static str,
    },
    /// Too large for anybody to accept.
    #[error("the {part} has {len} bytes, more than the {max} that a verifier reads")]
    TooLong {
        /// The part.
        part: &'static str,
        /// Its length.
        len: usize,
        /// The most that is read.
        max: usize,
    },
    /// A length inside that differs from the data.
    #[error("the quote's {part} says {declared} bytes, but {actual} are left")]
    Size {
        /// The part.
        part: &'static str,
        /// What it says.
        declared: usize,
        /// What is there.
        actual: usize,
    },
    /// A quote that is neither version 4 nor 5, or not for TDX at all.
    #[error("this is a quote of version {version}; the wire form is for TDX quotes of version 4 and 5")]
    QuoteVersion {
        /// The version it names.
        version: u16,
    },
    /// Certification data of another kind than the one that holds a QE report.
    #[error("the quote's certification data is of type {kind}, but the wire form is for type 6 (QE report)")]
    CertificationType {
        /// The type.
        kind: usize,
    },
    /// A version 5 body that this version does not know.
    #[error(
        "the quote's body is of type {kind} with {size} bytes; the wire form is for 2 (584 bytes) and 3 (648 bytes)"
    )]
    BodyType {
        /// The type.
        kind: usize,
        /// Its size.
        size: usize,
    },
}
