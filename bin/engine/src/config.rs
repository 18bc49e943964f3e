//! The settings of the engine.

use clap::{Args, ValueEnum};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

/// What `privatemode-engine` takes on its command line, from its environment and from its configuration file.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Address to serve HTTP on. Keep it on loopback: there is no authentication here.
    #[arg(long, env = "PRIVATEMODE_ENGINE_LISTEN", default_value = "127.0.0.1:8008")]
    pub listen: SocketAddr,
    /// Serve on this Unix socket instead of TCP.
    #[arg(long, env = "PRIVATEMODE_ENGINE_UNIX", value_name = "PATH")]
    pub unix: Option<PathBuf>,
    /// `demo`, a directory, a .gguf file, or a hub name: ORG/NAME, with @REVISION and :FILE.gguf where wanted.
    #[arg(long, env = "PRIVATEMODE_ENGINE_MODEL", default_value = "demo")]
    pub model: String,
    /// Name of the model in requests; by default that of its directory, file or repository.
    #[arg(long, env = "PRIVATEMODE_ENGINE_SERVED_NAME", value_name = "NAME")]
    pub served_name: Option<String>,
    /// What weights become at load.
    #[arg(long, env = "PRIVATEMODE_ENGINE_QUANTIZE", value_enum, default_value = "q8_0")]
    pub quantize: Quantize,
    /// Number format of weights that are not quantised.
    #[arg(long, env = "PRIVATEMODE_ENGINE_DTYPE", value_enum, default_value = "f32")]
    pub dtype: Dtype,
    /// Most tokens of prompt and answer together; by default what the model was made for, at most 32768.
    #[arg(long, env = "PRIVATEMODE_ENGINE_MAX_CONTEXT", value_name = "TOKENS")]
    pub max_context: Option<usize>,
    /// Threads that compute; by default one for small models, all cores otherwise.
    #[arg(long, env = "PRIVATEMODE_ENGINE_THREADS", value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,
    /// Requests that may wait; further ones are answered with 503.
    #[arg(long, env = "PRIVATEMODE_ENGINE_QUEUE", value_name = "REQUESTS", default_value_t = 64)]
    pub queue: usize,
    /// Largest request body.
    #[arg(long, env = "PRIVATEMODE_ENGINE_MAX_BODY", value_name = "BYTES", default_value_t = 16 << 20)]
    pub max_body: usize,
    /// Hub to fetch models from.
    #[arg(long, env = "HF_ENDPOINT", value_name = "URL", default_value = "https://huggingface.co")]
    pub hub_url: String,
    /// Token for the hub. Prefer the environment: command lines are visible to others.
    #[arg(long, env = "HF_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub hub_token: Option<HubToken>,
    /// Where fetched models are kept; by default `privatemode/models` in the user's cache directory.
    #[arg(long, env = "PRIVATEMODE_ENGINE_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

/// A token for the hub; it never appears in output.
#[derive(Clone)]
pub struct HubToken(pub(crate) String);

impl FromStr for HubToken {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for HubToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HubToken(..)")
    }
}

/// Quantisation of weights at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Quantize {
    /// 8 bits: practically the original's answers.
    #[value(name = "q8_0")]
    Q8_0,
    /// 4.5 bits: half the memory, a little worse.
    #[value(name = "q4_k")]
    Q4K,
    /// None: see --dtype. Slow on a CPU.
    None,
}

/// Number format without quantisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    F32,
    F16,
}

impl Config {
    /// The settings' own value, else the usual place for caches.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        let user = || {
            let set =
                |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
        };
        let default = || user().unwrap_or_else(std::env::temp_dir).join("privatemode").join("models");
        self.cache_dir.clone().unwrap_or_else(default)
    }
}
