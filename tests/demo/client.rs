//! Server processes of the demo, and browsers that keep a session's cookie.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sessiondir::{DirectoryStore, Session, SessionStore};

/// What takes longer hangs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The example as cargo builds it beside this test.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let directory = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let program = directory.join("examples/demo");
    let built = fs::metadata(&program).and_then(|about| about.modified());
    let build =
        "`cargo test` builds it, and so does `cargo build --example demo`; `cargo test --test demo` does not";
    let built = built.unwrap_or_else(|error| panic!("no demo at {}: {error}. {build}", program.display()));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let newest = newest(&here.join("examples/demo")).max(newest(&here.join("src")));
    assert!(newest <= built, "{} is older than its source. {build}", program.display());
    program
}

/// When something below `directory` was last changed.
fn newest(directory: &Path) -> SystemTime {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let times = entries.map(|entry| {
        if entry.file_type().expect("a type").is_dir() {
            return newest(&entry.path());
        }
        entry.metadata().and_then(|about| about.modified()).expect("a time")
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Starts a program, and gives the first line of its output that has `words` in it, or none if it ends before.
pub(crate) fn start(command: &mut Command, words: &'static str) -> (Killed, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let child = Killed(child);
    let (tell, told) = mpsc::channel();
    // Reads on to the end: whoever writes more is not to end with SIGPIPE.
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok).filter(|line| line.contains(words)) {
            let _ = tell.send(line);
        }
    });
    let line = told.recv_timeout(TIMEOUT).expect("it says that it has started");
    (child, line)
}

/// A process that does not outlive its test.
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    pub(crate) fn signal(mut self, signal: Signal) -> ExitStatus {
        let id = i32::try_from(self.0.id()).expect("a process ID");
        kill(Pid::from_raw(id), signal).expect("it is there");
        self.0.wait().expect("it ends")
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server process.
pub(crate) struct Demo {
    pub(crate) process: Killed,
    pub(crate) address: SocketAddr,
}

impl Demo {
    pub(crate) fn start(directory: &Path) -> Demo {
        Demo::with(directory, &[])
    }

    pub(crate) fn with(directory: &Path, options: &[&str]) -> Demo {
        let mut command = Command::new(program());
        command.arg(directory).args(["--host", "127.0.0.1", "--port", "0"]).args(options);
        let (process, line) = start(&mut command, "the cookie is not Secure");
        let address = line.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let address = address.and_then(|address| address.parse().ok());
        Demo { process, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// What it answers to these bytes.
    pub(crate) fn raw(&self, request: &[u8]) -> Page {
        raw(self.address, request)
    }
}

/// One request, as it is.
pub(crate) fn raw(address: SocketAddr, request: &[u8]) -> Page {
    let mut stream = TcpStream::connect(address).expect("a server");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    // One that refuses what it has read so far may close before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut part = [0; 8192];
    // To the end of the body, and not of the connection, which some servers keep whatever they are asked.
    while !is_whole(&answer) {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend(&part[..read]),
            Err(error) => panic!("no whole answer, but {:?}: {error}", String::from_utf8_lossy(&answer)),
        }
    }
    Page::parse(&answer)
}

/// Whether an answer has as much body as its head says.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.split("\r\n").find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.is_some_and(|length: usize| answer.len() >= end + 4 + length)
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Page {
    fn parse(answer: &[u8]) -> Page {
        let answer = String::from_utf8(answer.to_vec()).expect("UTF-8");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Page {
            status: status.expect("a status"),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What stands in the text after `before` and up to `after`.
    #[track_caller]
    pub(crate) fn between(&self, before: &str, after: &str) -> &str {
        let found = self.text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        found.unwrap_or_else(|| panic!("no {before:?} in {self:?}")).0
    }

    /// The value of a hidden field.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        self.between(&format!("name=\"{name}\" value=\""), "\"")
    }
}

/// Keeps the session's cookie as a browser does, and follows no redirect.
#[derive(Default)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) fn get(&mut self, demo: &Demo, path: &str) -> Page {
        self.send(demo, "GET", path, "")
    }

    pub(crate) fn post(&mut self, demo: &Demo, path: &str, form: &str) -> Page {
        self.send(demo, "POST", path, form)
    }

    fn send(&mut self, demo: &Demo, method: &str, path: &str, form: &str) -> Page {
        let cookie =
            self.cookie.as_ref().map_or(String::new(), |cookie| format!("Cookie: QX_session={cookie}\r\n"));
        let page = demo.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{cookie}\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                demo.address,
                form.len()
            )
            .as_bytes(),
        );
        for (_, cookie) in page.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let value = cookie.strip_prefix("QX_session=").expect("its name");
            let (value, attributes) = value.split_once(';').expect("attributes");
            assert!(attributes.contains("HttpOnly; SameSite=Lax; Path=/") && !attributes.contains("Secure"));
            self.cookie = (!attributes.contains("Max-Age=0")).then(|| value.to_owned());
        }
        page
    }

    /// A page that is there.
    #[track_caller]
    pub(crate) fn see(&mut self, demo: &Demo, path: &str) -> Page {
        let page = self.get(demo, path);
        assert_eq!(page.status, 200, "{page:?}");
        page
    }

    /// A link of Session3's page, which leads back there.
    #[track_caller]
    pub(crate) fn click(&mut self, demo: &Demo, path: &str) {
        let page = self.get(demo, path);
        assert_eq!((page.status, page.header("location")), (302, Some("/")), "{page:?}");
    }

    /// A page that fails, and says nothing to the browser.
    #[track_caller]
    pub(crate) fn fail(&mut self, demo: &Demo, path: &str) {
        let page = self.get(demo, path);
        assert_eq!((page.status, page.header("set-cookie")), (500, None), "{page:?}");
    }

    /// The session's ID and the counter, as Session3's page shows them.
    #[track_caller]
    pub(crate) fn shown(&mut self, demo: &Demo) -> (Option<String>, i64) {
        let page = self.see(demo, "/");
        let id = page.between("Your session ID is ", ".\n");
        let counter = page.between("Counter is at ", ".\n").parse().expect("a number");
        ((id != "None").then(|| id.to_owned()), counter)
    }

    #[track_caller]
    pub(crate) fn login(&mut self, demo: &Demo, name: &str) {
        let page = self.post(demo, "/test/login", &format!("name={name}"));
        assert_eq!((page.status, page.header("location")), (302, Some("/test/")), "{page:?}");
    }

    /// A line of `/test/check`.
    #[track_caller]
    pub(crate) fn checked(&mut self, demo: &Demo, what: &str) -> String {
        self.see(demo, "/test/check").between(&format!("{what}: "), "\n").to_owned()
    }
}

/// All sessions that are stored.
pub(crate) fn stored(directory: &Path) -> Vec<Session> {
    let store = DirectoryStore::open(directory).expect("a store");
    store.iter_sessions().expect("a listing").map(|session| session.expect("a session")).collect()
}

/// Whatever a change of a directory shows in: of each entry, the name, the inode, the size and the times.
pub(crate) fn listing(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let about = path.symlink_metadata().expect("an entry");
        found.push(format!(
            "{} {} {} {}.{} {}.{}",
            path.display(),
            about.ino(),
            about.size(),
            about.mtime(),
            about.mtime_nsec(),
            about.ctime(),
            about.ctime_nsec()
        ));
        if about.is_dir() {
            found.extend(listing(&path));
        }
    }
    found.sort();
    found
}
