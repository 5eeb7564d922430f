//! The names of header fields: what each means to the environ, and its key
//! there. They are cached, as making a key takes longer than all else that is
//! done for a field.
//!
//! A client may send any number of names. So once the cache is full, a name is
//! cached when it comes for the second time, and the least recently used name is
//! evicted: names that come once cannot push out those that come again.

use super::forwarded::HeaderRules;
use super::last_string::LastString;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// The most names cached.
const CACHED: usize = 512;

/// How many buckets there are for names that came once, and how many names each has.
const BUCKETS: usize = 512;
const BUCKET: usize = 2;

/// Where in [`HeaderNames::names`] a name stays only until the next.
const UNCACHED: usize = 0;

pub struct HeaderNames {
    /// By the name in lower case: one name may be spelled in two ways in one request.
    places: HashMap<Box<[u8]>, usize>,
    names: Vec<HeaderName>,
    /// Hashes of the last names that were not cached, the latest of a bucket first. More
    /// than one, or two names that share a bucket and come in turns would never be cached.
    seen: Vec<[u64; BUCKET]>,
    rules: HeaderRules,
}

/// A field name and what to do with the field.
pub struct HeaderName {
    pub meaning: Meaning,
    pub key: Py<PyString>,
    /// The last request that may have had it, to notice a field that comes
    /// twice in one.
    pub request: u64,
    /// Of most fields the value is what it was: the host, what a browser or a proxy accepts.
    pub value: LastString,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Becomes `HTTP_…`.
    Plain,
    /// The environ has a key of its own for it.
    Content,
    /// Becomes `HTTP_COOKIE`. Its values are lists with a separator of their own.
    Cookie,
    /// Left out: its meaning is used up.
    Dropped,
    /// It has an underscore, and could pass for another one (`X_Forwarded_For` for
    /// `X-Forwarded-For`): `header_map` says what becomes of it.
    Ambiguous,
    /// `SCRIPT_NAME` from a trusted peer says where the application is mounted.
    ScriptName,
    /// Has an underscore, and trusted peers may send it.
    Forwarder,
    /// From a trusted peer, says whether the client spoke TLS to it: the number of the rule.
    Scheme(usize),
    /// Becomes `HTTP_HOST`, and names the server behind a unix socket.
    Host,
}

impl HeaderNames {
    pub fn new(py: Python<'_>, rules: HeaderRules) -> Self {
        Self {
            places: HashMap::new(),
            names: vec![HeaderName::new(py, &rules, b"", 0)],
            seen: vec![[0; BUCKET]; BUCKETS],
            rules,
        }
    }

    /// The field name that is `lower` in lower case, and the rules that made it what it is.
    pub fn get(
        &mut self,
        py: Python<'_>,
        lower: &[u8],
        request: u64,
    ) -> (&mut HeaderName, &HeaderRules) {
        let place = match self.places.get(lower) {
            Some(place) => *place,
            None => self.add(py, lower, request),
        };
        (&mut self.names[place], &self.rules)
    }

    fn add(&mut self, py: Python<'_>, lower: &[u8], request: u64) -> usize {
        let name = HeaderName::new(py, &self.rules, lower, request);
        let place = if self.names.len() <= CACHED || self.was_seen(lower) {
            self.free_place(request)
        } else {
            UNCACHED
        };
        if place == self.names.len() {
            self.names.push(name);
        } else {
            self.names[place] = name;
        }
        if place != UNCACHED {
            self.places.insert(lower.into(), place);
        }
        place
    }

    /// Whether the name came before, as far as is remembered.
    fn was_seen(&mut self, lower: &[u8]) -> bool {
        // 0 marks an empty slot.
        let hash = self.places.hasher().hash_one(lower) | 1;
        let number = usize::try_from(hash >> 32).unwrap_or(0) % BUCKETS;
        let bucket = &mut self.seen[number];
        let was_seen = bucket.contains(&hash);
        if !was_seen {
            bucket.rotate_right(1);
            bucket[0] = hash;
        }
        was_seen
    }

    /// A place of the cache that is free, or made free.
    fn free_place(&mut self, request: u64) -> usize {
        if self.names.len() <= CACHED {
            return self.names.len();
        }
        let oldest = (UNCACHED + 1..self.names.len())
            .min_by_key(|place| self.names[*place].request)
            .filter(|place| self.names[*place].request < request);
        match oldest {
            Some(oldest) => {
                self.places.retain(|_, place| *place != oldest);
                oldest
            }
            // All of them belong to this very request.
            None => UNCACHED,
        }
    }
}

impl HeaderName {
    fn new(py: Python<'_>, rules: &HeaderRules, lower: &[u8], request: u64) -> Self {
        let upper: String = lower
            .iter()
            .map(|byte| match byte {
                b'-' => '_',
                byte => char::from(byte.to_ascii_uppercase()),
            })
            .collect();
        let meaning = match upper.as_str() {
            // As the client wrote it, no name with an underscore is one with a dash.
            _ if lower.contains(&b'_') => {
                let name = String::from_utf8_lossy(lower).to_ascii_uppercase();
                match name.as_str() {
                    name if !rules.is_forwarder(name) => Meaning::Ambiguous,
                    "SCRIPT_NAME" => Meaning::ScriptName,
                    _ => Meaning::Forwarder,
                }
            }
            "CONTENT_TYPE" | "CONTENT_LENGTH" => Meaning::Content,
            "COOKIE" => Meaning::Cookie,
            // The engine has taken the chunks apart.
            "TRANSFER_ENCODING" => Meaning::Dropped,
            "HOST" => Meaning::Host,
            name => match rules.scheme(&name.replace('_', "-")) {
                Some(scheme) => Meaning::Scheme(scheme),
                None => Meaning::Plain,
            },
        };
        // Not interned: interned strings may live for ever, and clients can send
        // any number of names. As the names are cached, nothing is lost by it.
        let key = match meaning {
            Meaning::Content => PyString::new(py, &upper),
            Meaning::Plain
            | Meaning::Cookie
            | Meaning::Dropped
            | Meaning::Ambiguous
            | Meaning::ScriptName
            | Meaning::Forwarder
            | Meaning::Scheme(_)
            | Meaning::Host => PyString::new(py, &format!("HTTP_{upper}")),
        };
        Self {
            meaning,
            key: key.unbind(),
            // The same name may have come before in this request without being
            // cached: whoever adds the field has to look.
            request,
            value: LastString::default(),
        }
    }
}
