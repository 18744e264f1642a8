//! The EfficientNet-Lite0 network: pictures in, odds of the classes out.
//!
//! Tan and Le, *EfficientNet* (<https://arxiv.org/abs/1905.11946>), in the Lite form: no squeeze
//! and excitation, ReLU6. Names of tensors are those of `efficientnet_lite_pytorch`. Batch norms
//! are folded into the layers before them while loading. Layers over all channels of a pixel are
//! products by candle; layers over the neighbours of a pixel are plain loops, because candle runs
//! grouped convolutions one group at a time. The pictures of a batch are stacked within each channel, so that a
//! product reads its weights once for the pixels of all.

use candle_core::{Device, Result, Tensor};
use corn_core::Fault;
use rayon::prelude::*;

use crate::candle::dense::{Affine, Rows};
use crate::candle::files::{Tensors, brief};

/// Pixels of a picture's side.
pub(super) const SIDE: usize = 224;

/// Added to variances by the batch norms.
const EPSILON: f32 = 1e-3;

/// Of each stage: blocks, and the stride of the first of them. Widths and kernels are those of the
/// tensors.
const STAGES: [(usize, usize); 7] = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)];

/// Planes of one size, of each channel one for each picture.
struct Planes {
    pictures: usize,
    height: usize,
    width: usize,
    data: Vec<f32>,
}

/// The network.
pub(super) struct Network {
    stem: Neighbours,
    blocks: Vec<Block>,
    head: Channels,
    output: Affine,
}

struct Block {
    expand: Option<Channels>,
    neighbours: Neighbours,
    project: Channels,
}

/// A layer over the channels of each pixel.
struct Channels {
    /// `outputs × inputs`.
    weight: Tensor,
    bias: Vec<f32>,
}

/// A layer over the neighbours of each pixel.
struct Neighbours {
    /// `outputs × sources × kernel × kernel`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    kernel: usize,
    stride: usize,
    /// Planes that each output is made from: one, or all of a picture.
    sources: usize,
}

impl Network {
    pub(super) fn take(tensors: &mut Tensors) -> std::result::Result<Self, Fault> {
        let stem = Neighbours::take(tensors, "_conv_stem", "_bn0", 2)?;
        let strides = STAGES
            .iter()
            .flat_map(|(blocks, stride)| (0..*blocks).map(move |block| if block == 0 { *stride } else { 1 }));
        let blocks = strides
            .enumerate()
            .map(|(index, stride)| Block::take(tensors, &format!("_blocks.{index}"), stride))
            .collect::<std::result::Result<_, _>>()?;
        let head = Channels::take(tensors, "_conv_head", "_bn1")?;
        let Some(&[classes, inputs]) = tensors.dims("_fc.weight") else {
            return Err(tensors.wrong("it has no usable tensor _fc.weight"));
        };
        let output = Affine::take(tensors, "_fc", classes, inputs)?;
        let network = Self { stem, blocks, head, output };
        network.check(tensors)?;
        Ok(network)
    }

    /// Checks that each layer takes what the one before it gives.
    fn check(&self, tensors: &Tensors) -> std::result::Result<(), Fault> {
        let mut channels = 3;
        let mut fits = self.stem.sources == channels;
        channels = self.stem.bias.len();
        for block in &self.blocks {
            if let Some(expand) = &block.expand {
                fits &= expand.inputs() == channels;
                channels = expand.bias.len();
            }
            fits &= block.neighbours.sources == 1 && block.neighbours.bias.len() == channels;
            fits &= block.project.inputs() == channels;
            channels = block.project.bias.len();
        }
        fits &= self.head.inputs() == channels && self.output.inputs() == self.head.bias.len();
        fits &= self.classes() > 0;
        if fits { Ok(()) } else { Err(tensors.wrong("its layers do not fit together")) }
    }

    /// How many classes there are.
    pub(super) fn classes(&self) -> usize {
        self.output.outputs()
    }

    /// The odds of each class for each picture; a picture has three planes.
    pub(super) fn forward(&self, pictures: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let channels = (0..3).flat_map(|channel| {
            let plane = channel * SIDE * SIDE..(channel + 1) * SIDE * SIDE;
            pictures.iter().flat_map(move |picture| &picture[plane.clone()])
        });
        let stacked =
            Planes { pictures: pictures.len(), height: SIDE, width: SIDE, data: channels.copied().collect() };
        let mut planes = self.stem.forward(&stacked);
        for block in &self.blocks {
            planes = block.forward(&planes)?;
        }
        let planes = self.head.forward(&planes, true)?;
        let pixels = planes.height * planes.width;
        let means = planes.data.chunks_exact(pixels).map(|plane| plane.iter().sum::<f32>() / pixels as f32);
        let means: Vec<f32> = means.collect();
        let of_picture = |picture| means.iter().skip(picture).step_by(planes.pictures);
        let rows = (0..planes.pictures).flat_map(of_picture).copied().collect();
        let output = self.output.forward(&Rows::new(self.output.inputs(), rows))?;
        Ok(output.data.chunks_exact(output.width).map(softmax).collect())
    }
}

