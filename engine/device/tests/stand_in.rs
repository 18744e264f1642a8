//! GPUs as far as the stand-in for the driver shows them: memory is shared, ordered, bounded and given back. Each test
//! runs once more in a process of its own, which finds the stand-in.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use corn_core::{Blame, Datum, OnDevice, Tensor};
use corn_device::{Foreign, Found, Gpu, Held, find};
use corn_fake_cuda::on;

fn gpus() -> Vec<Found> {
    find().unwrap()
}

fn open(found: &Found, arena_bytes: u64) -> Arc<Gpu> {
    Gpu::open(found, arena_bytes, arena_bytes, 0).unwrap()
}

/// Something to call, and where it is heard that it was.
fn telling() -> (Box<dyn FnOnce() + Send>, Receiver<()>) {
    let (told, is_told) = channel();
    let tell = move || {
        let _ = told.send(());
    };
    (Box::new(tell), is_told)
}

/// Bytes of no pattern that a shift would leave as it is.
fn pattern(bytes: usize) -> Bytes {
    (0..bytes).map(|index| (index * 31 % 251) as u8).collect::<Vec<u8>>().into()
}

#[track_caller]
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "waited for {what}");
        std::thread::yield_now();
    }
}

/// Without the driver that is said, and nothing else happens.
#[test]
fn without_a_driver_that_is_said() {
    if let Err(reason) = find() {
        assert!(reason.contains("libcuda.so.1 is not found") || reason.contains("driver"), "{reason}");
    }
}

#[test]
fn what_is_there_is_found() {
    on("gpus=2,memory_mib=64", || {
        let all = gpus();
        let seen: Vec<(u32, &str, u64)> =
            all.iter().map(|gpu| (gpu.index, gpu.name.as_str(), gpu.total_bytes)).collect();
        assert_eq!(seen, [(0, "Stand-in", 64 << 20), (1, "Stand-in", 64 << 20)]);
    });
}

#[test]
fn a_driver_that_does_not_start_is_no_driver() {
    on("refuse=cuInit", || {
        let reason = find().unwrap_err();
        assert_eq!(reason, "the driver does not start: cuInit said CUDA_ERROR_SYSTEM_DRIVER_MISMATCH");
    });
}

#[test]
fn a_driver_without_gpus_says_so() {
    on("gpus=0", || assert_eq!(find().unwrap_err(), "the driver shows no GPU to this process"));
}

/// H1: bit by bit, for sizes that are no multiple of anything.
#[test]
fn contents_are_what_was_brought_and_made() {
    on("slow_us=50", || {
        let gpu = open(&gpus()[0], 16 << 20);
        for bytes in [0, 1, 3, 255, 256, 257, 4097, 118_784, 1 << 20] {
            let brought = gpu.uploaded(&pattern(bytes)).unwrap();
            assert_eq!(brought.to_host().unwrap(), pattern(bytes), "{bytes} bytes");
            let inverted: Vec<u8> = pattern(bytes).iter().map(|byte| !byte).collect();
            assert_eq!(gpu.inverted(&brought).unwrap().to_host().unwrap(), inverted, "{bytes} bytes");
            let filled = gpu.filled(bytes as u64, 7).unwrap();
            assert_eq!(filled.to_host().unwrap(), vec![7; bytes], "{bytes} bytes");
        }
        let values: Vec<f32> = (0..1000).map(|n| (n as f32).sin()).collect();
        let window = Datum::Tensor(Tensor::from_f32s(&values).into());
        let (_, held) = gpu.brought(&window).unwrap();
        let sum = gpu.summed(&held).unwrap().to_host().unwrap();
        assert_eq!(sum, values.iter().sum::<f32>().to_le_bytes().to_vec());
        drop(held);
        assert_eq!(gpu.arena_bytes(), (16 << 20, 0));
    });
}

