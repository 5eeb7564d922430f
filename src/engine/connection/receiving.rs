//! How a request is received: its head, then its body, unless that comes in parts.

use super::{Connection, Proxied, State, millis};
use crate::buffers::{BodyStorage, Pools, RECEIVE_BODY_SIZE, RECEIVE_SIZE, decode_body};
use crate::notice::RequestError;
use crate::settings::{BodyDelivery, Settings};
use crate::streamed_body::StreamedBody;
use crate::transport::Moved;
use rgunicorn_http::{BodyDecoder, CONTINUE, Framing};

/// What one `recv` brought.
pub(super) enum Received {
    Bytes,
    WouldBlock,
    Closed,
}

impl Connection {
    /// Parses what was received. `true`: the request is complete.
    pub(super) fn parse(&mut self, now_ms: u64, settings: &Settings) -> Result<bool, RequestError> {
        let incoming = self.incoming.as_ref();
        if incoming.is_none_or(|incoming| incoming.input.is_empty()) {
            return Ok(false);
        }
        if self.state == State::Idle {
            self.state = State::ReadingHead;
            self.deadline_ms = now_ms + millis(settings.client_timeout);
        }
        if matches!(self.proxied, Proxied::Awaited) && !self.read_proxy_header(settings)? {
            return Ok(false);
        }
        let Some(incoming) = &mut self.incoming else {
            return Ok(false);
        };
        if self.state == State::ReadingHead {
            if !incoming.head.parse(&incoming.input, &settings.limits)? {
                return Ok(false);
            }
            incoming.head.rewrite(&mut incoming.input);
            let head = incoming.head.length;
            (incoming.length, incoming.body_storage) = match incoming.head.framing {
                Framing::None | Framing::Length(0) => (head, BodyStorage::InPlace),
                Framing::Length(length)
                    if length <= settings.body_in_memory as u64
                        && settings.body_delivery == BodyDelivery::Whole =>
                {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    (head + length, BodyStorage::InPlace)
                }
                framing @ (Framing::Length(_) | Framing::Chunked)
                    if settings.body_delivery == BodyDelivery::AsReceived =>
                {
                    let decoder = BodyDecoder::new(framing, &settings.limits);
                    self.streamed_body = Some(Box::new(StreamedBody::new(decoder)));
                    (head, BodyStorage::Streamed)
                }
                framing @ (Framing::Length(_) | Framing::Chunked) => {
                    let decoder = BodyDecoder::new(framing, &settings.limits);
                    (head, BodyStorage::Spooled(decoder))
                }
            };
            self.state = State::ReadingBody;
        }
        let complete = match &mut incoming.body_storage {
            BodyStorage::InPlace => incoming.input.len() >= incoming.length,
            BodyStorage::Streamed => true,
            BodyStorage::Spooled(decoder) => {
                let in_memory = settings.body_in_memory;
                decode_body(
                    decoder,
                    &mut incoming.input,
                    incoming.length,
                    &mut incoming.spool,
                    in_memory,
                    settings.body_directory.as_deref(),
                )?
            }
        };
        if complete {
            self.set_ready(now_ms, settings);
        }
        Ok(complete)
    }

    /// One `recv`, unless the socket is known to be empty.
    pub(super) fn receive(&mut self, now_ms: u64, pools: &mut Pools) -> Received {
        if !self.readiness.readable {
            return Received::WouldBlock;
        }
        let incoming = self.incoming.get_or_insert_with(|| pools.incoming.take());
        let wanted = match incoming.body_storage {
            BodyStorage::InPlace => incoming.length.saturating_sub(incoming.input.len()).max(1),
            BodyStorage::Spooled(_) | BodyStorage::Streamed => RECEIVE_BODY_SIZE,
        };
        if incoming.input.capacity() - incoming.input.len() < wanted {
            incoming
                .input
                .reserve(wanted.clamp(RECEIVE_SIZE, RECEIVE_BODY_SIZE));
        }
        let room = incoming.input.capacity() - incoming.input.len();
        match self.socket.transport().receive(&mut incoming.input) {
            Ok(Moved::Bytes(0)) | Err(_) => Received::Closed,
            Ok(Moved::Bytes(count)) => {
                // Less than asked for: the socket is empty until the next edge.
                self.readiness.readable = count == room || self.readiness.half_closed;
                if matches!(self.state, State::ReadingBody | State::Answering) {
                    self.deadline_ms = now_ms + millis(pools.parts.settings.client_timeout);
                }
                Received::Bytes
            }
            Ok(Moved::WouldBlock) => {
                self.readiness.readable = false;
                Received::WouldBlock
            }
        }
    }

    /// Sends `100 Continue` to a client that waits for it (RFC 9110, section 10.1.1).
    pub(super) fn send_continue(&mut self) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if self.state == State::ReadingBody && incoming.head.expect_continue {
            incoming.head.expect_continue = false;
            let nothing_yet = match &incoming.body_storage {
                BodyStorage::InPlace => incoming.input.len() == incoming.head.length,
                BodyStorage::Spooled(_) => incoming.spool.len() == 0,
                BodyStorage::Streamed => false,
            };
            if nothing_yet {
                // If this fails, the next read or the time-out closes the connection.
                let _ = self.socket.transport().send(CONTINUE);
            }
        }
    }
}
