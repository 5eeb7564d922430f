//! `health_path`: requests that the engine answers by itself, so that a balancer learns
//! whether the pool serves also while the application is busy. They are no requests of the
//! application: nobody else counts or sees them.

use super::{Engine, find};
use crate::responder::Responder;
use rgunicorn_http::{ResponseError, Status};

impl Engine {
    /// Whether the request of this connection, which is complete, is one for `health_path`.
    pub(super) fn asks_for_health(&mut self, token: u64) -> bool {
        let Some(path) = &self.pools.parts.settings.health_path else {
            return false;
        };
        let connection = find(&mut self.connections, token);
        connection.is_some_and(|connection| connection.asks_for(path))
    }

    /// Answers it. The response is sent in the next turn at the latest, and what was sent
    /// behind it is parsed then: a client that sends many at once gets one for each turn.
    pub(super) fn answer_health(&mut self, token: u64) {
        let is_stopping = self.is_stopping();
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        let Some((request, mut responder)) = connection.hand_out(&mut self.pools, is_stopping)
        else {
            return;
        };
        let date = self.clock.date();
        if write(&mut responder, is_stopping, date).is_err() {
            responder.respond_with_error(Status::INTERNAL_SERVER_ERROR, date);
        }
        let id = request.id();
        self.recycle(request);
        if let Some(outgoing) = responder.outgoing.take() {
            if self.set_response(id, outgoing) {
                self.schedule(token);
            }
        }
    }

    /// Whether the pool stops, or this worker does and nobody takes its place.
    pub(super) fn is_stopping(&self) -> bool {
        let neighbours = self.neighbours.as_ref();
        self.retiring.is_some() || neighbours.is_some_and(|all| all.are_stopping())
    }
}

fn write(
    responder: &mut Responder,
    is_stopping: bool,
    date: &[u8; 29],
) -> Result<(), ResponseError> {
    let (status, text): (&[u8], &[u8]) = if is_stopping {
        (b"503 Service Unavailable", b"stopping\n")
    } else {
        (b"200 OK", b"ok\n")
    };
    let mut head = responder.head(status)?;
    head.field(b"Content-Type", b"text/plain")?;
    head.field(b"Cache-Control", b"no-store")?;
    head.finish(Some(text.len() as u64), date);
    // It is kept in memory, and whether that is complete is asked when it is sent.
    let _ = responder.push(text);
    responder.end();
    Ok(())
}
