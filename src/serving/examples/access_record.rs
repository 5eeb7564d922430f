//! What a record of the access log costs: an engine with a fixed answer serves many requests
//! without a log and with one, and prints the difference of the processor time, that of the
//! writing thread included.
//!
//! `cargo run --release -p rgunicorn-serving --example access_record [FILE]`

use rgunicorn_engine::{AccessForm, AccessSettings, Engine, Settings};
use rgunicorn_link::protocol::{AccessDestination, Level};
use rgunicorn_link::{AccessFilter, AccessFormat, DEFAULT_FORMAT, Link};
use rgunicorn_serving::{AccessWriter, Reporter, Sender};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Many at once, so that little time goes to system calls.
const BATCH: usize = 50;
const BATCHES: usize = 4000;

const REQUEST: &str = "GET /catalogue/books?page=3&sort=title HTTP/1.1\r\nHost: shop.example\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\n\
    Referer: https://shop.example/catalogue\r\nConnection: keep-alive\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).map_or_else(
        || std::env::temp_dir().join("access_record.log"),
        PathBuf::from,
    );
    let number = f64::from(u32::try_from(BATCH * BATCHES)?);
    for _ in 0..3 {
        let without = serve(None)?;
        let with = serve(Some(&path))?;
        let nanoseconds = (with.as_secs_f64() - without.as_secs_f64()) * 1e9 / number;
        println!("{nanoseconds:.0} ns for each record");
    }
    std::fs::remove_file(path)?;
    Ok(())
}

/// The processor time that it takes.
fn serve(log: Option<&PathBuf>) -> Result<Duration, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mut engine = Engine::new(Settings {
        access_log: log.is_some(),
        ..Settings::default()
    })?;
    engine.listen(listener.into(), 0)?;
    let (link, _master) = Link::pair()?;
    let reporter = Reporter::new(Arc::new(link), Level::Info, Sender::Worker);
    let writer =
        log.map(|path| AccessWriter::open(&AccessDestination::File(path.clone()), &reporter));
    if let Some(writer) = &writer {
        engine.set_access_log(AccessSettings {
            format: AccessFormat::parse(DEFAULT_FORMAT).map_err(|error| error.to_string())?,
            filter: AccessFilter::ALL,
            form: AccessForm::Line,
            local_offset: |_| 0,
            output: Box::new(writer.clone()),
            metrics: None,
        });
    }
    let mut client = TcpStream::connect(address)?;
    let requests = REQUEST.repeat(BATCH);
    let mut answers = vec![0; 1 << 16];
    let before = clock_gettime(ClockId::ProcessCPUTime);
    for _ in 0..BATCHES {
        client.write_all(requests.as_bytes())?;
        let mut answered = 0;
        while answered < BATCH {
            engine.turn(Duration::from_millis(10))?;
            while let Some((request, mut responder)) = engine.next_request() {
                let head = responder.head(b"200 OK")?;
                head.finish(Some(5), engine.clock().date());
                responder.push(b"hello")?;
                responder.end();
                engine.finish(responder);
                engine.recycle(request);
                answered += 1;
            }
        }
        let _ = client.read(&mut answers)?;
    }
    if let Some(writer) = writer {
        writer.finish();
        assert_eq!(writer.lost(), 0, "records were lost");
    }
    let after = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds =
        (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec;
    Ok(Duration::from_nanos(u64::try_from(nanoseconds)?))
}
