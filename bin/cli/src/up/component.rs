//! `--with COMPONENT=URL`: real components in the place of embedded ones.

use std::str::FromStr;

/// A real component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Component {
    /// Keeps secrets and claims.
    Etcd {
        /// Its members.
        urls: Vec<String>,
    },
}

/// Not a component, or not where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ComponentError {
    #[error("`{text}` is not of the form COMPONENT=URL, such as etcd=http://127.0.0.1:2379")]
    Form { text: String },
    #[error("`{name}` is no component that can be replaced; etcd is")]
    Unknown { name: String },
    #[error("`{url}` is not of the form http://HOST:PORT or https://HOST:PORT")]
    Url { url: String },
}

impl FromStr for Component {
    type Err = ComponentError;

    fn from_str(text: &str) -> Result<Self, ComponentError> {
        let (name, urls) =
            text.split_once('=').ok_or_else(|| ComponentError::Form { text: text.to_owned() })?;
        if name != "etcd" {
            return Err(ComponentError::Unknown { name: name.to_owned() });
        }
        let urls: Vec<String> = urls.split(',').map(str::to_owned).collect();
        let good = |url: &&String| {
            reqwest::Url::parse(url).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.port().is_some() && url.path() == "/"
            })
        };
        match urls.iter().find(|url| !good(url)) {
            Some(url) => Err(ComponentError::Url { url: url.clone() }),
            None => Ok(Self::Etcd { urls }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_with_its_members() {
        let urls = vec!["http://127.0.0.1:2379".to_owned(), "http://127.0.0.1:2380".to_owned()];
        assert_eq!("etcd=http://127.0.0.1:2379,http://127.0.0.1:2380".parse(), Ok(Component::Etcd { urls }));
    }

    #[test]
    fn what_is_none() {
        let refused = |text: &str| text.parse::<Component>().unwrap_err();
        assert_eq!(refused("etcd"), ComponentError::Form { text: "etcd".into() });
        assert_eq!(refused("mysql=http://x:1"), ComponentError::Unknown { name: "mysql".into() });
        for url in ["", "127.0.0.1:2379", "ftp://127.0.0.1:1", "http://127.0.0.1", "http://127.0.0.1:1/x"] {
            assert_eq!(refused(&format!("etcd={url}")), ComponentError::Url { url: url.into() });
        }
    }
}
