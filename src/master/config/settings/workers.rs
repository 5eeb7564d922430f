//! Settings: how many workers, how they run requests, and when they are replaced.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Workers {
        /// How many workers to run, or `auto`.
        ///
        /// `auto` is one for each processor that the service may use, as
        /// limited by CPU affinity, cpuset and the CPU quota of its control
        /// groups (`CPUQuota=`). At a start, one loads the application alone and
        /// serves as soon as it can; the others follow, as many at a time as
        /// there are such processors, or with `preload` all at once.
        workers: Workers = Workers::ONE, ["-w", "--workers"], "NUMBER", Reload,
            variable "WEB_CONCURRENCY";

        /// How a worker runs requests: `sync`, `gthread` or `auto`.
        ///
        /// `sync` runs one at a time, `gthread` each in one of its `threads`.
        /// `auto` is `gthread` if there is more than one thread, else `sync`; so
        /// is `sync`, as with Gunicorn.
        worker_class: WorkerClassChoice = WorkerClassChoice::Auto,
            ["-k", "--worker-class"], "CLASS", Reload;

        /// How many threads a worker runs requests in.
        ///
        /// The application has to be safe to call in several threads at once.
        /// A connection that waits for its next request takes no thread.
        threads: Within<1, 1024> = Within::nearest(1), ["--threads"], "NUMBER", Reload;

        /// The most connections that one worker holds.
        ///
        /// New ones wait or go to workers that have room. If none has, the
        /// connection that has been idle longest is closed for the next one.
        worker_connections: Within<1, 1_000_000> = Within::nearest(1000),
            ["--worker-connections"], "NUMBER", Reload;

        /// Seconds after which a worker stuck in a request is killed; 0 = never.
        ///
        /// The stacks of its threads are logged before, and another worker
        /// replaces it. With `gthread`, that is when all of its threads are
        /// stuck; a single request that takes as long is logged with its stack.
        timeout: Timeout = Timeout::nearest(30), ["-t", "--timeout"], "SECONDS", Reload;

        /// Seconds after which a request is answered with 503; 0 = never.
        ///
        /// That is how long it may wait for the application, and then how long
        /// the application may take before it sends anything. A response that
        /// was begun is broken off. The stack is logged, and the application's
        /// answer discarded; its worker is replaced only after `timeout`.
        request_timeout: Timeout = Timeout::nearest(0), ["--request-timeout"], "SECONDS", Reload;

        /// Seconds that running requests have to finish before a worker exits.
        ///
        /// At a reload and at a graceful stop. Longer requests are aborted.
        graceful_timeout: Seconds<0> = Seconds::nearest(30),
            ["--graceful-timeout"], "SECONDS", Reload;

        /// Seconds to serve on after TERM before the stop begins.
        ///
        /// Meanwhile `health_path` is answered 503 and each response closes its
        /// connection, so that a balancer turns to other servers before
        /// connections are refused. `graceful_timeout` counts from the end.
        /// Another TERM, INT or QUIT ends it. Not needed where systemd holds the
        /// sockets.
        drain_time: Seconds<0> = Seconds::nearest(0), ["--drain-time"], "SECONDS", Reload;

        /// Seconds a worker may take to load the application; 0 = no limit.
        boot_timeout: Timeout = Timeout::nearest(300), ["--boot-timeout"], "SECONDS", Reload;

        /// How many additional workers may run during a reload.
        ///
        /// A higher number makes reloads faster and needs more memory. Without
        /// `preload`, no more workers than there are processors load the
        /// application at the same time.
        surge: Within<1, 1024> = Within::nearest(1), ["--surge"], "NUMBER", Reload;

        /// Replace a worker that has more memory of its own than this; 0 = no limit.
        ///
        /// In bytes, or with K, M or G. Its own are the pages that it shares with
        /// no other process, and what of them is swapped out; its child processes
        /// do not count. The master looks every 5 seconds, and replaces one
        /// worker at a time, the largest first: another one serves before it
        /// leaves, and its requests have `graceful_timeout` to finish.
        ///
        /// Until then a request may take more. Under systemd, where each worker has
        /// a control group of its own, the kernel kills a worker that has twice as
        /// much, with its child processes and what of files cannot be dropped from
        /// memory; the request is in the log. `memory_max` limits all processes
        /// of the site together.
        ///
        /// The other name, `max_worker_memory`, is understood, too.
        worker_memory_max: BodyLimit = BodyLimit::NONE,
            ["--worker-memory-max", "--max-worker-memory"], "BYTES", Reload;

        /// Replace a worker that has answered so many requests; 0 = never.
        ///
        /// Each second the master looks how many it were, and replaces one worker
        /// at a time: another one serves before it leaves. It finishes its
        /// requests, and no connection is closed.
        max_requests: Within<0, 2_000_000_000> = Within::nearest(0),
            ["--max-requests"], "NUMBER", Reload;

        /// The most requests by which workers may differ in `max_requests`.
        ///
        /// To the limit of each worker, a number of its own up to this is added.
        max_requests_jitter: Within<0, 2_000_000_000> = Within::nearest(0),
            ["--max-requests-jitter"], "NUMBER", Reload;

        /// Replace a worker that has served for this long; 0 = never.
        ///
        /// A number of seconds, or a time such as `12h`. Up to a tenth is added,
        /// for each worker another part, and one is replaced at a time: another
        /// one serves before it leaves.
        max_worker_age: TimeSpan = TimeSpan::NEVER, ["--max-worker-age"], "TIME", Reload;
    }
    }};
}

pub(super) use rows;