/// H3, H4, H8: another GPU reads what was made, where it lies, once it is made; what it has read is given back, and not
/// sooner.
#[test]
fn a_peer_reads_what_was_made() {
    on("gpus=2,slow_us=300000", || {
        let all = gpus();
        let (owner, reader) = (open(&all[0], 4 << 20), open(&all[1], 4 << 20));
        let made = owner.filled(100_001, 0x5a).unwrap();
        assert!(!made.is_made(), "the device takes its time, and nobody waits for it");
        let (tell, is_told) = telling();
        made.when_made(tell);
        is_told.recv().unwrap();
        assert!(made.is_made());

        let fd = owner.export().unwrap();
        let foreign = Foreign::map(&reader, &fd, owner.arena_bytes().0);
        let offset = owner.offset_of(&made).unwrap();
        let released = Arc::new(AtomicBool::new(false));
        let release = Arc::clone(&released);
        let release = Box::new(move || release.store(true, Ordering::SeqCst));
        let view = foreign.view(offset, 100_001, release).unwrap();
        let held = Held::of(&view).unwrap();
        drop(view);
        assert_eq!(reader.offset_of(&held), None, "it lies in the owner's arena");
        let inverted = reader.inverted(&held).unwrap();
        drop(held);
        assert!(!released.load(Ordering::SeqCst), "the reader's GPU has not read it yet");
        assert_eq!(inverted.to_host().unwrap(), vec![!0x5a; 100_001]);
        wait("the release", || released.load(Ordering::SeqCst));
    });
}

/// H3: a place outside the arena is no place. What is not read by the GPU is given back at once.
#[test]
fn a_view_lies_inside() {
    on("gpus=2,slow_us=1000", || {
        let all = gpus();
        let (owner, reader) = (open(&all[0], 2 << 20), open(&all[1], 2 << 20));
        let foreign = Foreign::map(&reader, &owner.export().unwrap(), 2 << 20);
        let none = || Box::new(|| {});
        assert!(foreign.view((2 << 20) - 4, 5, none()).is_none());
        assert!(foreign.view(u64::MAX, 2, none()).is_none());
        let (tell, is_told) = telling();
        drop(foreign.view(0, 2 << 20, tell).unwrap());
        is_told.recv().unwrap();
    });
}

/// H6: a full arena says so with its figures, and has room again once something is given back.
#[test]
fn a_full_arena_has_no_room() {
    on("memory_mib=8", || {
        let gpu = open(&gpus()[0], 2 << 20);
        let held = gpu.filled(2 << 20, 1).unwrap();
        let too_large = gpu.filled((2 << 20) + 1, 1).err().unwrap();
        assert_eq!(too_large.blame, Blame::Busy, "no waiting makes room for it");
        let fault = gpu.filled(1, 1).err().unwrap();
        assert_eq!(fault.blame, Blame::Busy);
        assert!(
            fault.message.contains("the arena of GPU 0 (Stand-in) has 2097152, of which 2097152"),
            "{fault}"
        );
        assert!(gpu.adopted(&held).is_none());
        let later = std::thread::spawn(move || drop(held));
        assert!(gpu.filled(1, 1).is_ok(), "what is made waits for room");
        later.join().unwrap();
        let refused = Gpu::open(&gpus()[0], 16 << 20, 16 << 20, 0).err().unwrap();
        assert!(refused.contains("GPU 0 has no room for an arena of 16777216 bytes"), "{refused}");
    });
}

/// H5: what a dead owner leaves is free once its readers have let go of it.
#[test]
fn memory_is_free_when_nobody_maps_it() {
    on("memory_mib=64", || {
        let gpu = open(&gpus()[0], 2 << 20);
        let before = gpu.free_bytes().unwrap();
        let owner = open(&gpus()[0], 8 << 20);
        let foreign = Foreign::map(&gpu, &owner.export().unwrap(), 8 << 20);
        let view = foreign.view(0, 1 << 20, Box::new(|| {})).unwrap();
        drop((owner, foreign));
        assert_eq!(view.to_host().unwrap(), vec![0; 1 << 20], "as long as someone looks");
        drop(view);
        wait("the memory", || gpu.free_bytes() == Some(before));
    });
}

/// Memory that cannot be mapped is known by name to whoever needs what lies in it.
#[test]
fn what_cannot_be_read_says_why() {
    on("gpus=2,refuse=cuMemImportFromShareableHandle", || {
        let all = gpus();
        let (owner, reader) = (open(&all[0], 2 << 20), open(&all[1], 2 << 20));
        let foreign = Foreign::map(&reader, &owner.export().unwrap(), 2 << 20);
        let (tell, is_told) = telling();
        let view = foreign.view(0, 100, tell).unwrap();
        let fault = view.to_host().unwrap_err();
        assert_eq!(fault.blame, Blame::Setup);
        assert_eq!(
            fault.message,
            "GPU 1 (Stand-in) cannot read the memory of a peer's GPU: cuMemImportFromShareableHandle said \
             CUDA_ERROR_NOT_SUPPORTED"
        );
        drop(view);
        is_told.recv().unwrap();
    });
}
