//! What fails, and how it comes back. Each fault lasts for a pause, and is mended before it returns.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::stack::{Member, Stack};

/// Something that fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Nothing,
    EtcdKilled(usize),
    EtcdLeaderMoves,
    EtcdLeaderFrozen,
    EtcdSlowDisk,
    SecretServiceCutOff,
    SecretServiceKilled(usize),
    SecretServiceDrained,
    CoordinatorKilled(usize),
    CoordinatorsAllButOneKilled,
    WorkerDrained,
    WorkerKilled,
    GatewayKilled,
    Redeployed,
}

pub(crate) const ALL: [Fault; 18] = [
    Fault::Nothing,
    Fault::EtcdKilled(0),
    Fault::EtcdKilled(1),
    Fault::EtcdKilled(2),
    Fault::EtcdLeaderMoves,
    Fault::EtcdLeaderFrozen,
    Fault::EtcdSlowDisk,
    Fault::SecretServiceCutOff,
    Fault::SecretServiceKilled(0),
    Fault::SecretServiceKilled(1),
    Fault::SecretServiceDrained,
    Fault::CoordinatorKilled(0),
    Fault::CoordinatorKilled(1),
    Fault::CoordinatorsAllButOneKilled,
    Fault::WorkerDrained,
    Fault::WorkerKilled,
    Fault::GatewayKilled,
    Fault::Redeployed,
];

impl Fault {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::EtcdKilled(which) => format!("etcd member {which}: kill -9, restart"),
            Self::EtcdLeaderMoves => "etcd: the leader moves".to_owned(),
            Self::EtcdLeaderFrozen => "etcd leader: frozen (SIGSTOP)".to_owned(),
            Self::EtcdSlowDisk => "etcd leader: 200 ms for each write to disk".to_owned(),
            Self::SecretServiceCutOff => "secret service 0: cut off from etcd".to_owned(),
            Self::SecretServiceKilled(which) => format!("secret service {which}: kill -9, restart"),
            Self::SecretServiceDrained => "secret service 0: drained, restart".to_owned(),
            Self::CoordinatorKilled(which) => format!("coordinator {which}: kill -9, restart"),
            Self::CoordinatorsAllButOneKilled => "coordinators 0 and 1: kill -9, restart".to_owned(),
            Self::WorkerDrained => "worker 0: drained, restart".to_owned(),
            Self::WorkerKilled => "worker 0: kill -9, restart".to_owned(),
            Self::GatewayKilled => "gateway: kill -9, restart at once".to_owned(),
            Self::Redeployed => "all but etcd: kill -9, deployed anew (new mesh CA)".to_owned(),
        }
    }

    pub(crate) async fn happen(self, stack: &mut Stack, pause: Duration) -> Result<()> {
        match self {
            Self::Nothing => tokio::time::sleep(pause).await,
            Self::EtcdKilled(which) => {
                stack.etcd.kill(which);
                tokio::time::sleep(pause).await;
                stack.etcd.restart(which).await;
            }
            Self::EtcdLeaderMoves => {
                let (leader, next) = members(stack)?;
                let url = &stack.etcd_urls[leader.0];
                etcdctl(&["--endpoints", url, "move-leader", &next])?;
                tokio::time::sleep(pause).await;
            }
            Self::EtcdLeaderFrozen => {
                let (leader, _) = members(stack)?;
                stack.etcd.freeze(leader.0);
                tokio::time::sleep(pause).await;
                stack.etcd.thaw(leader.0);
                stack.etcd.settled().await;
            }
            Self::EtcdSlowDisk => {
                let (leader, _) = members(stack)?;
                slow_disk(stack.etcd.id(leader.0), pause).await?;
            }
            Self::SecretServiceCutOff => {
                stack.links.iter().for_each(crate::forward::Forwarder::cut);
                tokio::time::sleep(pause).await;
                stack.links.iter().for_each(crate::forward::Forwarder::mend);
            }
            Self::SecretServiceKilled(which) => restart(&mut stack.secret_services[which], pause).await?,
            Self::SecretServiceDrained => drain(&mut stack.secret_services[0], pause).await?,
            Self::CoordinatorKilled(which) => restart(&mut stack.coordinators[which], pause).await?,
            Self::CoordinatorsAllButOneKilled => {
                stack.coordinators[0].kill()?;
                restart(&mut stack.coordinators[1], pause).await?;
                stack.coordinators[0].start().await?;
            }
            Self::WorkerDrained => drain(&mut stack.workers[0], pause).await?,
            Self::WorkerKilled => restart(&mut stack.workers[0], pause).await?,
            Self::GatewayKilled => stack.restart_gateway().await?,
            Self::Redeployed => stack.redeploy().await?,
        }
        Ok(())
    }
}

async fn restart(member: &mut Member, pause: Duration) -> Result<()> {
    member.kill()?;
    tokio::time::sleep(pause).await;
    member.start().await
}

async fn drain(member: &mut Member, pause: Duration) -> Result<()> {
    member.drain().await?;
    tokio::time::sleep(pause).await;
    member.start().await
}

/// The leader's number with its ID, and the ID of another member.
fn members(stack: &Stack) -> Result<((usize, String), String)> {
    let (mut leader, mut other) = (None, None);
    for (number, url) in stack.etcd_urls.iter().enumerate() {
        let status = etcdctl(&["--endpoints", url, "endpoint", "status", "--write-out", "simple"])?;
        // ENDPOINT, ID, version, size, is leader, …
        let fields: Vec<&str> = status.split(", ").map(str::trim).collect();
        let id = (*fields.get(1).context("no status")?).to_owned();
        if fields.get(4) == Some(&"true") {
            leader = Some((number, id));
        } else {
            other = Some(id);
        }
    }
    Ok((leader.context("etcd has no leader")?, other.context("etcd has one member")?))
}

fn etcdctl(arguments: &[&str]) -> Result<String> {
    let done = Command::new("etcdctl").env("ETCDCTL_API", "3").args(arguments).output();
    let done = done.context("etcdctl is not installed (Debian: etcd-client)")?;
    anyhow::ensure!(done.status.success(), "etcdctl: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// Each flush of a file takes 200 ms longer, as on a disk that is dying.
async fn slow_disk(process: u32, pause: Duration) -> Result<()> {
    let tracer = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"])
        .args(["-e", "inject=fdatasync,fsync:delay_exit=200000", "-p", &process.to_string()])
        .spawn();
    let Ok(mut tracer) = tracer else {
        eprintln!("*** SKIPPED: no strace (Debian: apt-get install strace)");
        return Ok(());
    };
    tokio::time::sleep(pause).await;
    // asked, not killed: a tracer that is killed leaves its process stopped
    Command::new("kill").args(["-s", "INT", &tracer.id().to_string()]).status()?;
    tracer.wait()?;
    Ok(())
}
