//! A headless Chromium, driven by the [DevTools protocol]: JSON messages over a pipe,
//! each of which ends in a zero byte.
//!
//! [DevTools protocol]: https://chromedevtools.github.io/devtools-protocol/

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use kiste_tests::{eventually, host, require_tool, timeout};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The names of the program: in Debian, in Ubuntu, and as Google packages it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser, of which one window at a time is spoken to.
pub struct Browser {
    program: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    sent: u32,
    /// The session of that window. Without one, commands are for the browser itself.
    session: Option<String>,
    /// The sessions of all windows that were spoken to, by their targets.
    sessions: BTreeMap<String, String>,
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
            sessions: BTreeMap::new(),
            events: Vec::new(),
            _profile: profile,
        };
        let target =
            browser.send("Target.createTarget", json!({ "url": "about:blank" }));
        browser.speak_to(target["targetId"].as_str().expect("a target"));
        Some(browser)
    }

    fn speak_to(&mut self, target: &str) {
        self.session = self.sessions.get(target).cloned();
        if self.session.is_some() {
            return;
        }
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = self.send("Target.attachToTarget", attach);
        let session = attached["sessionId"].as_str().expect("a session").to_string();
        self.sessions.insert(target.to_string(), session.clone());
        self.session = Some(session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.send(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Speaks to the window that shows the page of this name, once there is one.
    pub fn switch_to(&mut self, page: &str) {
        self.session = None;
        let found = eventually(|| self.target_of(page));
        self.speak_to(&found.unwrap_or_else(|| panic!("no window shows {page}")));
    }

    fn target_of(&mut self, page: &str) -> Option<String> {
        let targets = self.send("Target.getTargets", json!({}));
        let name = |target: &Value| {
            let url = target["url"].as_str().unwrap_or_default().to_string();
            let path = url.split('#').next().unwrap_or_default().to_string();
            path.rsplit('/').next().unwrap_or_default().to_string()
        };
        let mut targets = targets["targetInfos"].as_array()?.iter();
        let target = targets.find(|it| it["type"] == "page" && name(it) == page)?;
        target["targetId"].as_str().map(str::to_string)
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

    /// Makes the window this wide, as a desktop or a phone is.
    pub fn set_width(&mut self, width: u32) {
        let screen = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.send("Emulation.setDeviceMetricsOverride", screen);
    }

    /// Chooses mdBook's theme, as a reader does, for the pages that are opened later.
    pub fn set_theme(&mut self, theme: &str) {
        let choose = format!("localStorage.setItem('mdbook-theme', '{theme}')");
        self.send("Page.addScriptToEvaluateOnNewDocument", json!({ "source": choose }));
    }

    /// Opens a file (`/tmp/page.html`, or `/tmp/page.html#part`), and returns once it is
    /// loaded.
    pub fn open(&mut self, file: impl Display) {
        self.events.clear();
        let page = json!({ "url": format!("file://{file}") });
        let loader = self.send("Page.navigate", page)["loaderId"].clone();
        // The page before may report, too, that it is loaded.
        let is_loaded = |events: &[Value]| {
            let begun = events.iter().position(|event| {
                event["method"] == "Page.frameNavigated"
                    && event["params"]["frame"]["loaderId"] == loader
            });
            let is_load = |event: &Value| event["method"] == "Page.loadEventFired";
            begun.is_some_and(|begun| events[begun..].iter().any(is_load))
        };
        while !is_loaded(&self.events) {
            let event = self.receive("the page");
            self.events.push(event);
        }
    }

    /// Evaluates an expression in the page. A promise is waited for.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let result = self.send("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Returns the text of the first element that the selector finds.
    pub fn text(&mut self, selector: &str) -> String {
        let text = format!("document.querySelector('{selector}').textContent");
        self.evaluate(&text).as_str().unwrap_or_default().trim().to_string()
    }

    /// Evaluates an expression until it has this value.
    pub fn assert_becomes(&mut self, expression: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        let mut value = Value::Null;
        let became = eventually(|| {
            value = self.evaluate(expression);
            (value == expected).then_some(())
        });
        assert!(became.is_some(), "{expression} is {value}, not {expected}");
    }

    /// Waits until the window shows the page of this title.
    pub fn assert_shows(&mut self, title: &str) {
        let shown = "document.readyState === 'complete' \
            && document.querySelector('main h1')?.textContent";
        self.assert_becomes(shown, title);
    }

    /// Presses a key, as a person does.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "PageUp" => 33,
            "PageDown" => 34,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            "p" => 80,
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

    /// Asserts that since the page was opened no script has complained, and nothing came
    /// from a network.
    pub fn assert_quiet(&self) {
        assert_eq!(self.complaints(), [""; 0]);
        let is_local =
            |url: &String| url.starts_with("file:") || url.starts_with("data:");
        let mut elsewhere = self.requests();
        elsewhere.retain(|url| !is_local(url));
        assert_eq!(elsewhere, [""; 0]);
    }

    /// Returns the exceptions of scripts, and the messages in the console.
    fn complaints(&self) -> Vec<String> {
        let kinds =
            ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"];
        let complaints = self
            .events
            .iter()
            .filter(|event| kinds.iter().any(|kind| event["method"] == *kind));
        complaints.map(|event| event["params"].to_string()).collect()
    }

    /// Returns the addresses from which the page was loaded.
    fn requests(&self) -> Vec<String> {
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
