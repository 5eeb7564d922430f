//! The settings, the requests and the steps that are drawn at random.

use crate::{BodyDelivery, Settings};
use proptest::prelude::*;
use std::time::Duration;

/// What the request of a client has for a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sent {
    Nothing,
    Length(usize),
    /// In chunks of about this size.
    Chunked(usize, usize),
}

/// How the application answers. With a number of bytes where there is a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Finish(usize),
    FinishLater(usize),
    InAnotherThread(usize),
    File(usize),
    /// A piece each time it is asked, with back-pressure.
    InPieces(usize),
    ThenClose(usize),
    Drop,
    DropInTheMiddle,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A client sends at most so many bytes of what it has to send.
    Send(usize, usize),
    Read(usize, usize),
    HalfClose(usize),
    Leave(usize),
    Turn(usize),
    /// The application takes the requests that are complete.
    TakeRequests(usize),
    /// It takes one, and may put it back.
    Borrow(usize),
    PutBack,
    Answer(usize, Answer),
    GiveRequests(usize, usize),
    GiveConnections(usize, bool),
    LeaveListeners,
    Retire,
}

pub(super) fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        3 => Just(Sent::Nothing),
        2 => (0..300_usize).prop_map(Sent::Length),
        1 => (0..60_000_usize).prop_map(Sent::Length),
        1 => (0..300_usize, 1..100_usize).prop_map(|(all, chunk)| Sent::Chunked(all, chunk)),
        1 => (0..60_000_usize, 1000..20_000_usize)
            .prop_map(|(all, chunk)| Sent::Chunked(all, chunk)),
    ]
}

pub(super) fn length() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..100_usize, 1 => 0..80_000_usize]
}

pub(super) fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => length().prop_map(Answer::Finish),
        3 => length().prop_map(Answer::FinishLater),
        1 => length().prop_map(Answer::InAnotherThread),
        1 => length().prop_map(Answer::File),
        3 => length().prop_map(Answer::InPieces),
        1 => length().prop_map(Answer::ThenClose),
        1 => Just(Answer::Drop),
        1 => Just(Answer::DropInTheMiddle),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let client = 0..6_usize;
    let engine = 0..2_usize;
    prop_oneof![
        8 => (client.clone(), 1..100_usize).prop_map(|(who, count)| Step::Send(who, count)),
        4 => (client.clone(), 1..50_000_usize).prop_map(|(who, count)| Step::Send(who, count)),
        4 => (client.clone(), 1..20_000_usize).prop_map(|(who, count)| Step::Read(who, count)),
        1 => client.clone().prop_map(Step::HalfClose),
        1 => client.prop_map(Step::Leave),
        10 => engine.clone().prop_map(Step::Turn),
        8 => engine.clone().prop_map(Step::TakeRequests),
        2 => engine.clone().prop_map(Step::Borrow),
        2 => Just(Step::PutBack),
        10 => (0..6_usize, answer()).prop_map(|(which, answer)| Step::Answer(which, answer)),
        2 => (engine.clone(), 1..4_usize).prop_map(|(who, count)| Step::GiveRequests(who, count)),
        3 => (engine, any::<bool>()).prop_map(|(who, too)| Step::GiveConnections(who, too)),
        1 => prop_oneof![9 => Just(Step::LeaveListeners), 1 => Just(Step::Retire)],
    ]
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    let delivery = prop_oneof![
        3 => Just(BodyDelivery::Whole),
        1 => Just(BodyDelivery::AsReceived),
    ];
    (delivery, any::<bool>(), 0..40_000_usize).prop_map(|(body_delivery, across, in_memory)| {
        Settings {
            keepalive: Duration::from_secs(3600),
            client_timeout: Duration::from_secs(3600),
            across_turns: across || body_delivery == BodyDelivery::AsReceived,
            body_delivery,
            body_in_memory: in_memory,
            response_in_memory: 4000,
            response_on_disk: 10_000,
            ..Settings::default()
        }
    })
}
