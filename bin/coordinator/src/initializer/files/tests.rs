use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use privatemode_attest::UnixTime;

use super::*;
use crate::mesh_api::NewCertificate;

/// The certificate's text names the generation; what it is made of is tested elsewhere.
fn enrolled(generation: usize) -> Enrolled {
    let text = |name: &str| format!("{name} {generation}");
    Enrolled {
        new: NewCertificate {
            mesh_ca: text("mesh"),
            cert_chain: text("chain"),
            root_ca: text("root"),
            workload_secret: Some(Zeroizing::new([7; 64])),
        },
        name: String::new(),
        not_after: UnixTime(0),
        renew_at: UnixTime(0),
    }
}

#[test]
fn a_reader_never_sees_a_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [MeshKey::generate().unwrap(), MeshKey::generate().unwrap()];
    let pems: Vec<_> = keys.iter().map(|key| key.to_pkcs8_pem().unwrap()).collect();
    write(folder.path(), &enrolled(0), &keys[0]).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (path, done) = (folder.path().join(TLS), Arc::clone(&done));
        move || {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                // through the folder that was opened: its files are of one generation, or gone with it
                let Ok(open) = File::open(&path) else { panic!("there is always a folder") };
                let inside =
                    PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open)));
                let read = |name: &str| fs::read_to_string(inside.join(name));
                if let (Ok(key), Ok(chain)) = (read("key.pem"), read("certChain.pem")) {
                    seen.push((key, chain));
                }
            }
            seen
        }
    });
    for generation in 1..40 {
        write(folder.path(), &enrolled(generation), &keys[generation % 2]).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let seen = reader.join().unwrap();
    for (key, chain) in &seen {
        let generation: usize = chain.strip_prefix("chain ").unwrap().parse().unwrap();
        assert_eq!(key.as_str(), pems[generation % 2].as_str(), "{generation}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("tls-config/mesh-ca.pem")).unwrap(), "mesh 39");
    assert_eq!(
        fs::read_to_string(folder.path().join("secrets/workload-secret-seed")).unwrap(),
        "07".repeat(64)
    );
}

#[test]
fn what_a_broken_start_left_behind_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let key = MeshKey::generate().unwrap();
    fs::create_dir_all(folder.path().join(".tls-config.new")).unwrap();
    fs::write(folder.path().join(".tls-config.new/key.pem"), "half").unwrap();
    fs::create_dir_all(folder.path().join(SECRETS)).unwrap();
    fs::write(folder.path().join("secrets/.workload-secret-seed.new"), "half").unwrap();
    write(folder.path(), &enrolled(1), &key).unwrap();
    let names = |folder: PathBuf| fs::read_dir(folder).unwrap().count();
    assert_eq!(
        (names(folder.path().to_owned()), names(folder.path().join(TLS)), names(folder.path().join(SECRETS))),
        (2, 4, 1)
    );
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("file");
    fs::write(&output, "a file").unwrap();
    let error = write(&output, &enrolled(1), &MeshKey::generate().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot create `{}`; the folder of --output must exist or be creatable, and be writable",
            output.display()
        )
    );
}
