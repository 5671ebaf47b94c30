//! What a request's address says: the key, as raw bytes, and whether the answer may come from this server alone.

use std::borrow::Cow;

use crate::store::KEY_BYTES_MAX;

/// Where keys live.
pub(crate) const PREFIX: &str = "/db/";

/// Why a path or query is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// Nothing behind `/db/`.
    #[error("the key is empty: /db/KEY wants 1 to 1024 bytes")]
    Empty,
    /// More than 1,024 bytes after decoding.
    #[error("the key is longer than 1024 bytes")]
    TooLong,
    /// A `%` without two hexadecimal digits behind it.
    #[error("a % in the key is not followed by two hexadecimal digits")]
    Encoding,
    /// `local` is neither `true` nor `false`.
    #[error("local is true or false")]
    Local,
    /// A change that asks for this server's own state.
    #[error("only GET can be local")]
    LocalChange,
}

/// The key in a path as it came, undecoded: everything behind `/db/`. It may hold any bytes, so `%2F` is a slash in the
/// key, and a plain slash is one too.
pub(crate) fn key(path: &str) -> Result<Cow<'_, [u8]>, AddressError> {
    let encoded = path.strip_prefix(PREFIX).unwrap_or_default().as_bytes();
    let mut rest = encoded;
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        let [high, low, behind @ ..] = &rest[at + 1..] else {
            return Err(AddressError::Encoding);
        };
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            return Err(AddressError::Encoding);
        }
        rest = behind;
    }
    let key: Cow<'_, [u8]> = percent_encoding::percent_decode(encoded).into();
    match key.len() {
        0 => Err(AddressError::Empty),
        1..=KEY_BYTES_MAX => Ok(key),
        _ => Err(AddressError::TooLong),
    }
}

/// Whether the query asks for this server's own state, by `local=true`. Other parameters are passed over.
pub(crate) fn local(query: Option<&str>) -> Result<bool, AddressError> {
    let mut local = false;
    for parameter in query.unwrap_or_default().split('&') {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("local", "true") => local = true,
            ("local", "false") => local = false,
            ("local", _) => return Err(AddressError::Local),
            _ => {}
        }
    }
    Ok(local)
}

/// Writes a key so that [`key`] reads it back: the path of a request for it.
pub(crate) fn path(key: &[u8]) -> String {
    format!("{PREFIX}{}", percent_encoding::percent_encode(key, percent_encoding::NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_any_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(key(&path(&all)).unwrap(), all);
        assert_eq!(key("/db/a%2Fb").unwrap(), &b"a/b"[..]);
        assert_eq!(key("/db/a/b").unwrap(), &b"a/b"[..]);
        assert_eq!(key("/db//").unwrap(), &b"/"[..]);
        assert_eq!(key("/db/%ff%FE+").unwrap(), &b"\xff\xfe+"[..]);
    }

    #[test]
    fn a_key_has_1_to_1024_bytes() {
        assert_eq!(key("/db/"), Err(AddressError::Empty));
        assert_eq!(key(&path(&[b'%'; 1024])).unwrap().len(), 1024);
        assert_eq!(key(&path(&[b'%'; 1025])), Err(AddressError::TooLong));
    }

    #[test]
    fn bad_percent_encoding_is_refused() {
        for path in ["/db/%", "/db/a%2", "/db/%zz", "/db/%2x", "/db/%%41", "/db/ok%41%"] {
            assert_eq!(key(path), Err(AddressError::Encoding), "{path}");
        }
    }

    #[test]
    fn local_is_true_or_false() {
        assert_eq!(local(None), Ok(false));
        assert_eq!(local(Some("")), Ok(false));
        assert_eq!(local(Some("a=b&local=true")), Ok(true));
        assert_eq!(local(Some("local=false")), Ok(false));
        for query in ["local", "local=", "local=yes", "local=TRUE"] {
            assert_eq!(local(Some(query)), Err(AddressError::Local), "{query}");
        }
    }
}
