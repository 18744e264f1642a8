//! What travels between processes, and how: frames over Unix sockets and TCP.
//!
//! Nothing outside this module knows a byte of it. What is said often is binary ([`codec`]); what is
//! said once in a while ([`control`]) is JSON. Tensors and other large contents pass through no
//! serializer: between processes of one host they lie in an arena and a frame says where, otherwise
//! they follow the frame's head as they are.

pub(crate) mod cipher;
mod codec;
pub(crate) mod control;
mod frame;
pub(crate) mod greet;
pub(crate) mod lanes;
pub(crate) mod link;
mod quiet;
#[cfg(test)]
mod tests;

pub(crate) use codec::{Borrow, DevicePlace, Full, Lend, Malformed, Place, Writer};
pub(crate) use frame::{Frame, Vitals};
