//! The samples of a sound: `f32`s in memory that may be another process's.

use std::ops::Deref;

use bytes::Bytes;

/// Shared `f32` samples in this machine's byte order. Cloning copies a pointer.
#[derive(Clone, Default)]
pub struct Samples(Bytes);

impl Samples {
    /// The samples that `bytes` hold, four bytes each, in this machine's order. Copied only if they
    /// do not lie where an `f32` can. Bytes beyond the last whole sample are left out.
    pub fn from_bytes(mut bytes: Bytes) -> Self {
        bytes.truncate(bytes.len() - bytes.len() % size_of::<f32>());
        match bytemuck::try_cast_slice::<u8, f32>(&bytes) {
            Ok(_) => Self(bytes),
            Err(_) => Self::from(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)),
        }
    }

    /// The same memory, byte by byte.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Keeps a vector alive behind [`Bytes`].
struct Owner(Vec<f32>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl From<Vec<f32>> for Samples {
    fn from(samples: Vec<f32>) -> Self {
        // An empty `Bytes` lies nowhere in particular, so it is not made from an owner.
        if samples.is_empty() { Self::default() } else { Self(Bytes::from_owner(Owner(samples))) }
    }
}

impl FromIterator<f32> for Samples {
    fn from_iter<I: IntoIterator<Item = f32>>(samples: I) -> Self {
        samples.into_iter().collect::<Vec<f32>>().into()
    }
}

impl Deref for Samples {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        if self.0.is_empty() { &[] } else { bytemuck::cast_slice(&self.0) }
    }
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&**self, f)
    }
}

impl<const N: usize> PartialEq<[f32; N]> for Samples {
    fn eq(&self, other: &[f32; N]) -> bool {
        **self == *other
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<'a> IntoIterator for &'a Samples {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
