//! A gateway by itself, for its tests and its bench: `gateway MODEL BASE_URL`, with the key in `GATEWAY_KEY`. Prints its
//! port, then a JSON line for everything that it hears, and ends when standard input does.
#![expect(
    clippy::print_stdout,
    reason = "what it hears is for whoever started it"
)]

use std::io::Read;
use std::net::TcpListener;

use model::gateway::{Admitted, Ask, Denied, Desk, Gateway, Pinned, Refusal, Upstream};
use model::{Failure, Key, Reply, Timeouts};
use serde_json::json;

#[derive(Default)]
struct Printer {
    calls: u64,
    silent: bool,
}

impl Desk for Printer {
    fn admit(&mut self, ask: &Ask) -> Result<Admitted, Denied> {
        self.calls += 1;
        if !self.silent {
            println!(
                "{}",
                json!({"ask": self.calls, "items": ask.items.len(), "most": ask.most})
            );
        }
        Ok(Admitted {
            call: self.calls,
            output_tokens: None,
        })
    }

    fn count(&mut self, _: model::Dialect, _: u64) -> Result<(), Denied> {
        Ok(())
    }

    fn answered(&mut self, call: u64, reply: Reply, _: u64) {
        if !self.silent {
            println!(
                "{}",
                json!({"answered": call, "usage": reply.usage, "stop": reply.stop})
            );
        }
    }

    fn failed(&mut self, call: u64, failure: Failure, _: u64) {
        println!(
            "{}",
            json!({"failed": call, "kind": failure.kind.name(), "message": failure.message})
        );
    }

    fn refused(&mut self, refusal: Refusal) {
        println!(
            "{}",
            json!({"refused": refusal.reason.name(), "place": refusal.place, "what": refusal.what})
        );
    }

    fn flush(&mut self) -> bool {
        true
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        arguments
            .next()
            .unwrap_or_else(|| panic!("{what} is missing"))
    };
    let pinned = Pinned {
        name: next("the model").parse().expect("a model's name"),
        aliases: vec!["small-*".to_owned()],
    };
    let base = next("the base URL");
    let key = std::env::var("GATEWAY_KEY").expect("GATEWAY_KEY holds the key");
    let key = Key::new(&key, "GATEWAY_KEY").expect("a key");
    let upstream = Upstream::new(pinned, Some(&base), Some(key), Timeouts::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    let desk = Printer {
        calls: 0,
        silent: std::env::var_os("GATEWAY_SILENT").is_some(),
    };
    let gateway = Gateway::start(
        listener,
        upstream.expect("a way to the provider"),
        Box::new(desk),
    );
    let gateway = gateway.expect("a gateway");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(gateway);
}
