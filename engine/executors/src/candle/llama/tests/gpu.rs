//! The language model on a GPU, as far as the stand-in for the driver shows it. Each test runs once more in a process
//! of its own, which finds the stand-in.

use std::path::PathBuf;

use corn_device::{Gpu, find};
use corn_fake_cuda::on;

use super::*;
use crate::candle::llama::OnGpu;
use crate::candle::llama::gpu::CHUNK;
use crate::candle::llama::placed::Memory;

const WIDTH: usize = 32;
const MEMORY_BYTES: u64 = 64 << 20;

fn gpu() -> OnGpu {
    OnGpu { gpu: Gpu::open(&find().unwrap()[0], 1 << 20, 1 << 20, 0).unwrap(), memory_bytes: MEMORY_BYTES }
}

fn place(max_open: u32, gpu: Option<OnGpu>) -> Place {
    Place { cpus: 3, batch: Batch { max: max_open, within_ms: 0 }, gpu }
}

/// A file of a network with heads so wide.
fn file(width: usize, format: Option<GgmlDType>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write_model(&path, &metadata_of(width), &network(width, format));
    (folder, path)
}

fn metadata_of(width: usize) -> Vec<(&'static str, Value)> {
    let mut metadata = metadata();
    metadata.push(("llama.attention.key_length", Value::U32(width as u32)));
    // Not all of a head is turned.
    metadata.push(("llama.rope.dimension_count", Value::U32(width as u32 / 2)));
    metadata
}

fn on_gpu(options: &[(&str, Literal)], max_open: u32) -> Llama {
    let (_folder, path) = file(WIDTH, None);
    load_on(&path, options, &place(max_open, Some(gpu()))).unwrap()
}

/// Pages that nobody remembers anything in.
fn free_pages(llama: &Llama) -> usize {
    match &llama.network {
        super::super::placed::Network::Gpu(network) => network.free_pages(),
        super::super::placed::Network::Host(_) => panic!("it runs on the host"),
    }
}

/// The same tensors as floats.
fn exact(tensors: &[(String, QTensor)]) -> Vec<(String, QTensor)> {
    let exact =
        |tensor: &QTensor| QTensor::quantize(&tensor.dequantize(&Device::Cpu).unwrap(), GgmlDType::F32);
    tensors.iter().map(|(name, tensor)| (name.clone(), exact(tensor).unwrap())).collect()
}

/// What is most likely.
fn greedy(llama: &mut Llama, prompt: &str) -> String {
    let mut call = call(1, prompt, 1, u32::MAX);
    call.inputs[3] = CallInput::Value(Datum::Float(0.0));
    llama.start(call);
    Seen::default().all(llama).text.remove(&CallId(1)).unwrap_or_default()
}

#[test]
fn a_gpu_writes_what_the_host_writes() {
    on("gpus=1", || {
        // Exact weights, since the host rounds what it multiplies quantised ones with.
        let (_folder, path) = file(WIDTH, Some(GgmlDType::F32));
        let options = [("max_tokens", Literal::Int(24))];
        let mut host = load_on(&path, &options, &place(1, None)).unwrap();
        let mut gpu = load_on(&path, &options, &place(1, Some(gpu()))).unwrap();
        for prompt in ["Hello!", "abc", &"What is a dataflow? ".repeat(20)] {
            let written = greedy(&mut gpu, prompt);
            assert!(written.len() >= 24, "{written}");
            assert_eq!(written, greedy(&mut host, prompt), "{prompt}");
        }
    });
}

/// A driver that records no passes does what they do all the same.
#[test]
fn a_driver_without_graphs_is_as_good() {
    for refused in ["cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags"] {
        // What is inside has a process of its own, which knows what it is refused.
        let inside = || {
            let (_folder, path) = file(WIDTH, Some(GgmlDType::F32));
            let options = [("max_tokens", Literal::Int(24))];
            let mut host = load_on(&path, &options, &place(1, None)).unwrap();
            let mut gpu = load_on(&path, &options, &place(1, Some(gpu()))).unwrap();
            assert_eq!(greedy(&mut gpu, "Hello!"), greedy(&mut host, "Hello!"));
        };
        on(&format!("gpus=1,refuse={refused}"), inside);
    }
}

