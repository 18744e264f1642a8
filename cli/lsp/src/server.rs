//! Reads messages one after the other and answers them; says what is wrong when none waits.
//!
//! Messages that wait are taken in before the next is answered, so that a request that was
//! cancelled meanwhile is not worked on, and a burst of changes is compiled once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response, ResponseError};
use lsp_types::notification::{
    Cancel, DidChangeTextDocument, DidChangeWatchedFiles, DidChangeWorkspaceFolders, DidCloseTextDocument,
    DidOpenTextDocument, DidSaveTextDocument, Exit, Initialized, Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    Completion, DocumentHighlightRequest, DocumentSymbolRequest, Formatting, GotoDefinition, HoverRequest,
    Initialize, PrepareRenameRequest, References, RegisterCapability, Rename, Request as _,
    SemanticTokensFullRequest, Shutdown,
};
use lsp_types::{
    CancelParams, DidChangeWatchedFilesRegistrationOptions, FileSystemWatcher, GlobPattern, InitializeParams,
    InitializeResult, NumberOrString, PublishDiagnosticsParams, Registration, RegistrationParams, ServerInfo,
};
use serde_json::Value;

use crate::diagnostics::Published;
use crate::text::Encoding;
use crate::world::World;
use crate::{Settings, completion, format, highlight, hover, navigate, offer, place, rename, symbols};

/// What is wrong is said when nothing came for so long: the next key stroke is usually sooner.
const QUIET: Duration = Duration::from_millis(80);

/// Why a request has no answer.
pub(crate) type Refusal = ResponseError;

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begun,
    Initialized,
    ShutDown,
}

pub(crate) struct Server<'c> {
    connection: &'c Connection,
    world: World,
    published: Published,
    waiting: VecDeque<Message>,
    stage: Stage,
    /// Whether the editor watches files that it is asked to watch.
    watches: bool,
}

impl<'c> Server<'c> {
    pub(crate) fn new(settings: Settings, connection: &'c Connection) -> Self {
        Self {
            connection,
            world: World::new(settings),
            published: Published::default(),
            waiting: VecDeque::new(),
            stage: Stage::Begun,
            watches: false,
        }
    }

    /// Answers until `exit` or until the editor is gone; whether it said `shutdown` before.
    pub(crate) fn run(mut self) -> bool {
        while let Some(message) = self.next() {
            match message {
                Message::Request(request) => self.request(request),
                Message::Notification(it) if it.method == Exit::METHOD => {
                    return self.stage == Stage::ShutDown;
                }
                Message::Notification(notification) => self.notified(notification),
                // What the editor is asked needs no answer.
                Message::Response(_) => {}
            }
        }
        false
    }

    /// The next message; while there is none, says what is wrong. `None` if the editor is gone.
    fn next(&mut self) -> Option<Message> {
        loop {
            while let Ok(message) = self.connection.receiver.try_recv() {
                self.waiting.push_back(message);
            }
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            let Some(stale) = self.stale() else { return self.connection.receiver.recv().ok() };
            match self.connection.receiver.recv_timeout(QUIET) {
                Ok(message) => return Some(message),
                Err(error) if error.is_disconnected() => return None,
                Err(_) => self.publish(&stale),
            }
        }
    }

    fn stale(&self) -> Option<String> {
        if self.stage != Stage::Initialized {
            return None;
        }
        let mut open = self.world.open.iter();
        open.find(|(_, document)| document.is_stale).map(|(key, _)| key.clone())
    }

    fn publish(&mut self, key: &str) {
        if let Some(document) = self.world.open.get_mut(key) {
            document.is_stale = false;
        }
        let (world, published) = (&mut self.world, &mut self.published);
        // A mistake of the compiler's is said on standard error; the editor keeps what it shows.
        let made = catch_unwind(AssertUnwindSafe(|| published.update(world, key))).unwrap_or_default();
        for params in made {
            self.show(params);
        }
    }

    fn show(&self, params: PublishDiagnosticsParams) {
        let method = PublishDiagnostics::METHOD.to_owned();
        let _ = self.connection.sender.send(Notification::new(method, params).into());
    }

