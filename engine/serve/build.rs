//! Makes Rust of the services' descriptions, without `protoc`. The descriptors themselves are kept for reflection.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const FILES: [&str; 2] = ["corn.proto", "kserve.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(folder.join("services.bin"), descriptors.encode_to_vec())?;
    // `Bytes`, so that the contents of a request stay where they were received.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
