//! What it costs to move a connection with a complete request to another worker and back,
//! without the wake-up. `cargo run --release -p rgunicorn-engine --example handover`

use rgunicorn_engine::{Engine, HandoverSockets, Settings};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ROUNDS: u32 = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let sockets = HandoverSockets::pair()?;
    let copies = HandoverSockets {
        give: sockets.give.try_clone()?,
        take: sockets.take.try_clone()?,
    };
    let mut engines = [
        Engine::new(Settings::default())?,
        Engine::new(Settings::default())?,
    ];
    let [first, second] = &mut engines;
    second.listen(listener.try_clone()?.into(), 0)?;
    second.suspend_intake()?;
    first.listen(listener.into(), 0)?;
    first.set_handover(sockets)?;
    second.set_handover(copies)?;
    client.write_all(REQUEST)?;
    while first.ready() == 0 {
        first.turn(Duration::from_millis(10))?;
    }

    let start = Instant::now();
    for _ in 0..ROUNDS {
        for (from, to) in [(0, 1), (1, 0)] {
            if engines[from].give_requests_away(1) == 0 {
                return Err("the request did not move".into());
            }
            engines[to].take_all()?;
        }
    }
    let each = start.elapsed() / (2 * ROUNDS);

    println!("{} ns for each move", each.as_nanos());
    Ok(())
}
