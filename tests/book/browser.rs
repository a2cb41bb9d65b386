//! A headless Chromium, driven by the [DevTools protocol]: JSON messages over a pipe,
//! each of which ends in a zero byte.
//!
//! [DevTools protocol]: https://chromedevtools.github.io/devtools-protocol/

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use kiste_tests::{eventually, host, require_tool, timeout};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The names of the program: in Debian, in Ubuntu, and as Google packages it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A window of the browser, with one page.
pub struct Browser {
    program: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    sent: u32,
    session: Option<String>,
    events: Vec<Value>,
    /// Holds the profile. It is removed once the browser has ended.
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser. None if there is none.
    pub fn start() -> Option<Self> {
        let name = NAMES.into_iter().find(|name| host::has(name));
        if name.is_none() && !require_tool(NAMES[0]) {
            return None;
        }
        // It reads commands from descriptor 3, and writes to 4.
        let profile = tempfile::Builder::new().prefix("kiste-test-").tempdir().unwrap();
        let mut program = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .args([name?, "--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start sh");
        let commands = program.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(program.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap_or_default();
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Browser {
            program,
            commands,
            messages,
            sent: 0,
            session: None,
            events: Vec::new(),
            _profile: profile,
        };
        let target =
            browser.send("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.send("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_string);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.send(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Sends a command, and returns its result.
    pub fn send(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message =
            json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let written = write!(self.commands, "{message}\0");
        written.unwrap_or_else(|error| panic!("{method}: {error}"));
        loop {
            let answer = self.receive(method);
            if answer["id"] == self.sent {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn receive(&self, what: &str) -> Value {
        self.messages.recv_timeout(timeout()).unwrap_or_else(|error| {
            panic!("chromium does not answer to {what}: {error}")
        })
    }

    /// Opens a file, and returns once it is loaded.
    pub fn open(&mut self, page: &Path) {
        self.events.clear();
        let url = format!("file://{}", page.display());
        self.send("Page.navigate", json!({ "url": url }));
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            let event = self.receive("the page");
            self.events.push(event);
        }
    }

    /// Evaluates an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let result = self.send("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Presses a key, as a person does.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            _ => panic!("the code of {key} is not in this list"),
        };
        let mut event = json!({
            "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code,
        });
        if key == "Enter" {
            event["text"] = "\r".into();
        }
        self.send("Input.dispatchKeyEvent", event.clone());
        event["type"] = "keyUp".into();
        self.send("Input.dispatchKeyEvent", event);
    }

    /// Returns the exceptions of scripts, and the messages in the console, since the
    /// page was opened.
    pub fn complaints(&self) -> Vec<String> {
        let kinds =
            ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"];
        let complaints = self
            .events
            .iter()
            .filter(|event| kinds.iter().any(|kind| event["method"] == *kind));
        complaints.map(|event| event["params"].to_string()).collect()
    }

    /// Returns the addresses from which the page was loaded.
    pub fn requests(&self) -> Vec<String> {
        let requests = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        let url = |event: &Value| event["params"]["request"]["url"].clone();
        requests.filter_map(|event| url(event).as_str().map(str::to_string)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes are no children of this one, and still write to the profile.
        self.session = None;
        let close = json!({ "id": self.sent + 1, "method": "Browser.close" });
        let _ = write!(self.commands, "{close}\0");
        let has_ended =
            || self.program.try_wait().is_ok_and(|it| it.is_some()).then_some(());
        if eventually(has_ended).is_some() {
            return;
        }
        host::kill_tree(self.program.id() as i32);
        let _ = self.program.wait();
    }
}
