//! The targets that this node delivers to: webhooks and NATS; both run on threads of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use waag_nats::target::NatsTarget;
use waag_nats::{Login, Options as NatsOptions};
use waag_router::ports::{Secret, Targets};
use waag_router::spec::TargetSpec;
use waag_router::target::Target;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::SystemEntropy;
use waag_webhook::address::Policy;
use waag_webhook::secret::Secret as SigningSecret;
use waag_webhook::{Options, WebhookPool};

/// Threads that carry deliveries.
const THREADS: usize = 2;

/// Handlers in this process, by name.
#[derive(Clone, Default)]
pub struct Handlers(pub BTreeMap<String, Arc<dyn Target>>);

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where deliveries may go.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// Webhooks at plain `http` URLs.
    pub allow_http: bool,
    /// Webhooks at addresses of this machine and of private networks.
    pub allow_private: bool,
    /// The NATS servers that may be delivered to, as `nats://host:port`: what is sent there is a subscription's secret too.
    pub nats_servers: Vec<String>,
    /// Handlers of the program that this node runs in.
    pub handlers: Handlers,
}

/// Makes targets.
pub(super) struct NodeTargets {
    webhooks: WebhookPool,
    policy: Policy,
    nats_servers: Vec<String>,
    handlers: Handlers,
    runtime: Option<Runtime>,
}

impl NodeTargets {
    pub(super) fn new(options: &TargetOptions, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("waag-deliver")
            .enable_all()
            .build()
            .map_err(|error| format!("the threads of deliveries cannot be started: {error}"))?;
        let webhooks = WebhookPool::new(Options::new(runtime.handle().clone(), clock));
        let webhooks = webhooks.map_err(|error| format!("{}: {error}", error.code()))?;
        let policy = Policy {
            allow_http: options.allow_http,
            allow_private: options.allow_private,
            ..Policy::default()
        };
        Ok(Self {
            webhooks,
            policy,
            nats_servers: options.nats_servers.clone(),
            handlers: options.handlers.clone(),
            runtime: Some(runtime),
        })
    }

    fn nats(
        &self,
        name: &str,
        server: &str,
        subject: &str,
        secrets: &[Secret],
    ) -> Result<NatsTarget, String> {
        if !self.nats_servers.iter().any(|allowed| allowed == server) {
            return Err(format!("`{server}` is not among the servers that `--nats-server` names"));
        }
        let options = NatsOptions {
            server: server.to_owned(),
            login: login(secrets.first()),
            certificates: None,
            name: format!("waag {name}"),
        };
        let runtime = self.runtime.as_ref().ok_or("the node is closing")?;
        NatsTarget::new(&options, subject, &SystemEntropy::new(), runtime.handle())
            .map_err(|error| format!("{}: {error}", error.code()))
    }
}

/// `user:password`, or a token.
fn login(secret: Option<&Secret>) -> Login {
    match secret.map(|secret| secret.0.split_once(':').ok_or(&secret.0)) {
        None => Login::None,
        Some(Ok((user, password))) => {
            Login::Password { user: user.to_owned(), password: password.to_owned().into() }
        }
        Some(Err(token)) => Login::Token(token.to_string().into()),
    }
}

impl Targets for NodeTargets {
    fn open(&self, name: &str, spec: &TargetSpec, secrets: &[Secret]) -> Result<Arc<dyn Target>, String> {
        match spec {
            TargetSpec::Webhook { url } => {
                let parsed: Result<Vec<_>, _> =
                    secrets.iter().map(|secret| SigningSecret::parse(&secret.0)).collect();
                let made =
                    parsed.and_then(|secrets| self.webhooks.webhook(url, secrets, self.policy.clone()));
                Ok(Arc::new(made.map_err(|error| format!("{}: {error}", error.code()))?))
            }
            TargetSpec::Nats { server, subject } => Ok(Arc::new(self.nats(name, server, subject, secrets)?)),
            TargetSpec::Pull {} => Err("the subscriber asks for its events itself".to_owned()),
            TargetSpec::InProcess { handler } => {
                let found = self.handlers.0.get(handler).cloned();
                found.ok_or_else(|| format!("this node has no handler `{handler}`"))
            }
        }
    }

    fn new_secret(&self, spec: &TargetSpec) -> Result<Option<Secret>, String> {
        match spec {
            TargetSpec::Webhook { .. } => {
                let made = SigningSecret::generate(&SystemEntropy::new());
                Ok(Some(Secret(made.map_err(|error| error.to_string())?.reveal())))
            }
            TargetSpec::Pull {} | TargetSpec::Nats { .. } | TargetSpec::InProcess { .. } => Ok(None),
        }
    }
}

impl Drop for NodeTargets {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // What is under way is delivered again at the next start.
            runtime.shutdown_background();
        }
    }
}
