//! The status page: one HTML document without script and without anything from outside. Shows what [`Report`] says.

use std::fmt::Write as _;

use crate::status::Report;

/// Nothing but the page's own style.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "
:root { color-scheme: light dark; --ok: #137333; --bad: #b3261e; --line: #8884 }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.state { border-left: .4rem solid var(--bad); padding: .5rem 1rem; background: #8881 }
.state.ready { border-color: var(--ok) }
.simulated { background: #b3261e; color: #fff; padding: .75rem 1rem; font-weight: 700 }
dl { display: grid; grid-template-columns: minmax(9rem, auto) 1fr; gap: .4rem 1rem; border-top: 1px solid var(--line); padding-top: .6rem }
dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
code { font: .9em ui-monospace, monospace }
@media (prefers-color-scheme: dark) { :root { --ok: #81c995; --bad: #f28b82 } }
";

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let title = if report.ready { "Privatemode: verified" } else { "Privatemode: not verified" };
    let title = match (report.simulated, report.test_root) {
        (true, _) => "SIMULATED — Privatemode",
        (false, true) => "TEST ROOT — Privatemode",
        (false, false) => title,
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n<h1>Privatemode proxy</h1>\n"
    );
    if report.simulated {
        page.push_str(
            "<p class=\"simulated\" role=\"alert\">SIMULATED: this deployment runs on no confidential hardware. Nothing is \
             protected; its operator can read every prompt. For development only.</p>\n",
        );
    }
    if report.test_root {
        page.push_str(
            "<p class=\"simulated\" role=\"alert\">TEST ROOT: this deployment was verified to another root than the hardware \
             vendor's. Nothing proves that it runs on confidential hardware. For tests only.</p>\n",
        );
    }
    state(&mut page, report);
    deployment(&mut page, report);
    downgrades(&mut page, report);
    proxy(&mut page, report);
    page.push_str("<p><a href=\"/privatemode/status\">The same as JSON</a></p>\n</main></body></html>\n");
    page
}

fn state(page: &mut String, report: &Report) {
    let (class, headline) = match (report.ready, report.simulated, report.test_root) {
        (true, false, false) => {
            ("state ready", "The deployment is verified. Requests are encrypted end to end.")
        }
        (true, true, _) => ("state", "The simulated deployment answered as expected. This proves nothing."),
        (true, false, true) => {
            ("state", "The deployment is verified to a test's root. This proves nothing about hardware.")
        }
        (false, _, _) => ("state", "The deployment is not verified. No request leaves this proxy."),
    };
    let _ = write!(page, "<div class=\"{class}\" role=\"status\"><p><strong>{headline}</strong></p>");
    if let Some(reason) = &report.reason {
        let _ = write!(page, "<p>Why: {}</p>", escape(reason));
    }
    if let Some(failing) = &report.failing {
        let _ = write!(
            page,
            "<p>The last {} attempt(s) since <time>{}</time> failed: {}</p>",
            failing.attempts,
            escape(&failing.since),
            escape(&failing.error)
        );
    }
    page.push_str("</div>\n");
}

fn deployment(page: &mut String, report: &Report) {
    page.push_str("<h2>Deployment</h2>\n<dl>");
    let unknown = "not known yet";
    row(
        page,
        "Manifest (SHA-256)",
        report.manifest.as_ref().map_or(unknown, |manifest| &manifest.digest),
        true,
    );
    row(page, "Manifest from", &report.manifest_source, true);
    row(page, "Hardware", report.platform.as_deref().unwrap_or(unknown), false);
    row(page, "Protocol", &protocol(report), false);
    if let Some(padding) = &report.padding {
        row(page, "Padding", padding, true);
    }
    row(page, "Verified at", report.verified_at.as_deref().unwrap_or("never"), false);
    if let Some(secret) = &report.secret {
        row(page, "Secret", &secret.id, true);
        row(page, "Renewed from", &secret.renewed_from, false);
    }
    page.push_str("</dl>\n");
}

/// Which one, and why.
fn protocol(report: &Report) -> String {
    match (report.protocol, &report.protocol_reason) {
        (Some(protocol), Some(reason)) => format!("{protocol}: {reason}"),
        _ => "not known yet".to_owned(),
    }
}

fn downgrades(page: &mut String, report: &Report) {
    page.push_str("<h2>What is weaker than it could be</h2>\n");
    if report.downgrades.is_empty() {
        page.push_str("<p>Nothing.</p>\n");
        return;
    }
    page.push_str("<ul>");
    for downgrade in &report.downgrades {
        let _ = write!(page, "<li>{}</li>", escape(downgrade));
    }
    page.push_str("</ul>\n");
}

fn proxy(page: &mut String, report: &Report) {
    page.push_str("<h2>This proxy</h2>\n<dl>");
    row(page, "Version", report.version, false);
    row(page, "Base URL for tools", &format!("{}/v1", report.listening), true);
    row(page, "API endpoint", &report.api_endpoint, true);
    row(page, "API key", report.api_key, false);
    row(page, "Prompt cache", report.prompt_cache, false);
    page.push_str("</dl>\n");
}

fn row(page: &mut String, name: &str, value: &str, code: bool) {
    let (open, close) = if code { ("<code>", "</code>") } else { ("", "") };
    let _ = write!(page, "<dt>{}</dt><dd>{open}{}{close}</dd>", escape(name), escape(value));
}

/// Errors repeat what a gateway said: nothing of it may become markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
