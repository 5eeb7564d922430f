//! One server, asked over its control socket. What answers there may be an application that
//! has taken the place of its server, so each answer is limited in length and number.

use rgunicorn_control::memory::Memory;
use rgunicorn_control::protocol::{self, Answer, LONGEST_LINE, Request, Worker};
use rgunicorn_control::queue_length::Queues;
use rgunicorn_control::site::{Scrape, Silence};
use std::io;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The most answers that are read of a server at one time. A server with the most workers
/// needs a few.
const MOST_ANSWERS: usize = 32;

/// The most workers and listeners that are taken from a server. No server has as many.
const MOST_WORKERS: usize = 4096;
const MOST_LISTENERS: usize = 256;

/// All that a server says of itself for its metrics; or why it says nothing.
pub async fn scrape(control: &Path, waiting: &Queues) -> Result<Scrape, Silence> {
    let mut left = MOST_ANSWERS;
    let Answer::Summary(summary) = ask(control, Request::Summary, &mut left).await? else {
        return Err(not_understood());
    };
    let mut workers: Vec<(Worker, Memory)> = Vec::new();
    let mut from = Some(0);
    while let Some(first) = from {
        match ask(control, Request::Workers { from: first }, &mut left).await? {
            Answer::Workers(part) => {
                // This process may not read how much memory those of other accounts have.
                let memory = Memory::default();
                has_room(workers.len() + part.workers.len(), MOST_WORKERS)?;
                workers.extend(part.workers.into_iter().map(|worker| (worker, memory)));
                from = part.next.filter(|next| *next > first);
            }
            _ => return Err(not_understood()),
        }
    }
    let mut listeners = Vec::new();
    let mut from = Some(0);
    while let Some(first) = from {
        match ask(control, Request::Listeners { from: first }, &mut left).await? {
            Answer::Listeners(part) => {
                has_room(listeners.len() + part.listeners.len(), MOST_LISTENERS)?;
                listeners.extend(part.listeners);
                from = part.next.filter(|next| *next > first);
            }
            _ => return Err(not_understood()),
        }
    }
    let master = Memory::default();
    Ok(Scrape::new(summary, master, workers, listeners, waiting))
}

fn has_room(count: usize, most: usize) -> Result<(), Silence> {
    if count > most {
        return Err("it lists more than a server can have".into());
    }
    Ok(())
}

fn not_understood() -> Silence {
    "it and rgunicorn-metrics are of different versions".into()
}

async fn ask(control: &Path, request: Request, left: &mut usize) -> Result<Answer, Silence> {
    *left = left.checked_sub(1).ok_or("it does not stop answering")?;
    let line = exchange(control, request).await.map_err(|error| {
        match error.kind() {
            // Its queue is full.
            io::ErrorKind::WouldBlock => Silence::NoAnswer,
            _ => Silence::Reason(error.to_string()),
        }
    })?;
    match protocol::parse(&String::from_utf8_lossy(&line)) {
        Ok(Answer::Failed(reason)) => Err(reason.into()),
        Ok(answer) => Ok(answer),
        Err(_) => Err(not_understood()),
    }
}

async fn exchange(control: &Path, request: Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(control).await?;
    // A server that refuses the client answers without reading the request: then this write
    // fails, and the answer is there all the same.
    let _ = stream.write_all(protocol::line(&request).as_bytes()).await;
    let longest = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    BufReader::new(stream.take(longest))
        .read_until(b'\n', &mut line)
        .await?;
    if line.ends_with(b"\n") {
        Ok(line)
    } else {
        Err(io::Error::other("it closed the connection"))
    }
}
