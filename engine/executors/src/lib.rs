//! What runs models: candle, ONNX Runtime and the exact reference executors.

#[cfg(feature = "candle")]
pub mod candle;
