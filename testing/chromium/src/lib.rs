//! A headless Chromium, driven over its DevTools pipe: messages in JSON, each ended by a zero byte.
//!
//! Source: the Chrome DevTools Protocol; `--remote-debugging-pipe` reads file descriptor 3 and writes 4, which a shell
//! makes of its standard input and output here, so that no socket and no further crate is needed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a tool of tests: a browser that does not answer is a test that failed"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

const COMMAND: &str = "exec timeout 300 chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
     --no-first-run --user-data-dir=\"$0\" --remote-debugging-pipe 3<&0 4>&1 >/dev/null 2>&1";

/// Rules of accessibility; where it comes from and its licence are in `vendor/MANIFEST.txt`.
const AXE: &str = include_str!("../vendor/axe-core-4.14.1.min.js");
/// WCAG 2.2 at levels A and AA.
const RULES: &str = "['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa']";

/// A browser with one page.
pub struct Chromium {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    /// What the page complained about: errors of scripts, blocked files, breaches of its policy.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts it with a profile of its own; it ends after a minute however its test goes.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", COMMAND])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self {
            child,
            input,
            output,
            session: None,
            number: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser ended");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        match message["method"].as_str() {
            Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                self.complaints.push(message["params"]["entry"]["text"].to_string());
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(message["params"].to_string()),
            _ => {}
        }
        message
    }

    /// Calls a method and waits for its answer.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.message();
            if answer["id"] == json!(self.number) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
        self.loaded();
    }

    /// Waits until a page that something on this one leads to is loaded.
    pub fn loaded(&mut self) {
        self.event("Page.loadEventFired");
    }

    /// Waits for an event of the browser's; what it tells.
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let mut message = self.message();
            if message["method"] == name {
                return message["params"].take();
            }
        }
    }

    /// The value of an expression, awaited where it is a promise.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true, twenty seconds at most; gives the milliseconds it took.
    pub fn until(&mut self, expression: &str) -> u64 {
        self.until_within(20, expression)
    }

    /// Waits until an expression is true, some seconds at most; gives the milliseconds it took.
    pub fn until_within(&mut self, seconds: u32, expression: &str) -> u64 {
        let wait = format!(
            "new Promise((done, fail) => {{ const begin = performance.now(); const look = () => {{
             if ({expression}) done(Math.round(performance.now() - begin));
             else if (performance.now() - begin > {seconds} * 1000) fail(new Error('not true in time: ' + document.body.innerText.slice(0, 400)));
             else setTimeout(look, 5); }}; look(); }})"
        );
        self.value(&wait).as_u64().unwrap()
    }

    /// Presses one key, as a keyboard does.
    pub fn press(&mut self, key: &str) {
        let text = if key == "Enter" { "\r" } else { key };
        let code = if key == "Enter" { 13 } else { 0 };
        for kind in ["keyDown", "keyUp"] {
            let params = json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// A window of this width; narrow ones are a phone's.
    pub fn window(&mut self, width: u32) {
        let height = if width < 600 { 844 } else { 900 };
        let window =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", window);
        self.call("Emulation.setScrollbarsHidden", json!({ "hidden": true }));
    }

    /// Looks at pages light or dark as the system says, or as they are printed, in a window of some width.
    pub fn look(&mut self, theme: &str, media: &str, width: u32) {
        self.window(width);
        let features =
            json!({ "media": media, "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// What the page does that WCAG 2.2 does not allow at levels A and AA, by axe-core's rules; an empty list where nothing.
    pub fn violations(&mut self) -> Value {
        self.value(AXE);
        self.value(&format!(
            "axe.run(document, {{ runOnly: {RULES} }}).then((all) => all.violations.map((one) => one.id + ': ' +
             one.nodes.map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).join(' | ')))"
        ))
    }

    /// How many pixels the page is wider than its window.
    pub fn overflow(&mut self) -> Value {
        self.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    }

    /// The whole page as PNG; its first part where a height is given.
    pub fn picture(&mut self, most: Option<f64>) -> Vec<u8> {
        let size = self.call("Page.getLayoutMetrics", json!({}));
        let height = size["cssContentSize"]["height"].as_f64().unwrap();
        let width = size["cssLayoutViewport"]["clientWidth"].as_f64().unwrap();
        let height = most.map_or(height, |most| height.min(most));
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let shot =
            self.call("Page.captureScreenshot", json!({ "clip": clip, "captureBeyondViewport": true }));
        base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
