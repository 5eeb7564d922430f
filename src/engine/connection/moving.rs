//! A connection that goes to another worker: what that one needs, and how it goes on.

use super::{Connection, State, millis};
use crate::buffers::{BodyStorage, Pools};
use crate::handover::{Arrival, Departure, Header, Stage};
use crate::notice::RequestError;
use crate::settings::Settings;
use crate::spool::Spool;
use std::os::fd::AsFd;

impl Connection {
    /// What another worker needs to go on with it. `None`: a request is being answered, or
    /// the connection is about to be closed.
    pub(crate) fn departure(&self, now_ms: u64, settings: &Settings) -> Option<Departure<'_>> {
        match self.state {
            State::Idle | State::ReadingHead | State::ReadingBody | State::Ready => {}
            State::Answering | State::Sending | State::Lingering => return None,
        }
        if self.streamed_body.is_some() {
            return None;
        }
        let latest_ms = now_ms + millis(settings.client_timeout.max(settings.keepalive));
        let deadline_ms = self.deadline_ms.min(latest_ms);
        let incoming = self.incoming.as_deref();
        let stage = match (self.state, incoming.map(|incoming| &incoming.body_storage)) {
            (State::ReadingBody | State::Ready, Some(BodyStorage::Spooled(decoder))) => {
                let spool = incoming.map(|incoming| &incoming.spool)?;
                Stage::Spooling {
                    decoder: decoder.clone(),
                    is_complete: self.state == State::Ready,
                    length: spool.len(),
                    in_file: spool.file().is_some(),
                }
            }
            _ if incoming.is_some_and(|incoming| !incoming.input.is_empty()) => Stage::Received,
            _ => Stage::Idle,
        };
        let mut header = Header::new(self.listener, self.peer(), deadline_ms, stage);
        if self.state == State::Ready {
            header.ready_since_ms = incoming.map_or(0, |incoming| incoming.ready_since_ms);
        }
        header.is_served = self.is_served;
        header.proxied = self.proxied.clone();
        header.is_continued = self.state == State::ReadingBody
            && incoming.is_some_and(|incoming| !incoming.head.expect_continue);
        Some(Departure {
            header,
            socket: self.as_fd(),
            input: incoming.map_or(&[], |incoming| &incoming.input),
            body: incoming.map_or(&[], |incoming| incoming.spool.memory()),
            body_file: incoming.and_then(|incoming| incoming.spool.file()),
        })
    }

    /// Goes on where another worker stopped. `true`: the request is complete.
    pub(crate) fn arrive(
        &mut self,
        arrival: Arrival,
        now_ms: u64,
        pools: &mut Pools,
    ) -> Result<bool, RequestError> {
        let Arrival {
            header,
            input,
            body,
            body_file,
            ..
        } = arrival;
        self.is_served = header.is_served;
        self.proxied = header.proxied;
        let mut incoming = pools.incoming.take();
        incoming.input.extend_from_slice(&input);
        let is_complete = match header.stage {
            Stage::Idle => {
                pools.incoming.put_back(incoming);
                return Ok(false);
            }
            Stage::Received => {
                self.state = State::ReadingHead;
                self.incoming = Some(incoming);
                self.parse(now_ms, &pools.parts.settings)?
            }
            Stage::Spooling {
                decoder,
                is_complete,
                length,
                ..
            } => {
                let limits = &pools.parts.settings.limits;
                let parsed = incoming.head.parse(&incoming.input, limits);
                incoming.head.rewrite(&mut incoming.input);
                incoming.length = incoming.head.length;
                incoming.body_storage = BodyStorage::Spooled(decoder);
                incoming.spool = Spool::restore(body, body_file, length);
                self.incoming = Some(incoming);
                parsed?;
                self.state = State::ReadingBody;
                is_complete
            }
        };
        if is_complete {
            let since_ms = match header.ready_since_ms {
                0 => now_ms,
                since_ms => since_ms.min(now_ms),
            };
            self.set_ready(since_ms, &pools.parts.settings);
        }
        if let Some(incoming) = self.incoming.as_mut().filter(|_| header.is_continued) {
            incoming.head.expect_continue = false;
        }
        Ok(is_complete)
    }
}
