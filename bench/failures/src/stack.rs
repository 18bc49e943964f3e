//! All the processes, and how to end and start each of them again at its address.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use privatemode_manifest::generate::{Entry, simulated};
use privatemode_manifest::{Role, workload};
use privatemode_test_kit::{ChildGuard, EtcdCluster, free_port};
use tempfile::TempDir;

use crate::forward::Forwarder;
use crate::upstream;

/// Generous: the machine is busy.
const LIMIT: Duration = Duration::from_secs(120);
const MEMBERS: usize = 3;
const WORKERS: usize = 2;

/// A process and how to start it again.
pub(crate) struct Member {
    program: PathBuf,
    arguments: Vec<String>,
    roots: Option<PathBuf>,
    process: Option<ChildGuard>,
}

/// The whole deployment.
pub(crate) struct Stack {
    pub(crate) etcd: EtcdCluster,
    pub(crate) etcd_urls: Vec<String>,
    /// Between the first secret service and etcd.
    pub(crate) links: Vec<Forwarder>,
    pub(crate) coordinators: Vec<Member>,
    pub(crate) secret_services: Vec<Member>,
    pub(crate) workers: Vec<Member>,
    gateway: Member,
    _proxy: Member,
    pub(crate) endpoint: String,
    pub(crate) gateway_url: String,
    pub(crate) key: String,
    /// PEM of the gateway's certificate.
    pub(crate) roots: Vec<u8>,
    _folder: TempDir,
}

impl Member {
    fn new(program: &Path, part: &str, arguments: &[(&str, &str)]) -> Self {
        let fixed = ["service", part, "--announce", "--log-level", "warn"].map(str::to_owned);
        let given = arguments.iter().flat_map(|(flag, value)| {
            [*flag, *value].into_iter().filter(|text| !text.is_empty()).map(str::to_owned)
        });
        let arguments = fixed.into_iter().chain(given).collect();
        Self { program: program.to_owned(), arguments, roots: None, process: None }
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if let Some(roots) = &self.roots {
            command.env("SSL_CERT_FILE", roots);
        }
        let mut process = ChildGuard::spawn(&mut command)?;
        if let Err(error) = process.announced(LIMIT).await {
            bail!("{:?} did not start: {error}\n{}", self.arguments.get(1), process.stderr());
        }
        self.process = Some(process);
        Ok(())
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.take().context("it does not run")?.kill()
    }

    /// What its operator does.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.interrupt()?;
        process.ended(LIMIT).await?;
        Ok(())
    }
}

impl Stack {
    /// None if there is no etcd.
    pub(crate) async fn start(program: &Path) -> Result<Option<Self>> {
        let Some(etcd) = EtcdCluster::start(MEMBERS, None).await else { return Ok(None) };
        let etcd_urls = etcd.urls();
        let folder = tempfile::tempdir()?;
        let engine = format!("http://{}", upstream::start().await?);
        let files = Files::write(folder.path())?;
        let address = || format!("127.0.0.1:{}", free_port());

        let mut links = Vec::new();
        for url in &etcd_urls {
            links.push(Forwarder::start(url.trim_start_matches("http://").to_owned()).await?);
        }
        let linked: Vec<String> = links.iter().map(|link| format!("http://{}", link.address)).collect();

        let meshes: Vec<String> = (0..MEMBERS).map(|_| address()).collect();
        let (https, joins): (Vec<String>, Vec<String>) = (0..MEMBERS).map(|_| (address(), address())).unzip();
        let state = format!("directory:{}", folder.path().join("state").display());
        let own = files.policy(workload::COORDINATOR);
        let mut coordinators = Vec::new();
        for index in 0..MEMBERS {
            let mut flags = vec![
                ("--manifest", files.manifest.as_str()),
                ("--policies", &files.policies),
                ("--own-policy", &own),
                ("--platform", "simulated"),
                ("--danger-simulated", ""),
                ("--state", &state),
                ("--http-listen", &https[index]),
                ("--join-listen", &joins[index]),
                ("--mesh-listen", &meshes[index]),
                ("--user-listen", "127.0.0.1:0"),
                ("--probe-listen", "127.0.0.1:0"),
            ];
            flags.extend(
                meshes.iter().filter(|mesh| **mesh != meshes[index]).map(|mesh| ("--peer", mesh.as_str())),
            );
            coordinators.push(Member::new(program, "coordinator", &flags));
        }

        let (https, joins) = (with("http://", &https), with("http://", &joins));
        let mesh = |name: &str| {
            let mut flags = vec![
                ("--expected-manifest".to_owned(), files.manifest.clone()),
                ("--workload-policy".to_owned(), files.policy(name)),
                ("--platform".to_owned(), "simulated".to_owned()),
                ("--danger-simulated".to_owned(), String::new()),
            ];
            flags.extend(https.iter().map(|url| ("--coordinator".to_owned(), url.clone())));
            flags.extend(joins.iter().map(|url| ("--coordinator-mesh".to_owned(), url.clone())));
            flags
        };
        let member = |name: &str, part: &str, own: &[(&str, &str)], lists: &[(&str, &[String])]| {
            let common = mesh(name);
            let lists = lists
                .iter()
                .flat_map(|(flag, values)| values.iter().map(move |value| (*flag, value.as_str())));
            let common = common.iter().map(|(flag, value)| (flag.as_str(), value.as_str()));
            Member::new(program, part, &common.chain(own.iter().copied()).chain(lists).collect::<Vec<_>>())
        };
        let secrets: Vec<String> = (0..MEMBERS).map(|_| address()).collect();
        let secret_services = secrets
            .iter()
            .enumerate()
            .map(|(index, listen)| {
                let etcd: &[String] = if index == 0 { &linked } else { &etcd_urls };
                let own = [("--listen", listen.as_str()), ("--health-listen", "127.0.0.1:0")];
                member(workload::SECRET_SERVICE, "secret-service", &own, &[("--etcd", etcd)])
            })
            .collect();
        let secrets = with("https://", &secrets);
        let listens: Vec<String> = (0..WORKERS).map(|_| address()).collect();
        let workers = listens
            .iter()
            .map(|listen| {
                let own = [
                    ("--listen", listen.as_str()),
                    ("--metrics-listen", "127.0.0.1:0"),
                    ("--engine", &engine),
                ];
                let lists = [("--etcd", etcd_urls.as_slice()), ("--secret-service", &secrets)];
                member(workload::INFERENCE_PROXY, "inference-proxy", &own, &lists)
            })
            .collect();
        let gateway_listen = address();
        let own = [
            ("--listen", gateway_listen.as_str()),
            ("--metrics-listen", "127.0.0.1:0"),
            ("--database", &files.database),
            ("--tls-cert", &files.certificate),
            ("--tls-key", &files.key),
            ("--exchanges-per-minute", "1000000"),
        ];
        let listens = with("https://", &listens);
        let lists = [("--worker", listens.as_slice()), ("--secret-service", &secrets)];
        let gateway = member(workload::GATEWAY, "gateway", &own, &lists);
        let port = free_port().to_string();
        let gateway_url = format!("https://{gateway_listen}");
        let workspace = folder.path().join("proxy").display().to_string();
        std::fs::create_dir(&workspace)?;
        let mut proxy = Member::new(
            program,
            "proxy",
            &[
                ("--port", &port),
                ("--apiEndpoint", gateway_listen.as_str()),
                ("--danger-simulated", ""),
                ("--workspace", &workspace),
                ("--manifestPath", &files.manifest),
            ],
        );
        proxy.roots = Some(files.certificate.clone().into());
        let key = api_key(program, folder.path())?;
        let roots = std::fs::read(&files.certificate)?;
        let endpoint = format!("http://127.0.0.1:{port}/v1");
        let mut stack = Self {
            etcd,
            etcd_urls,
            links,
            coordinators,
            secret_services,
            workers,
            gateway,
            _proxy: proxy,
            endpoint,
            gateway_url,
            key,
            roots,
            _folder: folder,
        };
        stack.start_trusted().await?;
        stack._proxy.start().await?;
        Ok(Some(stack))
    }

