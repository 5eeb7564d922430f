//! Clients: one request a connection, so many at a time, for so long. The program ends when
//! nobody has connected for a while. A connection that comes in that moment stays with the
//! socket, which belongs to systemd, and starts the program again.

use crate::answers::{self, Reader, wanted};
use crate::cli::Options;
use crate::places::{Place, Places};
use crate::sites::Sites;
use crate::sockets::Socket;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The most clients at a time.
const MOST_CLIENTS: usize = 32;

/// How long a client may take for all.
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
    places: Rc<Places>,
    /// When a client came or left last.
    last: Cell<Instant>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Reader),
}

/// Serves until nobody has asked for a while.
pub async fn run(sockets: Vec<Socket>, options: Options) -> io::Result<()> {
    let shared = Rc::new(Shared {
        sites: Sites::new(options.folder),
        places: Rc::new(Places::new(MOST_CLIENTS)),
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
            let unix = UnixListener::from_std(unix)?;
            let reader = reader(&unix)?;
            Listener::Unix(unix, reader)
        }
    })
}

/// The mode of a file decides who may connect to it. Without one, every account of the machine
/// can, also from other namespaces than those of files.
fn reader(unix: &UnixListener) -> io::Result<Reader> {
    Ok(match unix.local_addr()?.as_pathname() {
        Some(_) => Reader::Admitted,
        None => Reader::Anybody,
    })
}

/// Returns when there is no client and has been none for that long.
async fn idle(shared: &Shared, time: Duration) {
    loop {
        let due = shared.last.get() + time;
        if Instant::now() < due {
            sleep_until(due).await;
        } else if shared.places.all_are_free() {
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
            Listener::Unix(unix, reader) => {
                let accepted = unix.accept().await;
                accepted.map(|(stream, _)| Stream::Unix(stream, *reader))
            }
        };
        let Ok(stream) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        shared.last.set(Instant::now());
        let for_client = Rc::clone(&shared);
        let client = async move |place: &Place| serve(stream, &for_client, place).await;
        shared.places.spawn(client).await;
        // What it has sent is found and read before another may take its place.
        yield_now().await;
        yield_now().await;
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream, Reader),
}

async fn serve(stream: Stream, shared: &Shared, place: &Place) {
    let exchanged = match stream {
        Stream::Tcp(stream) => {
            let exchange = exchange(stream, Reader::Anybody, shared, place);
            timeout(CLIENT_TIMEOUT, exchange).await
        }
        Stream::Unix(stream, reader) => {
            let exchange = exchange(stream, reader, shared, place);
            timeout(CLIENT_TIMEOUT, exchange).await
        }
    };
    // What goes wrong is the client's, who notices.
    drop(exchanged);
    shared.last.set(Instant::now());
}

/// One request and its answer.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    reader: Reader,
    shared: &Shared,
    place: &Place,
) -> hyper::Result<()> {
    let service = service_fn(
        |request: hyper::Request<hyper::body::Incoming>| async move {
            place.has_asked();
            let wanted = wanted(request.method(), request.uri().path());
            let answer = answers::answer(wanted, reader, &shared.sites).await;
            place.has_answer();
            Ok::<_, Infallible>(answer)
        },
    );
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_TIMEOUT)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{self, SocketAddr};

    #[test]
    fn only_a_socket_with_a_path_admits_anybody_in_particular() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let name = format!("rgunicorn-metrics-{}", std::process::id());
        let without_path = SocketAddr::from_abstract_name(name).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let _guard = runtime.as_ref().unwrap().enter();

        for (listener, expected) in [
            (net::UnixListener::bind(path), Reader::Admitted),
            (net::UnixListener::bind_addr(&without_path), Reader::Anybody),
        ] {
            match super::listener(Socket::Unix(listener.unwrap())).unwrap() {
                Listener::Unix(_, reader) => assert_eq!(reader, expected),
                Listener::Tcp(_) => panic!("not a unix socket"),
            }
        }
    }
}
