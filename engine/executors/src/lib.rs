//! What runs models: candle, ONNX Runtime and the exact reference executors.

#[cfg(feature = "onnx")]
pub mod onnx;
