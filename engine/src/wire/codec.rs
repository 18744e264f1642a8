//! The binary form of what is said between processes often: little-endian, no padding.
//!
//! A frame has a *head*, in which everything small stands, and *payloads*, the large contents that
//! the head refers to in order. Contents that lie in a shared arena are neither: the head says where.

use bytes::Bytes;
use std::sync::Arc;

use corn_core::{
    Audio, Conversation, Datum, DeviceTensor, Frame, Image, Message, OnDevice, Part, Role, Samples, Tensor,
    Video,
};
use corn_plan::{Dtype, Modality};

/// Contents up to this many bytes stand in the head.
const SMALL_BYTES: usize = 4096;
/// Lists may hold lists, as far as this.
const MAX_DEPTH: u32 = 4;

const ROLES: [Role; 3] = [Role::System, Role::User, Role::Assistant];

const IN_HEAD: u8 = 0;
const PAYLOAD: u8 = 1;
const SHARED: u8 = 2;

/// What is wrong with bytes that came from another process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where contents lie in the sender's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// What the reader gives back when it needs them no more.
    pub(crate) lease: u64,
}

/// Where contents lie in an arena of one of the sender's GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DevicePlace {
    /// Which of those arenas that it named when the link opened.
    pub(crate) arena: u32,
    pub(crate) place: Place,
}

/// Puts contents where a reader on the same host can see them.
pub(crate) trait Lend {
    /// Lends `contents`, or says that there is no room for them now.
    fn lend(&mut self, contents: &Bytes) -> Result<Place, Full>;
    /// Lends `contents`, which lie in a GPU's arena of this process.
    fn lend_on_device(&mut self, contents: &Arc<dyn OnDevice>) -> DevicePlace;
}

/// Finds contents that another process lends.
pub(crate) trait Borrow {
    /// A view of what lies at `place`, or `None` if nothing can.
    fn borrow(&self, place: Place) -> Option<Bytes>;
    /// What lies at `place`, or `None` if nothing can.
    fn borrow_on_device(&self, place: DevicePlace) -> Option<Arc<dyn OnDevice>>;
}

/// There is no room in the arena now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// Bytes that were asked for.
    pub(crate) bytes: u64,
}

/// A frame in the making.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) head: Vec<u8>,
    pub(crate) payloads: Vec<Bytes>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.head.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.head.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.head.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.head.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Contents: in the head if small, lent if there is a lender, otherwise a payload.
    fn contents(&mut self, contents: &Bytes, lender: &mut Option<&mut dyn Lend>) -> Result<(), Full> {
        if contents.len() <= SMALL_BYTES {
            self.u8(IN_HEAD);
            self.u32(contents.len() as u32);
            self.head.extend_from_slice(contents);
        } else if let Some(lender) = lender {
            let place = lender.lend(contents)?;
            self.u8(SHARED);
            self.place(place);
        } else {
            self.u8(PAYLOAD);
            self.payloads.push(contents.clone());
        }
        Ok(())
    }

    fn place(&mut self, place: Place) {
        self.u64(place.offset);
        self.u64(place.bytes);
        self.u64(place.lease);
    }

    fn shape(&mut self, dtype: Dtype, shape: &[u64]) {
        self.text(dtype.name());
        self.u8(shape.len() as u8);
        for extent in shape {
            self.u64(*extent);
        }
    }

    /// A datum. A text is always in the head: texts are short, and must be checked anyway.
    pub(crate) fn datum(&mut self, datum: &Datum, lender: &mut Option<&mut dyn Lend>) -> Result<(), Full> {
        match datum {
            Datum::Text(text) => {
                self.u8(0);
                self.text(text);
            }
            Datum::Image(image) => {
                self.u8(1);
                self.image(image, lender)?;
            }
            Datum::Audio(audio) => {
                self.u8(2);
                self.u32(audio.rate_hz);
                self.contents(audio.samples.as_bytes(), lender)?;
            }
            Datum::Tensor(tensor) => {
                self.u8(3);
                self.shape(tensor.dtype, &tensor.shape);
                self.contents(&tensor.bytes, lender)?;
            }
            Datum::OnDevice(tensor) => {
                self.u8(10);
                self.shape(tensor.dtype, &tensor.shape);
                // Whoever writes to someone who cannot read it there copies it to the host before.
                let lender = lender.as_deref_mut().expect("contents of a device are lent");
                let DevicePlace { arena, place } = lender.lend_on_device(&tensor.contents);
                self.u32(arena);
                self.place(place);
            }
            Datum::Int(value) => {
                self.u8(4);
                self.u64(value.cast_unsigned());
            }
            Datum::Float(value) => {
                self.u8(5);
                self.u64(value.to_bits());
            }
            Datum::Bool(value) => {
                self.u8(6);
                self.u8(u8::from(*value));
            }
            Datum::List(items) => {
                self.u8(7);
                self.u32(items.len() as u32);
                for item in items.iter() {
                    self.datum(item, lender)?;
                }
            }
            Datum::Video(video) => {
                self.u8(8);
                self.u32(video.frames.len() as u32);
                for frame in &video.frames {
                    self.u64(frame.time_us);
                    self.image(&frame.image, lender)?;
                }
            }
            Datum::Messages(conversation) => {
                self.u8(9);
                self.conversation(conversation, lender)?;
            }
        }
        Ok(())
    }

    fn image(&mut self, image: &Image, lender: &mut Option<&mut dyn Lend>) -> Result<(), Full> {
        self.u32(image.width);
        self.u32(image.height);
        self.contents(&image.rgb, lender)
    }

    fn conversation(
        &mut self,
        conversation: &Conversation,
        lender: &mut Option<&mut dyn Lend>,
    ) -> Result<(), Full> {
        self.u32(conversation.messages.len() as u32);
        for message in &conversation.messages {
            let role = ROLES.iter().position(|role| *role == message.role);
            self.u8(role.expect("every role is listed") as u8);
            self.u32(message.parts.len() as u32);
            for part in &message.parts {
                match part {
                    Part::Text(text) => {
                        self.u8(0);
                        self.text(text);
                    }
                    Part::Media(kind) => {
                        self.u8(1);
                        self.text(kind.name());
                    }
                }
            }
        }
        self.u32(conversation.media.len() as u32);
        conversation.media.iter().try_for_each(|item| self.datum(item, lender))
    }
}