/// Numbers with scales say the same as the halves that they stand for.
#[test]
fn quantised_weights_are_kept_as_they_are() {
    on("gpus=1", || {
        use GgmlDType as D;
        // Of many kinds at once, and of one that is kept in 8 bits, and in 4.
        for format in [None, Some(D::Q8_0), Some(D::Q5_1), Some(D::Q4_0), Some(D::Q4_1)] {
            let (folder, path) = file(WIDTH, format);
            let exactly = folder.path().join("exact.gguf");
            write_model(&exactly, &metadata_of(WIDTH), &exact(&network(WIDTH, format)));
            let [mut kept, mut halves] = [path, exactly].map(|path| {
                load_on(&path, &[("max_tokens", Literal::Int(24))], &place(1, Some(gpu()))).unwrap()
            });
            for prompt in ["Hello!", "abc", &"What is a dataflow? ".repeat(20)] {
                let written = greedy(&mut kept, prompt);
                assert_eq!(written, greedy(&mut halves, prompt), "{format:?}: {prompt}");
            }
        }
    });
}

#[test]
fn calls_that_share_passes_of_a_gpu_get_what_each_gets_alone() {
    on("gpus=1", || {
        let mut prompts = prompts();
        prompts.push("y".repeat(CHUNK + 40));
        let mut llama = on_gpu(&[("max_tokens", Literal::Int(40)), ("prefix_cache", Literal::Int(0))], 3);
        let all = free_pages(&llama);
        let expected: Vec<_> =
            (0..).zip(&prompts).map(|(seed, prompt)| alone(&mut llama, prompt, seed)).collect();
        assert!(expected.iter().collect::<BTreeSet<_>>().len() > 2, "{expected:?}");
        let mut seen = Seen::default();
        for (id, prompt) in (0..).zip(&prompts) {
            llama.start(call(id, prompt, id.cast_signed(), u32::MAX));
            for _ in 0..5 {
                seen.turn(&mut llama);
            }
        }
        let seen = seen.all(&mut llama);
        assert_eq!(seen.done.len(), expected.len(), "{:?}", seen.failed);
        for (id, expected) in (0..).zip(&expected) {
            assert_eq!(seen.text.get(&CallId(id)).map_or("", String::as_str), expected, "call {id}");
        }
        assert_eq!(free_pages(&llama), all, "what nobody remembers is free again");
    });
}

#[test]
fn whoever_begins_alike_shares_pages() {
    on("gpus=1", || {
        let options = [("max_tokens", Literal::Int(20))];
        let alone = |prompt: &str| alone(&mut on_gpu(&options, 1), prompt, 7);
        let first = "You are told at length who you are. ".repeat(3);
        let (other, same) = (format!("{first}But?"), format!("{first}And so on."));
        let mut llama = on_gpu(&options, 4);
        let all = free_pages(&llama);
        assert_eq!(known(&mut llama, call(0, &first, 7, u32::MAX)), 0);
        let mut seen = Seen::default();
        while seen.text.is_empty() {
            seen.turn(&mut llama);
        }
        // Of one that is open, of one that is over, and the very same again.
        let taken = all - free_pages(&llama);
        let of_open = known(&mut llama, call(1, &other, 7, u32::MAX));
        assert!(of_open >= 96 && of_open.is_multiple_of(32), "{of_open}");
        assert_eq!(all - free_pages(&llama), taken, "what is shared takes nothing");
        seen = seen.all(&mut llama);
        let of_over = known(&mut llama, call(2, &same, 7, u32::MAX));
        assert!(of_over >= 96 && of_over.is_multiple_of(32), "{of_over}");
        seen = seen.all(&mut llama);
        known(&mut llama, call(3, &same, 7, u32::MAX));
        let seen = seen.all(&mut llama);
        for (id, prompt) in (0..).zip([&first, &other, &same, &same]) {
            assert_eq!(seen.text[&CallId(id)], alone(prompt), "call {id}");
        }
        assert!(matches!(llama.network.empty_memory(), Memory::Gpu(_)));
    });
}