impl Block {
    fn take(tensors: &mut Tensors, name: &str, stride: usize) -> std::result::Result<Self, Fault> {
        let part = |part: &str| format!("{name}.{part}");
        let expand = match tensors.dims(&part("_expand_conv.weight")) {
            Some(_) => Some(Channels::take(tensors, &part("_expand_conv"), &part("_bn0"))?),
            None => None,
        };
        let neighbours = Neighbours::take(tensors, &part("_depthwise_conv"), &part("_bn1"), stride)?;
        let project = Channels::take(tensors, &part("_project_conv"), &part("_bn2"))?;
        Ok(Self { expand, neighbours, project })
    }

    fn forward(&self, planes: &Planes) -> Result<Planes> {
        let expanded = match &self.expand {
            Some(expand) => &expand.forward(planes, true)?,
            None => planes,
        };
        let mut projected = self.project.forward(&self.neighbours.forward(expanded), false)?;
        if self.neighbours.stride == 1 && projected.data.len() == planes.data.len() {
            projected.data.iter_mut().zip(&planes.data).for_each(|(element, before)| *element += before);
        }
        Ok(projected)
    }
}

impl Channels {
    fn take(tensors: &mut Tensors, name: &str, norm: &str) -> std::result::Result<Self, Fault> {
        let (weight, shape, bias) = folded(tensors, name, norm)?;
        let [outputs, inputs, 1, 1] = shape else {
            return Err(
                tensors.wrong(format_args!("tensor {name}.weight has shape {shape:?}, not one pixel"))
            );
        };
        let weight = Tensor::from_vec(weight, (outputs, inputs), &Device::Cpu)
            .map_err(|error| tensors.wrong(brief(&error)))?;
        Ok(Self { weight, bias })
    }

    fn inputs(&self) -> usize {
        self.weight.dims()[1]
    }

    fn forward(&self, planes: &Planes, is_active: bool) -> Result<Planes> {
        let pixels = planes.pictures * planes.height * planes.width;
        let input = Tensor::from_slice(&planes.data, (planes.data.len() / pixels, pixels), &Device::Cpu)?;
        let mut data = self.weight.matmul(&input)?.flatten_all()?.to_vec1::<f32>()?;
        data.par_chunks_exact_mut(pixels).zip(&self.bias).for_each(|(plane, bias)| {
            for element in plane {
                *element += bias;
                if is_active {
                    *element = element.clamp(0.0, 6.0);
                }
            }
        });
        Ok(Planes { data, ..*planes })
    }
}

impl Neighbours {
    fn take(
        tensors: &mut Tensors,
        name: &str,
        norm: &str,
        stride: usize,
    ) -> std::result::Result<Self, Fault> {
        let (weight, shape, bias) = folded(tensors, name, norm)?;
        match shape {
            [_, sources, kernel @ (1 | 3 | 5 | 7), width] if kernel == width => {
                Ok(Self { weight, bias, kernel, stride, sources })
            }
            _ => Err(tensors.wrong(format_args!("tensor {name}.weight has shape {shape:?}, not a square"))),
        }
    }

    /// Each output plane from its own source, or from all of them; with ReLU6.
    ///
    /// Borders are zeros, as TensorFlow's "SAME" has them: as many as the last window needs, the
    /// odd one at the end.
    fn forward(&self, planes: &Planes) -> Planes {
        let (kernel, stride) = (self.kernel, self.stride);
        let (height, width) = (planes.height.div_ceil(stride), planes.width.div_ceil(stride));
        let padded: Vec<Vec<f32>> = planes
            .data
            .par_chunks_exact(planes.height * planes.width)
            .map(|plane| with_border(plane, planes.height, planes.width, kernel, stride))
            .collect();
        let padded_width = (width - 1) * stride + kernel;
        let mut data = vec![0.0; self.bias.len() * planes.pictures * height * width];
        data.par_chunks_exact_mut(height * width).enumerate().for_each(|(output, plane)| {
            let channel = output / planes.pictures;
            let weights = self.weight.chunks_exact(kernel * kernel).skip(channel * self.sources);
            // Its own plane, or those of all channels of its picture.
            let from = if self.sources == 1 { output } else { output % planes.pictures };
            let sources = padded.iter().skip(from).step_by(planes.pictures).take(self.sources);
            plane.fill(self.bias[channel]);
            for (source, weights) in sources.zip(weights) {
                for (index, weight) in weights.iter().enumerate() {
                    let (down, right) = (index / kernel, index % kernel);
                    for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                        let source = &source[(y * stride + down) * padded_width + right..];
                        row.iter_mut()
                            .zip(source.iter().step_by(stride))
                            .for_each(|(to, from)| *to += weight * from);
                    }
                }
            }
            for element in plane {
                *element = element.clamp(0.0, 6.0);
            }
        });
        Planes { pictures: planes.pictures, height, width, data }
    }
}