/// A frame that came.
pub(crate) struct Reader<'a> {
    head: &'a [u8],
    payloads: std::vec::IntoIter<Bytes>,
    lent: Option<&'a dyn Borrow>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(head: &'a [u8], payloads: Vec<Bytes>, lent: Option<&'a dyn Borrow>) -> Self {
        Self { head, payloads: payloads.into_iter(), lent }
    }

    /// Whether everything was read.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.head.is_empty() && self.payloads.len() == 0 {
            return Ok(());
        }
        Err(Malformed(format!("{} bytes too many", self.head.len())))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        if self.head.len() < count {
            return Err(Malformed(format!("it ends {} bytes early", count - self.head.len())));
        }
        let (taken, rest) = self.head.split_at(count);
        self.head = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let count = self.u32()? as usize;
        std::str::from_utf8(self.take(count)?).map_err(|_| Malformed("a text that is not UTF-8".to_owned()))
    }

    /// How many things follow, each of at least `least` bytes.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count.saturating_mul(least) > self.head.len() {
            return Err(Malformed(format!("{count} things in {} bytes", self.head.len())));
        }
        Ok(count)
    }

    pub(crate) fn option<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => get(self).map(Some),
            other => Err(Malformed(format!("{other} where 0 or 1 stands"))),
        }
    }

    fn contents(&mut self) -> Result<Bytes, Malformed> {
        match self.u8()? {
            IN_HEAD => {
                let count = self.u32()? as usize;
                Ok(Bytes::copy_from_slice(self.take(count)?))
            }
            PAYLOAD => self.payloads.next().ok_or_else(|| Malformed("a payload is missing".to_owned())),
            SHARED => {
                let place = self.place()?;
                let borrowed = self.lent.and_then(|lent| lent.borrow(place));
                borrowed.ok_or_else(|| Malformed(format!("nothing can lie at {place:?}")))
            }
            other => Err(Malformed(format!("contents of kind {other}"))),
        }
    }

    pub(crate) fn datum(&mut self) -> Result<Datum, Malformed> {
        self.nested_datum(0)
    }

    fn nested_datum(&mut self, depth: u32) -> Result<Datum, Malformed> {
        Ok(match self.u8()? {
            0 => Datum::text(self.text()?),
            1 => Datum::Image(self.image()?.into()),
            2 => {
                let rate_hz = self.u32()?;
                let samples = self.contents()?;
                if !samples.len().is_multiple_of(4) {
                    return Err(Malformed(format!("a sound of {} bytes", samples.len())));
                }
                Datum::Audio(Audio { rate_hz, samples: Samples::from_bytes(samples) }.into())
            }
            3 => Datum::Tensor(self.tensor()?.into()),
            10 => Datum::OnDevice(self.device_tensor()?.into()),
            4 => Datum::Int(self.u64()?.cast_signed()),
            5 => Datum::Float(f64::from_bits(self.u64()?)),
            6 => Datum::Bool(self.u8()? != 0),
            7 if depth < MAX_DEPTH => {
                let count = self.count(2)?;
                let items: Result<Vec<Datum>, Malformed> =
                    (0..count).map(|_| self.nested_datum(depth + 1)).collect();
                Datum::List(items?.into())
            }
            8 => {
                let count = self.count(17)?;
                let frame = |from: &mut Self| Ok(Frame { time_us: from.u64()?, image: from.image()?.into() });
                let frames = (0..count).map(|_| frame(self)).collect::<Result<_, Malformed>>()?;
                Datum::Video(Video { frames }.into())
            }
            9 if depth < MAX_DEPTH => Datum::Messages(self.conversation(depth)?.into()),
            other => return Err(Malformed(format!("a datum of kind {other}"))),
        })
    }

    fn image(&mut self) -> Result<Image, Malformed> {
        let (width, height) = (self.u32()?, self.u32()?);
        let rgb = self.contents()?;
        if u128::from(width) * u128::from(height) * 3 != rgb.len() as u128 {
            let bytes = rgb.len();
            return Err(Malformed(format!("a picture of {width}×{height} in {bytes} bytes")));
        }
        Ok(Image { width, height, rgb })
    }

    fn conversation(&mut self, depth: u32) -> Result<Conversation, Malformed> {
        let count = self.count(5)?;
        let messages = (0..count).map(|_| self.message()).collect::<Result<_, Malformed>>()?;
        let count = self.count(2)?;
        let media = (0..count).map(|_| self.nested_datum(depth + 1)).collect::<Result<_, Malformed>>()?;
        Ok(Conversation { messages, media })
    }

    fn message(&mut self) -> Result<Message, Malformed> {
        let role = ROLES.get(usize::from(self.u8()?)).copied();
        let role = role.ok_or_else(|| Malformed("a message that nobody says".to_owned()))?;
        let count = self.count(5)?;
        let part = |from: &mut Self| match from.u8()? {
            0 => Ok(Part::Text(from.text()?.into())),
            1 => {
                let kind = Modality::from_name(from.text()?);
                kind.map(Part::Media).ok_or_else(|| Malformed("a mark of no kind of media".to_owned()))
            }
            other => Err(Malformed(format!("a part of kind {other}"))),
        };
        let parts = (0..count).map(|_| part(self)).collect::<Result<_, Malformed>>()?;
        Ok(Message { role, parts })
    }

    fn place(&mut self) -> Result<Place, Malformed> {
        Ok(Place { offset: self.u64()?, bytes: self.u64()?, lease: self.u64()? })
    }

    fn shape(&mut self) -> Result<(Dtype, Vec<u64>), Malformed> {
        let name = self.text()?;
        let dtype = Dtype::from_name(name).ok_or_else(|| Malformed(format!("there is no dtype '{name}'")))?;
        let rank = self.u8()?;
        let shape = (0..rank).map(|_| self.u64()).collect::<Result<_, _>>()?;
        Ok((dtype, shape))
    }

    fn tensor(&mut self) -> Result<Tensor, Malformed> {
        let (dtype, shape) = self.shape()?;
        let bytes = self.contents()?;
        fits(dtype, &shape, bytes.len() as u64)?;
        Ok(Tensor { dtype, shape, bytes })
    }

    fn device_tensor(&mut self) -> Result<DeviceTensor, Malformed> {
        let (dtype, shape) = self.shape()?;
        let place = DevicePlace { arena: self.u32()?, place: self.place()? };
        fits(dtype, &shape, place.place.bytes)?;
        let contents = self.lent.and_then(|lent| lent.borrow_on_device(place));
        let contents = contents.ok_or_else(|| Malformed(format!("nothing can lie at {place:?}")))?;
        Ok(DeviceTensor { dtype, shape, contents })
    }
}

/// A tensor holds as many bytes as its type says.
fn fits(dtype: Dtype, shape: &[u64], bytes: u64) -> Result<(), Malformed> {
    let count = shape.iter().try_fold(1u128, |count, extent| count.checked_mul(u128::from(*extent)));
    let declared = count.and_then(|count| count.checked_mul(u128::from(dtype.size_bytes())));
    if declared == Some(u128::from(bytes)) {
        return Ok(());
    }
    Err(Malformed(format!("a tensor<{}>{shape:?} in {bytes} bytes", dtype.name())))
}
