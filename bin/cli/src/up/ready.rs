//! What is told when everything runs: to a person, to a script, and to later commands in the same directory.

use serde::{Deserialize, Serialize};

/// A running deployment. Holds the key, so it goes only where the user asked for it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) endpoint: String,
    pub(crate) api_key: String,
    pub(crate) status_url: String,
    pub(crate) gateway: String,
    pub(crate) coordinator: String,
    pub(crate) dir: String,
    pub(crate) simulated: bool,
    /// What makes all verification prove nothing.
    pub(crate) danger: Vec<String>,
}

/// What `running.json` tells other commands; no key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) endpoint: String,
    pub(crate) status_url: String,
    #[serde(default)]
    pub(crate) gateway: String,
    #[serde(default)]
    pub(crate) coordinator: String,
    pub(crate) pid: u32,
}

impl Ready {
    /// What a person sees, with `warning` about the platform, and `model` in the line to try.
    pub(crate) fn describe(&self, warning: &str, model: Option<&str>) -> String {
        let Self { endpoint, api_key, status_url, dir, .. } = self;
        let model = model.unwrap_or("MODEL");
        format!(
            "\nPrivatemode is up. {warning}\n\n\
             \x20 endpoint     {endpoint}\n\
             \x20 API key      {api_key}\n\
             \x20 status page  {status_url}\n\
             \x20 model        {model}\n\
             \x20 data         {dir}\n\n\
             Try it:\n\n\
             curl -N {endpoint}/chat/completions -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' \
             -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello! Who are you?\"}}]}}'\n\n\
             Ctrl-C stops everything."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::platform::Platform;
    use super::*;

    fn ready() -> Ready {
        Ready {
            endpoint: "http://127.0.0.1:8080/v1".to_owned(),
            api_key: "pm-test".to_owned(),
            status_url: "http://127.0.0.1:8080/privatemode".to_owned(),
            gateway: "https://127.0.0.1:1".to_owned(),
            coordinator: "http://127.0.0.1:2".to_owned(),
            dir: "/data".to_owned(),
            simulated: true,
            danger: Vec::new(),
        }
    }

    #[test]
    fn a_person_is_told_that_it_is_simulated_and_what_to_try() {
        let text = ready().describe(Platform::Simulated.warning(), Some("privatemode-demo"));
        for part in [
            "SIMULATED evidence: no hardware protects anything here",
            "endpoint     http://127.0.0.1:8080/v1",
            "API key      pm-test",
            "status page  http://127.0.0.1:8080/privatemode",
            "curl -N http://127.0.0.1:8080/v1/chat/completions -H 'Authorization: Bearer pm-test'",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        // The line must work when it is pasted: its body is JSON.
        let body = text.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["model"], &body["stream"]), (&"privatemode-demo".into(), &true.into()));
    }

    #[test]
    fn the_line_for_scripts_has_the_documented_members() {
        let line = serde_json::to_value(ready()).unwrap();
        let mut names: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["api_key", "coordinator", "danger", "dir", "endpoint", "gateway", "simulated", "status_url"]
        );
        assert_eq!(line["simulated"], true);
    }
}
