//! What the served models can do, for `GET /v1/models`.

use std::{borrow::Cow, collections::HashMap, str::FromStr};

use privatemode_wire::{
    json::{Array, JsonError, Object},
    models::with_tasks,
};

/// One `--tasks MODEL=TASK,TASK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelTasks {
    /// The model's ID.
    pub model: String,
    /// `generate`, `tool_calling`, `vision`, `embed`, `transcribe`, `translate`.
    pub tasks: Vec<String>,
}

/// Not `MODEL=TASK,TASK`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TasksError {
    /// No `=`, or nothing on one of its sides.
    #[error("expected MODEL=TASK,TASK, for example my-model=generate,vision")]
    Form,
    /// A task that no client knows.
    #[error("unknown task `{task}`; known: generate, tool_calling, vision, embed, transcribe, translate")]
    Unknown {
        /// The task.
        task: String,
    },
}

impl FromStr for ModelTasks {
    type Err = TasksError;

    fn from_str(text: &str) -> Result<Self, TasksError> {
        const KNOWN: [&str; 6] = ["generate", "tool_calling", "vision", "embed", "transcribe", "translate"];
        // a model's ID may hold `=`, a task may not
        let (model, tasks) = text.rsplit_once('=').ok_or(TasksError::Form)?;
        if model.is_empty() || tasks.is_empty() {
            return Err(TasksError::Form);
        }
        let tasks: Vec<String> = tasks.split(',').map(|task| task.trim().to_owned()).collect();
        match tasks.iter().find(|task| !KNOWN.contains(&task.as_str())) {
            Some(task) => Err(TasksError::Unknown { task: task.clone() }),
            None => Ok(Self { model: model.to_owned(), tasks }),
        }
    }
}

/// The tasks of all models.
#[derive(Debug, Default)]
pub struct Tasks(HashMap<String, Vec<String>>);

impl Tasks {
    /// What was set for each model; the last setting of a model counts.
    #[must_use]
    pub fn new(settings: Vec<ModelTasks>) -> Self {
        Self(settings.into_iter().map(|ModelTasks { model, tasks }| (model, tasks)).collect())
    }

    /// The engine's list with `tasks` in each entry: what was set, else what the engine says, else `generate`.
    pub(crate) fn inject(&self, models: &[u8]) -> Result<Vec<u8>, JsonError> {
        let set = with_tasks(models, |id| self.0.get(id).cloned().unwrap_or_default())?;
        // entries that neither we nor the engine know anything about got an empty list: fill those
        let unknown = empty_entries(&set);
        if unknown.is_empty() {
            return Ok(set);
        }
        with_tasks(&set, |id| {
            if unknown.iter().any(|other| other == id) { vec!["generate".into()] } else { Vec::new() }
        })
    }
}

/// The IDs of entries whose `tasks` is an empty list.
fn empty_entries(models: &[u8]) -> Vec<String> {
    let Ok(object) = Object::parse(models) else { return Vec::new() };
    let id_if_empty = |entry: &Object<'_>| {
        let tasks = Array::parse(entry.get("tasks")?.raw).ok()?;
        tasks.elements().is_empty().then(|| entry.string("id"))?.map(Cow::into_owned)
    };
    match object.get("data").map(|data| Array::parse(data.raw)) {
        None => id_if_empty(&object).into_iter().collect(),
        Some(Err(_)) => Vec::new(),
        Some(Ok(data)) => {
            let entries = data.elements().iter().filter_map(|element| Object::parse(element.raw).ok());
            entries.filter_map(|entry| id_if_empty(&entry)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_parsed() {
        let parsed: ModelTasks = "a=b/c=generate, vision".parse().unwrap();
        assert_eq!(
            parsed,
            ModelTasks { model: "a=b/c".into(), tasks: vec!["generate".into(), "vision".into()] }
        );
        assert_eq!("model".parse::<ModelTasks>(), Err(TasksError::Form));
        assert_eq!("=generate".parse::<ModelTasks>(), Err(TasksError::Form));
        assert_eq!("model=".parse::<ModelTasks>(), Err(TasksError::Form));
        assert_eq!("model=cook".parse::<ModelTasks>(), Err(TasksError::Unknown { task: "cook".into() }));
    }

    #[test]
    fn settings_win_over_the_engine_and_generate_is_the_default() {
        let tasks = Tasks::new(vec!["set=embed".parse().unwrap()]);
        let models =
            br#"{"data":[ {"id":"set","tasks":["generate"]}, {"id":"own","tasks":["vision"], "n":1e400},
            {"id":"none"},{"id":"empty","tasks":[]}]}"#;
        let injected = String::from_utf8(tasks.inject(models).unwrap()).unwrap();
        assert!(injected.contains(r#""n":1e400"#), "other members stay as they are");
        let injected = injected.replace("1e400", "1");
        let models: serde_json::Value = serde_json::from_str(&injected).unwrap();
        let of = |index: usize| models["data"][index]["tasks"].to_string();
        assert_eq!(
            [of(0), of(1), of(2), of(3)],
            [r#"["embed"]"#, r#"["vision"]"#, r#"["generate"]"#, r#"["generate"]"#]
        );
        let one = tasks.inject(br#"{"id":"none"}"#).unwrap();
        assert_eq!(String::from_utf8(one).unwrap(), r#"{"id":"none","tasks":["generate"]}"#);
    }
}
