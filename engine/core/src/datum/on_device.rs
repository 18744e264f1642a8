//! Tensors whose contents lie in the memory of a device. What a device is, the core does not know: it says how many
//! bytes there are, passes them on, and can ask for a copy.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use corn_plan::Dtype;

use super::{Datum, Tensor};
use crate::fault::Fault;

/// A dense row-major tensor, little-endian, in the memory of a device.
#[derive(Clone)]
pub struct DeviceTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// `shape` product × dtype size bytes.
    pub contents: Arc<dyn OnDevice>,
}

/// Contents in the memory of a device. The device may still work on them: whoever reads them has to wait for it, or to
/// let the device wait.
pub trait OnDevice: Any + Send + Sync {
    /// How many bytes.
    fn bytes(&self) -> u64;
    /// A copy in the host's memory. Waits until the device has made them and the copy; where that must not be waited
    /// for, contents of a device are not brought.
    fn to_host(&self) -> Result<Bytes, Fault>;
}

impl DeviceTensor {
    /// The same tensor in the host's memory; see [`OnDevice::to_host`].
    pub fn to_host(&self) -> Result<Tensor, Fault> {
        let bytes = self.contents.to_host()?;
        Ok(Tensor { dtype: self.dtype, shape: self.shape.clone(), bytes })
    }
}

impl std::fmt::Debug for DeviceTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceTensor({}{:?})", self.dtype.name(), self.shape)
    }
}

/// The same memory; what lies there is not looked at.
impl PartialEq for DeviceTensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && Arc::ptr_eq(&self.contents, &other.contents)
    }
}

impl Datum {
    /// The same in the host's memory, as far as something of it lies elsewhere; see [`OnDevice::to_host`].
    pub fn to_host(&self) -> Result<Self, Fault> {
        match self {
            Self::OnDevice(tensor) => Ok(Self::Tensor(tensor.to_host()?.into())),
            Self::List(items) if items.iter().any(Self::is_on_device) => {
                Ok(Self::List(items.iter().map(Self::to_host).collect::<Result<_, Fault>>()?))
            }
            other => Ok(other.clone()),
        }
    }

    /// Whether something of it lies in the memory of a device.
    pub fn is_on_device(&self) -> bool {
        match self {
            Self::OnDevice(_) => true,
            Self::List(items) => items.iter().any(Self::is_on_device),
            _ => false,
        }
    }
}
