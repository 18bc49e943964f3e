use std::path::PathBuf;

use super::*;

struct Scratch {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn scratch() -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.db");
    Scratch { _dir: dir, path }
}

#[tokio::test]
async fn a_key_is_shown_once_and_stored_hashed() {
    let scratch = scratch();
    let accounts = Accounts::open(&scratch.path).await.unwrap();
    let new = accounts.create_key(" laptop ").await.unwrap();
    let text = new.key.reveal().to_owned();
    assert!(text.starts_with("pm-"));
    assert_eq!(text.len(), 46);
    assert_eq!(format!("{:?}", new.key), "ApiKey(..)");
    let listed = accounts.list_keys().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, new.id);
    assert_eq!(listed[0].name, "laptop");
    assert_eq!(listed[0].prefix, text[..9]);
    assert_eq!(listed[0].revoked_at, None);
    accounts.close().await;
    for entry in std::fs::read_dir(scratch.path.parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!contains(&bytes, &text.as_bytes()[9..]), "the secret part reached the disk");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = scratch();
    let _accounts = Accounts::open(&scratch.path).await.unwrap();
    for entry in std::fs::read_dir(scratch.path.parent().unwrap()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[tokio::test]
async fn reopening_keeps_keys_and_pepper() {
    let scratch = scratch();
    let first = Accounts::open(&scratch.path).await.unwrap();
    let key = first.create_key("a").await.unwrap().key;
    first.close().await;
    let second = Accounts::open(&scratch.path).await.unwrap();
    assert_eq!(second.ensure_key("a", &key).await.unwrap(), Ensured::Present);
    assert_eq!(second.list_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn ensuring_a_key_adds_it_once_and_respects_revocation() {
    let scratch = scratch();
    let accounts = Accounts::open(&scratch.path).await.unwrap();
    let key = ApiKey::generate().unwrap();
    assert_eq!(accounts.ensure_key("up", &key).await.unwrap(), Ensured::Added);
    assert_eq!(accounts.ensure_key("up", &key).await.unwrap(), Ensured::Present);
    accounts.revoke_key(key.shown_prefix()).await.unwrap();
    assert_eq!(accounts.ensure_key("up", &key).await.unwrap(), Ensured::Revoked);
}

#[tokio::test]
async fn revoking_names_what_is_wrong_with_the_selector() {
    let scratch = scratch();
    let accounts = Accounts::open(&scratch.path).await.unwrap();
    let one = accounts.create_key("one").await.unwrap();
    assert!(matches!(accounts.revoke_key("").await, Err(AccountError::Unknown(_))));
    assert!(matches!(accounts.revoke_key("pm-").await, Err(AccountError::Unknown(_))));
    assert!(matches!(accounts.revoke_key("pm-??????").await, Err(AccountError::Unknown(_))));
    let _two = accounts.create_key("two").await.unwrap();
    assert!(matches!(accounts.revoke_key("pm-").await, Err(AccountError::Ambiguous { count: 2, .. })));
    let revoked = accounts.revoke_key(one.id.as_str()).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    let again = accounts.revoke_key(one.id.as_str()).await.unwrap();
    assert_eq!(again.revoked_at, revoked.revoked_at);
}

#[tokio::test]
async fn names_are_checked() {
    let scratch = scratch();
    let accounts = Accounts::open(&scratch.path).await.unwrap();
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(accounts.create_key(name).await, Err(AccountError::Name)));
    }
}

#[tokio::test]
async fn two_processes_may_open_a_new_file_together() {
    let scratch = scratch();
    let (a, b, c) = tokio::join!(
        Accounts::open(&scratch.path),
        Accounts::open(&scratch.path),
        Accounts::open(&scratch.path)
    );
    let key = a.unwrap().create_key("a").await.unwrap().key;
    assert_eq!(b.unwrap().ensure_key("a", &key).await.unwrap(), Ensured::Present);
    assert_eq!(c.unwrap().ensure_key("a", &key).await.unwrap(), Ensured::Present);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_name() {
    let scratch = scratch();
    std::fs::write(&scratch.path, [7_u8; 8192]).unwrap();
    let error = Accounts::open(&scratch.path).await.err().unwrap();
    assert!(matches!(error, AccountError::Database(DatabaseError::Open { .. })), "{error:?}");
    let missing = scratch.path.join("no").join("folder.db");
    let error = Accounts::open(missing).await.err().unwrap();
    assert!(matches!(error, AccountError::Database(DatabaseError::Create { .. })), "{error:?}");
}

#[test]
fn keys_are_parsed_strictly() {
    let key = ApiKey::generate().unwrap();
    assert_eq!(ApiKey::parse(key.reveal()).unwrap().reveal(), key.reveal());
    for text in ["", "pm-", "sk-123", &format!("{}x", key.reveal()), &key.reveal().replace("pm-", "pm_")] {
        assert_eq!(ApiKey::parse(text).err(), Some(MalformedKey));
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