    fn request(&mut self, request: Request) {
        let id = request.id.clone();
        let answer = if self.is_cancelled(&id) {
            Err(refusal(ErrorCode::RequestCanceled, "cancelled by the editor"))
        } else {
            catch_unwind(AssertUnwindSafe(|| self.answer(request))).unwrap_or_else(|_| {
                self.world.recover();
                Err(refusal(ErrorCode::InternalError, "a mistake of corn's; standard error says more"))
            })
        };
        let _ = self.connection.sender.send(Response { id, response_result: answer }.into());
    }

    fn is_cancelled(&self, id: &RequestId) -> bool {
        let cancels = |message: &Message| match message {
            Message::Notification(it) if it.method == Cancel::METHOD => {
                cancelled(&it.params).as_ref() == Some(id)
            }
            _ => false,
        };
        self.waiting.iter().any(cancels)
    }

    fn answer(&mut self, request: Request) -> Result<Value, Refusal> {
        match (self.stage, request.method.as_str()) {
            (Stage::Begun, Initialize::METHOD) => {
                return ask::<Initialize>(request.params, |params| Ok(self.initialize(&params)));
            }
            (Stage::Begun, _) => {
                return Err(refusal(ErrorCode::ServerNotInitialized, "`initialize` comes first"));
            }
            (Stage::Initialized, Shutdown::METHOD) => {
                self.stage = Stage::ShutDown;
                return Ok(Value::Null);
            }
            (Stage::Initialized, Initialize::METHOD) => {
                return Err(refusal(ErrorCode::InvalidRequest, "the session is initialized already"));
            }
            (Stage::ShutDown, _) => {
                return Err(refusal(ErrorCode::InvalidRequest, "the session is shut down"));
            }
            (Stage::Initialized, _) => {}
        }
        let Request { method, params, .. } = request;
        let world = &mut self.world;
        match method.as_str() {
            HoverRequest::METHOD => ask::<HoverRequest>(params, |params| hover::hover(world, &params)),
            GotoDefinition::METHOD => {
                ask::<GotoDefinition>(params, |params| navigate::definition(world, &params))
            }
            References::METHOD => ask::<References>(params, |params| navigate::references(world, &params)),
            DocumentHighlightRequest::METHOD => {
                ask::<DocumentHighlightRequest>(params, |params| navigate::highlight(world, &params))
            }
            DocumentSymbolRequest::METHOD => {
                ask::<DocumentSymbolRequest>(params, |params| symbols::symbols(world, &params))
            }
            Completion::METHOD => ask::<Completion>(params, |params| completion::complete(world, &params)),
            PrepareRenameRequest::METHOD => {
                ask::<PrepareRenameRequest>(params, |params| rename::prepare(world, &params))
            }
            Formatting::METHOD => ask::<Formatting>(params, |params| format::format(world, &params)),
            Rename::METHOD => ask::<Rename>(params, |params| rename::rename(world, &params)),
            SemanticTokensFullRequest::METHOD => {
                ask::<SemanticTokensFullRequest>(params, |params| highlight::tokens(world, &params))
            }
            _ => Err(refusal(ErrorCode::MethodNotFound, &format!("`{method}` is not offered"))),
        }
    }

    fn initialize(&mut self, params: &InitializeParams) -> InitializeResult {
        let general = params.capabilities.general.as_ref();
        self.world.encoding =
            Encoding::choose(general.and_then(|general| general.position_encodings.as_deref()));
        let workspace = params.capabilities.workspace.as_ref();
        let watched = workspace.and_then(|it| it.did_change_watched_files.as_ref());
        self.watches = watched.and_then(|it| it.dynamic_registration).unwrap_or_default();
        let text_document = params.capabilities.text_document.as_ref();
        let item = text_document.and_then(|it| it.completion.as_ref()?.completion_item.as_ref());
        self.world.takes_snippets = item.and_then(|it| it.snippet_support).unwrap_or_default();
        let folders = params.workspace_folders.iter().flatten().map(|folder| &folder.uri);
        self.world.folders = folders.filter_map(place::path).collect();
        #[allow(deprecated, reason = "older editors send only this")]
        if let Some(root) = params.root_uri.as_ref().and_then(place::path)
            && self.world.folders.is_empty()
        {
            self.world.folders.push(root);
        }
        self.stage = Stage::Initialized;
        let version = Some(env!("CARGO_PKG_VERSION").to_owned());
        InitializeResult {
            capabilities: offer::capabilities(self.world.encoding),
            server_info: Some(ServerInfo { name: "corn lsp".to_owned(), version }),
        }
    }

