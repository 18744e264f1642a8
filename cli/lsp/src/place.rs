//! Where files are: `file:` addresses and paths.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use lsp_types::Uri;

/// The path that `uri` names; `None` if it is no file of this machine.
pub(crate) fn path(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let decoded = decoded(rest.starts_with('/').then_some(rest)?)?;
    // `/C:/folder` of an address is `C:/folder` of a machine with drives.
    let has_drive = matches!(decoded.as_bytes(), [b'/', drive, b':', ..] if drive.is_ascii_alphabetic());
    let path = if cfg!(windows) && has_drive { &decoded[1..] } else { &decoded };
    Some(plain(Path::new(path)))
}

/// The address of a file.
pub(crate) fn uri(path: &Path) -> Option<Uri> {
    let mut path = path.to_str()?.to_owned();
    if cfg!(windows) {
        path = path.replace('\\', "/");
    }
    let mut address = String::from(if path.starts_with('/') { "file://" } else { "file:///" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                address.push(char::from(byte));
            }
            _ => write!(address, "%{byte:02X}").ok()?,
        }
    }
    Uri::from_str(&address).ok()
}

/// `path` without `.` and `..`, so that one file has one name.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            _ => plain.push(part),
        }
    }
    plain
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_are_each_other() {
        let path_of = |text: &str| path(&Uri::from_str(text).unwrap());
        let found = Path::new("/a b/é/x.corn");
        let address = uri(found).unwrap();
        assert_eq!(address.as_str(), "file:///a%20b/%C3%A9/x.corn");
        assert_eq!(path(&address).unwrap(), found);
        assert_eq!(path_of("file://localhost/a/./b/../x.corn").unwrap(), Path::new("/a/x.corn"));
        assert_eq!(path_of("untitled:Untitled-1"), None);
        assert_eq!(path_of("file://elsewhere/x.corn"), None);
        assert_eq!(path_of("file:///a%FF.corn"), None, "no UTF-8");
    }
}