/// A convolution's weights, their shape, and its bias.
type Folded = (Vec<f32>, [usize; 4], Vec<f32>);

/// Convolution `name` with batch norm `norm` folded in.
fn folded(tensors: &mut Tensors, name: &str, norm: &str) -> std::result::Result<Folded, Fault> {
    let weight = tensors.take_any(&format!("{name}.weight"))?;
    let &[outputs, inputs, height, width] = weight.dims() else {
        return Err(tensors.wrong(format_args!("tensor {name}.weight has shape {:?}", weight.dims())));
    };
    let mut part = |part: &str| tensors.floats(&format!("{norm}.{part}"), outputs);
    let (scales, mut bias, means, variances) =
        (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
    let weight = weight.flatten_all().and_then(|weight| weight.to_vec1::<f32>());
    let mut weight = weight.map_err(|error| tensors.wrong(brief(&error)))?;
    let each = inputs * height * width;
    if each == 0 || outputs == 0 {
        return Err(tensors.wrong(format_args!("tensor {name}.weight is empty")));
    }
    for (output, weights) in weight.chunks_exact_mut(each).enumerate() {
        let scale = scales[output] / (variances[output] + EPSILON).sqrt();
        for weight in weights {
            *weight *= scale;
        }
        bias[output] -= means[output] * scale;
    }
    Ok((weight, [outputs, inputs, height, width], bias))
}

fn with_border(plane: &[f32], height: usize, width: usize, kernel: usize, stride: usize) -> Vec<f32> {
    let border = |size: usize| {
        let padded = (size.div_ceil(stride) - 1) * stride + kernel;
        (padded.max(size), padded.saturating_sub(size) / 2)
    };
    let ((padded_height, top), (padded_width, left)) = (border(height), border(width));
    let mut padded = vec![0.0; padded_height * padded_width];
    for (y, row) in plane.chunks_exact(width).enumerate() {
        let start = (top + y) * padded_width + left;
        padded[start..start + width].copy_from_slice(row);
    }
    padded
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(kernel: usize, stride: usize, sources: usize) -> Neighbours {
        Neighbours { weight: vec![1.0; sources * kernel * kernel], bias: vec![0.0], kernel, stride, sources }
    }

    #[test]
    fn borders_are_those_of_same_padding() {
        let planes = Planes { pictures: 1, height: 4, width: 4, data: vec![1.0; 16] };
        // Stride 1: a border all around.
        assert_eq!(
            ones(3, 1, 1).forward(&planes).data,
            [4.0, 6.0, 6.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 4.0, 6.0, 6.0, 4.0]
        );
        // Stride 2 over an even side: a border at the end only.
        assert_eq!(ones(3, 2, 1).forward(&planes).data, [6.0, 6.0, 6.0, 4.0]);
        // A kernel of 5: one before, two behind.
        let small = Planes { pictures: 1, height: 2, width: 2, data: vec![0.25; 4] };
        assert_eq!(ones(5, 2, 1).forward(&small).data, [1.0]);
    }

    #[test]
    fn a_stem_sums_its_sources() {
        let planes = Planes { pictures: 1, height: 1, width: 2, data: vec![1.0, 0.0, 0.5, 0.0, 0.25, 0.0] };
        assert_eq!(ones(3, 1, 3).forward(&planes).data, [1.75, 1.75]);
    }

    #[test]
    fn stacked_pictures_do_not_mix() {
        // Channel by channel: of each, a plane of the first picture and one of the second.
        let data = vec![1.0, 2.0, 0.25, 0.5, 0.125, 0.0];
        let planes = Planes { pictures: 2, height: 1, width: 1, data };
        assert_eq!(ones(3, 1, 3).forward(&planes).data, [1.375, 2.5]);
        let each = Neighbours { weight: vec![1.0, 2.0, 3.0], bias: vec![0.0; 3], ..ones(1, 1, 1) };
        assert_eq!(each.forward(&planes).data, [1.0, 2.0, 0.5, 1.0, 0.375, 0.0]);
    }

    #[test]
    fn odds_sum_to_one() {
        let odds = softmax(&[1.0, 1000.0, 1000.0]);
        assert_eq!(odds, [0.0, 0.5, 0.5]);
    }
}
