//! Writes FLAC while its sound is made: 16 bits, mono, at the sound's own rate.

use corn_core::datum::Audio;
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, Stream, StreamInfo};
use flacenc::config::Encoder;
use flacenc::encode_fixed_size_frame;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Fill, FrameBuf};

use crate::error::MediaError;
use crate::resample::OneRate;
use crate::sniff::MediaKind;
use crate::wav::to_i16;

/// Samples of a frame: a tenth of a second at 24 kHz, which is what a listener waits for the first of them.
const BLOCK_SAMPLES: usize = 2304;

pub(crate) struct FlacWriter {
    config: Verified<Encoder>,
    info: StreamInfo,
    rate: OneRate,
    /// Too few for a frame.
    waiting: Vec<i32>,
    frames: usize,
    made: Vec<u8>,
}

impl FlacWriter {
    /// For sound at `rate_hz`; `samples` is how many there are in all, where that is known.
    pub(crate) fn new(rate_hz: u32, samples: Option<u64>) -> Result<Self, MediaError> {
        let config = Encoder::default().into_verified().map_err(|(_, error)| failed(&error))?;
        let mut info = StreamInfo::new(rate_hz as usize, 1, 16).map_err(|error| failed(&error))?;
        info.set_block_sizes(BLOCK_SAMPLES, BLOCK_SAMPLES).map_err(|error| failed(&error))?;
        // 0 stands for what is not known.
        info.set_frame_sizes(0, 0).map_err(|error| failed(&error))?;
        info.set_total_samples(samples.unwrap_or(0) as usize);
        let mut sink = ByteSink::new();
        Stream::with_stream_info(info.clone()).write(&mut sink).map_err(|error| failed(&error))?;
        let made = sink.into_inner();
        Ok(Self { config, info, rate: OneRate::new(rate_hz), waiting: Vec::new(), frames: 0, made })
    }

    pub(crate) fn push(&mut self, audio: &Audio) -> Result<(), MediaError> {
        let samples = self.rate.push(audio);
        self.encode(&samples, false)
    }

    /// The frames that are done.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.made)
    }

    pub(crate) fn finish(mut self) -> Result<Vec<u8>, MediaError> {
        let samples = self.rate.finish();
        self.encode(&samples, true)?;
        Ok(self.made)
    }

    fn encode(&mut self, samples: &[f32], is_last: bool) -> Result<(), MediaError> {
        self.waiting.extend(samples.iter().map(|sample| i32::from(to_i16(*sample))));
        let waiting = std::mem::take(&mut self.waiting);
        for block in waiting.chunks(BLOCK_SAMPLES) {
            if block.len() < BLOCK_SAMPLES && !is_last {
                self.waiting = block.to_vec();
                break;
            }
            let mut frame = FrameBuf::with_size(1, BLOCK_SAMPLES).map_err(|error| failed(&error))?;
            frame.fill_interleaved(block).map_err(|error| failed(&error))?;
            let frame = encode_fixed_size_frame(&self.config, &frame, self.frames, &self.info);
            let mut sink = ByteSink::new();
            frame.map_err(|error| failed(&error))?.write(&mut sink).map_err(|error| failed(&error))?;
            self.made.extend(sink.into_inner());
            self.frames += 1;
        }
        Ok(())
    }
}

fn failed(error: &dyn std::fmt::Display) -> MediaError {
    MediaError::Write { kind: MediaKind::Flac, what: error.to_string() }
}
