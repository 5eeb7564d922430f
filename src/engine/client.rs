//! A connection's socket, and what it shares with the handles of its requests: that would take
//! as much memory as all the rest of a connection that is idle, so there it need not be.

use crate::buffers::Incoming;
use crate::output::SendError;
use crate::request::RequestId;
use crate::responder::EngineParts;
use crate::transport::{Peer, Transport};
use replace_with::{replace_with_or_abort, replace_with_or_abort_and_return};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a connection shares with the handles of its requests.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) transport: Transport,
    pub(crate) peer: Peer,
    pub(crate) engine: Arc<EngineParts>,
    pub(crate) claim: Claim,
    /// What was received behind the request that is being answered, for whoever goes on with
    /// the connection.
    rest: Mutex<Option<Box<Incoming>>>,
}

impl Client {
    /// To be asked by a handle before it sends anything.
    pub(crate) fn may_send(&self, id: RequestId) -> Result<(), SendError> {
        let has_timeout = self.engine.settings.request_timeout.is_some();
        let is_claimed = if has_timeout {
            !self.claim.take_for_handle(id.stream)
        } else {
            self.claim.is_for_application(id.stream)
        };
        if is_claimed {
            return Err(SendError::Gone(io::ErrorKind::TimedOut.into()));
        }
        Ok(())
    }

    pub(crate) fn lock_rest(&self) -> MutexGuard<'_, Option<Box<Incoming>>> {
        // It is only moved in and out.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket of a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Own(Transport),
    Shared(Arc<Client>),
}

impl Socket {
    pub(crate) fn transport(&self) -> &Transport {
        match self {
            Self::Own(transport) => transport,
            Self::Shared(client) => &client.transport,
        }
    }

    /// What it shares with handles, if there are any.
    pub(crate) fn client(&self) -> Option<&Arc<Client>> {
        match self {
            Self::Own(_) => None,
            Self::Shared(client) => Some(client),
        }
    }

    /// What handles use, made now if it is not there.
    pub(crate) fn share(&mut self, peer: Peer, engine: &Arc<EngineParts>) -> Arc<Client> {
        replace_with_or_abort_and_return(self, |socket| {
            let client = match socket {
                Self::Shared(client) => client,
                Self::Own(transport) => Arc::new(Client {
                    transport,
                    peer,
                    engine: Arc::clone(engine),
                    claim: Claim::default(),
                    rest: Mutex::default(),
                }),
            };
            (Arc::clone(&client), Self::Shared(client))
        })
    }

    /// Is the connection's own again, unless there is still a handle.
    pub(crate) fn stop_sharing(&mut self) {
        replace_with_or_abort(self, |socket| match socket {
            Self::Own(_) => socket,
            Self::Shared(client) => Arc::try_unwrap(client)
                .map_or_else(Self::Shared, |client| Self::Own(client.transport)),
        });
    }
}

/// Who may send on the connection of the request that is being answered: its handle, or, if
/// that takes too long, the engine. Whoever comes first; or from some moment on nobody but the
/// application.
#[derive(Debug, Default)]
pub(crate) struct Claim(AtomicU64);

impl Claim {
    const OPEN: u64 = 0;
    const HANDLE: u64 = 1;
    const ENGINE: u64 = 2;
    const APPLICATION: u64 = 3;

    fn value(stream: u32, owner: u64) -> u64 {
        (u64::from(stream) << 2) | owner
    }

    /// A request is handed out.
    pub(crate) fn open(&self, stream: u32) {
        self.0.store(Self::value(stream, Self::OPEN), Release);
    }

    /// The handle is about to send. `false`: the engine has answered.
    fn take_for_handle(&self, stream: u32) -> bool {
        self.take(stream, Self::HANDLE)
    }

    /// The engine is about to answer. `false`: the handle has begun to send.
    pub(crate) fn take_for_engine(&self, stream: u32) -> bool {
        self.take(stream, Self::ENGINE)
    }

    /// The application is about to use the connection itself. `false`: the engine has
    /// answered, or the request is over.
    pub(crate) fn take_for_application(&self, stream: u32) -> bool {
        let mine = Self::value(stream, Self::APPLICATION);
        [Self::OPEN, Self::HANDLE].into_iter().any(|owner| {
            let before = Self::value(stream, owner);
            match self.0.compare_exchange(before, mine, AcqRel, Acquire) {
                Ok(_) => true,
                Err(found) => found == mine,
            }
        })
    }

    /// The application uses the connection itself.
    pub(crate) fn is_for_application(&self, stream: u32) -> bool {
        self.0.load(Acquire) == Self::value(stream, Self::APPLICATION)
    }

    /// Nobody has begun to answer.
    pub(crate) fn is_open(&self, stream: u32) -> bool {
        self.0.load(Acquire) == Self::value(stream, Self::OPEN)
    }

    fn take(&self, stream: u32, owner: u64) -> bool {
        let (open, mine) = (Self::value(stream, Self::OPEN), Self::value(stream, owner));
        match self.0.compare_exchange(open, mine, AcqRel, Acquire) {
            Ok(_) => true,
            Err(found) => found == mine,
        }
    }
}
