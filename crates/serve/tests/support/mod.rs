//! A server in the test's own process, and somebody who asks it: test support.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

#[path = "../../../bundle/tests/support/mod.rs"]
pub mod runs;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use report::site::TargetPage;
use score::Verdict;
use serde_json::Value;
use serve::{Config, Limits, Role, Scorer, Server, Store, Unscored};

/// Scores as the runs here are scored.
pub struct Judge;

impl Scorer for Judge {
    fn score(&self, dir: &Path, _: &Path, _: &AtomicBool) -> Result<Verdict, Unscored> {
        assert!(
            !dir.join("verdict.json").exists(),
            "what is claimed is not in the scorer's way"
        );
        Ok(runs::judge(dir))
    }
}

/// Begins to score, and does not end before the server does.
pub struct Slow(pub Arc<AtomicUsize>);

impl Scorer for Slow {
    fn score(&self, _: &Path, _: &Path, stop: &AtomicBool) -> Result<Verdict, Unscored> {
        self.0.fetch_add(1, Ordering::SeqCst);
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Unscored::Stopped)
    }
}

/// Always says the same.
pub struct Says(pub Unscored);

impl Scorer for Says {
    fn score(&self, _: &Path, _: &Path, _: &AtomicBool) -> Result<Verdict, Unscored> {
        Err(self.0.clone())
    }
}

/// A server's directory, and what belongs to its users.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub key: bundle::SecretKey,
    pub public: String,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (key, public) = runs::keys(dir.path());
        std::fs::create_dir(dir.path().join("runs")).unwrap();
        Place { dir, key, public }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A token of this role; those that may submit have the key.
    pub fn token(&self, name: &str, role: Role) -> String {
        let key = (role >= Role::Submitter).then_some(self.public.as_str());
        let store = Store::open(&self.data()).unwrap();
        store.add_token("operator", name, role, key).unwrap().secret
    }

    /// A bundle of a new run.
    pub fn bundle(&self, number: u32, code: &str) -> Vec<u8> {
        let dir = self.path("theirs");
        std::fs::create_dir_all(&dir).unwrap();
        let run = runs::make(&dir, &runs::id(number), code);
        runs::pack(&run, &self.key)
    }

    pub fn serve(&self, scorer: impl Scorer + 'static) -> Running {
        self.serve_with(scorer, |_| {})
    }

    pub fn serve_with(
        &self,
        scorer: impl Scorer + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Running {
        let page = TargetPage {
            about: "JSON to greppable assignments".to_owned(),
            domain: "data".to_owned(),
            size: "S".to_owned(),
            languages: vec!["python".to_owned()],
            ..TargetPage::default()
        };
        let mut config = Config {
            data: self.data(),
            runs: vec![self.path("runs")],
            private: false,
            catalog: BTreeMap::new(),
            targets: [("gron".to_owned(), page)].into(),
            screens: Vec::new(),
            limits: Limits::PUBLIC,
            scorer: Box::new(scorer),
        };
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::open(config, |_| {}).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || server.run(listener, &stopped).unwrap());
        Running {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

/// A server at work.
pub struct Running {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }
}

impl Running {
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Reply {
        let mut head = format!(
            "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n",
            body.len()
        );
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if body.starts_with(b"{") {
            head.push_str("Content-Type: application/json\r\n");
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// Sends bytes as they are, and reads to the end.
    pub fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        // A server that has refused already reads no further.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&answer)));
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            head,
            body: answer[end + 4..].to_vec(),
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, None, b"")
    }

    pub fn submit(&self, token: &str, bundle: &[u8]) -> Reply {
        self.ask("POST", "/api/v1/submissions", Some(token), bundle)
    }

    /// Waits until a submission is no longer under way.
    #[track_caller]
    pub fn settled(&self, token: &str, number: i64) -> Value {
        self.when(token, number, |state| {
            state != "queued" && state != "scoring"
        })
    }

    #[track_caller]
    pub fn when(&self, token: &str, number: i64, holds: impl Fn(&str) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let path = format!("/api/v1/submissions/{number}");
            let found = self.ask("GET", &path, Some(token), b"").expect(200).json();
            if holds(found["state"].as_str().unwrap()) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a page or list has these words.
    #[track_caller]
    pub fn shows(&self, path: &str, words: &str) -> Reply {
        let begun = Instant::now();
        loop {
            let reply = self.get(path);
            if reply.status == 200 && reply.text().contains(words) {
                return reply;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{}",
                reply.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn end(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}
