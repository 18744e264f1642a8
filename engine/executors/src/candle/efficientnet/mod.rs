//! `efficientnet.classify`: what is to be seen on a picture, in words.
//!
//! EfficientNet-Lite0 over the thousand classes of ImageNet. It knows objects, animals and places; of
//! people it sees the clothes.

mod network;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use corn_core::batched::{BatchModel, Ran};
use corn_core::executor::{CallInput, Progress};
use corn_core::{Datum, Fault, Image};
use corn_plan::Literal;
use image::RgbImage;
use image::imageops::{FilterType, resize};

use self::network::{Network, SIDE};
use super::files::{self, Tensors, Working};
use super::options::Options;
use super::threads::Threads;

/// The entry's name.
pub(super) const NAME: &str = "efficientnet.classify";

/// Most pictures of a batch. More make nothing faster, and a cancel is seen no sooner than the batch is over.
pub(super) const BATCH_PICTURES: u64 = 16;

/// Names pictures.
pub(super) struct EfficientNet {
    network: Network,
    classes: Vec<String>,
    top: usize,
    threads: Threads,
    bytes: u64,
}

/// Loads the safetensors file `weights` and the names of its classes, the JSON file `classes`.
pub(super) fn load(
    paths: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    progress: &dyn Progress,
) -> Result<EfficientNet, Fault> {
    let top = Options::new(NAME, options).int("top", 5, 1..=1000)? as usize;
    let path = files::required(paths, NAME, "weights")?;
    let path = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let mut tensors = Tensors::read(&path, progress)?;
    let bytes = tensors.bytes();
    let network = Network::take(&mut tensors)?;
    let path = files::required(paths, NAME, "classes")?;
    let classes = read_classes(path)?;
    if classes.len() != network.classes() {
        let (found, needed) = (classes.len(), network.classes());
        return Err(files::unusable(
            path,
            format_args!("it names {found} classes and the model has {needed}"),
        ));
    }
    Ok(EfficientNet { network, classes, top, threads: Threads::start(cpus)?, bytes })
}

/// Names of classes: a list, or an object from "0" on. Of several names for one class the first is
/// taken.
fn read_classes(path: &Path) -> Result<Vec<String>, Fault> {
    let names: Option<Vec<String>> = match files::read_json(path)? {
        serde_json::Value::Array(names) => names.iter().map(|name| Some(name.as_str()?.to_owned())).collect(),
        serde_json::Value::Object(names) => {
            (0..names.len()).map(|index| Some(names.get(&index.to_string())?.as_str()?.to_owned())).collect()
        }
        _ => None,
    };
    let names = names.ok_or_else(|| files::unusable(path, "it is not a JSON list of names of classes"))?;
    Ok(names.iter().map(|name| name.split(',').next().unwrap_or_default().trim().to_owned()).collect())
}

impl BatchModel for EfficientNet {
    type Item = Vec<f32>;

    fn prepare(&mut self, inputs: &[CallInput]) -> Result<Vec<f32>, Fault> {
        match inputs.first() {
            Some(CallInput::Value(Datum::Image(image))) => prepared(image),
            _ => Err(Fault::request("input 'image' must be a picture")),
        }
    }

