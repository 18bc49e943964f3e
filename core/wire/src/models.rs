//! Adds what a model can do to the engine's model list.
//!
//! Edits the text in place; every other member stays as the engine wrote it. protocol.md, section 3.

use crate::json::{Array, Editor, JsonError, Object, quote};

/// Sets the member `tasks` in each entry of a `GET /v1/models` answer, or in the one entry of `GET /v1/models/{id}`. Where
/// `tasks_of` knows nothing, an entry keeps the tasks that it has, or gets an empty list.
pub fn with_tasks(json: &[u8], mut tasks_of: impl FnMut(&str) -> Vec<String>) -> Result<Vec<u8>, JsonError> {
    let object = Object::parse(json)?;
    let mut editor = Editor::new(json);
    match object.get("data") {
        Some(data) => {
            for element in Array::parse(data.raw)?.elements() {
                if let Ok(entry) = Object::parse(element.raw) {
                    set_tasks(&mut editor, &entry, data.span.start + element.span.start, &mut tasks_of);
                }
            }
        }
        None => set_tasks(&mut editor, &object, 0, &mut tasks_of),
    }
    Ok(editor.finish())
}

fn set_tasks(
    editor: &mut Editor<'_>,
    entry: &Object<'_>,
    base: usize,
    tasks_of: &mut impl FnMut(&str) -> Vec<String>,
) {
    let Some(id) = entry.string("id") else { return };
    let tasks = tasks_of(&id);
    if tasks.is_empty() && entry.get("tasks").is_some() {
        return;
    }
    let list: Vec<String> = tasks.iter().map(|task| quote(task)).collect();
    editor.set(entry, base, &[("tasks", format!("[{}]", list.join(",")).as_bytes())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(id: &str) -> Vec<String> {
        if id == "known" { vec!["generate".into(), "vision".into()] } else { Vec::new() }
    }

    #[test]
    fn list_and_single_entry() {
        let list = br#"{ "object":"list","data":[ {"id":"known","max":1e3 }, {"id":"own","tasks":["embed"]}, {"id":"x"}, 7 ] }"#;
        let expected = r#"{ "object":"list","data":[ {"id":"known","max":1e3,"tasks":["generate","vision"] }, {"id":"own","tasks":["embed"]}, {"id":"x","tasks":[]}, 7 ] }"#;
        assert_eq!(String::from_utf8(with_tasks(list, tasks).unwrap()).unwrap(), expected);
        let single = with_tasks(br#"{"tasks":null,"id":"known"}"#, tasks).unwrap();
        assert_eq!(single, br#"{"tasks":["generate","vision"],"id":"known"}"#);
    }
}
