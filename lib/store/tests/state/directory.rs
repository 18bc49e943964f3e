//! The state in a directory: handles that know nothing of each other, crashes, and a directory that somebody tampered with.

use std::{
    error::Error as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use privatemode_store::state::{
    DirectoryError, DirectoryState, MAX_ENTRY, StateError, StateKey, StateStore as _, SwapError,
};

use crate::suite::{self, Backend, Handle};

/// Set for the process that [`swaps_of_several_processes`] starts: the directory in which it counts.
const COUNT_IN: &str = "PRIVATEMODE_TEST_COUNT_IN";
const KEY: StateKey = StateKey::Manifest([0x0c; 32]);

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn state(&self) -> DirectoryState {
        DirectoryState::open(self.path()).unwrap()
    }

    /// The place of an entry, with its folder made.
    fn place(&self, key: &StateKey) -> PathBuf {
        fs::create_dir_all(self.path().join(key.folder())).unwrap();
        self.path().join(key.to_string())
    }
}

impl Backend for Directory {
    fn open(&self) -> Handle {
        Arc::new(self.state())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_a_store_must() {
    suite::run(async || Directory::new()).await;
}

#[tokio::test]
async fn files_are_called_as_their_keys_and_are_the_owners_alone() {
    let directory = Directory::new();
    let store = directory.state();
    store.put(&KEY, b"{}\n").await.unwrap();
    store.swap(None, b"latest").await.unwrap();
    let hex = "0c".repeat(32);
    assert_eq!(fs::read(directory.path().join("manifests").join(&hex)).unwrap(), b"{}\n");
    assert_eq!(fs::read(directory.path().join("transitions/latest")).unwrap(), b"latest");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path()), 0o700);
    assert_eq!(mode(&directory.path().join("manifests")), 0o700);
    assert_eq!(mode(&directory.place(&KEY)), 0o600);
    let list = |folder: &str| fs::read_dir(directory.path().join(folder)).unwrap().count();
    assert_eq!((list("manifests"), list("transitions")), (1, 1), "nothing is left behind");
}

#[tokio::test]
async fn a_restart_finds_everything() {
    let directory = Directory::new();
    directory.state().put(&KEY, b"value").await.unwrap();
    directory.state().swap(None, b"latest").await.unwrap();
    let again = directory.state();
    assert_eq!(again.get(&KEY).await.unwrap().as_deref(), Some(&b"value"[..]));
    again.swap(Some(b"latest"), b"later").await.unwrap();
}

/// A writer that died left a part of an entry under the other name: it is no entry, and in nobody's way.
#[tokio::test]
async fn a_writer_that_died_leaves_no_half_entry() {
    let directory = Directory::new();
    fs::write(directory.place(&KEY).with_file_name(".new"), b"hal").unwrap();
    let store = directory.state();
    assert_eq!(store.get(&KEY).await.unwrap(), None);
    store.put(&KEY, b"whole").await.unwrap();
    assert_eq!(store.get(&KEY).await.unwrap().as_deref(), Some(&b"whole"[..]));
    assert!(!directory.place(&KEY).with_file_name(".new").exists());
}

