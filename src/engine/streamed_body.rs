//! The body of a request that was handed out before all of it came.

use crate::buffers::{Incoming, decode_body};
use crate::notice::RequestError;
use crate::spool::Spool;
use rgunicorn_http::BodyDecoder;

/// Once this many bytes wait for the application, nothing more is received.
const MAX_WAITING: u64 = 64 * 1024;

/// A part of a request's body, in [`BodyDelivery::AsReceived`](crate::BodyDelivery).
#[derive(Debug, PartialEq, Eq)]
pub struct BodyPart {
    pub bytes: Vec<u8>,
    pub end: BodyEnd,
}

/// What follows a part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// More, which [`RequestEvent::Body`](crate::RequestEvent::Body) will announce.
    More,
    /// Nothing: the body is complete.
    Complete,
    /// Nothing: the client broke off, was too slow or sent what cannot be decoded.
    Broken,
}

#[derive(Debug)]
pub(crate) struct StreamedBody {
    decoder: BodyDecoder,
    /// Decoded, not taken yet. Never in a file.
    waiting: Spool,
    end: BodyEnd,
    /// The end was reported, or taken.
    is_end_known: bool,
}

impl StreamedBody {
    pub(crate) fn new(decoder: BodyDecoder) -> Self {
        Self {
            decoder,
            waiting: Spool::default(),
            end: BodyEnd::More,
            is_end_known: false,
        }
    }

    /// Whether bytes should be received for it.
    pub(crate) fn wants_more(&self) -> bool {
        self.end == BodyEnd::More && self.waiting.len() < MAX_WAITING
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.end == BodyEnd::Complete
    }

    /// Whether there is something to take that was not there before `waited` bytes waited.
    /// The end is news once: an application that takes what is reported would be woken
    /// again and again.
    pub(crate) fn has_news(&mut self, waited: u64) -> bool {
        let is_end_news = self.end != BodyEnd::More && !self.is_end_known;
        self.is_end_known |= is_end_news;
        is_end_news || self.waiting.len() > waited
    }

    /// Bytes that wait for the application.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.len()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.waiting.capacity()
    }

    /// Decodes what was received; what follows the body stays.
    pub(crate) fn decode(&mut self, incoming: &mut Incoming) -> Result<(), RequestError> {
        if self.end != BodyEnd::More {
            // A decoder that has found an error could find an end in the same bytes.
            return Ok(());
        }
        let Self {
            decoder, waiting, ..
        } = self;
        match decode_body(decoder, &mut incoming.input, 0, waiting, usize::MAX, None) {
            Ok(true) => self.end = BodyEnd::Complete,
            Ok(false) => {}
            Err(error) => {
                self.end = BodyEnd::Broken;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Nothing more will come.
    pub(crate) fn break_off(&mut self) {
        if self.end == BodyEnd::More {
            self.end = BodyEnd::Broken;
        }
    }

    pub(crate) fn take(&mut self) -> BodyPart {
        self.is_end_known |= self.end != BodyEnd::More;
        BodyPart {
            bytes: self.waiting.take_memory(),
            end: self.end,
        }
    }
}
