//! The process: bind, fetch, load, serve, drain.

use anyhow::Context as _;
use privatemode_service::{BoxFuture, Limits, Process, Shutdown, listen, serve_router};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

use crate::api::{Served, now, router};
use crate::config::Config;
use crate::load::{Loaded, Options, load};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::hub::Hub;
use crate::source::{Bundle, Spec, demo};
use crate::text::tokenizer::longest_token;

/// Serves the configured model until the process has to end.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        // First, so that a taken address is said at once and not after a download.
        let listener = Listener::bind(&config)?;
        let loaded = tokio::select! {
            loaded = prepare(&config) => loaded?,
            () = process.shutdown.triggered() => return Ok(()),
        };
        let served = start(loaded, &config)?;
        process.announce(&[("http", listener.address()?)]);
        listener.serve(router(served), process.shutdown.clone()).await
    })
}

async fn prepare(config: &Config) -> anyhow::Result<Loaded> {
    let bundle = match Spec::parse(&config.model)? {
        Spec::Demo => demo::bundle(),
        Spec::Path(path) => Bundle::at_path(&path)?,
        Spec::Hub(name) => {
            let hub = Hub {
                url: config.hub_url.trim_end_matches('/').to_owned(),
                token: config.hub_token.as_ref().map(|token| token.0.clone()),
                cache: config.cache_dir(),
            };
            Bundle::at_path(&hub.fetch(&name).await?)?.named(name.model())
        }
    };
    let bundle = match &config.served_name {
        Some(name) => bundle.named(name.clone()),
        None => bundle,
    };
    let options = Options::of(config);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A thread of its own, not the runtime's: the runtime would wait for it at shutdown.
    std::thread::Builder::new()
        .name("engine-load".to_owned())
        .spawn(move || {
            let _ = sender.send(load(&bundle, options));
        })
        .context("cannot start a thread")?;
    let loaded = receiver.await.context("loading the model panicked")?;
    loaded.with_context(|| format!("cannot load the model `{}`", config.model))
}

pub(crate) fn start(loaded: Loaded, config: &Config) -> anyhow::Result<Arc<Served>> {
    let Loaded { name, backend, tokenizer, template, end_tokens } = loaded;
    let (task, max_context) = (backend.task(), backend.max_context());
    let (tokenizer, metrics) = (Arc::new(tokenizer), Arc::new(Metrics::new(&name)));
    let queue = Queue::start(backend, Arc::clone(&tokenizer), config.queue, Arc::clone(&metrics))
        .context("cannot start the worker")?;
    Ok(Arc::new(Served {
        name,
        task,
        max_context,
        longest_token: longest_token(&tokenizer),
        tokenizer,
        template,
        end_tokens,
        queue,
        metrics,
        max_body: config.max_body,
        started: now(),
    }))
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes the socket when the process ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    fn bind(config: &Config) -> anyhow::Result<Self> {
        let Some(path) = &config.unix else { return Ok(Self::Tcp(listen(config.listen)?)) };
        remove_stale(path);
        let failed =
            || format!("cannot listen on the socket `{}`; is another engine using it?", path.display());
        let listener = UnixListener::bind(path).with_context(failed)?;
        let file = SocketFile(path.clone());
        // Whoever can open it can use the model; prompts come over it.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(failed)?;
        Ok(Self::Unix(listener, file))
    }

    fn address(&self) -> anyhow::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => listener.local_addr().context("the listener has no address")?.to_string(),
            Self::Unix(_, file) => file.0.display().to_string(),
        })
    }

    async fn serve(self, router: axum::Router, shutdown: Shutdown) -> anyhow::Result<()> {
        let limits = Limits::default();
        match self {
            Self::Tcp(listener) => {
                serve_router(listener, None, router, limits, shutdown).await;
                Ok(())
            }
            Self::Unix(listener, _file) => {
                let ended = shutdown.clone();
                let server = axum::serve(listener, router)
                    .with_graceful_shutdown(async move { ended.triggered().await });
                let late = async {
                    shutdown.triggered().await;
                    tokio::time::sleep(limits.grace).await;
                };
                tokio::select! {
                    served = async { server.await } => served.context("serving failed"),
                    () = late => Ok(()),
                }
            }
        }
    }
}

/// A socket that nobody accepts on is left over from a process that was killed.
fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests;
