//! The client of Corn's own gRPC service, for who asks a server from a shell.
//!
//! A server says what it takes ([`Offer`]); a [`Question`] is put in its terms; what comes back are the same pieces that an
//! engine in this process gives. Files go as they are, since the server decodes them within its own bounds.

mod answer;
mod connect;
mod offer;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corn_core::message::Priority;
use corn_core::{Datum, Fault};
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::corn_client::CornClient;
use crate::grpc::proto::corn::value::Kind as Given;
use crate::grpc::value::{self, Formats};

pub use answer::Answering;
pub use connect::Address;
use connect::Ended;
pub use offer::{Offer, OfferedInput, OfferedOutput, OfferedRoute};

/// A connection to a server.
pub struct Connection {
    client: CornClient<Channel>,
    address: Address,
    key: Option<AsciiMetadataValue>,
    ended: Ended,
}

/// What is asked of a route that a server offers.
#[derive(Clone, Debug)]
pub struct Question {
    /// The route.
    pub route: Arc<OfferedRoute>,
    /// What is brought, by name.
    pub inputs: Vec<(String, Brought)>,
    /// The outputs that are wanted; those that are always made, if there are none.
    pub outputs: Vec<String>,
    /// How long the server may take.
    pub deadline: Option<Duration>,
    /// How urgent it is.
    pub priority: Priority,
}

/// Something that a question brings.
#[derive(Clone, Debug)]
pub enum Brought {
    /// As it is in this process.
    Datum(Datum),
    /// A picture as a file.
    ImageFile(Bytes),
    /// A sound as a file.
    AudioFile(Bytes),
    /// A video as a file.
    VideoFile(Bytes),
    /// Several.
    List(Vec<Self>),
    /// A conversation that begins with a user who says this: texts and media.
    Said(Vec<Self>),
}

impl Connection {
    /// What the server offers.
    ///
    /// # Errors
    /// If it does not say, or says what is not understood.
    pub async fn offer(&mut self) -> Result<Offer, Fault> {
        let request = self.signed(pb::DescribeRequest::default());
        let described = self.client.describe(request).await;
        let described = described.map_err(|status| self.address.fault(&status, &self.ended))?;
        Offer::read(described.into_inner())
    }

    /// Asks. Dropping the answer, or this while it begins, cancels the request on every worker of the server.
    ///
    /// # Errors
    /// If it is refused before anything is made.
    pub async fn ask(&mut self, question: &Question) -> Result<Answering, Fault> {
        let mut request = self.signed(question.written()?);
        if let Some(deadline) = question.deadline {
            request.set_timeout(deadline);
        }
        let answers = self.client.stream(request).await;
        let answers = answers.map_err(|status| self.address.fault(&status, &self.ended))?;
        let (route, address) = (Arc::clone(&question.route), self.address.clone());
        Ok(Answering::new(answers.into_inner(), route, address, Arc::clone(&self.ended)))
    }

    /// A request with the key, if there is one.
    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        request
    }
}

impl Question {
    fn written(&self) -> Result<pb::InferRequest, Fault> {
        let inputs = self.inputs.iter().map(|(name, brought)| Ok((name.clone(), brought.written()?)));
        let priority = match self.priority {
            Priority::Low => pb::Priority::Low,
            Priority::Normal => pb::Priority::Normal,
            Priority::High => pb::Priority::High,
        };
        Ok(pb::InferRequest {
            graph: self.route.graph.clone(),
            route: self.route.name.clone(),
            inputs: inputs.collect::<Result<_, Fault>>()?,
            outputs: self.outputs.clone(),
            priority: priority.into(),
            images: pb::ImageFormat::ImageRgb.into(),
            audio: pb::AudioFormat::AudioSamples.into(),
        })
    }
}

impl Brought {
    fn written(&self) -> Result<pb::Value, Fault> {
        let kind = match self {
            Self::Datum(datum) => {
                let written = value::write(datum, Formats { images: None, wav: false });
                return written.map_err(|error| Fault::request(error.to_string()));
            }
            Self::ImageFile(file) => {
                Given::Image(pb::Image { content: Some(pb::image::Content::Encoded(file.clone())) })
            }
            Self::AudioFile(file) => {
                Given::Audio(pb::Audio { content: Some(pb::audio::Content::Encoded(file.clone())) })
            }
            Self::VideoFile(file) => {
                Given::Video(pb::Video { frames: Vec::new(), encoded: Some(file.clone()) })
            }
            Self::List(items) => {
                Given::List(pb::List { items: items.iter().map(Self::written).collect::<Result<_, _>>()? })
            }
            Self::Said(said) => {
                let parts = said.iter().map(|it| Ok(it.written()?.kind.and_then(part)));
                let parts = parts.map(|content| content.map(|content| pb::Part { content }));
                let parts = parts.collect::<Result<_, Fault>>()?;
                let message = pb::Message { role: pb::Role::User.into(), parts };
                Given::Messages(pb::Conversation { messages: vec![message] })
            }
        };
        Ok(pb::Value { kind: Some(kind) })
    }
}

/// A value as a part of a conversation, if it can be one.
fn part(value: Given) -> Option<pb::part::Content> {
    Some(match value {
        Given::Text(text) => pb::part::Content::Text(text),
        Given::Image(image) => pb::part::Content::Image(image),
        Given::Audio(audio) => pb::part::Content::Audio(audio),
        Given::Video(video) => pb::part::Content::Video(video),
        _ => return None,
    })
}
