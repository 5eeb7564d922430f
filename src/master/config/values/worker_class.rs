//! `worker_class`: how a worker runs requests.

use crate::config::value::{Value, misfit};

/// The worker classes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerClass {
    /// One request at a time.
    Sync,
    /// Each request in one of several threads.
    Gthread,
}

impl WorkerClass {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Gthread => "gthread",
        }
    }
}

/// What is configured: a worker class, or that `threads` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerClassChoice {
    Auto,
    Named(WorkerClass),
}

/// What to do instead of using a worker class that there is only elsewhere.
const RAISE_THREADS: &str = r#"use "gthread" and raise `threads`"#;
const ASGI: &str = "only WSGI applications can be served; serve an ASGI application with an ASGI server \
                    such as uvicorn";
const OWN_SERVER: &str = r#"use "sync" for a WSGI application; Tornado and aiohttp have servers of their own for others"#;

/// Parts of the names of worker classes, Gunicorn's and those of other packages, in
/// lower case, each with the advice for it. A part is enough: each of these packages
/// has several classes (`uvicorn.workers.UvicornH11Worker`).
const ELSEWHERE: &[(&str, &str)] = &[
    ("gevent", RAISE_THREADS),
    ("eventlet", RAISE_THREADS),
    ("meinheld", RAISE_THREADS),
    ("tornado", OWN_SERVER),
    ("aiohttp", OWN_SERVER),
    ("uvicorn", ASGI),
    ("asgi", ASGI),
    ("hypercorn", ASGI),
];

impl WorkerClassChoice {
    /// What workers with this number of threads are. As with Gunicorn, `sync` with
    /// more than one is `gthread`.
    pub const fn resolve(self, threads: u32) -> WorkerClass {
        match self {
            Self::Auto | Self::Named(WorkerClass::Sync) if threads <= 1 => WorkerClass::Sync,
            Self::Auto | Self::Named(WorkerClass::Sync | WorkerClass::Gthread) => {
                WorkerClass::Gthread
            }
        }
    }
}

impl Value for WorkerClassChoice {
    fn expects() -> String {
        r#""auto", "sync" or "gthread""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(match self {
            Self::Auto => "auto".into(),
            Self::Named(class) => class.name().into(),
        })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        // Gunicorn also takes the name of an entry point, and of a class.
        let name = text.strip_prefix("egg:gunicorn#").unwrap_or(text);
        match name {
            "auto" => return Ok(Self::Auto),
            "sync" | "gunicorn.workers.sync.SyncWorker" => {
                return Ok(Self::Named(WorkerClass::Sync));
            }
            "gthread" | "gunicorn.workers.gthread.ThreadWorker" => {
                return Ok(Self::Named(WorkerClass::Gthread));
            }
            _ => {}
        }
        let name = name.to_lowercase();
        let known = ELSEWHERE.iter().find(|(part, _)| name.contains(part));
        Err(match known {
            Some((_, instead)) => format!("{text:?} is not supported; {instead}"),
            None => misfit::<Self>(&format!("{text:?}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gunicorns_spellings_are_understood() {
        for (text, name) in [
            ("auto", "auto"),
            ("sync", "sync"),
            ("egg:gunicorn#sync", "sync"),
            ("gunicorn.workers.sync.SyncWorker", "sync"),
            ("gthread", "gthread"),
            ("egg:gunicorn#gthread", "gthread"),
            ("gunicorn.workers.gthread.ThreadWorker", "gthread"),
        ] {
            let choice = WorkerClassChoice::from_word(text).unwrap();
            assert_eq!(choice.to_toml(), Some(name.into()), "{text}");
        }
    }

    #[test]
    fn more_than_one_thread_needs_threads_whatever_the_class_is() {
        let resolved = |text, threads| {
            let choice = WorkerClassChoice::from_text(text).unwrap();
            choice.resolve(threads)
        };
        assert_eq!(resolved("auto", 1), WorkerClass::Sync);
        assert_eq!(resolved("sync", 1), WorkerClass::Sync);
        assert_eq!(resolved("gthread", 1), WorkerClass::Gthread);
        for text in ["auto", "sync", "gthread"] {
            assert_eq!(resolved(text, 2), WorkerClass::Gthread, "{text}");
        }
    }

    #[test]
    fn a_class_that_there_is_only_elsewhere_is_refused_with_what_to_do_instead() {
        for (text, advice) in [
            ("gevent", RAISE_THREADS),
            ("gevent_pywsgi", RAISE_THREADS),
            ("gunicorn.workers.ggevent.GeventWorker", RAISE_THREADS),
            ("egg:gunicorn#gevent", RAISE_THREADS),
            ("eventlet", RAISE_THREADS),
            ("gunicorn.workers.geventlet.EventletWorker", RAISE_THREADS),
            ("egg:meinheld#gunicorn_worker", RAISE_THREADS),
            ("tornado", OWN_SERVER),
            ("gunicorn.workers.gtornado.TornadoWorker", OWN_SERVER),
            ("uvicorn.workers.UvicornWorker", ASGI),
            ("uvicorn_worker.UvicornH11Worker", ASGI),
            ("asgi", ASGI),
            ("gunicorn.workers.gasgi.ASGIWorker", ASGI),
            ("gaiohttp", OWN_SERVER),
            ("aiohttp.GunicornUVLoopWebWorker", OWN_SERVER),
        ] {
            assert_eq!(
                WorkerClassChoice::from_text(text),
                Err(format!("{text:?} is not supported; {advice}"))
            );
        }
    }

    #[test]
    fn any_other_name_is_refused_with_those_there_are() {
        for text in ["", "Sync", "thread", "shop.workers.Mine", "egg:shop#sync"] {
            assert_eq!(
                WorkerClassChoice::from_text(text),
                Err(format!(
                    r#"must be "auto", "sync" or "gthread", not {text:?}"#
                ))
            );
        }
    }
}
