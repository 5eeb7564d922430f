//! That the catalog in `systemd/rgunicorn.catalog` explains the events, and
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};

const CATALOG: &str = include_str!("../../../../systemd/rgunicorn.catalog");

/// All that is in this folder: a new part is covered by itself.
fn source() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/master/log/events");
    let files = std::fs::read_dir(folder).unwrap();
    let parts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    parts.collect::<Vec<_>>().join("\n")
}

/// Every id, with its name.
fn ids() -> BTreeMap<String, String> {
    let source = source();
    source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter_map(|line| line.split_once(": &str = \""))
        .map(|(name, id)| (id.trim_end_matches("\";").to_owned(), name.to_owned()))
        .collect()
}

/// Every entry of the catalog: its id and its text.
fn entries() -> Vec<(&'static str, &'static str)> {
    CATALOG
        .split("\n-- ")
        .skip(1)
        .map(|entry| entry.split_once('\n').unwrap())
        .collect()
}

#[test]
fn every_event_is_explained_and_every_explanation_has_an_event() {
    let explained: Vec<_> = entries().iter().map(|(id, _)| *id).collect();
    let unique: BTreeSet<_> = explained.iter().map(|id| (*id).to_owned()).collect();

    assert_eq!(unique, ids().into_keys().collect());
    assert_eq!(unique.len(), explained.len());
}

#[test]
fn every_id_is_a_valid_and_different_128_bit_number() {
    let names = source().matches("\npub const ").count();

    assert_eq!(ids().len(), names);
    for (id, name) in ids() {
        assert!(
            id.len() == 32 && u128::from_str_radix(&id, 16).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn every_explanation_has_a_subject_and_a_text() {
    for (id, entry) in entries() {
        let (head, text) = entry.split_once("\n\n").unwrap();

        assert!(head.starts_with("Subject: "), "{id}");
        assert!(head.contains("\nDefined-By: rgunicorn\n"), "{id}");
        assert!(head.contains("\nSupport: "), "{id}");
        assert!(!text.trim().is_empty(), "{id}");
    }
}

/// The places that log the event of this name: each from its id to the end of the
/// macro, or of the list of fields.
fn logged(source: &str, event: &str) -> Vec<String> {
    let as_macro = format!("message_id = {event},");
    let as_list = format!("(\"MESSAGE_ID\", {event}.");
    let place = |(at, _): (usize, &str)| {
        let end = source[at..].find("\n}\n").unwrap();
        let body = &source[at..at + end];
        let is_macro = body.starts_with(&as_macro);
        let end = body.find("\",\n").filter(|_| is_macro);
        body[..end.unwrap_or(body.len())].to_owned()
    };
    let macros = source.match_indices(&as_macro).map(place);
    macros
        .chain(source.match_indices(&as_list).map(place))
        .collect()
}

#[test]
fn an_explanation_uses_only_fields_that_its_event_always_has() {
    let (source, ids) = (source(), ids());
    for (id, entry) in entries() {
        let event = &ids[id];
        let places = logged(&source, event);
        assert!(!places.is_empty(), "{event} is not logged");
        for field in entry.split('@').skip(1).step_by(2) {
            let name = field.to_ascii_lowercase();
            for place in &places {
                let is_set = [" =", ","]
                    .iter()
                    .any(|after| place.contains(&format!(" {name}{after}")))
                    || place.contains(&format!("(\"{field}\","));

                assert!(is_set, "{event} has no @{field}@: {place}");
            }
        }
    }
}
