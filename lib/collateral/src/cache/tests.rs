use std::{
    sync::{Arc, atomic::AtomicBool},
    time::SystemTime,
};

use super::*;
use crate::key::RimId;

fn key(number: u32) -> Key {
    Key::NvidiaRim { id: RimId::new(&format!("NV_{number}")).unwrap() }
}

fn entry(content: &str) -> Entry {
    Entry {
        document: Document { bytes: format!("<{content}>").into_bytes(), issuer_chain: None },
        fetched_at: UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()),
        freshness: Freshness::Until(UnixTime(7)),
        etag: Some("\"v1\"".to_owned()),
    }
}

fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - std::time::Duration::from_secs(seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_is_stored_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(cache.load(&key(1)), None);
    let first = entry("a");
    cache.store(&key(1), &first).unwrap();
    assert_eq!(cache.load(&key(1)), Some(first));
    assert_eq!(cache.load(&key(2)), None);
    let second = Entry { freshness: Freshness::Forever, etag: None, ..entry("b") };
    cache.store(&key(1), &second).unwrap();
    assert_eq!(cache.load(&key(1)), Some(second));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    cache.remove(&key(1));
    assert_eq!(cache.load(&key(1)), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_an_older_program_took_for_usable_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 20).unwrap();
    let document = Document { bytes: b"no xml".to_vec(), issuer_chain: None };
    cache.store(&key(1), &Entry { document, ..entry("a") }).unwrap();
    assert_eq!(cache.load(&key(1)), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn names_are_readable_and_never_the_same() {
    let long = |end: &str| Key::NvidiaRim { id: RimId::new(&format!("{}{end}", "x".repeat(100))).unwrap() };
    assert_ne!(name(&long("1")), name(&long("2")));
    assert_ne!(name(&long("-")), name(&long(".")));
    let name = name(&key(1));
    assert!(name.starts_with("nvidia-rim-NV-1-"), "{name}");
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
}

#[test]
fn the_oldest_go_when_there_is_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 3000).unwrap();
    let kilobyte = "x".repeat(1000);
    for number in 0..2 {
        cache.store(&key(number), &entry(&kilobyte)).unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            age(&path, 100);
        }
    }
    age(&cache.sidecar(&name(&key(0))), 50);
    assert!(cache.load(&key(0)).is_some() && cache.load(&key(1)).is_some());
    cache.store(&key(2), &entry(&kilobyte)).unwrap();
    assert!(cache.load(&key(1)).is_none(), "the oldest");
    assert!(cache.load(&key(0)).is_some() && cache.load(&key(2)).is_some());
}

#[test]
fn what_a_crash_left_behind_goes_and_what_is_not_ours_stays() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 20).unwrap();
    let (old, young) = (folder.path().join("new-1-0.part"), folder.path().join("new-1-1.part"));
    let (orphan, foreign) =
        (folder.path().join("nvidia-rim-gone-00.0011.bin"), folder.path().join("notes.txt"));
    for path in [&old, &young, &orphan, &foreign] {
        fs::write(path, "half").unwrap();
    }
    for path in [&old, &orphan, &foreign] {
        age(path, 4000);
    }
    cache.store(&key(2), &entry("whole")).unwrap();
    age(&cache.sidecar(&name(&key(2))), 4000);
    age(&cache.content(&name(&key(2)), &digest_of(&entry("whole").document)), 4000);
    cache.store(&key(1), &entry("a")).unwrap();
    assert!(cache.load(&key(2)).is_some(), "old, but whole");
    assert_eq!((old.exists(), orphan.exists()), (false, false));
    assert_eq!((young.exists(), foreign.exists()), (true, true));
}

#[test]
fn readers_see_the_old_or_the_new_but_no_mixture() {
    let folder = tempfile::tempdir().unwrap();
    // two of them, as two processes would have
    let (writer, reader) =
        (Cache::open(folder.path(), 1 << 20).unwrap(), Cache::open(folder.path(), 1 << 20).unwrap());
    let contents: Vec<Entry> = (0..2_u32).map(|number| entry(&number.to_string().repeat(5000))).collect();
    let contents = Arc::new(contents);
    writer.store(&key(1), &contents[0]).unwrap();
    let (written, stop) = (Arc::clone(&contents), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let writing = std::thread::spawn(move || {
        for round in 0.. {
            writer.store(&key(1), &written[round % 2]).unwrap();
            if stopped.load(Ordering::SeqCst) {
                break;
            }
        }
    });
    for _ in 0..300 {
        // nothing is fine too: then it is fetched
        if let Some(entry) = reader.load(&key(1)) {
            assert!(contents.contains(&entry));
        }
    }
    stop.store(true, Ordering::SeqCst);
    writing.join().unwrap();
    assert!(contents.contains(&reader.load(&key(1)).unwrap()));
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_not_read_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 20).unwrap();
    cache.store(&key(1), &entry("a")).unwrap();
    let sidecar = cache.sidecar(&name(&key(1)));
    let kept = folder.path().join("kept");
    fs::rename(&sidecar, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &sidecar).unwrap();
    assert_eq!(cache.load(&key(1)), None);
    fs::remove_file(&sidecar).unwrap();
    // would wait for a writer
    assert!(std::process::Command::new("mkfifo").arg(&sidecar).status().unwrap().success());
    assert_eq!(cache.load(&key(1)), None);
    cache.store(&key(1), &entry("b")).unwrap();
    assert_eq!(cache.load(&key(1)), Some(entry("b")));

    // where the next unfinished file will be
    let victim = folder.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let next = cache.unfinished.load(Ordering::Relaxed);
    let unfinished = folder.path().join(format!("new-{}-{next}.part", std::process::id()));
    std::os::unix::fs::symlink(&victim, unfinished).unwrap();
    cache.store(&key(2), &entry("c")).unwrap();
    assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("settings.json");
    fs::write(&foreign, "x".repeat(100)).unwrap();
    age(&foreign, 7200);
    let cache = Cache::open(folder.path(), 10).unwrap();
    cache.store(&key(1), &entry("a")).unwrap();
    assert!(foreign.exists());
}
