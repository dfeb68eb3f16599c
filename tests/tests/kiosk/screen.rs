//! A browser, as a person at the monitor uses it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use zmon_testkit::skip::skip;
use zmon_tests::kit::{Lines, Node};

/// Width and height in pixels.
pub(crate) type Size = (u32, u32);
pub(crate) const SMALL: Size = (1280, 720);
pub(crate) const LARGE: Size = (1920, 1080);

/// How often, and with what pause between, something is looked for on the screen: twenty seconds and more.
const LOOKS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Screen {
    lines: Lines,
    _node: Node,
}

/// Where Debian puts it, and others.
const CHROMIUM: [&str; 3] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
];

impl Screen {
    /// None where the test called `title` is skipped.
    pub(crate) fn start(title: &str) -> Option<Self> {
        let node = Node::for_browser().inspect_err(|reason| skip(title, reason)).ok()?;
        let Some(chromium) = CHROMIUM.iter().find(|path| Path::new(path).exists()) else {
            skip(title, "Chromium is not installed");
            return None;
        };
        let mut command = node.script("browser.mjs");
        command.arg(chromium);
        Some(Self {
            lines: Lines::start(command),
            _node: node,
        })
    }

    /// What came of one command; a fault of the browser's is the test's.
    pub(crate) fn ask(&mut self, command: &str, argument: impl Into<Value>) -> Value {
        let argument = argument.into();
        let mut answer = self.lines.ask(&json!({ command: argument }));
        assert_eq!(answer["fault"], Value::Null, "{command} {argument}");
        answer["value"].take()
    }

    pub(crate) fn open(&mut self, url: &str, (width, height): Size, scheme: &str) {
        self.ask(
            "open",
            json!({ "url": url, "width": width, "height": height, "scheme": scheme }),
        );
    }

    pub(crate) fn click(&mut self, selector: &str) {
        self.ask("click", selector);
    }

    /// Waits for this view.
    pub(crate) fn shows(&mut self, view: &str) {
        self.ask("wait", format!("#{view}:not([hidden])"));
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        self.ask("text", selector).as_str().unwrap().to_owned()
    }

    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        self.ask("evaluate", script)
    }

    /// Waits until a script says yes.
    pub(crate) fn until(&mut self, script: &str) {
        for _ in 0..LOOKS {
            if self.evaluate(script) == Value::Bool(true) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("it never became true: {script}");
    }

    /// A picture of the screen.
    pub(crate) fn picture(&mut self, path: &Path) {
        self.ask("shot", path.to_str().unwrap());
    }

    /// What the browser complained about since it was asked last: the console, scripts, the policy.
    pub(crate) fn problems(&mut self) -> Vec<String> {
        texts(&self.ask("problems", Value::Null))
    }

    /// What breaks a rule of size.
    pub(crate) fn misfits(&mut self, (_, height): Size) -> Vec<String> {
        // docs/kiosk.md states these.
        let (letter, title) = (height / 30, height / 15);
        let rules = json!({ "target": 48, "letter": letter, "title": title });
        texts(&self.ask("measure", rules))
    }

    /// What breaks a rule of size, and what axe-core finds.
    pub(crate) fn faults(&mut self, size: Size) -> Vec<String> {
        let mut faults = self.misfits(size);
        faults.extend(texts(&self.ask("violations", Value::Null)));
        faults
    }

    /// Nothing of a session is there any more: not in the document, and not in what scripts hold.
    pub(crate) fn has_forgotten(&mut self, code: &str) {
        let html = self.ask("html", Value::Null).as_str().unwrap().to_owned();
        let spaced: Vec<_> = code.chars().map(String::from).collect();
        assert!(!html.contains(code) && !html.contains(&spaced.join(" ")), "{html}");
        assert_eq!(self.evaluate("document.querySelectorAll('#qr *, #code *').length"), 0);
        assert_eq!(self.ask("remembers", code), false, "a script holds the pairing code");
        assert_eq!(
            self.ask("remembers", "shape-rendering"),
            false,
            "a script holds the picture"
        );
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Where pictures are kept for people: `target/kiosk`.
pub(crate) fn gallery() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(3).unwrap().join("kiosk");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
