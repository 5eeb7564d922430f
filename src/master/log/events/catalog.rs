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

#[test]
fn explanations_use_only_fields_that_events_have() {
    let source = source();
    for (id, entry) in entries() {
        for field in entry.split('@').skip(1).step_by(2) {
            let name = field.to_ascii_lowercase();
            let is_set = [" = ", ",", " "]
                .iter()
                .any(|after| source.contains(&format!(" {name}{after}")))
                || source.contains(&format!("(\"{field}\","));

            assert!(is_set, "{id} has @{field}@");
        }
    }
}