#[test]
fn calls_that_wait_for_room_do_not_outgrow_the_memory_of_a_gpu() {
    on("gpus=1", || {
        let mut llama = on_gpu(&[("context", Literal::Int(96)), ("max_tokens", Literal::Int(80))], 2);
        let mut seen = Seen::default();
        for id in 0..6 {
            llama.start(call(id, "Hello!", 1, 1));
            while seen.turn(&mut llama) == Turn::Busy {}
        }
        // Each has written what it had room for, and those that were in the way are parked.
        assert!(seen.failed.is_empty() && seen.text.len() == 6, "{:?}", seen.text);
        assert_eq!((llama.open.len(), llama.parked.len()), (2, 4));
        llama.cancel(CallId(0));
        llama.cancel(CallId(5));
        for id in 1..5 {
            llama.grant(CallId(id), 0, 200);
        }
        let seen = seen.all(&mut llama);
        assert_eq!(seen.done.len(), 4, "{:?}", seen.failed);
        let whole = alone(&mut llama, "Hello!", 1);
        assert!((1..5).all(|id| seen.text[&CallId(id)] == whole), "{:?} and not {whole}", seen.text);
    });
}

#[test]
fn a_gpu_that_fails_in_a_pass_fails_its_calls_and_gives_their_pages_back() {
    on("gpus=1,lost_after=200", || {
        let mut llama = on_gpu(&[("max_tokens", Literal::Int(200)), ("prefix_cache", Literal::Int(0))], 2);
        let all = free_pages(&llama);
        llama.start(call(0, "Hello!", 1, u32::MAX));
        llama.start(call(1, "abc", 1, u32::MAX));
        let seen = Seen::default().all(&mut llama);
        assert_eq!((seen.done.len(), seen.failed.len()), (0, 2));
        let fault = &seen.failed[&CallId(0)];
        assert!(fault.message.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{fault}");
        assert_eq!(free_pages(&llama), all);
    });
}

#[test]
fn what_does_not_fit_a_gpu_is_named() {
    on("gpus=1", || {
        let refused = |width, memory_bytes, context| {
            let (_folder, path) = file(width, None);
            let place = place(4, Some(OnGpu { memory_bytes, ..gpu() }));
            load_on(&path, &[("context", Literal::Int(context))], &place).err().unwrap().to_string()
        };
        let said = refused(WIDTH, 1 << 20, 512);
        assert!(said.contains("memory 1MiB") && said.contains("4 conversations of 512 tokens"), "{said}");
        let said = refused(16, MEMORY_BYTES, 512);
        assert!(said.contains("16 wide") && said.contains("multiple of 32"), "{said}");
    });
}

#[test]
fn a_gpu_that_is_too_old_is_named() {
    on("gpus=1,capability=75", || {
        let (_folder, path) = file(WIDTH, None);
        let said = load_on(&path, &[], &place(1, Some(gpu()))).err().unwrap().to_string();
        assert!(said.contains("compute capability 7.5") && said.contains("8.0 or more"), "{said}");
    });
}

#[test]
fn a_gpu_without_room_is_named() {
    on("gpus=1,memory_mib=4", || {
        let (_folder, path) = file(WIDTH, None);
        let said = load_on(&path, &[], &place(64, Some(gpu()))).err().unwrap().to_string();
        assert!(said.contains("has no room for") && said.contains("cuMemCreate"), "{said}");
    });
}
