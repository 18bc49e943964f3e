//! Dates as Intel writes them: `2025-06-19T10:16:03Z`, and nothing else.

use crate::UnixTime;

/// Reads RFC 3339 in UTC to the second. Offsets, fractions, lower case and leap seconds are refused: Intel uses none.
pub(super) fn parse_date(text: &str) -> Option<UnixTime> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'Z'] = bytes
    else {
        return None;
    };
    let year = number(&[*y0, *y1, *y2, *y3])?;
    let month = number(&[*m0, *m1])?;
    let day = number(&[*d0, *d1])?;
    let (hour, minute, second) = (number(&[*h0, *h1])?, number(&[*n0, *n1])?, number(&[*s0, *s1])?);
    if year < 1970 || day == 0 || day > days_in(year, month)? || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut days = day.checked_sub(1)?;
    for earlier in 1970..year {
        days = days.checked_add(if is_leap(earlier) { 366 } else { 365 })?;
    }
    for earlier in 1..month {
        days = days.checked_add(days_in(year, earlier)?)?;
    }
    let seconds = [(days, 86_400), (hour, 3600), (minute, 60), (second, 1)]
        .into_iter()
        .try_fold(0_u64, |sum, (count, length)| sum.checked_add(u64::from(count).checked_mul(length)?))?;
    Some(UnixTime(seconds))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn days_in(year: u32, month: u32) -> Option<u32> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap(year) { 29 } else { 28 }),
        _ => None,
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2025-06-19T10:16:03Z", 1_750_328_163),
            ("2049-12-31T23:59:59Z", 2_524_607_999),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse_date(text), Some(UnixTime(seconds)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "2025-06-19",
            "2025-06-19T10:16:03",
            "2025-06-19t10:16:03Z",
            "2025-06-19T10:16:03z",
            "2025-06-19 10:16:03Z",
            "2025-06-19T10:16:03.0Z",
            "2025-06-19T10:16:03+00:00",
            "2025-6-19T010:16:03Z",
            "+025-06-19T10:16:03Z",
            "1969-12-31T23:59:59Z",
            "2025-00-19T10:16:03Z",
            "2025-13-19T10:16:03Z",
            "2025-06-00T10:16:03Z",
            "2025-06-31T10:16:03Z",
            "2023-02-29T10:16:03Z",
            "2100-02-29T10:16:03Z",
            "2025-06-19T24:00:00Z",
            "2025-06-19T10:60:03Z",
            "2025-06-19T10:16:60Z",
            "2025-06-19T10:16:0٣Z",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
