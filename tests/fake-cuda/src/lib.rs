//! A stand-in for `libcuda.so.1`: the functions of the driver that Corn calls, over the host's memory, so that what
//! Corn does with GPUs can be tested where there are none. It shows that calls come in the right order with the right
//! arguments, that memory is shared and given back, and that nobody counts on work that is still under way: streams
//! are threads, and addresses of a device cannot be read by the host. It shows nothing of the real thing's speed.
//!
//! A test puts [`folder`], in which this library is called `libcuda.so.1`, into `LD_LIBRARY_PATH`. The variable
//! `CORN_FAKE_CUDA` says what machine it is: `gpus=2,memory_mib=256,slow_us=100,capability=90,lost_after=25,refuse=cuMemHostRegister_v2`.

#![allow(unsafe_code, reason = "these are the functions of a C library")]
#![allow(
    clippy::missing_safety_doc,
    clippy::not_unsafe_ptr_arg_deref,
    missing_docs,
    unreachable_pub,
    reason = "each function is described by NVIDIA's manual of the driver API"
)]

mod device;
mod memory;
mod stream;
mod transformer;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// `CUresult`.
pub type Status = u32;

pub(crate) const SUCCESS: Status = 0;
pub(crate) const INVALID_VALUE: Status = 1;
pub(crate) const OUT_OF_MEMORY: Status = 2;
pub(crate) const INVALID_DEVICE: Status = 101;
pub(crate) const INVALID_PTX: Status = 218;
pub(crate) const INVALID_HANDLE: Status = 400;
pub(crate) const NOT_FOUND: Status = 500;
pub(crate) const NOT_READY: Status = 600;
pub(crate) const ILLEGAL_ADDRESS: Status = 700;
pub(crate) const NOT_SUPPORTED: Status = 801;
pub(crate) const CAPTURES: Status = 900;

/// The machine that is pretended.
pub(crate) struct Machine {
    pub(crate) gpus: i32,
    pub(crate) memory_bytes: u64,
    /// Ten times its compute capability.
    pub(crate) capability: i32,
    /// How long each piece of work of a stream takes at least.
    pub(crate) slow_us: u64,
    /// Kernels after which the next one fails, and everything from then on; 0 for never.
    pub(crate) lost_after: u64,
    /// The function that always fails.
    refuse: String,
}

/// A folder in which this library is called as the driver is. Cargo has put the library beside the test that asks.
pub fn folder() -> std::io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let built = test.parent().unwrap_or(&test);
    let folder = built.join("fake-cuda");
    std::fs::metadata(built.join("libcorn_fake_cuda.so"))?;
    std::fs::create_dir_all(&folder)?;
    // As seen from the folder: a target folder may be moved.
    match std::os::unix::fs::symlink("../libcorn_fake_cuda.so", folder.join("libcuda.so.1")) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(folder),
    }
}

/// Runs the test that this is called in, whose body is `test`, once more in a process of its own, which finds this
/// library and sees `machine`.
///
/// # Panics
///
/// If it fails there, with what it said.
pub fn on(machine: &str, test: fn()) {
    const INSIDE: &str = "CORN_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let thread = std::thread::current();
    let name = thread.name().expect("the test runner names its threads");
    let mut inside = Command::new(std::env::current_exe().expect("a test is a file"));
    inside.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").env("CORN_FAKE_CUDA", machine);
    inside.env("LD_LIBRARY_PATH", folder().expect("Cargo has built the library beside the test"));
    // Not to where this process writes: others do at the same time, and lines would mix.
    let output = inside.output().expect("the test starts again");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{name} on {machine}:\n{said}");
}

pub(crate) fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let text = std::env::var("CORN_FAKE_CUDA").unwrap_or_default();
        let mut machine = Machine {
            gpus: 1,
            memory_bytes: 1 << 30,
            capability: 90,
            slow_us: 0,
            lost_after: 0,
            refuse: String::new(),
        };
        for (name, value) in text.split(',').filter_map(|setting| setting.split_once('=')) {
            match name {
                "gpus" => machine.gpus = value.parse().unwrap_or(0),
                "memory_mib" => machine.memory_bytes = value.parse::<u64>().unwrap_or(0) << 20,
                "capability" => machine.capability = value.parse().unwrap_or(0),
                "lost_after" => machine.lost_after = value.parse().unwrap_or(0),
                "slow_us" => machine.slow_us = value.parse().unwrap_or(0),
                "refuse" => value.clone_into(&mut machine.refuse),
                _ => {}
            }
        }
        machine
    })
}

pub(crate) fn is_refused(function: &str) -> bool {
    machine().refuse == function
}

/// Writes what a function returns by a pointer.
pub(crate) fn put<T>(to: *mut T, value: T) -> Status {
    if to.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller of a C function gives a place for what it returns.
    unsafe { to.write(value) };
    SUCCESS
}
