//! What runs models: candle, ONNX Runtime and the exact reference executors.

pub mod reference;
