//! Conversations, which come as the JSON of chat endpoints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::{audio, image, part};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Part {
    Text { text: String },
    ImageUrl { image_url: Url },
    InputAudio { input_audio: Sound },
    VideoUrl { video_url: Url },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Url {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sound {
    data: String,
    /// Told from the content.
    #[serde(rename = "format")]
    _format: Option<String>,
}

/// Reads a list of messages. Pictures and films come as `data:` URLs; nothing is fetched.
pub(super) fn read(json: &str) -> Result<pb::Conversation, String> {
    let messages: Vec<Message> =
        serde_json::from_str(json).map_err(|error| format!("no list of messages: {error}"))?;
    let messages = messages.into_iter().enumerate().map(|(place, message)| {
        let at = |problem: String| format!("messages[{place}]: {problem}");
        let role = match message.role.as_str() {
            "system" | "developer" => pb::Role::System,
            "user" => pb::Role::User,
            "assistant" => pb::Role::Assistant,
            other => return Err(at(format!("there is no role '{other}'; there is system, user, assistant"))),
        };
        let parts = match message.content {
            Content::Text(text) => vec![pb::Part { content: Some(part::Content::Text(text)) }],
            Content::Parts(parts) => parts.into_iter().map(part).collect::<Result<_, _>>().map_err(at)?,
        };
        Ok(pb::Message { role: role.into(), parts })
    });
    Ok(pb::Conversation { messages: messages.collect::<Result<_, _>>()? })
}

/// What a URL holds in base64.
fn in_url<'u>(Url { url }: &'u Url, what: &str) -> Result<&'u str, String> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (_, data) =
        data.ok_or_else(|| format!("{what} that is no `data:` URL with base64; nothing is fetched"))?;
    Ok(data)
}

fn part(part: Part) -> Result<pb::Part, String> {
    let decode = |data: &str| STANDARD.decode(data).map_err(|error| format!("no base64: {error}"));
    let content = match part {
        Part::Text { text } => part::Content::Text(text),
        Part::ImageUrl { image_url } => {
            let content = Some(image::Content::Encoded(decode(in_url(&image_url, "a picture")?)?.into()));
            part::Content::Image(pb::Image { content })
        }
        Part::VideoUrl { video_url } => {
            let encoded = Some(decode(in_url(&video_url, "a video")?)?.into());
            part::Content::Video(pb::Video { frames: Vec::new(), encoded })
        }
        Part::InputAudio { input_audio } => {
            let content = Some(audio::Content::Encoded(decode(&input_audio.data)?.into()));
            part::Content::Audio(pb::Audio { content })
        }
    };
    Ok(pb::Part { content: Some(content) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_in_order() {
        let json = r#"[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}},
                {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AwQ="}}
            ]}
        ]"#;
        let read = read(json).unwrap();
        assert_eq!(read.messages[0].role(), pb::Role::System);
        let Some(part::Content::Image(image)) = &read.messages[1].parts[1].content else {
            panic!("a picture")
        };
        assert_eq!(image.content, Some(image::Content::Encoded(vec![0, 1, 2].into())));
        let Some(part::Content::Video(video)) = &read.messages[1].parts[2].content else { panic!("a film") };
        assert_eq!(video.encoded.as_deref(), Some(&[3, 4][..]));
    }

    #[test]
    fn nothing_is_fetched_or_ignored() {
        let refused =
            |part: &str| read(&format!(r#"[{{"role": "user", "content": [{part}]}}]"#)).unwrap_err();
        let url = r#"{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}"#;
        assert!(refused(url).contains("nothing is fetched"));
        let url = r#"{"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}}"#;
        assert!(refused(url).contains("a video that is no `data:` URL"));
        let unknown = r#"{"type": "text", "text": "x", "cache": true}"#;
        assert!(refused(unknown).starts_with("no list of messages"));
    }
}