fn foreign(error: &StateError, key: StateKey) -> &DirectoryError {
    assert!(matches!(error, StateError::Foreign { key: named, .. } if *named == key), "{error:?}");
    error.source().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn what_is_no_entry_is_named() {
    let directory = Directory::new();
    let (store, secret) = (directory.state(), directory.0.path().join("secret"));
    fs::write(&secret, b"of somebody else").unwrap();

    symlink(&secret, directory.place(&KEY)).unwrap();
    for error in [store.get(&KEY).await.unwrap_err(), store.put(&KEY, b"value").await.unwrap_err()] {
        assert!(
            matches!(foreign(&error, KEY), DirectoryError::Symlink { path } if *path == directory.place(&KEY))
        );
    }
    assert_eq!(fs::read(&secret).unwrap(), b"of somebody else");

    let latest = directory.place(&StateKey::Latest);
    fs::create_dir(&latest).unwrap();
    let error = store.get(&StateKey::Latest).await.unwrap_err();
    assert!(
        matches!(foreign(&error, StateKey::Latest), DirectoryError::Directory { path } if *path == latest)
    );
    let SwapError::Store(error) = store.swap(None, b"new").await.unwrap_err() else { panic!() };
    assert!(matches!(foreign(&error, StateKey::Latest), DirectoryError::Directory { .. }));
    let error = store.changed(None).await.unwrap_err();
    assert!(matches!(foreign(&error, StateKey::Latest), DirectoryError::Directory { .. }));

    let pipe = StateKey::Policy([1; 32]);
    let made = Command::new("mkfifo").arg(directory.place(&pipe)).status().unwrap();
    assert!(made.success());
    let error = store.get(&pipe).await.unwrap_err();
    assert!(
        matches!(foreign(&error, pipe), DirectoryError::Special { .. }),
        "and nobody waits for its writer"
    );

    let shares = StateKey::SeedShares([1; 32]);
    symlink(directory.0.path(), directory.path().join("seed-shares")).unwrap();
    for error in [store.get(&shares).await.unwrap_err(), store.put(&shares, b"value").await.unwrap_err()] {
        assert!(matches!(foreign(&error, shares), DirectoryError::NoFolder { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_long_is_not_read() {
    let directory = Directory::new();
    let file = fs::File::create(directory.place(&KEY)).unwrap();
    file.set_len(1 << 40).unwrap();
    let refused = directory.state().get(&KEY).await.unwrap_err();
    assert!(
        matches!(refused, StateError::TooLong { key: KEY, len, max: MAX_ENTRY } if len == 1 << 40),
        "{refused}"
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = DirectoryState::open(&path).err().unwrap();
        assert!(matches!(&refused, DirectoryError::Open { path: named, .. } if *named == path), "{refused}");
    }
}

/// Not a test of its own: what the processes of [`swaps_of_several_processes`] do.
#[tokio::test]
async fn count() {
    let Some(path) = std::env::var_os(COUNT_IN) else { return };
    let store = DirectoryState::open(path).unwrap();
    println!("\nready");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut done = 0;
    while done < 50 {
        let seen = store.get(&StateKey::Latest).await.unwrap();
        let count = seen.as_deref().map_or(0, |seen| u32::from_be_bytes(seen.try_into().unwrap()));
        match store.swap(seen.as_deref(), &(count + 1).to_be_bytes()).await {
            Ok(()) => done += 1,
            Err(SwapError::Lost) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn swaps_of_several_processes() {
    let directory = Directory::new();
    let mut processes: Vec<_> = (0..3)
        .map(|_| {
            let mut process = Command::new(std::env::current_exe().unwrap())
                .args(["directory::count", "--exact", "--nocapture"])
                .env(COUNT_IN, directory.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(process.stdout.take().unwrap()).lines();
            (process, lines)
        })
        .collect();
    for (_, lines) in &mut processes {
        assert!(lines.any(|line| line.unwrap() == "ready"), "it says when it begins");
    }
    for (process, _) in &mut processes {
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    for (mut process, lines) in processes {
        let said: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(process.wait().unwrap().success(), "{said:?}");
    }
    let count = directory.state().get(&StateKey::Latest).await.unwrap().unwrap();
    assert_eq!(u32::from_be_bytes(count.try_into().unwrap()), 150);
}

/// A process that is killed while it writes frees the lock, and leaves the old value or the new one.
#[tokio::test]
async fn a_process_that_is_killed_leaves_a_whole_entry() {
    let directory = Directory::new();
    let store = directory.state();
    for _ in 0..3 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["directory::count", "--exact", "--nocapture"])
            .env(COUNT_IN, directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let before = store.get(&StateKey::Latest).await.unwrap();
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        store.changed(before.as_deref()).await.unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let seen = store.get(&StateKey::Latest).await.unwrap().unwrap();
        let count = u32::from_be_bytes(seen.as_slice().try_into().unwrap());
        store.swap(Some(&seen), &(count + 1).to_be_bytes()).await.unwrap();
    }
}
