use super::choice::{affinity, choose};
use super::*;

fn candidates<'a>(all: &[(&'a str, usize)]) -> Vec<Candidate<'a>> {
    all.iter().map(|(name, outstanding)| Candidate { name, outstanding: *outstanding }).collect()
}

#[test]
fn the_least_busy_and_equals_in_turn() {
    let three = candidates(&[("a", 2), ("b", 1), ("c", 1)]);
    assert_eq!(choose(&three, None, 0), Some(1));
    assert_eq!(choose(&three, None, 1), Some(2));
    assert_eq!(choose(&three, None, 2), Some(1));
    assert_eq!(choose(&[], None, 0), None);
    assert_eq!(choose(&[], Some("0011223344556677"), 0), None);
}

#[test]
fn a_key_stays_with_its_worker_and_moves_only_when_that_goes() {
    let all = [("a:1", 0), ("b:1", 0), ("c:1", 0)];
    let mut moved = 0;
    for key in 0..300 {
        let key = format!("{key:016x}");
        let before = choose(&candidates(&all), Some(&key), key.len()).unwrap();
        assert_eq!(choose(&candidates(&all), Some(&key), 99), Some(before), "the turn does not matter");
        let after = choose(&candidates(&all[..2]), Some(&key), 0).unwrap();
        if before == 2 {
            moved += 1;
        } else {
            assert_eq!(after, before);
        }
    }
    assert!((60..=140).contains(&moved), "a fair share moved: {moved}");
}

#[test]
fn an_overloaded_worker_is_passed_over() {
    let key = "0011223344556677";
    let favourite = choose(&candidates(&[("a", 0), ("b", 0)]), Some(key), 0).unwrap();
    let mut all = [("a", 0), ("b", 0)];
    all[favourite].1 = 40;
    assert_eq!(choose(&candidates(&all), Some(key), 0), Some(1 - favourite));
}

#[test]
fn only_real_shard_keys_bind() {
    assert_eq!(affinity("0011223344556677-AbC"), Some("0011223344556677"));
    assert_eq!(affinity("0011223344556677"), Some("0011223344556677"));
    assert_eq!(affinity("short-AbC"), None);
    assert_eq!(affinity("001122334455667z"), None);
    assert_eq!(affinity(""), None);
}
