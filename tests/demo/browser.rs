//! The pages in Chromium, driven over `WebDriver`. Where there is no chromedriver this is not tested, and says so.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::{Browser, Demo, Killed, TIMEOUT, raw, start, stored};

/// The name under which `WebDriver` hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

struct Chromium {
    driver: Killed,
    port: u16,
    session: String,
    /// What the browser, which is killed, leaves behind.
    _tmp: tempfile::TempDir,
}

impl Chromium {
    fn start() -> Option<Chromium> {
        let known = Command::new("chromedriver").arg("--version").output();
        if !known.is_ok_and(|output| output.status.success()) {
            // Past the harness, which keeps what tests that pass have printed.
            let why = "there is no chromedriver; `apt-get install chromium-driver`";
            let _ = writeln!(std::io::stderr(), "SKIP the demo in a browser: {why}");
            return None;
        }
        let mut command = Command::new("chromedriver");
        // A group of its own: the browser's processes are to end with it.
        let tmp = tempfile::tempdir().expect("a directory");
        command.arg("--port=0").env("TMPDIR", tmp.path()).process_group(0);
        let (driver, line) = start(&mut command, "started successfully on port");
        let port = line.rsplit(' ').next().and_then(|port| port.trim().trim_end_matches('.').parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        let mut chromium = Chromium { driver, port, session: String::new(), _tmp: tmp };
        // It runs as root in containers, with little shared memory.
        let options = json!({"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=900,700"]});
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}});
        let made = chromium.ask("POST", "/session", &wanted);
        made["sessionId"].as_str().expect("a session").clone_into(&mut chromium.session);
        Some(chromium)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let page = raw(
            ([127, 0, 0, 1], self.port).into(),
            format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.port,
                body.len()
            )
            .as_bytes(),
        );
        assert_eq!(page.status, 200, "{method} {path} {body}: {}", page.text);
        serde_json::from_str::<Value>(&page.text).expect("JSON")["value"].take()
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}/{path}", self.session), body)
    }

    #[track_caller]
    fn visit(&self, demo: &Demo, path: &str) {
        self.command("POST", "url", &json!({"url": format!("http://{}{path}", demo.address)}));
    }

    #[track_caller]
    fn element(&self, using: &str, value: &str) -> String {
        let found = self.command("POST", "element", &json!({"using": using, "value": value}));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    #[track_caller]
    fn click(&self, element: &str) {
        self.command("POST", &format!("element/{element}/click"), &json!({}));
    }

    #[track_caller]
    fn follow(&self, link: &str) {
        self.click(&self.element("link text", link));
    }

    /// Presses the first button of that text.
    #[track_caller]
    fn press(&self, button: &str) {
        self.click(&self.element("xpath", &format!("//button[.='{button}']")));
    }

    /// Waits until that text is to be seen: a click may come back before the next page is there.
    #[track_caller]
    fn sees(&self, text: &str) {
        let until = Instant::now() + TIMEOUT;
        loop {
            let seen = self.script("return document.body ? document.body.innerText : ''");
            let seen = seen.as_str().unwrap_or_default();
            if seen.contains(text) {
                return;
            }
            assert!(Instant::now() < until, "no {text:?} in {seen:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a script finds out about the page; the page's policy does not bind `WebDriver`.
    #[track_caller]
    fn script(&self, script: &str) -> Value {
        self.command("POST", "execute/sync", &json!({"script": script, "args": []}))
    }

    /// Into the directory SCREENSHOTS, if that is set: for people to look at.
    fn screenshot(&self, name: &str) {
        if let Some(directory) = std::env::var_os("SCREENSHOTS") {
            let png = self.command("GET", "screenshot", &Value::Null);
            let path = PathBuf::from(directory).join(name).with_extension("png");
            std::fs::write(path, base64(png.as_str().expect("base64"))).expect("a picture");
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let group = i32::try_from(self.driver.0.id()).expect("a process ID");
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for six in text.bytes().filter_map(|letter| (0_u32..).zip(LETTERS).find(|(_, known)| **known == letter)) {
        (bits, count) = (bits << 6 | six.0, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_be_bytes()[3]);
        }
    }
    bytes
}

/// The ID of the only session, as soon as there is one.
fn only(directory: &Path) -> String {
    let until = Instant::now() + TIMEOUT;
    loop {
        if let [session] = &stored(directory)[..] {
            return session.id().expect("an ID").expose().to_owned();
        }
        assert!(Instant::now() < until, "not one session");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_person_with_a_browser_can_use_it() {
    let Some(chromium) = Chromium::start() else { return };
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::with(tmp.path(), &["--admin"]);

    chromium.visit(&demo, "/");
    chromium.sees("Your session ID is None.");
    chromium.follow("increment");
    chromium.sees("Counter is at 0.");
    chromium.follow("assign session");
    chromium.sees(&format!("Your session ID is {}.", only(tmp.path())));
    chromium.follow("increment");
    chromium.sees("Counter is at 1.");
    chromium.follow("increment");
    chromium.sees("Counter is at 2.");
    chromium.screenshot("counter");
    chromium.follow("increment+error");
    chromium.sees("oops!");
    chromium.visit(&demo, "/");
    chromium.sees("Counter is at 2.");
    // The stylesheet is one that the policy lets in, and no script can read the cookie.
    let style = "return [getComputedStyle(document.querySelector('header')).display, document.cookie]";
    assert_eq!(chromium.script(style), json!(["flex", ""]));

    chromium.visit(&demo, "/test/login");
    chromium.screenshot("login");
    let name = chromium.element("css selector", "input[name=name]");
    let hostile = "<script>alert(1)</script>";
    chromium.command("POST", &format!("element/{name}/value"), &json!({"text": hostile}));
    chromium.press("Log in");
    chromium.sees(&format!("Logged in as {hostile}."));
    assert_eq!(chromium.script("return document.scripts.length"), json!(0));
    chromium.screenshot("test");
    chromium.follow("create_token");
    chromium.sees("Of this session there are 1.");
    chromium.press("Check it");
    chromium.sees("Token valid");
    chromium.visit(&demo, "/test/counter");
    chromium.sees("Counter: 3");

    let mut others = [Browser::default(), Browser::default(), Browser::default()];
    for (browser, name) in others.iter_mut().zip(["ada", "ada", "bob"]) {
        browser.login(&demo, name);
    }
    chromium.visit(&demo, "/");
    chromium.follow("sessions");
    chromium.sees(hostile);
    chromium.sees("4 shown");
    chromium.screenshot("admin");
    let ada = "//tr[td[2]='ada']//button[.='log out everywhere']";
    chromium.click(&chromium.element("xpath", ada));
    chromium.sees("2 shown");
    chromium.click(&chromium.element("xpath", "//tr[td[2]='bob']//button[.='delete']"));
    chromium.sees("1 shown");
    for browser in &mut others {
        assert_eq!(browser.checked(&demo, "user"), "None");
    }
    chromium.visit(&demo, "/test/");
    chromium.press("Log out");
    chromium.sees("Not logged in.");
    chromium.visit(&demo, "/nothing");
    chromium.screenshot("not-found");
    chromium.sees("There is no such page.");
}