    /// Everything but the client's proxy.
    async fn start_trusted(&mut self) -> Result<()> {
        let members = self.coordinators.iter_mut().chain(&mut self.secret_services).chain(&mut self.workers);
        for member in members {
            member.start().await?;
        }
        self.gateway.start().await
    }

    /// Kills everything but etcd and the client's proxy, forgets the history with its seed, and starts all of it as a new
    /// deployment of the same manifest.
    pub(crate) async fn redeploy(&mut self) -> Result<()> {
        let members = self.coordinators.iter_mut().chain(&mut self.secret_services).chain(&mut self.workers);
        for member in members {
            member.kill()?;
        }
        self.gateway.kill()?;
        std::fs::remove_dir_all(self._folder.path().join("state"))?;
        self.start_trusted().await
    }

    pub(crate) async fn restart_gateway(&mut self) -> Result<()> {
        self.gateway.kill()?;
        self.gateway.start().await
    }
}

fn with(scheme: &str, addresses: &[String]) -> Vec<String> {
    addresses.iter().map(|address| format!("{scheme}{address}")).collect()
}

/// What the processes read.
struct Files {
    manifest: String,
    policies: String,
    database: String,
    certificate: String,
    key: String,
}

impl Files {
    fn write(folder: &Path) -> Result<Self> {
        let path = |name: &str| folder.join(name).display().to_string();
        let parts: [(&str, &[&str], Role); 4] = [
            (workload::COORDINATOR, &["coordinator"], Role::Coordinator),
            (workload::SECRET_SERVICE, &["root", "secret-service"], Role::Workload),
            (workload::INFERENCE_PROXY, &["continuum-etcd-client", "inference-proxy"], Role::Workload),
            (workload::GATEWAY, &["gateway"], Role::Workload),
        ];
        std::fs::create_dir_all(folder.join("policies"))?;
        std::fs::create_dir_all(folder.join("data/gateway"))?;
        let mut entries = Vec::new();
        for (name, sans, role) in &parts {
            std::fs::write(folder.join("policies").join(name), name)?;
            entries.push(Entry { policy: name.as_bytes(), sans, workload_secret_id: None, role: *role });
        }
        std::fs::write(folder.join("manifest.json"), simulated(&entries))?;
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        std::fs::write(folder.join("tls.pem"), made.cert.pem())?;
        std::fs::write(folder.join("tls-key.pem"), made.signing_key.serialize_pem())?;
        Ok(Self {
            manifest: path("manifest.json"),
            policies: path("policies"),
            database: path("data/gateway/accounts.db"),
            certificate: path("tls.pem"),
            key: path("tls-key.pem"),
        })
    }

    fn policy(&self, name: &str) -> String {
        format!("{}/{name}", self.policies)
    }
}

fn api_key(program: &Path, folder: &Path) -> Result<String> {
    let made = Command::new(program)
        .args(["keys", "create", "failures", "--json", "--dir"])
        .arg(folder.join("data"))
        .output()?;
    let json: serde_json::Value = serde_json::from_slice(&made.stdout)
        .with_context(|| format!("no API key: {}", String::from_utf8_lossy(&made.stderr)))?;
    Ok(json["key"].as_str().context("no API key in the answer")?.to_owned())
}
