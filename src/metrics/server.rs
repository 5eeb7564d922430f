//! Clients: one request a connection, so many at a time, for so long. The program ends when
//! nobody has connected for a while. A connection that comes in that moment stays with the
//! socket, which belongs to systemd, and starts the program again.

use crate::answers::{self, wanted};
use crate::cli::Options;
use crate::sites::Sites;
use crate::sockets::Socket;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The most clients at a time. Others wait in the queue of the socket.
const MOST_CLIENTS: usize = 32;

/// How long a client may take to send the head of its request, and for all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a request is kept, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// How long to wait after accept(2) failed, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for the last clients before looking again.
const CLIENT_PAUSE: Duration = Duration::from_secs(1);

/// What all clients share.
struct Shared {
    sites: Sites,
    room: Arc<Semaphore>,
    /// When a client came or left last.
    last: Cell<Instant>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves until nobody has asked for a while.
pub async fn run(sockets: Vec<Socket>, options: Options) -> io::Result<()> {
    let shared = Rc::new(Shared {
        sites: Sites::new(options.folder),
        room: Arc::new(Semaphore::new(MOST_CLIENTS)),
        last: Cell::new(Instant::now()),
    });
    let clients = LocalSet::new();
    for socket in sockets {
        let listener = listener(socket)?;
        clients.spawn_local(accept_all(listener, Rc::clone(&shared)));
    }
    clients.run_until(idle(&shared, options.idle_exit)).await;
    Ok(())
}

fn listener(socket: Socket) -> io::Result<Listener> {
    Ok(match socket {
        Socket::Tcp(tcp) => {
            tcp.set_nonblocking(true)?;
            Listener::Tcp(TcpListener::from_std(tcp)?)
        }
        Socket::Unix(unix) => {
            unix.set_nonblocking(true)?;
            Listener::Unix(UnixListener::from_std(unix)?)
        }
    })
}

/// Returns when there is no client and has been none for that long.
async fn idle(shared: &Shared, time: Duration) {
    loop {
        let due = shared.last.get() + time;
        if Instant::now() < due {
            sleep_until(due).await;
        } else if shared.room.available_permits() == MOST_CLIENTS {
            return;
        } else {
            sleep(CLIENT_PAUSE).await;
        }
    }
}

async fn accept_all(listener: Listener, shared: Rc<Shared>) {
    loop {
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Listener::Unix(unix) => unix.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        };
        let Ok(stream) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        shared.last.set(Instant::now());
        let Ok(permit) = Arc::clone(&shared.room).acquire_owned().await else {
            return;
        };
        tokio::task::spawn_local(serve(stream, Rc::clone(&shared), permit));
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn serve(stream: Stream, shared: Rc<Shared>, permit: OwnedSemaphorePermit) {
    match stream {
        Stream::Tcp(stream) => exchange(stream, &shared).await,
        Stream::Unix(stream) => exchange(stream, &shared).await,
    }
    shared.last.set(Instant::now());
    drop(permit);
}

/// One request and its answer.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let service = service_fn(
        |request: hyper::Request<hyper::body::Incoming>| async move {
            let wanted = wanted(request.method(), request.uri().path());
            Ok::<_, Infallible>(answers::answer(wanted, &shared.sites).await)
        },
    );
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong is the client's, who notices.
    let _ = timeout(CLIENT_TIMEOUT, connection).await;
}
