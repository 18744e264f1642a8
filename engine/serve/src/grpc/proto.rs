//! What the files in `proto/` describe, in Rust: messages, clients and servers.

/// Corn's own service.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated"
)]
pub mod corn {
    tonic::include_proto!("corn.v1");
}

/// The KServe v2 protocol.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated"
)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// The descriptors of both, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));
