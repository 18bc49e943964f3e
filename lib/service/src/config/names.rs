//! How a flag is called elsewhere: as an environment variable, and what a mistyped key was meant to be.

/// `PRIVATEMODE_PROXY_NVIDIA_OCSP_ALLOW_UNKNOWN` for the flag `nvidiaOCSPAllowUnknown` of `proxy`.
pub(super) fn variable(process: &str, long: &str) -> String {
    let process = process.strip_prefix("privatemode-").unwrap_or(process);
    let mut name = format!("PRIVATEMODE_{}_", process.replace('-', "_").to_ascii_uppercase());
    let letters: Vec<char> = long.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let after = letters.get(index + 1);
        // A new word begins at `aB`, and at the last capital of `ABCd`.
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if begins {
            name.push('_');
        }
        name.push(if *letter == '-' { '_' } else { letter.to_ascii_uppercase() });
    }
    name
}

/// `; did you mean …?`, or nothing when no known key is near.
pub(super) fn suggestion(key: &str, known: &[String]) -> String {
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = plain(key);
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&wanted, &plain(known)), known))
        .filter(|(distance, known)| *distance * 3 <= known.len().max(3))
        .min();
    near.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        for (process, flag, expected) in [
            ("gateway", "secret-ttl", "PRIVATEMODE_GATEWAY_SECRET_TTL"),
            ("privatemode-proxy", "apiKey", "PRIVATEMODE_PROXY_API_KEY"),
            ("proxy", "nvidiaOCSPAllowUnknown", "PRIVATEMODE_PROXY_NVIDIA_OCSP_ALLOW_UNKNOWN"),
            ("proxy", "cdnBaseURL", "PRIVATEMODE_PROXY_CDN_BASE_URL"),
            ("proxy", "insecureAPIConnection", "PRIVATEMODE_PROXY_INSECURE_API_CONNECTION"),
            ("inference-proxy", "listen", "PRIVATEMODE_INFERENCE_PROXY_LISTEN"),
        ] {
            assert_eq!(variable(process, flag), expected);
        }
    }

    #[test]
    fn near_names_are_suggested() {
        let known = ["listen".to_owned(), "secret-ttl".to_owned(), "apiKey".to_owned()];
        assert_eq!(suggestion("lisen", &known), "; did you mean `listen`?");
        assert_eq!(suggestion("secret_ttl", &known), "; did you mean `secret-ttl`?");
        assert_eq!(suggestion("api-key", &known), "; did you mean `apiKey`?");
        assert_eq!(suggestion("database", &known), "");
    }
}