    /// Asks to be told of `.corn` files that change on disk.
    fn watch(&self) {
        let watcher =
            FileSystemWatcher { glob_pattern: GlobPattern::String("**/*.corn".to_owned()), kind: None };
        let options = DidChangeWatchedFilesRegistrationOptions { watchers: vec![watcher] };
        let registration = Registration {
            id: "corn files".to_owned(),
            method: DidChangeWatchedFiles::METHOD.to_owned(),
            register_options: serde_json::to_value(options).ok(),
        };
        let params = RegistrationParams { registrations: vec![registration] };
        let id = RequestId::from("corn files".to_owned());
        let request = Request::new(id, RegisterCapability::METHOD.to_owned(), params);
        let _ = self.connection.sender.send(request.into());
    }

    fn notified(&mut self, notification: Notification) {
        if self.stage != Stage::Initialized {
            return;
        }
        let Notification { method, params } = notification;
        // What cannot be read is passed over: a notification has no answer.
        match method.as_str() {
            Initialized::METHOD if self.watches => self.watch(),
            DidOpenTextDocument::METHOD => told::<DidOpenTextDocument>(params, |params| {
                let document = params.text_document;
                self.world.open(document.uri, &document.text, document.version);
            }),
            DidChangeTextDocument::METHOD => told::<DidChangeTextDocument>(params, |params| {
                let key = World::key(&params.text_document.uri);
                let encoding = self.world.encoding;
                if let Some(document) = self.world.open.get_mut(&key) {
                    document.change(params.content_changes, params.text_document.version, encoding);
                    self.world.touch(&key);
                }
            }),
            DidCloseTextDocument::METHOD => told::<DidCloseTextDocument>(params, |params| {
                let key = World::key(&params.text_document.uri);
                self.world.close(&key);
                for params in self.published.forget(&self.world, &key) {
                    self.show(params);
                }
            }),
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => self.world.touch_all(),
            DidChangeWorkspaceFolders::METHOD => told::<DidChangeWorkspaceFolders>(params, |params| {
                let removed: Vec<_> =
                    params.event.removed.iter().filter_map(|folder| place::path(&folder.uri)).collect();
                self.world.folders.retain(|folder| !removed.contains(folder));
                let added = params.event.added.iter().filter_map(|folder| place::path(&folder.uri));
                self.world.folders.extend(added);
            }),
            _ => {}
        }
    }
}

/// Reads the parameters, asks, and writes the answer.
fn ask<R: lsp_types::request::Request>(
    params: Value,
    made: impl FnOnce(R::Params) -> Result<R::Result, Refusal>,
) -> Result<Value, Refusal> {
    let params = serde_json::from_value(params)
        .map_err(|error| refusal(ErrorCode::InvalidParams, &error.to_string()))?;
    serde_json::to_value(made(params)?).map_err(|error| refusal(ErrorCode::InternalError, &error.to_string()))
}

fn told<N: lsp_types::notification::Notification>(params: Value, done: impl FnOnce(N::Params)) {
    if let Ok(params) = serde_json::from_value(params) {
        done(params);
    }
}

pub(crate) fn refusal(code: ErrorCode, message: &str) -> Refusal {
    Refusal { code: code as i32, message: message.to_owned(), data: None }
}

/// Said of a file that the editor has not opened.
pub(crate) fn not_open(key: &str) -> Refusal {
    refusal(ErrorCode::InvalidParams, &format!("'{key}' is not open"))
}

fn cancelled(params: &Value) -> Option<RequestId> {
    let params: CancelParams = serde_json::from_value(params.clone()).ok()?;
    Some(match params.id {
        NumberOrString::Number(number) => number.into(),
        NumberOrString::String(text) => text.into(),
    })
}