    fn run(&mut self, batch: Vec<Vec<f32>>) -> Vec<Result<Ran<Vec<f32>>, Fault>> {
        match self.threads.run(|| self.network.forward(&batch)).while_doing("classifying pictures") {
            Ok(odds) => {
                let labels = odds.iter().map(|odds| described(odds, &self.classes, self.top));
                labels.map(|labels| Ok(Ran::done(0, Datum::text(labels)))).collect()
            }
            Err(fault) => batch.iter().map(|_| Err(fault.clone())).collect(),
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.bytes
    }
}

/// The middle of a picture as the network wants it: three planes of 224 × 224 floats.
///
/// The usual way is to bring the short side to 256 and to cut 224 × 224 from the middle. Cutting
/// first gives the same pixels and is bounded whatever the proportions of the picture are.
fn prepared(image: &Image) -> Result<Vec<f32>, Fault> {
    let (width, height) = (image.width, image.height);
    if width == 0 || height == 0 {
        return Err(Fault::request(format!("the picture has no pixels ({width}×{height})")));
    }
    let side = ((f64::from(width.min(height)) * 224.0 / 256.0).round() as u32).max(1);
    let Some(middle) = middle(image, side) else {
        return Err(Fault::request(format!("the picture has fewer bytes than {width}×{height} pixels need")));
    };
    let scaled = resize(&middle, SIDE as u32, SIDE as u32, FilterType::CatmullRom);
    let planes = (0..3).flat_map(|channel| {
        scaled.as_raw().iter().skip(channel).step_by(3).map(|byte| (f32::from(*byte) - 127.0) / 128.0)
    });
    Ok(planes.collect())
}

/// The square of `side` pixels in the middle.
fn middle(image: &Image, side: u32) -> Option<RgbImage> {
    let (left, top) = ((image.width - side) as usize / 2, (image.height - side) as usize / 2);
    let mut rgb = Vec::with_capacity(side as usize * side as usize * 3);
    for y in top..top + side as usize {
        let start = (y * image.width as usize + left) * 3;
        rgb.extend_from_slice(image.rgb.get(start..start + side as usize * 3)?);
    }
    RgbImage::from_raw(side, side, rgb)
}

/// The `top` likeliest classes: `espresso (84 %), cup (5 %)`. Classes of one name are one. What
/// rounds to nothing is left out, but never the first.
fn described(odds: &[f32], classes: &[String], top: usize) -> String {
    let mut by_name = BTreeMap::<&str, f32>::new();
    for (odds, class) in odds.iter().zip(classes) {
        *by_name.entry(class).or_default() += odds;
    }
    let mut order: Vec<(&str, f32)> = by_name.into_iter().collect();
    // The sort keeps the order of names where odds are equal.
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut text = String::new();
    for (rank, (class, odds)) in order.into_iter().take(top).enumerate() {
        let percent = (odds * 100.0).round();
        if rank > 0 && percent < 1.0 {
            break;
        }
        let comma = if rank > 0 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{class} ({percent} %)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_described_likeliest_first() {
        let classes = ["cup", "espresso", "plate", "spoon"].map(str::to_owned);
        let odds = [0.051, 0.84, 0.105, 0.004];
        assert_eq!(described(&odds, &classes, 2), "espresso (84 %), plate (11 %)");
        assert_eq!(described(&odds, &classes, 9), "espresso (84 %), plate (11 %), cup (5 %)");
        assert_eq!(described(&[0.001; 4], &classes, 3), "cup (0 %)");
        let alike = ["missile", "rocket", "missile"].map(str::to_owned);
        assert_eq!(described(&[0.3, 0.5, 0.2], &alike, 1), "missile (50 %)");
    }

    #[test]
    fn the_middle_is_cut_and_scaled() {
        // Black, with white where the middle is.
        let mut rgb = vec![0u8; 512 * 256 * 3];
        for (index, pixel) in rgb.chunks_exact_mut(3).enumerate() {
            if (144..368).contains(&(index % 512)) {
                pixel.fill(255);
            }
        }
        let planes = prepared(&Image { width: 512, height: 256, rgb: rgb.into() }).unwrap();
        assert_eq!(planes.len(), 3 * SIDE * SIDE);
        assert!(planes.iter().all(|value| *value > 0.99));
    }

    #[test]
    fn pictures_of_any_proportion_are_taken_and_empty_ones_refused() {
        let picture = |width: u32, height: u32| Image {
            width,
            height,
            rgb: vec![9; (width * height * 3) as usize].into(),
        };
        for (width, height) in [(1, 1), (1, 5000), (3, 2)] {
            assert_eq!(prepared(&picture(width, height)).unwrap().len(), 3 * SIDE * SIDE);
        }
        for bad in [picture(0, 5), Image { width: 5, height: 5, rgb: vec![0; 10].into() }] {
            assert_eq!(prepared(&bad).unwrap_err().blame, corn_core::Blame::Request);
        }
    }

    #[test]
    fn names_of_classes_come_as_a_list_or_an_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classes.json");
        for text in [r#"["tench", "goldfish"]"#, r#"{"1": "goldfish, Carassius auratus", "0": "tench"}"#] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_classes(&path).unwrap(), ["tench", "goldfish"]);
        }
        for text in ["3", r#"{"1": "goldfish"}"#, "[1]", "["] {
            std::fs::write(&path, text).unwrap();
            let fault = read_classes(&path).unwrap_err();
            assert!(fault.message.contains("classes.json"), "{fault}");
        }
    }
}
