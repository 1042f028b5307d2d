//! The protocol's requests, turned into what the desk understands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelledNotificationParam,
    ContentBlock, GetPromptRequestParams, GetPromptResponse, GetPromptResult, Implementation,
    InitializeRequestParams, InitializeResult, ListPromptsResult, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, Prompt, PromptMessage, RequestId, Role,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};

use crate::{Answer, Call, Client, Desk, Offer};

/// How often a client that wants to know is told that its call is still under way. Clients commonly wait for a minute.
const PROGRESS: Duration = Duration::from_secs(5);
/// Longest name and version of a client that are kept, in characters.
const LONGEST_NAME: usize = 100;
/// What a call is told when nobody is there to do it.
const GONE: &str = "the run is over, and nothing more is done";

/// One client's side of the service.
pub(crate) struct Handler {
    offer: Arc<Offer>,
    desk: Arc<dyn Desk>,
    /// Calls under way, so that they can be cancelled.
    open: Mutex<HashMap<RequestId, Arc<AtomicBool>>>,
    introduced: AtomicBool,
}

impl Handler {
    pub(crate) fn new(offer: Arc<Offer>, desk: Arc<dyn Desk>) -> Self {
        Handler {
            offer,
            desk,
            open: Mutex::default(),
            introduced: AtomicBool::new(false),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<RequestId, Arc<AtomicBool>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn introduce(&self, client: &Implementation) {
        if self.introduced.swap(true, Ordering::Relaxed) {
            return;
        }
        let seen = |letter: char| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        };
        let short = |text: &str| text.chars().take(LONGEST_NAME).map(seen).collect();
        self.desk.client(Client {
            name: short(&client.name),
            version: short(&client.version),
        });
    }

    async fn answer(&self, call: Call, context: &RequestContext<RoleServer>) -> Answer {
        let mut answer = self.desk.call(call);
        let token = context.meta.get_progress_token();
        let mut steps: f64 = 0.0;
        loop {
            match tokio::time::timeout(PROGRESS, &mut answer).await {
                Ok(answer) => {
                    return answer.unwrap_or_else(|_| Answer {
                        text: GONE.to_owned(),
                        failed: true,
                    });
                }
                Err(_) => {
                    if let Some(token) = &token {
                        steps += 1.0;
                        let mut progress = ProgressNotificationParam::new(token.clone(), steps);
                        progress.message = Some("still under way".to_owned());
                        // A client that is gone hears nothing; its call goes on.
                        let _ = context.peer.notify_progress(progress).await;
                    }
                }
            }
        }
    }
}

fn told(answer: Answer) -> CallToolResult {
    let content = vec![ContentBlock::text(answer.text)];
    if answer.failed {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .build();
        let mut info = ServerConfig::new(capabilities).with_instructions(&*self.offer.instructions);
        info.server_info = Implementation::new(&*self.offer.name, &*self.offer.version);
        info
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        self.introduce(&request.client_info);
        context.peer.set_peer_info(request.clone());
        self.negotiate_initialize(&request)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.offer.tools.iter().map(|tool| {
            let schema = match tool.schema.value() {
                serde_json::Value::Object(schema) => schema,
                _ => serde_json::Map::new(),
            };
            Tool::new(tool.name.clone(), tool.description.clone(), schema)
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(client) = context.client_info() {
            self.introduce(&client);
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        self.open()
            .insert(context.id.clone(), Arc::clone(&cancelled));
        let arguments = request.arguments.unwrap_or_default();
        let call = Call {
            name: request.name.into_owned(),
            arguments: serde_json::Value::Object(arguments).to_string(),
            cancelled,
        };
        let answer = self.answer(call, &context).await;
        self.open().remove(&context.id);
        Ok(told(answer).into())
    }

    async fn on_cancelled(
        &self,
        notification: CancelledNotificationParam,
        _: NotificationContext<RoleServer>,
    ) {
        if let Some(id) = notification.request_id
            && let Some(cancelled) = self.open().remove(&id)
        {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (name, description) = &self.offer.prompt;
        let prompt = Prompt::new(name.clone(), Some(description.clone()), None);
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let (name, description) = &self.offer.prompt;
        if request.name != *name {
            let message = format!("there is no prompt `{}`: there is `{name}`", request.name);
            return Err(ErrorData::invalid_params(message, None));
        }
        match self.desk.prompt().await {
            Ok(Ok(text)) => {
                let message = PromptMessage::new_text(Role::User, text);
                let mut result = GetPromptResult::new(vec![message]);
                result.description = Some(description.clone());
                Ok(result.into())
            }
            Ok(Err(error)) => Err(ErrorData::internal_error(error, None)),
            Err(_) => Err(ErrorData::internal_error(GONE, None)),
        }
    }
}
