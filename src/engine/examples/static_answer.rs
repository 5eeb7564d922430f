//! The engine with a fixed response in place of an application: what the engine
//! itself costs. `cargo run --release -p rgunicorn-engine --example static_answer -- 8000`

use rgunicorn_engine::{Engine, Settings};
use std::net::TcpListener;
use std::time::Duration;

const BODY: &[u8] = b"Hello, World!\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(8000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let mut engine = Engine::new(Settings::default())?;
    engine.listen(listener.into(), 0)?;
    loop {
        let timeout = engine.next_timeout(Duration::from_secs(1));
        engine.turn(timeout)?;
        while let Some((request, mut responder)) = engine.next_request() {
            let mut head = responder.head(b"200 OK")?;
            head.field(b"Content-Type", b"text/plain")?;
            head.finish(Some(BODY.len() as u64), engine.clock().date());
            // If the client is gone, `finish` closes the connection.
            let _ = responder.push(BODY);
            responder.end();
            engine.finish(responder);
            engine.recycle(request);
        }
    }
}
